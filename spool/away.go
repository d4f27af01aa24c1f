package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/volume"
)

// ErrAway: the spool that was here was moved or removed while it was open, and is not back.
var ErrAway = errors.New("the spool that was open here is away")

// awaySuffix makes the name of a file beside the spool's directory, or beside the first one above
// it that still has a place. A spool leaves it there when its directory was moved or removed while
// it was open: a supervisor starts the relay again at once, and that start would make a new spool
// in silence, in the place to which the other is to be moved back. A start that finds the spool, or
// one that was restored from it, removes the file.
//
// Its last lines are "dir" and the directory's path, "spool" and the id; the rest is for people.
const awaySuffix = ".away"

// awayBytesMax bounds it: a path and a reason with another.
const awayBytesMax = 64 << 10

// awayPaths are where that file may be.
func awayPaths(dir string) (paths []string) {
	for dir = volume.Absolute(dir); ; dir = filepath.Dir(dir) {
		paths = append(paths, dir+awaySuffix)
		if up := filepath.Dir(dir); up == dir || up == filepath.Dir(up) {
			return paths
		}
	}
}

// leaveWord leaves that file if a directory is away. Where none can be made the log has to do.
func (s *Spool) leaveWord() {
	reason := s.premises.left()
	if reason == nil {
		return // only a file in it is
	}
	text := fmt.Sprintf("%s: %v.\nMove it back and start again. If it is to be given up, remove this "+
		"file.\ndir %s\nspool %s\n", time.Now().UTC().Format(time.RFC3339), reason, s.premises.dir,
		s.ID())
	err := errors.New("no directory above it is there")
	for _, path := range awayPaths(s.premises.dir) {
		if _, gone := os.Stat(filepath.Dir(path)); gone != nil {
			continue
		}
		if err = writeNew(path, text); err == nil {
			err = volume.SyncDir(filepath.Dir(path))
		}
		break
	}
	if err != nil {
		s.log.Error("cannot leave word for the next start, which may begin an empty spool",
			"error", err)
	}
}

// writeNew writes a file that replaces whatever has its name, and follows no link: others may be
// able to write beside the spool.
func writeNew(path, text string) error {
	if err := volume.Remove(path); err != nil {
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

// absence is what such a file says.
type absence struct{ path, spool string }

// away finds the file about a directory; nil: there is none.
func away(dir string) (*absence, error) {
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
		a, of := &absence{path: path}, ""
		for line := range strings.Lines(string(b)) {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch word {
			case "dir":
				of = rest
			case "spool":
				a.spool = rest
			}
		}
		if of == volume.Absolute(dir) {
			return a, nil
		}
	}
	return nil, nil
}

// checkAway refuses to make a spool where one is away. It comes before anything is made.
func checkAway(dir string) error {
	a, err := away(dir)
	if err != nil || a == nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, ondisk.Dir)); !volume.IsGone(err) {
		return nil // which spool it is tells welcome
	}
	return a.refusal(dir)
}

func (a *absence) refusal(dir string) error {
	return fmt.Errorf("%w: spool %s is not in %q, from where it was moved or removed (%q says when)",
		ErrAway, a.spool, dir, a.path)
}

// welcome removes the file when the spool is back, or is given up. Another one that has accepted
// events goes on, but says so: whatever is in the first is not delivered.
func (s *Spool) welcome() error {
	a, err := away(s.dir)
	if err != nil || a == nil {
		return err
	}
	back := a.spool == s.ID()
	for _, former := range s.format.Former {
		back = back || a.spool == fmt.Sprintf("%x", former)
	}
	switch {
	case back || s.AcceptLoss:
		return volume.Remove(a.path)
	case s.head.Load() == 0 && s.hw.Last() == 0:
		return a.refusal(s.dir)
	}
	s.log.Error("another spool was open here before, and was moved or removed: what was accepted "+
		"into it is not delivered. Move it to a place of its own and serve it, or remove the file",
		"spool", a.spool, "file", a.path)
	return nil
}
