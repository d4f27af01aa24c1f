package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
)

// The engine's file of keys: 16 bytes that a counter begins with, 12 bytes of a text that is always
// the same, encrypted with the spool's key, then a frame for each key. That of a spool in the clear
// has no keys, and its text is in the clear.
const (
	keysHeadBytes = 16 + len(keysText)
	keysText      = "Hello Badger"
)

// repairKeys puts the engine's file of keys right. Badger takes a flipped bit in its head for a
// wrong key. In a spool in the clear the file says nothing, and is made anew; with a key that opens
// it but for one byte, that byte is put right. Anything else is left to the engine, which refuses
// it.
func (s *Spool) repairKeys(o badger.Options, files []string) error {
	path := filepath.Join(o.Dir, badger.KeyRegistryFileName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", path, err)
	}
	var fixed []byte
	switch {
	case len(o.EncryptionKey) > 0:
		if fixed = fixKeys(text, o.EncryptionKey); fixed == nil || bytes.Equal(fixed, text) {
			return nil
		}
	case len(text) > keysHeadBytes:
		return nil // it has keys, so its spool is encrypted
	case len(text) == keysHeadBytes && string(text[16:]) == keysText:
		return nil
	default:
		clear, err := inTheClear(o.Dir, files)
		if err != nil || !clear {
			return err
		}
		fixed = append(make([]byte, 16), keysText...)
	}
	kept, err := s.replace(path, text, fixed)
	if err != nil {
		return fmt.Errorf("cannot repair %q: %w", path, err)
	}
	s.log.Error("the engine's file of keys was damaged and is put right", "file", path,
		"original", kept)
	return nil
}

// inTheClear reports whether the tables and logs say that nothing of a spool is encrypted; if there
// are none, nobody says so.
func inTheClear(dir string, files []string) (bool, error) {
	list, err := readTableList(dir)
	if err != nil {
		return false, err
	}
	said := len(list.tables) > 0
	for _, t := range list.tables {
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
	var head [logHeadBytes]byte
	_, err = io.ReadFull(f, head[:])
	return binary.BigEndian.Uint64(head[:]), err
}

// fixKeys puts one byte of a file of keys right, in its head and in each of its keys; nil if that
// is not enough. No wrong key of the spool is taken for one: 95 bits would have to fit.
func fixKeys(text, secret []byte) []byte {
	if len(text) < keysHeadBytes {
		return nil
	}
	fixed := slices.Clone(text[:keysHeadBytes])
	if !fixKeysHead(fixed, secret) {
		return nil
	}
	for rest := text[keysHeadBytes:]; len(rest) > 0; {
		content, size, _ := readFrame(rest, new(pb.DataKey))
		if size == 0 {
			return nil
		}
		fixed = appendFrame(fixed, content)
		rest = rest[size:]
	}
	return fixed
}

func fixKeysHead(head, secret []byte) bool {
	opened := func() (wrong int) {
		plain, err := y.XORBlockAllocate(head[16:], secret, head[:16])
		if err != nil {
			return len(keysText)
		}
		for i := range plain {
			if plain[i] != keysText[i] {
				wrong++
			}
		}
		return wrong
	}
	switch opened() {
	case 0:
		return true
	case 1:
		text, err := y.XORBlockAllocate([]byte(keysText), secret, head[:16])
		copy(head[16:], text)
		return err == nil
	}
	for at := range 16 {
		for flip := 1; flip < 256; flip++ {
			head[at] ^= byte(flip)
			if opened() == 0 {
				return true
			}
			head[at] ^= byte(flip)
		}
	}
	return false
}

// repairValueLogs takes away value logs with a head that Badger refuses. Nothing is ever in them:
// every value of ours lies beside its key.
func (s *Spool) repairValueLogs(o badger.Options, files []string) error {
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
			if keys.secret(id) != nil {
				continue
			}
		} else if clear, err := inTheClear(o.Dir, files); err != nil || !clear {
			return err
		}
		err = s.dropFile(path, "an empty file of the engine was damaged and is set aside")
		if err != nil {
			return fmt.Errorf("cannot repair value log %q: %w", path, err)
		}
	}
	return nil
}

// dropFile takes a file of no use away from the engine and keeps it. told is the line in the log.
func (s *Spool) dropFile(path, told string) error {
	if err := s.wantRecount(); err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	kept, err := s.keepOriginal(path, content)
	if err != nil {
		return err
	}
	s.log.Error(told, "file", path, "original", kept)
	return s.through("repair", func() error {
		return errors.Join(removeFile(path), syncDir(filepath.Dir(path)))
	})
}
