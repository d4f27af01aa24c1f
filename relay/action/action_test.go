package action

import (
	"net"
	"net/url"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A run is an instant and a number, and nothing else is a run.
func TestRun(t *testing.T) {
	at := time.Unix(1700000000, 123)
	run := NewRun(at)
	got, number, ok := ReadRun(run)
	if !ok || !got.Equal(at) || NewRun(at) == run {
		t.Errorf("%s is %s, %d, %v", run, got, number, ok)
	}
	for _, bad := range []string{"", "x", run[:30], run + "00", "ff" + run[2:], strings.Repeat("zz", 16)} {
		if _, _, ok := ReadRun(bad); ok {
			t.Errorf("%q is a run", bad)
		}
	}
}

// Who a caller says it is is shown in terminals and pages.
func TestName(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := Name(in); got != want {
			t.Errorf("%q is called %q, want %q", in, got, want)
		}
	}
	f(" ann@host ", "ann@host")
	// Escapes, ends of lines, and what turns text around are dropped.
	f("a\x1b[31mn\nn\u202e", "a[31mnn")
	f("\xff\xfe", "")
	f("Jürgen Groß@büro", "Jürgen Groß@büro")
	f(strings.Repeat("ü", 100), strings.Repeat("ü", 64)+"…")
}

// A filter is what narrows a call down.
func TestFilter(t *testing.T) {
	f := func(query, want string) {
		t.Helper()
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := Filter(values, "limit", "after"); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	f("", "")
	f("type=message*&state=exhausted&limit=7&after=x&id=", "state=exhausted type=message*")
	f("where=.waId+%3D%3D+%221%22", `where=".waId == \"1\""`)
}

// Whoever comes over a unix socket is who the system says, whatever it says itself.
func TestCallerOfSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	if _, known := userOf(server); !known {
		t.Skip("this system does not say")
	}
	got := Caller(server, "mallory@elsewhere", true)
	if want := (Who{By: me.Username, How: Socket, Token: true, Remote: "unix"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
