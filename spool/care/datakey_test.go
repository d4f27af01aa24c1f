package care_test

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/care"
)

// An encrypted spool at rest is read whatever the age of its newest data key. The engine would make
// another one after ten days, cannot write it, and would end the process.
func TestDataKeyOfOldAge(t *testing.T) {
	f := open(t)
	f.close()
	f.dir, f.secret = t.TempDir()+"/encrypted", []byte("0123456789abcdef")
	f.reopen()
	l := f.lane("a")
	f.append("x", "a")
	f.close()
	ageDataKeys(t, filepath.Join(f.dir, ondisk.Dir, badger.KeyRegistryFileName), 400*24*time.Hour)
	report, err := care.Verify(context.Background(), f.readerOptions(), nil)
	if err != nil || report.FaultCount > 0 || report.Events != 1 || report.Stat == nil {
		t.Errorf("%+v: %v", report, err)
	}
	r, err := care.OpenReader(f.readerOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	f.reopen()
	f.counts(f.lane(l.Name()), 1, 0)
}

// ageDataKeys moves the instants at which data keys were made. Those are in the clear: the file is
// an initialization vector, an encrypted text that all files have, and for each key its length, the
// checksum and a message.
func ageDataKeys(t *testing.T, file string, by time.Duration) {
	t.Helper()
	const headBytes, entryHeadBytes = 16 + 12, 8
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	aged, n := append([]byte(nil), old[:headBytes]...), 0
	for rest := old[headBytes:]; len(rest) > 0; n++ {
		size := binary.BigEndian.Uint32(rest)
		var key pb.DataKey
		if err := proto.Unmarshal(rest[entryHeadBytes:entryHeadBytes+size], &key); err != nil {
			t.Fatal(err)
		}
		rest = rest[entryHeadBytes+size:]
		key.CreatedAt -= int64(by / time.Second)
		text, err := proto.Marshal(&key)
		if err != nil {
			t.Fatal(err)
		}
		aged = binary.BigEndian.AppendUint32(aged, uint32(len(text)))
		aged = binary.BigEndian.AppendUint32(aged,
			crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
		aged = append(aged, text...)
	}
	if n == 0 {
		t.Fatal("there is no data key")
	}
	if err := os.WriteFile(file, aged, 0o600); err != nil {
		t.Fatal(err)
	}
}
