package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/volume"
)

const (
	manifestName = "MANIFEST" // the engine's list of its tables
	logExt       = ".mem"
	tableExt     = ".sst"
	// premisesLooks at the files must agree before one counts as gone: the engine begins and removes
	// files while their directory is read, and a name may be missed then.
	premisesLooks = 3
	premisesPause = 20 * time.Millisecond
	// premisesBeat is at most how far two looks of the keeper lie apart.
	premisesBeat = time.Second
)

// premises are the directories and files that the spool has open, as their paths showed them. The
// keeper compares once a second: an open file can be written for ever, wherever it is and whether
// it has a name or not, so nothing else would notice.
//
// A path is compared with what the same path showed before, because a file system of layers
// (overlayfs) may give another device for the open file. Where the two differ, a directory is still
// ours if the open one says the same as the path: not every file system keeps its inode numbers.
type premises struct {
	dir  string // absolute
	tree fs.FS  // what is below it
	dirs [2]directory
	// files are by their name below dir; the keeper's own, after begin.
	files map[string]fs.FileInfo
	// manifest is another one than before, first seen at manifestAt, of which nobody knows yet whether
	// the engine wrote it.
	manifest   fs.FileInfo
	manifestAt time.Time
	// collected are the files of the value log that the engine has removed, or is about to, and that
	// no survey has missed yet.
	collected atomic.Int64
	// flushes is odd while a flush is under way, in which the engine has no log for a moment.
	flushes atomic.Uint64
}

// directory is one that is held open, so that its inode number is not given to another.
type directory struct {
	path  string
	first fs.FileInfo
	held  *os.File
}

// begin notes what is there. The engine is open.
func (p *premises) begin(dir string) (err error) {
	p.dir = volume.Absolute(dir)
	p.tree = os.DirFS(p.dir)
	for i, path := range []string{p.dir, filepath.Join(p.dir, Dir)} {
		d := &p.dirs[i]
		d.path = path
		if d.held, err = os.Open(path); err == nil {
			d.first, err = os.Stat(path)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("cannot look at %q: %w", path, err), p.close())
		}
	}
	now, err := p.survey()
	if err != nil {
		return errors.Join(fmt.Errorf("cannot look through %q: %w", p.dir, err), p.close())
	}
	p.files = now.files
	return nil
}

func (p *premises) close() (err error) {
	for i := range p.dirs {
		if f := p.dirs[i].held; f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// left says which directory is not in its place any more; nil: none. What cannot be looked at for
// another reason is left to whoever writes there.
func (p *premises) left() error {
	for i := range p.dirs {
		d := &p.dirs[i]
		now, err := os.Stat(d.path)
		switch {
		case volume.IsGone(err):
			return fmt.Errorf("%w: directory %q is not there any more", engine.ErrMoved, d.path)
		case err != nil || os.SameFile(now, d.first):
			continue
		}
		if held, err := d.held.Stat(); err != nil || !os.SameFile(now, held) {
			return fmt.Errorf("%w: at %q is another directory", engine.ErrMoved, d.path)
		}
	}
	return nil
}

// survey is one look at everything in the spool's directory.
type survey struct {
	// bytes on disk are blocks, not lengths: the engine's files are sparse.
	bytes   int64
	values  int64                  // of them, the value log's
	tables  int                    // among files
	files   map[string]fs.FileInfo // that stay open
	flushes uint64
}

func (p *premises) survey() (*survey, error) {
	v := &survey{files: make(map[string]fs.FileInfo, len(p.files)), flushes: p.flushes.Load()}
	err := fs.WalkDir(p.tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return p.matters(name, err)
		}
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return p.matters(name, err)
		}
		v.bytes += volume.BlockBytes(info)
		if filepath.Ext(name) == valueLogExt {
			v.values += volume.BlockBytes(info)
		}
		if staysOpen(name) {
			v.files[name] = info
			if filepath.Ext(name) == tableExt {
				v.tables++
			}
		}
		return nil
	})
	return v, err
}

// matters reports the error of a look at something after which a survey says nothing: whatever is
// below may be there, only that we may not or cannot see it now. What is not ours to look at, such
// as lost+found, is no matter, and what the engine has removed meanwhile is gone.
func (p *premises) matters(name string, err error) error {
	ours := name == Dir || staysOpen(name)
	if name != "." && (volume.IsGone(err) || !ours) {
		return nil
	}
	return fmt.Errorf("cannot look at %q: %w", filepath.Join(p.dir, name), err)
}

// staysOpen tells the files that are open as long as they are there.
func staysOpen(name string) bool {
	if name == highwater.Name {
		return true
	}
	dir, file := filepath.Split(name)
	if filepath.Clean(dir) != Dir {
		return false
	}
	switch file {
	case "LOCK", manifestName, "KEYREGISTRY", "DISCARD":
		return true
	}
	switch filepath.Ext(file) {
	case tableExt, logExt, valueLogExt:
		return true
	}
	return false
}

