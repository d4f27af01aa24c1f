package spool

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/volume"
)

// What the engine does to its files by itself is no reason to stop: logs that are begun and removed,
// tables that are written, merged and removed, a flush, which leaves it without a log for a moment,
// sweeps and backups. Here somebody looks all the time, not once a second.
func TestPremisesOrdinaryLife(t *testing.T) {
	t.Run("in the clear", func(t *testing.T) { liveOnPremises(t, nil) })
	t.Run("encrypted", func(t *testing.T) { liveOnPremises(t, make([]byte, 32)) })
}

func liveOnPremises(t *testing.T, secret []byte) {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0),
		secret: secret}
	o := f.options()
	o.Log = slog.New(slog.DiscardHandler)
	o.KeepDelivered = 0
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Spool = s
	t.Cleanup(func() { s.Close() })
	s.running.Go(s.commitLoop) // the keeper's place is taken by the loop below
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		looks := 0
		for s.Err() == nil {
			select {
			case <-stop:
				stopped <- looks
				return
			default:
			}
			s.lookAround()
			looks++
		}
		stopped <- looks
	}()
	crm := f.lane("crm")
	for round := range 6 {
		f.appendRandom(40, 500<<10, "crm") // more than a memtable
		for _, e := range f.fetch(crm, 40) {
			s.Settle(Settlement{Lane: crm.id, Seq: e.Seq, Fresh: true, At: f.now})
		}
		if round%2 == 1 {
			f.flushNow()
		}
		f.now = f.now.Add(time.Minute)
		err := errors.Join(s.Apply(Change{empty: true}), s.Sweep(f.now), s.flatten())
		if _, berr := s.Backup(context.Background(), io.Discard); err == nil {
			err = berr
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if looks := <-stopped; looks < 6 || s.Err() != nil {
		t.Errorf("after %d looks: %v", looks, s.Err())
	}
}

// The directory is looked for by its path: what a link on it names is what counts, and one that is
// named from the working directory is found wherever links to that lead.
func TestPremisesByPath(t *testing.T) {
	at := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(at, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(at, "link")
	point := func(to string) {
		t.Helper()
		_ = os.Remove(link)
		if err := os.Symlink(filepath.Join(at, to), link); err != nil {
			t.Fatal(err)
		}
	}
	point("one")
	f := &fixture{t: t, dir: filepath.Join(link, "spool"), now: time.Unix(1_700_000_000, 0)}
	f.reopen()
	t.Cleanup(func() { f.Close() })
	if err := f.premises.left(); err != nil {
		t.Errorf("through a link: %v", err)
	}
	point("two")
	if err := f.premises.left(); !errors.Is(err, ErrMoved) {
		t.Errorf("the link leads elsewhere: %v; want ErrMoved", err)
	}
	point("one")
	t.Chdir(filepath.Join(at, "link"))
	here, err := filepath.EvalSymlinks(filepath.Join(at, "one", "spool"))
	if got := volume.Absolute("spool"); err != nil || got != here {
		t.Errorf("from the working directory: %q; want %q, %v", got, here, err)
	}
}

// shyTree is a directory of which something cannot be looked at.
type shyTree struct {
	fs.FS
	name string
	err  error
}

func (t shyTree) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(t.FS, name)
	if name == t.name {
		return nil, t.err
	}
	for i, e := range entries {
		if name+"/"+e.Name() == t.name || e.Name() == t.name && !e.IsDir() {
			entries[i] = shyEntry{e, t.err}
		}
	}
	return entries, err
}

type shyEntry struct {
	fs.DirEntry
	err error
}

func (e shyEntry) Info() (fs.FileInfo, error) { return nil, e.err }

// What cannot be looked at, for want of a descriptor or whatever, is not gone: the spool goes on.
func TestPremisesUnseen(t *testing.T) {
	f := open(t)
	f.lane("crm")
	f.append("one", "crm")
	f.flushNow()
	f.append("two", "crm")
	tree := f.premises.tree
	look := func(name string, err error) *survey {
		t.Helper()
		s := newSpool(f.options()) // nobody else looks at the same time
		s.tree.DB = f.tree.DB
		if err := s.premises.begin(f.dir); err != nil {
			t.Fatal(err)
		}
		defer s.premises.close()
		s.premises.tree = shyTree{tree, name, err}
		v := s.lookAround()
		gone := volume.IsGone(err)
		if failed := s.Err(); gone != errors.Is(failed, ErrMoved) || !gone && failed != nil {
			t.Errorf("%s, %v: %v", name, err, failed)
		}
		return v
	}
	names := []string{ondisk.Dir}
	for name := range look("nothing", nil).files {
		names = append(names, name)
	}
	for _, name := range names {
		for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
			syscall.EIO, syscall.EACCES, syscall.ESTALE, syscall.EINTR} {
			if v := look(name, errno); v != nil {
				t.Errorf("%s, %v: the look counts", name, errno)
			}
		}
	}
	look(highwater.Name, syscall.ENOENT)
	if look("lost+found", syscall.EACCES) == nil {
		t.Error("a directory that is not ours keeps the disk from being measured")
	}
}

