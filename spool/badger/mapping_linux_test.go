package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

func TestTableMap(t *testing.T) {
	const dir = "/var/lib/hook spool/db"
	f := func(line string, want mapping) {
		t.Helper()
		got, ok := tableMap([]byte(line), dir)
		if got != want || ok != (want.length > 0) {
			t.Errorf("%q is %+v, %v; want %+v", line, got, ok, want)
		}
	}
	// a table
	f("7f00a000-7f00c000 rw-s 00000000 fe:00 12 "+dir+"/000012.sst", mapping{0x7f00a000, 0x2000, 12})
	// the log is hot and stays
	f("7f00a000-7f00c000 rw-s 00000000 fe:00 12 "+dir+"/00001.mem", mapping{})
	// a private map would lose what was stored
	f("7f00a000-7f00c000 rw-p 00000000 fe:00 12 "+dir+"/000012.sst", mapping{})
	// somebody else's table; no file; removed meanwhile; no table; nonsense
	f("7f00a000-7f00c000 rw-s 00000000 fe:00 12 /var/lib/other/db/000001.sst", mapping{})
	f("7f00a000-7f00c000 rw-p 00000000 00:00 0", mapping{})
	f("7f00a000-7f00c000 rw-s 00000000 fe:00 12 "+dir+"/000001.sst (deleted)", mapping{})
	f("7f00a000-7f00c000 rw-s 00000000 fe:00 12 "+dir+"/new.sst", mapping{})
	f("7f00c000-7f00a000 rw-s 00000000 fe:00 12 "+dir+"/000001.sst", mapping{})
	f("x-y rw-s 00000000 fe:00 12 "+dir+"/000001.sst", mapping{})
	f(" "+dir+"/000001.sst", mapping{})
	f("", mapping{})
}

// The map of the log in use is one whose faults bring in no neighbours ("rr" among its flags), of the
// first log and of the next.
func TestAdviseStores(t *testing.T) {
	s := openStore(t, StoreOptions{})
	value := make([]byte, ValueBytesMin-1)
	for fid := 1; fid <= 2; fid++ {
		for i := 0; s.Room.fid == fid; i++ {
			if err := s.Fit(engine.Group{Bytes: 1 << 20, Entries: 200}); err != nil {
				t.Fatal(err)
			}
			if flags := mapFlags(t, filepath.Join(s.realDir(), fmt.Sprintf("%05d.mem", fid))); i == 0 &&
				!slices.Contains(flags, "rr") {
				t.Errorf("the map of log %d has the flags %v; want rr", fid, flags)
			}
			txn := s.Begin()
			var err error
			for n := range 200 {
				err = errors.Join(err, txn.Put(record.LogKey(uint64(fid*1e6+i*1000+n)), value, 0))
			}
			if err = errors.Join(err, txn.Commit()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// mapFlags are what the kernel says of the map of a file.
func mapFlags(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	ours := false
	for line := range strings.Lines(string(text)) {
		if flags, found := strings.CutPrefix(line, "VmFlags:"); found && ours {
			return strings.Fields(flags)
		}
		if strings.Contains(line, "-") && strings.Contains(line, " ") && !strings.Contains(line, "kB") {
			ours = strings.HasSuffix(strings.TrimSpace(line), path)
		}
	}
	return nil
}
