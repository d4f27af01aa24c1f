package care_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// export reads a spool at rest into lines.
func (f *fixture) export(x care.Selection) []*care.Exported {
	f.t.Helper()
	r, err := care.OpenReader(f.readerOptions())
	if err != nil {
		f.t.Fatal(err)
	}
	var out bytes.Buffer
	n, err := care.Export(context.Background(), r, &out, x)
	if err = errors.Join(err, r.Close()); err != nil {
		f.t.Fatal(err)
	}
	var list []*care.Exported
	for line := range bytes.Lines(out.Bytes()) {
		parsed, err := care.ParseExported(bytes.TrimSpace(line))
		if err != nil {
			f.t.Fatalf("%s: %v", line, err)
		}
		list = append(list, parsed)
	}
	if n.Events != int64(len(list)) || n.Unreadable != 0 {
		f.t.Errorf("counted %+v; %d lines", n, len(list))
	}
	return list
}

// statesOf are the deliveries of an export: "1 a=pending/1 b=…" with payloads left out.
func statesOf(list []*care.Exported) string {
	var b strings.Builder
	for _, x := range list {
		for _, t := range x.Targets {
			fmt.Fprintf(&b, "%s%.1s%d ", t.Name, t.State, t.Attempts)
		}
		b.WriteString("| ")
	}
	return b.String()
}

