package care_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/care"
)

const framedEvents = 60

// framed closes a spool with events in one frame, in a value log that is not the newest.
func (f *fixture) framed() (valueLog string) {
	f.t.Helper()
	f.lane("a")
	var drafts []*spool.Draft
	for i := range framedEvents {
		drafts = append(drafts, &spool.Draft{Type: "t", At: f.now, Note: []string{"a"},
			Payload: bytes.Repeat(fmt.Appendf(nil, "%d.", i), 200)})
	}
	if err := f.Append(drafts...); err != nil {
		f.t.Fatal(err)
	}
	f.reopen()
	f.append(strings.Repeat("x", ondisk.ValueBytesMin), "a")
	f.close()
	logs, _ := filepath.Glob(filepath.Join(f.dir, ondisk.Dir, "*.vlog"))
	slices.Sort(logs)
	if len(logs) < 2 {
		f.t.Fatalf("the value logs are %q", logs)
	}
	return logs[0]
}

// Whichever byte of a frame is changed in a spool at rest, verify names the damage and counts all
// events, and an export has all but at most the one that the byte is in.
func TestFrameDamagedAtRest(t *testing.T) {
	for _, secret := range []string{"", "0123456789abcdef"} {
		t.Run(fmt.Sprintf("encrypted %v", secret != ""), func(t *testing.T) {
			f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0),
				secret: []byte(secret)}
			f.reopen()
			path := f.framed()
			sound, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			unread := 0
			for at := 21; at < len(sound); at += len(sound) / 13 {
				damaged := bytes.Clone(sound)
				damaged[at] ^= 0x10
				if err := os.WriteFile(path, damaged, 0o600); err != nil {
					t.Fatal(err)
				}
				unread += f.checkDamaged(fmt.Sprintf("byte %d of %d", at, len(sound)))
			}
			if unread < 8 {
				t.Errorf("%d events could not be read; want one for most bytes", unread)
			}
		})
	}
}

func (f *fixture) checkDamaged(what string) (unread int) {
	f.t.Helper()
	rep, err := care.Verify(context.Background(), f.readerOptions(), nil)
	if err != nil {
		f.t.Fatal(what, err)
	}
	if rep.FaultCount == 0 || rep.FaultCount > 3 || !strings.Contains(rep.Faults[0], "000001.vlog") ||
		rep.Events < framedEvents {
		f.t.Errorf("%s: %d events, %d faults, %q", what, rep.Events, rep.FaultCount, rep.Faults)
	}
	r, err := care.OpenReader(f.readerOptions())
	if err != nil {
		f.t.Fatal(what, err)
	}
	defer r.Close()
	var out bytes.Buffer
	n, err := care.Export(context.Background(), r, &out, care.Selection{All: true})
	lines := int64(bytes.Count(out.Bytes(), []byte{'\n'}))
	if err != nil || n.Unreadable > 1 || n.Events+n.Unreadable != framedEvents+1 || lines != n.Events {
		f.t.Errorf("%s: %+v are exported, %v", what, n, err)
	}
	return int(n.Unreadable)
}

// A frame of which a part is gone is backed up and restored as what is left of it, clear and
// encrypted.
func TestBackupOfFrames(t *testing.T) {
	for _, secret := range []string{"", "0123456789abcdef"} {
		f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0),
			secret: []byte(secret)}
		f.reopen()
		f.framed()
		f.reopen()
		l := f.lane("a")
		l.Open(true)
		for _, e := range f.fetch(l, framedEvents+1) {
			st := spool.Settlement{Lane: l.ID(), Seq: e.Seq, Fresh: true, At: f.now, Attempts: 1,
				Verdict: spool.Retry}
			if e.Seq%3 == 0 {
				st.Verdict = spool.Delivered
			}
			if err := f.Apply(spool.Change{Settle: []spool.Settlement{st}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := care.StatOf(f); err != nil { // after a checkpoint
			t.Fatal(err)
		}
		if err := f.Sweep(f.now.Add(2 * time.Hour)); err != nil {
			t.Fatal(err)
		}
		f.close()
		want := f.export(care.Selection{All: true})
		if len(want) != framedEvents+1-framedEvents/3 {
			t.Fatalf("%d events are left", len(want))
		}
		r, err := care.OpenReader(f.readerOptions())
		if err != nil {
			t.Fatal(err)
		}
		var backup bytes.Buffer
		_, err = care.Backup(context.Background(), r, &backup)
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		f.dir = t.TempDir() + "/restored"
		_, _, err = care.Restore(context.Background(), &backup, care.RestoreOptions{Dir: f.dir,
			EncryptionKey: f.secret, Log: f.log()})
		if err != nil {
			t.Fatal(err)
		}
		got := f.export(care.Selection{All: true})
		for i := range want {
			if i >= len(got) || got[i].ID != want[i].ID || !bytes.Equal(got[i].Body(), want[i].Body()) {
				t.Fatalf("encrypted %v: event %d of %d is not restored", secret != "", i, len(got))
			}
		}
	}
}
