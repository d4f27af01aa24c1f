package session

import (
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
			d.Session = Apply(v, d.Note.(*Talk), d.At, window)
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
	const user, biz, none = SideUser, SideBusiness, SideNone
	type step struct {
		hours float64
		side  Side
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
					Note: &Talk{Keys: st.keys, Side: st.side}}
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
	// What was said while the clock was two years ahead was said when that was noticed.
	f("a clock that was ahead", step{17520, biz, a, inactive}, step{17520, user, a, active},
		step{0, none, a, active}, step{23.9, user, a, active}, step{24, biz, a, active},
		step{47.9, none, a, active}, step{48, none, a, inactive})
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
	f := func(typ, owner string, want Side) {
		t.Helper()
		if got := SideOf(&s, typ, owner); got != want {
			t.Errorf("SideOf(%q, owner %q) is %v; want %v", typ, owner, got, want)
		}
	}
	f("message", "", SideUser)
	f("message", "false", SideUser)
	f("message", "true", SideBusiness)
	f("message_bsuid", "", SideUser)
	f("messageX", "", SideNone)
	f("sentMessageREPLIED_v2", "", SideUser)
	f("templateMessageSent_v2", "", SideBusiness)
	f("sessionMessageSent", "false", SideUser)
	f("sentMessageDELIVERED", "true", SideNone)
	f("templateMessageFailed", "true", SideNone)
	f("sessionMessageFailed", "", SideNone)
	f("call.status", "", SideNone)
	f("", "true", SideNone)
}

// A conversation goes on after the clock was set back, and is over when it jumped past its end.
func TestClockJumpOfSession(t *testing.T) {
	s := talkSpool(t, 24*time.Hour)
	start := time.Unix(1_700_000_000, 0)
	say := func(at time.Time, side Side) spool.Session {
		d := &spool.Draft{At: at, Note: &Talk{Keys: []string{"waId=1"}, Side: side}}
		if err := s.Append(d); err != nil {
			t.Fatal(err)
		}
		return d.Session
	}
	f := func(after time.Duration, side Side, want spool.Session) {
		t.Helper()
		if got := say(start.Add(after), side); got != want {
			t.Errorf("after %s: got %v; want %v", after, got, want)
		}
	}
	f(0, SideUser, spool.SessionInactive)
	f(time.Minute, SideBusiness, spool.SessionActive)
	// An hour back, to before the increment began, and on from there.
	f(-time.Hour, SideUser, spool.SessionActive)
	f(-time.Hour+time.Minute, SideBusiness, spool.SessionActive)
	f(5*time.Minute, SideNone, spool.SessionActive)
	// A day forward.
	f(25*time.Hour, SideBusiness, spool.SessionInactive)
}
