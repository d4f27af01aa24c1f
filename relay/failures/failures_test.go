package failures

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

func TestFirstLine(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := FirstLine(in); got != want {
			t.Errorf("the first line of %q is %q, want %q", in, got, want)
		}
	}
	f("", "")
	f(" \r\n\n  try   later \r\nor never", "try later")
	f(`{"error":"no"}`, `{"error":"no"}`)
	// A page of HTML says what it is in its title.
	f("<html>\r\n<head><TITLE>503 Service\nUnavailable</title>", "503 Service Unavailable")
	// Its title was cut off, or says nothing.
	f("<html>\n<head><title>502 Bad", "502 Bad")
	f("<html>\n<title> </title>", "<html>")
	// What is no UTF-8, or changes its length in lower case.
	f("<p>\xffİ<title>İİ</title>", "İİ")
	f(strings.Repeat("ü", 100), strings.Repeat("ü", 58)+"…")
}

func TestAlike(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := alike(in); got != want {
			t.Errorf("%q is alike %q, want %q", in, got, want)
		}
	}
	f("", "")
	// Codes tell failures apart.
	f("error 1001: invalid number", "error 1001: invalid number")
	f("answered 503 Service Unavailable", "answered 503 Service Unavailable")
	f("not done within 10s", "not done within 10s")
	// Ids, instants and addresses do not.
	f(`{"requestId":"req_8f3a21c94e"}`, `{"requestId":"…"}`)
	f("at 2026-11-28T02:13:07.412Z ü", "at … ü")
	f("cannot connect: 127.0.0.1:41234: refused", "cannot connect: … refused")
	f("wamid.HBgLNDkxNzA", "wamid.HBgLNDkxNzA")
}

// Whatever is alike has one name, all else another one; it is kept in scripts and searches, so it
// does not change.
func TestName(t *testing.T) {
	base := Group{Outcome: "status", Status: 503, Error: "answered 503",
		Line: "request req_8f3a21c94e"}
	if got := base.Name(); got != "8c883e5a7502" || !IsName(got) {
		t.Errorf("the name is %q", got)
	}
	same := base
	same.Line, same.Seq, same.Pending, same.Example = "request req_11112222", 7, 3, "a"
	if same.Name() != base.Name() {
		t.Errorf("what is alike is called %s and %s", same.Name(), base.Name())
	}
	for _, other := range []Group{
		{Outcome: "expired", Status: 503, Error: base.Error, Line: base.Line},
		{Outcome: "status", Status: 500, Error: base.Error, Line: base.Line},
		{Outcome: "status", Status: 503, Error: "answered 503 No", Line: base.Line},
		{Outcome: "status", Status: 503, Error: base.Error, Line: "request"},
		{Outcome: "status", Status: 503, Error: base.Line, Line: base.Error},
	} {
		if other.Name() == base.Name() {
			t.Errorf("%+v has the name of another group", other)
		}
	}
	for _, text := range []string{"", "503", "8C883E5A7502", "8c883e5a750", "8c883e5a75021a",
		"8c883e5a750g"} {
		if IsName(text) {
			t.Errorf("%q is no name", text)
		}
	}
}

// What did not fail is in no group.
func TestNameOf(t *testing.T) {
	f := func(state spool.State, status int, text string, some bool) {
		t.Helper()
		d := look.Failed{State: state}
		d.LastStatus, d.LastError = status, text
		if got := NameOf(&d); (got != "") != some {
			t.Errorf("%s %d %q is in group %q", state, status, text, got)
		}
	}
	f(spool.StatePending, 503, "answered 503", true)
	f(spool.StateExhausted, 0, "refused", true)
	f(spool.StateExpired, 0, "expired", true)
	f(spool.StatePending, 0, "", false)
	f(spool.StateDelivered, 200, "", false)
	f(spool.StatePurged, 503, "answered 503", false)
}

func TestLiteral(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := Literal(in); got != want {
			t.Errorf("the literal of %q is %q, want %q", in, got, want)
		}
	}
	f("answered 503 Service Unavailable", "answered 503 Service Unavailable")
	f("cannot connect: 127.0.0.1:41234: refused", "cannot connect:")
	f("12345678", "")
}

// FuzzFirstLine asserts that a line is one, valid and bounded, and that a literal is part of it.
func FuzzFirstLine(f *testing.F) {
	f.Add("<html><title>a</title>")
	f.Add("\xff\xfe 127.0.0.1:41234 İ\nx")
	f.Fuzz(func(t *testing.T, in string) {
		line := FirstLine(in)
		if len(line) > lineMax || strings.ContainsAny(line, "\r\n") || !utf8.ValidString(line) {
			t.Fatalf("the first line of %q is %q", in, line)
		}
		if !strings.Contains(line, Literal(line)) {
			t.Fatalf("%q has no %q", line, Literal(line))
		}
	})
}

// Groups add up: what is in none of those that are listed is counted.
func TestGroups(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	var s Groups
	all := 0
	for i := range 3000 {
		g := Group{Outcome: "status", Status: 500 + i%4, Error: "e", Line: "id 1234567" + fmt.Sprint(i),
			First: at(i), Last: at(i + 10), Example: fmt.Sprint(i), Seq: uint64(i)}
		switch i % 3 {
		case 0:
			g.Pending = 1
		case 1:
			g.Exhausted = 1
		default:
			g.Expired = 2
		}
		all += g.Count()
		s.Add(g)
	}
	list, others := s.List()
	if len(list) != 4 || others != 0 {
		t.Fatalf("there are %d groups and %d others", len(list), others)
	}
	for _, g := range list {
		if g.First != at(g.Status-500) || g.Last.Sub(g.First) < 2990*time.Second || g.Count() < 900 ||
			g.Line != "id 1234567"+g.Example {
			t.Errorf("a group is %+v", g)
		}
	}
	for i := range 3000 {
		s.Add(Group{Outcome: "protocol", Error: strings.Repeat("x", i), Pending: 1})
		all++
	}
	s.AddOthers(7)
	list, others = s.List()
	sum := others - 7
	for i := range list {
		sum += list[i].Count()
	}
	if len(list) != ShownMax || sum != all {
		t.Errorf("%d groups and the others are %d deliveries, want %d", len(list), sum, all)
	}
}
