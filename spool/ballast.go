package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	ondisk "github.com/hookspool/hookspool/spool/badger"
)

// A ballast is a file of blocks that nobody else can take. It is thrown off when the disk has no
// room left for what settling and retrying write, or for a start, and made again once there is
// room.
const (
	ballastName = "ballast"
	// ballastBytes lets one memtable of settlements more reach a disk that others have filled: its
	// table, and the blocks of the log that follows until those of the last one come back. That is
	// 16 MiB, or about 60,000 outcomes, beside what the log in use has left.
	ballastBytes = 32 << 20
	// ballastShare: a spool whose limit is less than that many ballasts does without one.
	ballastShare = 16
)

// ballast is thrown off by the committer and made by the keeper.
type ballast struct {
	mu    sync.Mutex // guards the file and bytes
	path  string
	bytes int64 // on disk
}

func openBallast(dir string) *ballast {
	b := &ballast{path: filepath.Join(dir, ballastName)}
	if info, err := os.Lstat(b.path); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			b.bytes = st.Blocks * 512
		}
	}
	return b
}

func (b *ballast) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// throwOff gives the blocks back to the file system; false if there were none. The directory is
// synced because some file systems (ext4) hand freed blocks out only after their next commit.
func (b *ballast) throwOff() (bool, error) {
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
	if err := ondisk.SyncDir(filepath.Dir(b.path)); err != nil {
		return true, fmt.Errorf("cannot throw off the ballast: %w", err)
	}
	return true, nil
}

// take makes the file. A disk that fills up meanwhile, or that cannot allocate, leaves none.
func (b *ballast) take() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes > 0 {
		return nil
	}
	f, err := os.OpenFile(b.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make the ballast: %w", err)
	}
	if err = ondisk.Allocate(f, 0, ballastBytes); err == nil {
		b.bytes = ballastBytes
		return f.Close()
	}
	return errors.Join(err, f.Close(), os.Remove(b.path))
}

// missed reports that somebody has removed the file, which gives up the reserve and nothing else.
func (b *ballast) missed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes == 0 {
		return false
	}
	_, err := os.Lstat(b.path)
	if !isGone(err) {
		return false
	}
	b.bytes = 0
	return true
}

// trimBallast is the keeper's: it makes a ballast when there is ample room, and removes one that a
// new limit does not allow.
func (s *Spool) trimBallast() {
	if !s.onDisk() {
		return
	}
	if s.ballast.missed() {
		s.log.Warn("somebody has removed the ballast; another is made when there is room")
	}
	lim := s.limits.Load()
	var err error
	switch free := s.disk.free.Load(); {
	case lim.MaxBytes > 0 && lim.MaxBytes < ballastShare*ballastBytes:
		_, err = s.ballast.throwOff()
	case s.ballast.size() == 0 && !s.gate.closed() && free >= 2*(s.mustStayFree(lim)+ballastBytes):
		err = s.ballast.take()
	}
	if err != nil && !errors.Is(err, ondisk.ErrCannotAllocate) {
		s.log.Warn("cannot keep a ballast; it is tried again", "error", err)
	}
}