// A manifest that the engine has written again is told from somebody else's by who has it open.
func TestOpenHere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells which files are open")
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var p premises
	if p.ours(info) {
		t.Error("a file that nobody has open counts as the engine's")
	}
	if !p.seenFirst(info) {
		t.Error("it is judged at the first look")
	}
	p.manifestAt = p.manifestAt.Add(-time.Second)
	if p.seenFirst(info) {
		t.Error("it is not judged a beat later")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !p.ours(info) {
		t.Error("a file that is open counts as somebody else's")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Where a spool is away no new one is begun, except by order. It is welcome back, also out of a
// backup; another one that holds something goes on, and the file stays.
func TestAway(t *testing.T) {
	f := open(t)
	f.lane("crm")
	id, dir := f.ID(), f.dir
	note := func(at, spool string) {
		t.Helper()
		text := "moved.\ndir " + volume.Absolute(dir) + "\nspool " + spool + "\n"
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there := func(at string) bool {
		_, err := os.Stat(at)
		return err == nil
	}
	beside, above := dir+awaySuffix, filepath.Dir(dir)+awaySuffix
	t.Cleanup(func() { _ = os.Remove(above) })
	for _, at := range []string{beside, above} {
		note(at, id)
		f.reopen()
		if there(at) {
			t.Errorf("%s stays although the spool is back", at)
		}
	}
	if err := syscall.Mkfifo(beside, 0o600); err != nil {
		t.Fatal(err)
	}
	f.reopen() // a pipe says nothing, and holds nothing up
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	note(beside, "abcd")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(f.options()); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "abcd") {
		t.Errorf("with an empty spool in its place: %v; want ErrAway", err)
	}
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	f.append("x", "crm")
	note(beside, "abcd")
	f.reopen()
	if !there(beside) {
		t.Error("with another spool in its place the file is gone")
	}
	f.format.Former = append(f.format.Former, [8]byte{0xab, 0xcd})
	note(beside, "abcd000000000000")
	if err := f.welcome(); err != nil || there(beside) {
		t.Errorf("a spool that was restored from it is not welcome: %v", err)
	}
	note(beside, id)
	if err := errors.Join(f.Close(), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	if err := Probe(dir, nil); !errors.Is(err, ErrAway) {
		t.Errorf("probed: %v; want ErrAway", err)
	}
	if _, err := Open(f.options()); !errors.Is(err, ErrAway) || there(dir) {
		t.Errorf("without a spool: %v, made %v; want ErrAway and nothing made", err, there(dir))
	}
	o := f.options()
	o.AcceptLoss = true
	s, err := Open(o)
	if err != nil || there(beside) {
		t.Fatalf("by order: %v, the file is there: %v", err, there(beside))
	}
	f.Spool = s
	s.Start()
}

// The engine begins no log in a directory that is not its own any more: the committer looks before.
func TestNoLogElsewhere(t *testing.T) {
	f := open(t)
	f.lane("crm")
	aside := f.dir + ".moved"
	if err := errors.Join(os.Rename(f.dir, aside), os.MkdirAll(f.dir+"/db", 0o700)); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = f.Append(&Draft{Payload: make([]byte, 500<<10), At: f.now, Note: []string{"crm"}})
	}
	if !errors.Is(err, ErrMoved) || !errors.Is(err, ErrFailed) {
		t.Errorf("got %v; want ErrMoved", err)
	}
	if files, _ := os.ReadDir(f.dir + "/db"); len(files) > 0 {
		t.Errorf("there is %v in the other directory", files)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(os.RemoveAll(f.dir), os.Rename(aside, f.dir), f.tree.DB.Close()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(f.dir + awaySuffix); err != nil {
		t.Error(err)
	}
}

func TestLogTurned(t *testing.T) {
	var p premises
	f := func(flushes uint64, want bool, names ...string) {
		t.Helper()
		now := &survey{files: make(map[string]fs.FileInfo), flushes: flushes}
		for _, name := range names {
			now.files[filepath.Join(ondisk.Dir, name)] = nil
		}
		if got := p.rotated(filepath.Join(ondisk.Dir, "00007.mem"), now); got != want {
			t.Errorf("flushes %d, files %v: got %v; want %v", flushes, names, got, want)
		}
	}
	// the newest log
	f(0, false)
	f(0, false, "00006.mem", "00008.sst", "000009.vlog")
	// one that was begun after it is there
	f(0, true, "00008.mem")
	f(0, true, "100000.mem")
	// a flush is under way, or was while the directory was read
	f(1, true)
	p.flushes.Add(2)
	f(0, true)
	f(2, false)
}
