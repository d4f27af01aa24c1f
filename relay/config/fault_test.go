package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestFaults has one text for every kind of fault. want is the whole text of the error without the
// path, and empty where a text is legal although it is at the edge.
func TestFaults(t *testing.T) {
	w := world{env: map[string]string{"EMPTY": ""},
		files: map[string]string{"/empty": "\n", "/huge": strings.Repeat("x", secretBytesMax+1),
			"/huge.pem": strings.Repeat("x", pemBytesMax+1),
			"/not.pem":  "hello"}}
	f := func(text, want string) {
		t.Helper()
		got := ""
		if faults := w.faultsOf(t, text); faults != nil {
			got = strings.ReplaceAll(faults.Error(), "t.toml:", "")
		}
		if got != want {
			t.Errorf("in %.200q\ngot  %s\nwant %s", text, got, want)
		}
	}
	for _, c := range faultCases() {
		f(c[0], c[1])
	}
}

// TestAllFaultsAtOnce has one fault in every table, and expects them in the order of the file.
func TestAllFaultsAtOnce(t *testing.T) {
	faults := world{}.faultsOf(t, `[target.b]
  url = "nope"
[log]
level = "x"
[alert.email]
from = "x"
[session]
window = 3
[defect]
after_failed_jobs = -1
[retry]
interval = "1ns"
nope = 1
[spool]
max_size = "1B"
[event]
type_field = "."
[server]
read_timeout = "1"
[server2]
[target.a]
events = [1, 2]
secret = "x"
headers = { Host = "x", Y = 1 }
`)
	type where struct {
		line, column int
		key          string
	}
	var got []where
	for _, f := range faults.List {
		got = append(got, where{f.Line, f.Column, f.Key})
	}
	want := []where{
		{1, 9, "target.b.events"}, {2, 3, "target.b.url"}, {4, 1, "log.level"},
		{6, 1, "alert.email.from"}, {8, 1, "session.window"}, {10, 1, "defect.after_failed_jobs"},
		{12, 1, "retry.interval"}, {13, 1, "retry.nope"}, {15, 1, "spool.max_size"},
		{17, 1, "event.type_field"}, {19, 1, "server.read_timeout"}, {20, 2, "server2"},
		{21, 9, "target.a.url"}, {22, 11, "target.a.events[0]"}, {22, 14, "target.a.events[1]"},
		{23, 1, "target.a.secret"}, {24, 13, "target.a.headers.Host"},
		{24, 25, "target.a.headers.Y"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestFaultsAreSorted gives the faults of one file the same order every time, whatever order Go's
// maps have today.
func TestFaultsAreSorted(t *testing.T) {
	text := "a=1\nb=1\nc=1\nd=1\n[log]\na=1\nb=1\n[target.a]\n[target.b]\n[target.c]\n"
	first := world{}.faultsOf(t, text)
	for range 20 {
		if again := (world{}).faultsOf(t, text); !reflect.DeepEqual(first, again) {
			t.Fatalf("%v\nand then\n%v", first, again)
		}
	}
}
