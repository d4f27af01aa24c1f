package relay

import (
	"testing"

	"github.com/hookspool/hookspool/spool"
)

func TestPurgeCursor(t *testing.T) {
	t.Parallel()
	f := func(c spool.PurgeCursor, text string) {
		t.Helper()
		if got := purgeCursor(c); got != text {
			t.Errorf("%+v is %q; want %q", c, got, text)
		}
		back := spool.PurgeCursor{Head: 99, On: true}
		if !c.On {
			return
		}
		if err := readPurgeCursor(text, &back); err != nil || back != c {
			t.Errorf("%q is %+v, %v; want %+v", text, back, err, c)
		}
	}
	f(spool.PurgeCursor{}, "")
	f(spool.PurgeCursor{Head: 12, From: 7, On: true}, "log-7-12")
	f(spool.PurgeCursor{Head: 99, From: 0, Kept: true, On: true}, "kept-0-99")
	begin := spool.PurgeCursor{Head: 99, On: true}
	for _, bad := range []string{"7", "log", "log-7", "log--7", "log-7-x", "kept-1-2-3", "both-1-2",
		"log-1-100", "LOG-1-2", "log-18446744073709551616-1"} {
		at := begin
		if err := readPurgeCursor(bad, &at); err == nil {
			t.Errorf("%q is %+v", bad, at)
		}
	}
	// what is exhausted is never in the log
	at := spool.PurgeCursor{Head: 99, Kept: true, On: true}
	if err := readPurgeCursor("log-1-2", &at); err == nil {
		t.Errorf("log-1-2 of exhausted deliveries is %+v", at)
	}
}