// What is exported says where every delivery is, and selects what it is asked for.
func TestExport(t *testing.T) {
	f := open(t)
	f.furnish()
	f.close()
	all := f.export(care.Selection{All: true})
	want := "ae145 bp0 | ap1 bp0 | ad1 bp0 | ap1 bp0 | ad1 bp0 | ap0 bp0 | ap0 bp0 | ap0 bp0 | "
	// The seventh delivery of a was purged; its word begins with a p as well.
	if got := statesOf(all); got != want || all[6].Targets[0].State != "purged" {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if x := all[5]; x.Payload != nil || !bytes.Equal(x.PayloadBase64, []byte{0xff, 0, '<'}) ||
		x.Type != "counted" || x.ContentType != "text/plain" || !x.AcceptedAt.Equal(f.now) ||
		x.Headers[1].Value != "a\xffb" {
		t.Errorf("got %+v", x)
	}
	if got, want := statesOf(f.export(care.Selection{Target: "a"})),
		"ae145 | ap1 | ap1 | ap0 | ap0 | "; got != want {
		t.Errorf("of a got %s want %s", got, want)
	}
	r, err := care.OpenReader(f.readerOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := care.Export(context.Background(), r, io.Discard, care.Selection{Target: "c"}); !errors.Is(err,
		spool.ErrNotFound) {
		t.Errorf("a target that never was: %v", err)
	}
	for range 2 { // a look is good for one walk, a reader for any number
		var out bytes.Buffer
		n, err := care.Export(context.Background(), r, &out, care.Selection{})
		if err != nil || n.Events != 8 || bytes.Count(out.Bytes(), []byte(`"state":"exhausted"`)) != 1 {
			t.Errorf("exported again: %+v, %v\n%s", n, err, out.Bytes())
		}
	}
	broken := errors.New("broken pipe")
	if _, err := care.Export(context.Background(), r, failingWriter{broken}, care.Selection{}); !errors.Is(err,
		broken) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// An export of one spool, imported into another, makes pending what was not delivered, byte for
// byte; twice is the same as once, and into the spool that it comes from it changes nothing.
func TestImport(t *testing.T) {
	f := open(t)
	f.furnish()
	f.close()
	list := f.export(care.Selection{All: true})
	from := f.dir
	for range 2 { // into a new one, and again into the same
		f.dir = t.TempDir() + "/new"
		first := f.importAll(list)
		if first != (care.ImportCount{Imported: 8, Deliveries: 13}) {
			t.Errorf("imported %+v", first)
		}
		if again := f.importAll(list); again != (care.ImportCount{Duplicates: 8}) {
			t.Errorf("imported again: %+v", again)
		}
	}
	if same := f.importInto(from, list); same != (care.ImportCount{Duplicates: 8}) {
		t.Errorf("imported where it comes from: %+v", same)
	}
	if done := f.importAll([]*care.Exported{{ID: "done", AcceptedAt: f.now,
		Targets: []care.ExportedTarget{{Name: "a", State: "delivered"}, {Name: "b", State: "purged"}}}},
	); done != (care.ImportCount{Finished: 1}) {
		t.Errorf("imported what owes nothing: %+v", done)
	}
	back := f.export(care.Selection{All: true})
	for i, x := range back {
		was := list[i]
		if x.ID != was.ID || x.Type != was.Type || !x.AcceptedAt.Equal(was.AcceptedAt) ||
			!bytes.Equal(x.Body(), was.Body()) || x.ContentType != was.ContentType ||
			fmt.Sprint(x.Headers) != fmt.Sprint(was.Headers) {
			t.Errorf("event %d was %+v, is %+v", i, was, x)
		}
	}
	if got, want := statesOf(back), "ap0 bp0 | ap0 bp0 | bp0 | ap0 bp0 | bp0 | ap0 bp0 | bp0 | "+
		"ap0 bp0 | "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r, err := care.Verify(context.Background(), f.readerOptions(), nil)
	if err != nil || r.FaultCount > 0 {
		t.Errorf("%v, faults %q", err, r.Faults)
	}
}

// importer opens the spool as an import at rest does.
func (f *fixture) importer() *spool.Spool {
	f.t.Helper()
	o := f.options()
	o.Decide, o.DedupeWindow = nil, 0
	s, err := spool.Open(o)
	if err != nil {
		f.t.Fatal(err)
	}
	s.Start()
	return s
}

func (f *fixture) importInto(dir string, list []*care.Exported) care.ImportCount {
	f.t.Helper()
	here := f.dir
	f.dir = dir
	defer func() { f.dir = here }()
	return f.importAll(list)
}

func (f *fixture) importAll(list []*care.Exported) care.ImportCount {
	f.t.Helper()
	m := f.importer()
	n, err := care.Import(m, list, nil)
	if err = errors.Join(err, m.Close()); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// A batch with one event that cannot be is not written at all, and the error names it.
func TestImportAllOrNothing(t *testing.T) {
	f := open(t)
	f.close()
	f.dir = t.TempDir() + "/new"
	event := func(id, payload string) *care.Exported {
		return &care.Exported{ID: id, AcceptedAt: f.now, Payload: &payload,
			Targets: []care.ExportedTarget{{Name: "a", State: "pending"}}}
	}
	f.importAll([]*care.Exported{event("held", "one")})
	m := f.importer()
	defer m.Close()
	for want, batch := range map[int][]*care.Exported{
		1: {event("new", "x"), event("held", "two")},
		2: {event("new", "x"), event("held", "one"), event("new", "y")},
		3: {event("new", "x"), event("held", "one"), event("b", ""),
			event("large", strings.Repeat("x", record.BytesMax))},
	} {
		_, err := care.Import(m, batch, nil)
		var bad *care.ImportError
		if !errors.As(err, &bad) || len(bad.Reasons) != 1 || bad.Reasons[want] == "" {
			t.Errorf("%d: %v %+v", want, err, bad)
		}
	}
	if head := m.Head(); head != 1 {
		t.Errorf("%d events are there; want 1", head)
	}
}

// A backup of a spool that runs holds what it held at one instant; restored, it adds up, goes on
// where it was, knows events by their ids, and makes ids of its own.
func TestBackupRestore(t *testing.T) {
	for _, secret := range []string{"", "0123456789abcdef0123456789abcdef"} {
		f := open(t)
		f.close()
		f.dir, f.secret = t.TempDir()+"/from", []byte(secret)
		f.reopen()
		f.furnish()
		var out bytes.Buffer
		info, err := care.Backup(context.Background(), f.Spool, &out)
		if err != nil || info.Head != 8 || info.Bytes != int64(out.Len()) ||
			info.Encrypted != (secret != "") || info.Spool != f.ID() {
			t.Fatalf("backed up %+v, %v", info, err)
		}
		if found := bytes.Contains(out.Bytes(), []byte("payload 3")); found == (secret != "") {
			t.Errorf("key %q: the payload is in clear: %v", secret, found)
		}
		f.append("later", "a")
		made := f.idOf(2)
		old := f.ID()
		f.close()
		o := care.RestoreOptions{Dir: t.TempDir() + "/to", EncryptionKey: f.secret, Log: f.options().Log}
		got, rep, err := care.Restore(context.Background(), bytes.NewReader(out.Bytes()), o)
		if err != nil || got.Records != info.Records || rep.Events != 8 {
			t.Fatalf("restored %+v, %v", got, err)
		}
		if left, _ := os.ReadDir(o.Dir); len(left) != 2 {
			t.Errorf("the directory holds %v; want db and highwater", left)
		}
		f.dir = o.Dir
		f.reopen()
		f.counts(f.lane("a"), 4, 1)
		f.counts(f.lane("b"), 8, 0)
		e, err := look.EventByID(f, made)
		if err != nil || e.Seq != 2 {
			t.Errorf("an id made before is not found: %v", err)
		}
		d := f.append("new", "a")
		st, err := care.StatOf(f)
		if err != nil {
			t.Fatal(err)
		}
		if d.Seq != 9 || f.ID() == old || len(st.Former) != 1 || st.Former[0] != old {
			t.Errorf("sequence %d, id %s, former %q; it was %s", d.Seq, f.ID(), st.Former, old)
		}
		if e, err := look.EventByID(f, d.ID); err != nil || e.Seq != 9 {
			t.Errorf("an id made now is not found: %v", err)
		}
		if _, _, err := care.Restore(context.Background(), &out, o); !errors.Is(err, care.ErrNotEmpty) {
			t.Errorf("restored over a spool: %v", err)
		}
		f.close()
	}
}

// idOf is the id of an event.
func (f *fixture) idOf(seq uint64) string {
	f.t.Helper()
	e, err := look.Event(f.Records(), seq)
	if err != nil {
		f.t.Fatal(err)
	}
	return e.ID()
}

// A backup that is cut off anywhere, or with another byte anywhere behind its salt, is refused, and
// the directory is left as it was; one that is encrypted needs its key.
func TestRestoreRefusals(t *testing.T) {
	f := open(t)
	f.furnish()
	var out bytes.Buffer
	if _, err := care.Backup(context.Background(), f.Spool, &out); err != nil {
		t.Fatal(err)
	}
	f.close()
	restore := func(text []byte, key string) (string, error) {
		dir := t.TempDir() + "/to"
		_, _, err := care.Restore(context.Background(), bytes.NewReader(text),
			care.RestoreOptions{Dir: dir, EncryptionKey: []byte(key), Log: f.options().Log})
		if left, _ := os.ReadDir(dir); err != nil && len(left) > 0 {
			t.Errorf("a restore that failed left %v", left)
		}
		return dir, err
	}
	whole := out.Bytes()
	for _, cut := range []int{0, 10, care.BackupHeadBytes, care.BackupHeadBytes + 20, len(whole) - 1} {
		if _, err := restore(whole[:cut], ""); !errors.Is(err, care.ErrBadBackup) &&
			!errors.Is(err, care.ErrNoBackup) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	changed := bytes.Clone(whole)
	changed[len(changed)/2] ^= 1
	if _, err := restore(changed, ""); !errors.Is(err, care.ErrBadBackup) {
		t.Errorf("another byte: %v", err)
	}
	newer := bytes.Clone(whole)
	newer[len(care.BackupMagic)]++
	if _, err := restore(newer, ""); !errors.Is(err, record.ErrFormat) {
		t.Errorf("a newer backup: %v", err)
	}
	dir, err := restore(whole, "0123456789abcdef") // in clear, into an encrypted spool
	if err != nil {
		t.Fatal(err)
	}
	f.dir, f.secret = dir, []byte("0123456789abcdef")
	r, err := care.OpenReader(f.readerOptions())
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	_, err = care.Backup(context.Background(), r, &out)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "fedcba9876543210"} {
		if _, err := restore(out.Bytes(), key); !errors.Is(err, spool.ErrWrongKey) {
			t.Errorf("with key %q: %v", key, err)
		}
	}
}

// watched tells of the context that a look has.
type watched struct {
	care.Source
	look context.Context
}

func (w *watched) Reading(ctx context.Context,
	look func(context.Context, engine.Look) error) error {
	return w.Source.Reading(ctx, func(ctx context.Context, l engine.Look) error {
		w.look = ctx
		return look(ctx, l)
	})
}

// A spool that is closed while it is backed up ends the backup, which then has no end mark.
func TestBackupClosed(t *testing.T) {
	f := open(t)
	f.lane("a")
	big := strings.Repeat("x", 400<<10)
	for range 4 {
		f.append(big, "a")
	}
	var out bytes.Buffer
	closing := make(chan error, 1)
	first := true
	of := &watched{Source: f.Spool}
	_, err := care.Backup(context.Background(), of, writerFunc(func(b []byte) (int, error) {
		if first {
			first = false
			go func() { closing <- f.Close() }()
			select {
			case <-of.look.Done():
			case <-time.After(testPatience):
				t.Error("the end of the spool does not end a look")
			}
		}
		return out.Write(b)
	}))
	if err == nil {
		t.Error("the backup went on over the end of its spool")
	}
	if err := <-closing; err != nil {
		t.Error(err)
	}
	if _, err := care.CheckBackup(&out, nil); !errors.Is(err, care.ErrBadBackup) {
		t.Errorf("half a backup: %v", err)
	}
	if _, err := care.Backup(context.Background(), f, io.Discard); !errors.Is(err,
		spool.ErrClosed) {
		t.Errorf("a closed spool: %v", err)
	}
	if _, err := care.StatOf(f); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("a closed spool: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }
