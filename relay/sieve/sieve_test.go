package sieve

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/record"
)

// forgets is a Memory in which nothing is.
type forgets struct{}

func (forgets) Get([]byte) []byte                { return nil }
func (forgets) Put(_, _ []byte, _ time.Duration) {}
func (forgets) Was(at, _ time.Time) time.Time    { return at }

// eventOf is an event as it is kept.
func eventOf(t *testing.T, id, typ, contentType, payload string, s spool.Session) *spool.Event {
	t.Helper()
	rec := record.NewEvent(record.Parts{ID: id, Given: true, Type: typ, ContentType: contentType,
		Payload: []byte(payload), At: time.Unix(1_700_000_000, 0)}, record.Seal{Seq: 7, Session: s})
	e, err := record.DecodeEvent(rec, 7)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func mustNew(t *testing.T, c Choice) *Sieve {
	t.Helper()
	cfg := config.Default().Session
	s, err := New(&c, &cfg, forgets{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is written as a condition finds what it says, and nothing else.
func TestWhere(t *testing.T) {
	f := func(payload string, want bool, where ...string) {
		t.Helper()
		s := mustNew(t, Choice{Where: where})
		e := eventOf(t, "a", "message", "application/json", payload, spool.SessionActive)
		if got := s.Event(e); got != want {
			t.Errorf("%q of %s: %t", where, payload, got)
		}
		if n, why := s.Failed(); n > 0 {
			t.Errorf("%q of %s failed: %s", where, payload, why)
		}
	}
	const talk = `{"waId":"491","n":100,"big":12345678901234567890,"a":{"b":[true,null]},"x.y":"z"}`
	// The shorthand: text and numbers, at any depth, in lists by index.
	f(talk, true, "waId=491")
	f(talk, false, "waId=4917")
	f(talk, false, "waId=49")
	f(talk, true, "waId!=49")
	f(talk, true, "n=100")
	f(talk, true, "n=100.0")
	f(talk, true, "n=1e2")
	f(talk, true, "big=12345678901234567890")
	f(talk, false, "big=12345678901234567891")
	f(talk, true, "a.b.0=true")
	f(talk, true, "a.b.1=null")
	f(talk, true, "x.y=z")
	// What is not there is not the same as anything.
	f(talk, false, "none=")
	f(talk, true, "none!=x")
	f(talk, false, "waId.none=1")
	f(`{"t":"a=b, c"}`, true, "t=a=b, c")
	// Several must all hold.
	f(talk, true, "waId=491", "n=100")
	f(talk, false, "waId=491", "n=101")
	// Programs, and what they see.
	f(talk, true, `.n > 99 and $type == "message" and $session == "active"`)
	f(talk, true, `$id == "a" and $headers["content-type"] == "application/json"`)
	f(talk, false, `.n == 1`)
	f(talk, false, `empty`)
	f(talk, true, `.a.b | length == 2`)
	// What is not JSON nobody finds.
	f(`waId=491`, false, "waId=491")
	f(`waId=491`, false, "waId!=1")
	f(`waId=491`, false, `. == .`)
	f(`["a"]`, true, `length == 1`)
}

// Of a structured CloudEvent the shorthand finds what is in the data, too.
func TestWhereOfCloudEvents(t *testing.T) {
	e := eventOf(t, "a", "x", "application/cloudevents+json; charset=utf-8",
		`{"id":"1","data":{"waId":"491","id":"2"}}`, spool.SessionNone)
	for where, want := range map[string]bool{"waId=491": true, "data.waId=491": true, "id=1": true,
		"id=2": false} {
		if got := mustNew(t, Choice{Where: []string{where}}).Event(e); got != want {
			t.Errorf("%s: %t", where, got)
		}
	}
}

// A program that fails on an event does not match it, and says so without what is in it.
func TestWhereFails(t *testing.T) {
	s := mustNew(t, Choice{Where: []string{`.text + 1 == 2`}})
	for _, payload := range []string{`{"text":"secret"}`, `{"text":"hidden"}`, `{"text":1}`} {
		want := strings.HasSuffix(payload, ":1}")
		if got := s.Event(eventOf(t, "a", "m", "", payload, spool.SessionNone)); got != want {
			t.Errorf("%s: %t", payload, got)
		}
	}
	if n, why := s.Failed(); n != 2 || why == "" || strings.Contains(why, "secret") {
		t.Errorf("%d failures: %s", n, why)
	}
}

// What an event is beside its payload.
func TestEvent(t *testing.T) {
	f := func(c Choice, want bool) {
		t.Helper()
		e := eventOf(t, "order-17", "message", "", `{"waId":"491"}`, spool.SessionInactive)
		if got := mustNew(t, c).Event(e); got != want {
			t.Errorf("%+v: %t", c, got)
		}
	}
	f(Choice{}, true)
	f(Choice{IDPrefix: "order-"}, true)
	f(Choice{IDPrefix: "order-18"}, false)
	f(Choice{Session: "inactive"}, true)
	f(Choice{Session: "active"}, false)
	f(Choice{Session: "none"}, false)
	f(Choice{Conversation: "491"}, true)
	f(Choice{Conversation: "waId=491"}, true)
	f(Choice{Conversation: "bsuid=491"}, false)
	f(Choice{Conversation: "49"}, false)
}

// What came back last.
func TestDelivery(t *testing.T) {
	f := func(c Choice, status int, text string, want bool) {
		t.Helper()
		if got := mustNew(t, c).Delivery(status, text, func() string { return "connect" }); got != want {
			t.Errorf("%+v of %d %q: %t", c, status, text, got)
		}
	}
	f(Choice{Status: "503"}, 503, "answered 503", true)
	f(Choice{Status: "503"}, 500, "answered 500", false)
	f(Choice{Status: "5xx"}, 500, "answered 500", true)
	f(Choice{Status: "5XX"}, 404, "answered 404", false)
	f(Choice{Status: "5xx"}, 0, "", false)
	f(Choice{Error: "Refused"}, 0, "connection refused", true)
	f(Choice{Error: "reset"}, 0, "connection refused", false)
	f(Choice{Error: "connect"}, 0, "no route", true)
	f(Choice{Error: "tls"}, 0, "no route", false)
	f(Choice{Error: "connect"}, 0, "", false)
}

// What cannot be asked says which parameter, and of a program where.
func TestFaults(t *testing.T) {
	f := func(c Choice, param, place string) {
		t.Helper()
		fault, is := errors.AsType[*Fault](Check(&c))
		if !is || fault.Param != param || fault.Place != place || fault.Error() == "" {
			t.Errorf("%+v: %v", c, fault)
		}
	}
	f(Choice{Where: []string{"a=1", ".a = = 1"}}, "where", "line 1, column 6")
	f(Choice{Where: []string{"env.HOME"}}, "where", "line 1, column 1")
	f(Choice{Where: []string{"4917"}}, "where", "")
	f(Choice{Where: []string{`"waId"`}}, "where", "")
	f(Choice{Where: make([]string, wheresMax+1)}, "where", "")
	f(Choice{Session: "open"}, "session", "")
	for _, status := range []string{"6xx", "20", "2x0", "0xx", "9999", "abc"} {
		f(Choice{Status: status}, "status", "")
	}
	f(Choice{Error: strings.Repeat("x", textMax+1)}, "error", "")
	f(Choice{Failure: "503"}, "failure", "")
}