// missing says which file is not in its place any more, among those seen before; nil: none.
// tables are what the engine lists, asked after the survey, because it takes a table off its list
// before it removes the file.
func (p *premises) missing(now *survey, tables func() map[string]bool) error {
	var listed map[string]bool
	for name, before := range p.files {
		info, there := now.files[name]
		if there && os.SameFile(info, before) {
			continue
		}
		ext := filepath.Ext(name)
		switch {
		case there && filepath.Base(name) == manifestName && p.ours(info):
			continue
		case there && filepath.Base(name) == manifestName && p.seenFirst(info):
			now.files[name] = before // the next beat tells
			continue
		case !there && ext == tableExt:
			if listed == nil {
				listed = tables()
			}
			if !listed[name] {
				continue
			}
		case !there && ext == logExt && p.rotated(name, now):
			continue
		case !there && ext == valueLogExt && p.collected.Load() > 0:
			p.collected.Add(-1)
			continue
		}
		path := filepath.Join(p.dir, name)
		if there {
			return fmt.Errorf("%w: at %q is another file", engine.ErrMoved, path)
		}
		return fmt.Errorf("%w: file %q is not there any more", engine.ErrMoved, path)
	}
	return nil
}

// rotated reports whether a log may have gone because its memtable was written out: one that was
// begun after it is there, or the engine is between the two.
func (p *premises) rotated(name string, now *survey) bool {
	if now.flushes%2 == 1 || p.flushes.Load() != now.flushes {
		return true
	}
	for other := range now.files {
		// Their numbers have five digits or more.
		if filepath.Ext(other) == logExt && (len(other) > len(name) ||
			len(other) == len(name) && other > name) {
			return true
		}
	}
	return false
}

// ours reports whether a manifest in the place of the last one is the engine's, which writes it
// again when it has grown. Where that cannot be found out it counts as the engine's.
func (p *premises) ours(info fs.FileInfo) bool {
	open, known := openHere(info)
	return open || !known
}

// seenFirst reports whether a manifest that the engine does not have open is there since this beat
// of the keeper: the engine may be about to open it.
func (p *premises) seenFirst(info fs.FileInfo) bool {
	if p.manifest == nil || !os.SameFile(p.manifest, info) {
		p.manifest, p.manifestAt = info, time.Now()
	}
	return time.Since(p.manifestAt) < premisesBeat/2
}

// tablesListed are the files of the engine's tables, as premises name them.
func (s *Store) tablesListed() map[string]bool {
	listed := make(map[string]bool)
	for name := range s.Tables() {
		listed[filepath.Join(Dir, name)] = true
	}
	return listed
}

// missingTable finds a table that is gone before any survey has seen it. The engine's list is asked
// before and after another survey, because a table may go in between.
func (s *Store) missingTable(now *survey) error {
	if now.tables >= s.CountTables() {
		return nil
	}
	before := s.tablesListed()
	again, err := s.Premises.survey()
	if err != nil {
		return nil // the next look tells
	}
	for name := range s.tablesListed() {
		if _, there := again.files[name]; before[name] && !there {
			return fmt.Errorf("%w: file %q is not there any more", engine.ErrMoved,
				filepath.Join(s.Premises.dir, name))
		}
	}
	return nil
}

// LookAround surveys the spool's directory. ErrMoved: something in it, or all of it, is not in its
// place any more. A nil survey: there was nothing to be learned.
func (s *Store) LookAround() (*survey, error) {
	s.looking.Lock()
	defer s.looking.Unlock()
	p := &s.Premises
	for look := 1; ; look++ {
		err := p.left()
		now, serr := p.survey()
		if err == nil && serr != nil {
			s.Log.Error("cannot measure the spool's disk; the last figures stay", "error", serr)
			return nil, nil
		}
		if err == nil {
			err = p.missing(now, s.tablesListed)
		}
		if err == nil {
			err = s.missingTable(now)
		}
		if err == nil {
			p.files = now.files
			return now, nil
		}
		if look == premisesLooks {
			return nil, s.moved(err)
		}
		time.Sleep(premisesPause)
	}
}

// moved leaves word for the next start if a directory is away, and hands the reason on.
func (s *Store) moved(reason error) error {
	if reason == nil || s.Premises.left() == nil {
		return reason // or only a file in it is
	}
	if err := volume.LeaveWord(s.Premises.dir, s.id, reason); err != nil {
		s.Log.Error("cannot leave word for the next start, which may begin an empty spool",
			"error", err)
	}
	return reason
}
