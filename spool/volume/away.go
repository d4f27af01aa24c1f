package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

// AwaySuffix makes the name of a file beside the spool's directory, or beside the first one above
// it that still has a place. A spool leaves it there when its directory was moved or removed while
// it was open: a supervisor starts the relay again at once, and that start would make a new spool
// in silence, in the place to which the other is to be moved back. A start that finds the spool, or
// one that was restored from it, removes the file.
//
// Its last lines are "dir" and the directory's path, "spool" and the id; the rest is for people.
const AwaySuffix = ".away"

// awayBytesMax bounds it: a path and a reason with another.
const awayBytesMax = 64 << 10

// awayPaths are where that file may be.
func awayPaths(dir string) (paths []string) {
	for dir = Absolute(dir); ; dir = filepath.Dir(dir) {
		paths = append(paths, dir+AwaySuffix)
		if up := filepath.Dir(dir); up == dir || up == filepath.Dir(up) {
			return paths
		}
	}
}

// LeaveWord leaves that file about a spool's directory, which is away for a reason.
func LeaveWord(dir, spool string, reason error) error {
	text := fmt.Sprintf("%s: %v.\nMove it back and start again. If it is to be given up, remove this "+
		"file.\ndir %s\nspool %s\n", time.Now().UTC().Format(time.RFC3339), reason, dir, spool)
	for _, path := range awayPaths(dir) {
		if _, gone := os.Stat(filepath.Dir(path)); gone != nil {
			continue
		}
		err := writeNew(path, text)
		if err == nil {
			err = SyncDir(filepath.Dir(path))
		}
		return err
	}
	return errors.New("no directory above it is there")
}

// writeNew writes a file that replaces whatever has its name, and follows no link: others may be
// able to write beside the spool.
func writeNew(path, text string) error {
	if err := Remove(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make %q: %w", path, err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return nil
}

// Absence is what such a file says.
type Absence struct {
	Path  string // the file's
	Spool string // the id of the one that is away
}

// Away finds the file about a directory; nil: there is none.
func Away(dir string) (*Absence, error) {
	for _, path := range awayPaths(dir) {
		// Nothing but a small file: a pipe would hold the start up, and others may have made it.
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > awayBytesMax {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read %q: %w", path, err)
		}
		a, of := &Absence{Path: path}, ""
		for line := range strings.Lines(string(b)) {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch word {
			case "dir":
				of = rest
			case "spool":
				a.Spool = rest
			}
		}
		if of == Absolute(dir) {
			return a, nil
		}
	}
	return nil, nil
}

// CheckAway refuses to make a spool where one is away. It comes before anything is made. part is
// what a spool's directory has in it.
func CheckAway(dir, part string) error {
	a, err := Away(dir)
	if err != nil || a == nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, part)); !IsGone(err) {
		return nil // which spool it is tells whoever opens it
	}
	return a.Refusal(dir)
}

// Refusal is ErrAway.
func (a *Absence) Refusal(dir string) error {
	return fmt.Errorf("%w: spool %s is not in %q, from where it was moved or removed (%q says when)",
		engine.ErrAway, a.Spool, dir, a.Path)
}
