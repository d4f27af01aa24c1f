package care

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/volume"
)

// Probe says whether Open would succeed, as far as that can be known without a trace: nothing is
// made, written or repaired, and the engine does not run. A directory that is missing but could be
// made is fit. Whether the records can be read is not looked at: Verify reads them. Errors:
// ErrDirectory, ErrAway, ErrRestoring, ErrLoss (the engine is gone), ErrFull, ErrInUse (then the
// key was not tried), ErrWrongKey, ErrDamaged, and those of the system.
func Probe(dir string, key []byte) error {
	found, err := volume.FindDir(dir)
	if err == nil {
		err = judge(dir, false)
	}
	if err != nil {
		return err
	}
	stands, want := dir, uint32(unix.R_OK|unix.W_OK|unix.X_OK)
	if !found {
		want = unix.W_OK | unix.X_OK
		if stands, err = nearestDir(dir); err != nil {
			return fmt.Errorf("%w %q: cannot make it: %w", volume.ErrDirectory, dir, err)
		}
	}
	if err := unix.Access(stands, want); err != nil {
		return fmt.Errorf("%w %q: no right to use %q: %w", volume.ErrDirectory, dir, stands, err)
	}
	if err := probeEngine(dir, key); err != nil {
		return fmt.Errorf("cannot open spool %q: %w", dir, err)
	}
	inodes, err := volume.FreeInodes(stands)
	if err == nil {
		err = ondisk.InodesToStart(dir, inodes)
	}
	if err != nil {
		return err
	}
	free, err := volume.FreeBytes(stands)
	if ballast, err := os.Stat(filepath.Join(dir, volume.BallastName)); err == nil {
		free += ballast.Size() // a start may throw it off
	}
	if err == nil && free < ondisk.PreflightBytes {
		err = fmt.Errorf("cannot open spool %q: %d bytes are free; %d are needed to start: %w",
			dir, free, int64(ondisk.PreflightBytes), engine.ErrFull)
	}
	return err
}

// Copies is the file system that copies what is written into a spool's files, or would; empty: none
// that is known to. See volume.WriteInPlace.
func Copies(dir string) string {
	if part := filepath.Join(dir, ondisk.Dir); made(dir) {
		return volume.Copies(part)
	}
	near, err := nearestDir(dir)
	if err != nil {
		return ""
	}
	kind := volume.Copies(near)
	if kind == "btrfs" {
		return "" // it is made as it should be
	}
	return kind
}

// Holds reports whether a directory holds a spool, or one that was open there is away: what Open
// would go on with, or refuse to replace. Nothing in it is read.
func Holds(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, ondisk.Dir)); err == nil {
		return true
	}
	a, err := volume.Away(dir)
	return a != nil && err == nil
}

// nearestDir is the nearest directory above a path that is there: the rest would be made in it.
func nearestDir(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for {
		path = filepath.Dir(path)
		info, err := os.Stat(path)
		switch {
		case err == nil && info.IsDir():
			return path, nil
		case err == nil:
			return "", fmt.Errorf("%q is not a directory", path)
		case !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return "", err
		}
	}
}

// probeEngine looks at the lock, at the rights to the engine's files, and at the key.
func probeEngine(dir string, key []byte) error {
	parts := filepath.Join(dir, ondisk.Dir)
	files, err := os.ReadDir(parts)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = locked(dir)
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(parts, f.Name())
		if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
			return fmt.Errorf("cannot read and write %q: %w", path, err)
		}
	}
	return ondisk.CheckKey(ondisk.Options(dir, key, nil))
}
