package config

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"sync"
	"syscall"
	"time"
)

// The bounds of what an operator's paths lead to.
const (
	configBytesMax = 1 << 20
	secretBytesMax = 64 << 10 // a URL or a header, the longest values, has 8 KiB
	pemBytesMax    = 1 << 20  // the largest honest one is a bundle of CA certificates, about 250 KiB
	fileBytesMax   = 1 << 20  // the largest of these: no more is read into memory
	// readPatience bounds the reading of one file: a network file system may never answer.
	readPatience = 5 * time.Second
	// stuckMax bounds the readings that nobody waits for any more; each holds a thread.
	stuckMax = 4
)

// Files reads the files that an operator names: the config, secrets and certificates. It reads
// regular files only, because opening a pipe or a device may wait for ever, or do something. It
// bounds their size, and the time for which it is waited for. The zero value is ready; it is safe
// for concurrent use.
type Files struct {
	// Ended, when set and closed, ends every wait for a file.
	Ended <-chan struct{}
	// Pipes lets a pipe be read as well, for as long as a file: a shell makes one of <(command).
	Pipes bool

	mu sync.Mutex
	// stuck is guarded by mu: the paths whose reading nobody waits for any more, while it goes on.
	stuck map[string]bool
}

// reading is one file that is being read.
type reading struct {
	path string
	got  chan content
	// done and left are guarded by Files.mu: the file was read; nobody waits for that any more.
	done, left bool
}

type content struct {
	text []byte
	err  error
}

// Read returns the content of a file. It returns one byte more than the bound at most: whoever
// reads sees that there was more. It blocks for a few seconds at most. An error is a *fs.PathError.
func (f *Files) Read(path string) ([]byte, error) {
	if err := f.readable(path); err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	r := &reading{path: path, got: make(chan content, 1)} // its one answer waits for nobody
	go func() {
		text, err := readFile(path, f.Pipes)
		f.end(r)
		r.got <- content{text, err}
	}()
	patience := time.NewTimer(readPatience)
	defer patience.Stop()
	var why error
	select {
	case c := <-r.got:
		return c.text, c.err
	case <-patience.C:
		why = fmt.Errorf("it could not be read within %s", readPatience)
	case <-f.Ended:
		why = errors.New("the relay stops")
	}
	f.leave(r)
	return nil, &fs.PathError{Op: "read", Path: path, Err: why}
}

// readable refuses a file whose last reading has not ended yet, and any if too many have not.
func (f *Files) readable(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck[path] || len(f.stuck) >= stuckMax {
		return fmt.Errorf("it could not be read within %s", readPatience)
	}
	return nil
}

func (f *Files) leave(r *reading) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.left = true; r.done {
		return
	}
	if f.stuck == nil {
		f.stuck = make(map[string]bool)
	}
	f.stuck[r.path] = true
}

func (f *Files) end(r *reading) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.done = true; r.left {
		delete(f.stuck, r.path)
	}
}

// readFile looks before it opens, as opening a device may set it off, and once more after, as the
// file may have been replaced in between: without O_NONBLOCK the opening of a pipe would wait for
// its other end.
func readFile(path string, pipes bool) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	flags := os.O_RDONLY | syscall.O_NONBLOCK
	if pipes && info.Mode()&fs.ModeNamedPipe != 0 {
		flags = os.O_RDONLY // its other end may not be there yet
	} else if err := checkRegular(path, info); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, err
	}
	if info, err = file.Stat(); err == nil && flags != os.O_RDONLY {
		err = checkRegular(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	text, err := io.ReadAll(io.LimitReader(file, fileBytesMax+1))
	return text, errors.Join(err, file.Close())
}

// checkRegular says what a path leads to if that is no regular file.
func checkRegular(path string, info fs.FileInfo) error {
	what := "a device"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		what = "a pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	}
	return &fs.PathError{Op: "read", Path: path,
		Err: fmt.Errorf("it is %s, and only regular files are read", what)}
}

// Sources is what the files that a config is made of held when it was read: of each a digest, or
// why it could not be read. It does not change.
type Sources struct {
	sums map[string][sha256.Size]byte
}

// String counts the files. Digests of secrets are not for the eyes of others.
func (s *Sources) String() string { return fmt.Sprintf("%d files", len(s.sums)) }

// Again reads the same files, and returns what they hold now.
func (s *Sources) Again(files *Files) *Sources {
	now := newSources(len(s.sums))
	for path := range s.sums {
		now.read(files, path)
	}
	return now
}

// Equal reports that nothing has changed. What a file ends with counts no more than for a secret:
// newlines do not.
func (s *Sources) Equal(other *Sources) bool { return maps.Equal(s.sums, other.sums) }

func newSources(size int) *Sources {
	return &Sources{make(map[string][sha256.Size]byte, size)}
}

// read reads a file and keeps what it was like.
func (s *Sources) read(files *Files, path string) ([]byte, error) {
	text, err := files.Read(path)
	if err != nil {
		s.sums[path] = sha256.Sum256([]byte("cannot be read: " + err.Error()))
	} else {
		s.sums[path] = sha256.Sum256(trimEnd(text))
	}
	return text, err
}

// trimEnd drops the newlines at the end of a file, which editors and echo add.
func trimEnd(text []byte) []byte { return bytes.TrimRight(text, "\r\n") }
