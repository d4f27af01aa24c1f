package care_test

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
)

// FuzzBackup changes a backup in one place, plain and encrypted: behind the head every change is
// noticed, and whatever bytes a backup has, reading them ends.
func FuzzBackup(f *testing.F) {
	key := bytes.Repeat([]byte{7}, 32)
	plain, secret := madeBackup(f, nil), madeBackup(f, key)
	f.Add(uint32(0), byte(1), plain[:40])
	f.Add(uint32(30), byte(0x80), secret)
	f.Add(uint32(1<<31), byte(255), []byte(care.BackupMagic))
	f.Fuzz(func(t *testing.T, at uint32, flip byte, any []byte) {
		for _, k := range [][]byte{nil, key} {
			_, _ = care.CheckBackup(bytes.NewReader(any), k)
			_, _ = care.CheckBackup(bytes.NewReader(append(bytes.Clone(plain[:care.BackupHeadBytes]), any...)), k)
			whole := plain
			if k != nil {
				whole = secret
			}
			if _, err := care.CheckBackup(bytes.NewReader(whole), k); err != nil {
				t.Fatal(err)
			}
			b := bytes.Clone(whole)
			place := care.BackupHeadBytes + int(at)%(len(b)-care.BackupHeadBytes)
			b[place] ^= flip | 1
			if _, err := care.CheckBackup(bytes.NewReader(b), k); err == nil {
				t.Fatalf("a change at byte %d was not noticed", place)
			}
			if _, err := care.CheckBackup(bytes.NewReader(whole[:place]), k); err == nil {
				t.Fatalf("an end at byte %d was not noticed", place)
			}
		}
	})
}

// madeBackup is the backup of a spool with a few events.
func madeBackup(f *testing.F, key []byte) []byte {
	f.Helper()
	s, err := spool.Open(spool.Options{Dir: f.TempDir() + "/spool", EncryptionKey: key,
		Log: slog.New(slog.DiscardHandler), Decide: func(*spool.View, *spool.Draft) {}})
	if err != nil {
		f.Fatal(err)
	}
	s.Start()
	var out bytes.Buffer
	err = s.Append(&spool.Draft{ID: "a", Given: true, Type: "t", Payload: []byte("{}"), At: time.Unix(1, 0)},
		&spool.Draft{Type: "t", Payload: []byte("[]"), At: time.Unix(2, 0)})
	if err == nil {
		_, err = care.Backup(f.Context(), s, &out)
	}
	if err := errors.Join(err, s.Close()); err != nil {
		f.Fatal(err)
	}
	return out.Bytes()
}
