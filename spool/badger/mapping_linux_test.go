package badger

import "testing"

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
