package badger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/volume"
)

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
	f := openStore(t, StoreOptions{Files: Files{Dir: filepath.Join(link, "spool")}})
	if err := f.Premises.left(); err != nil {
		t.Errorf("through a link: %v", err)
	}
	point("two")
	if err := f.Premises.left(); !errors.Is(err, engine.ErrMoved) {
		t.Errorf("the link leads elsewhere: %v; want engine.ErrMoved", err)
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
	dir := filepath.Join(t.TempDir(), "spool")
	if err := errors.Join(os.Mkdir(dir, 0o700), highwater.Write(dir, 1)); err != nil {
		t.Fatal(err)
	}
	f := openStore(t, StoreOptions{Files: Files{Dir: dir}})
	put := func(key string) {
		t.Helper()
		txn := f.Begin()
		defer txn.Discard()
		if err := errors.Join(txn.Put([]byte(key), nil, 0), txn.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	put("two")
	tree := f.Premises.tree
	look := func(name string, err error) *survey {
		t.Helper()
		s := NewStore(f.options) // nobody else looks at the same time
		s.DB = f.DB
		if err := s.Premises.begin(f.Dir); err != nil {
			t.Fatal(err)
		}
		defer s.Premises.close()
		s.Premises.tree = shyTree{tree, name, err}
		v, failed := s.LookAround()
		gone := volume.IsGone(err)
		if gone != errors.Is(failed, engine.ErrMoved) || !gone && failed != nil {
			t.Errorf("%s, %v: %v", name, err, failed)
		}
		return v
	}
	names := []string{Dir}
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

func TestLogTurned(t *testing.T) {
	var p premises
	f := func(flushes uint64, want bool, names ...string) {
		t.Helper()
		now := &survey{files: make(map[string]fs.FileInfo), flushes: flushes}
		for _, name := range names {
			now.files[filepath.Join(Dir, name)] = nil
		}
		if got := p.rotated(filepath.Join(Dir, "00007.mem"), now); got != want {
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
