package badger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/volume"
)

// repairKeys makes the engine's file of keys again where it says nothing: in a spool in the clear.
// That of an encrypted spool has to be as it was written, because what it encrypts is lost without
// it, so whoever has a backup of it must be told.
func (f *Files) repairKeys(o badger.Options, files []string) error {
	path := filepath.Join(o.Dir, badger.KeyRegistryFileName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", path, err)
	}
	if len(o.EncryptionKey) > 0 || mend.HasKeys(text) {
		if fault := mend.CheckKeys(text); fault != "" {
			return fmt.Errorf("cannot use %q: %w: %s", path, engine.ErrDamaged, fault)
		}
		return nil
	}
	if mend.SoundClear(text) {
		return nil
	}
	clear, err := inTheClear(o.Dir, files)
	if err != nil || !clear {
		return err
	}
	kept, err := f.replace(path, text, mend.ClearKeys())
	if err != nil {
		return fmt.Errorf("cannot repair %q: %w", path, err)
	}
	f.Log.Error("the engine's file of keys was damaged, in which there are none, and is made again",
		"file", path, "original", kept)
	return nil
}

// inTheClear reports whether the tables and logs say that nothing of a spool is encrypted; if there
// are none, nobody says so.
func inTheClear(dir string, files []string) (bool, error) {
	list, _, err := ReadTableList(dir)
	if err != nil {
		return false, err
	}
	said := len(list.Tables) > 0
	for _, t := range list.Tables {
		if t.KeyID != 0 {
			return false, nil
		}
	}
	for _, name := range files {
		if !strings.HasSuffix(name, ".mem") {
			continue
		}
		switch id, err := keyNumber(filepath.Join(dir, name)); {
		case err == nil && id != 0:
			return false, nil
		case err == nil:
			said = true
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return false, err
		}
	}
	return said, nil
}

// keyNumber reads the number of the key in a log's head.
func keyNumber(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	head := make([]byte, mend.LogHeadBytes)
	_, err = io.ReadFull(f, head)
	id, _ := mend.LogKey(head)
	return id, err
}

// repairValueLogs takes away value logs with a head that Badger refuses. Nothing is ever in them:
// every value of ours lies beside its key.
func (f *Files) repairValueLogs(o badger.Options, files []string) error {
	for _, name := range files {
		if !strings.HasSuffix(name, ".vlog") {
			continue
		}
		path := filepath.Join(o.Dir, name)
		id, err := keyNumber(path)
		if err != nil || id == 0 {
			continue // the engine takes it as it is, or says why not
		}
		if len(o.EncryptionKey) > 0 {
			keys, err := openDataKeys(o)
			if err != nil {
				return err
			}
			if keys[id] != nil {
				continue
			}
		} else if clear, err := inTheClear(o.Dir, files); err != nil || !clear {
			return err
		}
		err = f.dropFile(path, "an empty file of the engine was damaged and is set aside")
		if err != nil {
			return fmt.Errorf("cannot repair value log %q: %w", path, err)
		}
	}
	return nil
}

// dropFile takes a file of no use away from the engine and keeps it. told is the line in the log.
func (f *Files) dropFile(path, told string) error {
	if err := f.WantRecount(); err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	kept, err := f.keepOriginal(path, content)
	if err != nil {
		return err
	}
	f.Log.Error(told, "file", path, "original", kept)
	return f.Through.Do("repair", func() error {
		return errors.Join(volume.Remove(path), volume.SyncDir(filepath.Dir(path)))
	})
}
