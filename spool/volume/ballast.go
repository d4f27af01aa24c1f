package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

const (
	// BallastName is the ballast's in the spool's directory.
	BallastName = "ballast"
	// BallastBytes lets one memtable of settlements more reach a disk that others have filled: its
	// table, and the blocks of the log that follows until those of the last one come back. That is
	// 16 MiB, or about 60,000 outcomes, beside what the log in use has left.
	BallastBytes = 32 << 20
	// BallastShare: a spool whose limit is less than that many ballasts does without one.
	BallastShare = 16
)

// Ballast is a file of blocks that nobody else can take. It is thrown off when the disk has no room
// left for what settling and retrying write, or for a start, and made again once there is room. It
// is safe for concurrent use: the committer throws it off, the keeper makes it.
type Ballast struct {
	mu    sync.Mutex // guards the file and bytes
	path  string
	bytes int64 // on disk
}

// OpenBallast finds the one in a spool's directory, if there is one.
func OpenBallast(dir string) *Ballast {
	b := &Ballast{path: filepath.Join(dir, BallastName)}
	if info, err := os.Lstat(b.path); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			b.bytes = st.Blocks * 512
		}
	}
	return b
}

// Size is what it takes on disk.
func (b *Ballast) Size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// ThrowOff gives the blocks back to the file system; false if there were none. The directory is
// synced because some file systems (ext4) hand freed blocks out only after their next commit.
func (b *Ballast) ThrowOff() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes == 0 {
		return false, nil
	}
	err := os.Remove(b.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("cannot throw off the ballast: %w", err)
	}
	b.bytes = 0
	if err := SyncDir(filepath.Dir(b.path)); err != nil {
		return true, fmt.Errorf("cannot throw off the ballast: %w", err)
	}
	return true, nil
}

// Take makes the file. A disk that fills up meanwhile, or that cannot allocate, leaves none.
func (b *Ballast) Take() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes > 0 {
		return nil
	}
	f, err := os.OpenFile(b.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make the ballast: %w", err)
	}
	if err = Allocate(f, 0, BallastBytes); err == nil {
		b.bytes = BallastBytes
		return f.Close()
	}
	return errors.Join(err, f.Close(), os.Remove(b.path))
}

// Missed reports that somebody has removed the file, which gives up the reserve and nothing else.
func (b *Ballast) Missed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes == 0 {
		return false
	}
	_, err := os.Lstat(b.path)
	if !IsGone(err) {
		return false
	}
	b.bytes = 0
	return true
}
