package relay

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// talkSpool is a spool that does nothing but keep conversations.
func talkSpool(t *testing.T, window time.Duration) *spool.Spool {
	t.Helper()
	s, err := spool.Open(spool.Options{Dir: t.TempDir() + "/spool", Log: slog.New(slog.DiscardHandler),
		Decide: func(v *spool.View, d *spool.Draft) {
			d.Session = applyTalk(v, d.Note.(*talk), d.At, window)
		}})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Close() })
	return s
}

// Each scenario is a list of steps: hours since the start, who writes, the conversation's keys, and
// the state the event must be frozen with (CONTRACT §7; wati.md S8 to S11).
func TestSessions(t *testing.T) {
	const user, biz, none = sideUser, sideBusiness, sideNone
	type step struct {
		hours float64
		side  side
		keys  []string
		want  spool.Session
	}
	a := []string{"conversationId=1"}
	f := func(name string, steps ...step) {
		t.Run(name, func(t *testing.T) {
			s := talkSpool(t, 24*time.Hour)
			start := time.Unix(1_700_000_000, 0)
			for i, st := range steps {
				d := &spool.Draft{At: start.Add(time.Duration(st.hours * float64(time.Hour))),
					Note: &talk{keys: st.keys, side: st.side}}
				if err := s.Append(d); err != nil {
					t.Fatal(err)
				}
				if d.Session != st.want {
					t.Errorf("step %d, hour %v: got %v; want %v", i, st.hours, d.Session, st.want)
				}
			}
		})
	}
	const active, inactive = spool.SessionActive, spool.SessionInactive

	// A template opens an increment; the user's answer makes it active, up to its fixed end.
	f("answered template", step{0, biz, a, inactive}, step{1, user, a, active},
		step{23.99, none, a, active}, step{24, none, a, inactive})
	// Further messages do not extend an increment; the next business message opens a new one, and
	// a user message less than a window before counts.
	f("fixed increments", step{0, biz, a, inactive}, step{23, user, a, active},
		step{24, user, a, inactive}, step{25, biz, a, active}, step{48.9, none, a, active},
		step{49, none, a, inactive})
	f("business reply", step{0, user, a, inactive}, step{23.99, biz, a, active})
	// At exactly a window it is too late.
	f("late reply", step{0, user, a, inactive}, step{24, biz, a, inactive})
	f("unanswered templates", step{0, biz, a, inactive}, step{1, biz, a, inactive},
		step{2, biz, a, inactive})
	f("only the user", step{0, user, a, inactive}, step{1, user, a, inactive})
	f("status events take no side", step{0, none, a, inactive}, step{1, biz, a, inactive},
		step{2, none, a, inactive})
	// The first message names only waId, a later one both keys, status events only the other.
	wa, both, id := []string{"waId=1"}, []string{"conversationId=1", "waId=1"}, a
	f("aliases", step{0, user, wa, inactive}, step{1, biz, id, inactive},
		step{2, none, both, active}, step{3, none, id, active}, step{3, none, wa, active})
	f("aliases the other way", step{0, biz, id, inactive}, step{1, user, wa, inactive},
		step{2, none, []string{"waId=1", "conversationId=1"}, active}, step{3, none, id, active})
	f("two conversations", step{0, biz, a, inactive}, step{1, user, []string{"conversationId=2"},
		inactive}, step{2, none, a, inactive})
	// A clock that was set back changes nothing that is known.
	f("clock set back", step{2, biz, a, inactive}, step{1, user, a, active})
}

func TestSideOf(t *testing.T) {
	s := config.Default().Session
	f := func(typ, owner string, want side) {
		t.Helper()
		if got := sideOf(&s, typ, owner); got != want {
			t.Errorf("sideOf(%q, owner %q) is %v; want %v", typ, owner, got, want)
		}
	}
	f("message", "", sideUser)
	f("message", "false", sideUser)
	f("message", "true", sideBusiness)
	f("message_bsuid", "", sideUser)
	f("messageX", "", sideNone)
	f("sentMessageREPLIED_v2", "", sideUser)
	f("templateMessageSent_v2", "", sideBusiness)
	f("sessionMessageSent", "false", sideUser)
	f("sentMessageDELIVERED", "true", sideNone)
	f("templateMessageFailed", "true", sideNone)
	f("sessionMessageFailed", "", sideNone)
	f("call.status", "", sideNone)
	f("", "true", sideNone)
}

func TestLookInside(t *testing.T) {
	cfg := config.Default()
	f := func(body, wantType, wantOwner, wantKeys string) {
		t.Helper()
		a := &accepter{}
		p := a.parsers.Get()
		defer a.parsers.Put(p)
		in := arrival{payload: []byte(body)}
		owner, keys := in.lookInside(&cfg, p)
		if in.typ != wantType || owner != wantOwner || fmt.Sprint(keys) != wantKeys {
			t.Errorf("%s: got type %q, owner %q, keys %v; want %q, %q, %s", body, in.typ, owner, keys,
				wantType, wantOwner, wantKeys)
		}
	}
	f(`{"eventType":"message","waId":"1","owner":false}`, "message", "false", "[waId=1]")
	f(`{"eventType":"m","waId":491,"conversationId":"c","owner":"true"}`, "m", "true",
		"[conversationId=c waId=491]")
	f(` {"eventType":7,"waId":""}`, "", "", "[]")
	f(`{"eventType":"m"`, "", "", "[]")
	f(`["eventType"]`, "", "", "[]")
	f(``, "", "", "[]")
	f(`{"waId":null,"bsuid":{"a":1}}`, "", "", "[]")
	cfg.Event.TypeField = "data.kind"
	f(`{"data":{"kind":"deep"}}`, "deep", "", "[]")
	f(`{"data.kind":"flat"}`, "flat", "", "[]")
	cfg.Event.DefaultType = "other"
	f(`{"data":{}}`, "other", "", "[]")
	f(`plain`, "other", "", "[]")
}

// Whatever comes in, looking inside ends, and what it finds is a string.
func FuzzLookInside(f *testing.F) {
	for _, s := range []string{`{"eventType":"a","owner":true,"waId":1e999}`, `{"eventType":"\ud800"}`,
		`{"a":[[[[{}]]]]}`, "{", "\x00"} {
		f.Add([]byte(s))
	}
	cfg := config.Default()
	f.Fuzz(func(t *testing.T, body []byte) {
		a := &accepter{}
		in := arrival{payload: body}
		if _, r := in.draft(&cfg, a.parsers.Get()); r == nil && len(in.typ) > nameBytesMax {
			t.Errorf("a type of %d bytes was let through", len(in.typ))
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte("{}\n\n{\"eventType\":1}\r\n"), true)
	f.Add([]byte(`[{"specversion":"1.0","id":"1","source":"s","type":"t"}]`), false)
	cfg := config.Default()
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		a := &accepter{}
		cut, r := splitBatch(body, !lines)
		if r != nil {
			return
		}
		drafts, r := batchDrafts(&cfg, arrival{id: "k"}, cut, !lines, a.parsers.Get())
		if r == nil && len(drafts) != len(cut) {
			t.Errorf("%d lines became %d events", len(cut), len(drafts))
		}
	})
}
