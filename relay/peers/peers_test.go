package peers

import (
	"context"
	"errors"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

func configured(change func(*config.Config)) *config.Config {
	cfg := config.Default()
	t := config.DefaultTarget("crm")
	t.URL = &url.URL{Scheme: "https", Host: "crm.example.com", User: url.UserPassword("u", "p")}
	t.Events = []config.Pattern{"message"}
	t.Secrets = []config.Secret{"whsec_one"}
	t.PEM.Key = config.SecretBytes("key")
	t.Proxy.URL = &url.URL{Scheme: "http", Host: "proxy:3128", User: url.UserPassword("u", "p")}
	t.OAuth2.ClientSecret = "one"
	cfg.Targets = []config.Target{t}
	if change != nil {
		change(&cfg)
	}
	return &cfg
}

// What relays must agree on changes the fingerprint, secrets among it; what is a machine's own does
// not; and the spool is its key.
func TestFingerprint(t *testing.T) {
	plain := Fingerprint("spool", configured(nil))
	f := func(what string, same bool, change func(*config.Config)) {
		t.Helper()
		if got := Fingerprint("spool", configured(change)); (got == plain) != same {
			t.Errorf("%s: the fingerprint is the same: %t", what, !same)
		}
	}
	f("nothing", true, nil)
	f("where it listens", true, func(c *config.Config) { c.Server.Listen = []string{"unix:/x"} })
	f("its admin address", true, func(c *config.Config) { c.Server.AdminListen = "127.0.0.1:1" })
	f("its tokens", true, func(c *config.Config) { c.Server.AdminToken, c.Server.EventToken = "a", "b" })
	f("its log", true, func(c *config.Config) { c.Log.Format = "json" })
	f("its directory", true, func(c *config.Config) { c.Spool.Dir = "/x" })
	f("where a key is", true, func(c *config.Config) { c.Targets[0].ClientKey = "/other/place" })
	f("what the key is", false, func(c *config.Config) { c.Targets[0].PEM.Key = config.SecretBytes("k") })
	f("a secret", false, func(c *config.Config) { c.Targets[0].Secrets[0] = "whsec_two" })
	f("a password in a URL", false, func(c *config.Config) {
		c.Targets[0].URL = &url.URL{Scheme: "https", Host: "crm.example.com",
			User: url.UserPassword("u", "q")}
	})
	f("a proxy's password", false, func(c *config.Config) {
		c.Targets[0].Proxy.URL.User = url.UserPassword("u", "q")
	})
	f("a client's secret", false, func(c *config.Config) { c.Targets[0].OAuth2.ClientSecret = "two" })
	f("a target less", false, func(c *config.Config) { c.Targets = nil })
	f("another success", false, func(c *config.Config) { c.Targets[0].Success = config.NewSuccess(204) })
	f("events", false, func(c *config.Config) { c.Targets[0].Events = []config.Pattern{"mess", "age"} })
	f("the tick", false, func(c *config.Config) { c.Retry.Interval++ })
	f("the limit", false, func(c *config.Config) { c.Defect.AfterFailedJobs++ })
	f("the window", false, func(c *config.Config) { c.Session.Window++ })
	f("the dedupe window", false, func(c *config.Config) { c.Event.DedupeWindow++ })
	f("the alerts", false, func(c *config.Config) { c.Alert.Email.SMTP = "mail:25" })
	if Fingerprint("another", configured(nil)) == plain {
		t.Error("the fingerprint is the same for another spool")
	}
}

// A difference is told once it has lasted, once for each pair of configs, and once when it is over.
func TestWatchDrift(t *testing.T) {
	var w Watch
	now := time.Unix(1_800_000_000, 0)
	look := func(later time.Duration, mine, theirs string, told, differs bool) {
		t.Helper()
		now = now.Add(later)
		found := w.Look(Sight{Now: now, Mine: Note{Config: mine}, Interval: time.Minute,
			Others: []Peer{{Name: "b", Note: Note{Config: theirs}}}})
		if (len(found) > 0) != told || w.Differs() != differs {
			t.Errorf("%s beside %s: %d findings, differs %t", mine, theirs, len(found), w.Differs())
		}
		if told && (found[0].Peer.Name != "b" || !found[0].Config || found[0].Peer.Differs != differs) {
			t.Errorf("found %+v", found[0])
		}
	}
	look(0, "x", "x", false, false)
	look(time.Hour, "x", "", false, false) // it has said nothing
	look(time.Second, "x", "y", false, false)
	look(DriftPatience, "x", "y", false, false)
	look(time.Second, "x", "y", true, true)
	look(time.Second, "x", "y", false, true)
	look(time.Second, "x", "z", true, true)
	look(time.Second, "z", "z", true, false)
	look(time.Second, "z", "z", false, false)
	look(time.Second, "z", "y", false, false)
	look(time.Second, "z", "z", false, false) // a reload here, then there
	look(time.Second, "z", "y", false, false)
	w.Look(Sight{Now: now})
	look(DriftPatience+1, "z", "y", false, false) // another relay of that name
}

// A clock that differs by more than a tick is told once, whichever way it differs.
func TestWatchClock(t *testing.T) {
	var w Watch
	look := func(ahead time.Duration, told, strays bool) {
		t.Helper()
		others := []Peer{{Name: "b", Ahead: ahead}}
		found := w.Look(Sight{Interval: time.Minute, Others: others})
		w.Judge(others)
		if (len(found) > 0) != told || others[0].Strays != strays {
			t.Errorf("%s ahead: %d findings, strays %t", ahead, len(found), others[0].Strays)
		}
	}
	look(time.Minute, false, false)
	look(time.Minute+1, true, true)
	look(-time.Hour, false, true)
	look(0, true, false)
	// Ticks of milliseconds are shorter than what can be measured.
	if found := new(Watch).Look(Sight{Interval: time.Millisecond,
		Others: []Peer{{Name: "b", Ahead: clockMin}}}); len(found) > 0 {
		t.Errorf("a second is told where the tick is a millisecond: %+v", found)
	}
}

// fake is a spool of relays a, which asks, and b.
type fake struct {
	relays []spool.Relay
	owner  string
	answer func(context.Context, []byte) []byte
	said   []byte
	err    error
}

func (f *fake) Name() string                                  { return "a" }
func (f *fake) Relays() []spool.Relay                         { return f.relays }
func (f *fake) Owner(spool.LaneID) string                     { return f.owner }
func (f *fake) Say(note []byte)                               { f.said = note }
func (f *fake) Away() error                                   { return f.err }
func (f *fake) Copies() spool.Copies                          { return spool.Copies{} }
func (f *fake) Leads() bool                                   { return false }
func (f *fake) Changed() <-chan struct{}                      { return nil }
func (f *fake) Tenure(*spool.Lane) uint64                     { return 0 }
func (f *fake) Answer(a func(context.Context, []byte) []byte) { f.answer = a }
func (f *fake) Ask(ctx context.Context, _ string, q []byte) ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.answer(ctx, q), nil
}

// What another relay answers is heard as it was said: results, refusals, other errors, and that it
// does not serve the target.
func TestAsk(t *testing.T) {
	f := new(fake)
	c := New(f, f, time.Time{})
	until := time.Unix(1_800_000_000, 5).UTC()
	want := &Question{Verb: Purge, Target: "crm", Purge: &admin.PurgeQuery{State: "pending",
		Until: until, Limit: 3, After: "log-1-2"}}
	var result any
	var fault error
	c.Answer(func(_ context.Context, q *Question) (any, error) {
		if !reflect.DeepEqual(q, want) {
			t.Errorf("asked %+v of %+v", q, q.Purge)
		}
		return result, fault
	})
	result = admin.Purged{Target: "crm", Count: 7, Next: "log-3-4"}
	text, err := c.Ask(t.Context(), "b", want)
	if got, err := ResultOf[admin.Purged](text, err); err != nil || got != result {
		t.Errorf("got %+v, %v", got, err)
	}
	refusal := admin.Refuse(409, "paused", "it is")
	refusal.Hint, refusal.Faults, refusal.Lines = "resume it", []string{"f"}, []int{4}
	fault = refusal
	_, err = c.Ask(t.Context(), "b", want)
	if got, is := errors.AsType[*admin.Error](err); !is || !reflect.DeepEqual(got, refusal) {
		t.Errorf("the refusal came as %v", err)
	}
	fault = errors.New("out of luck")
	if _, err = c.Ask(t.Context(), "b", want); err == nil || err.Error() !=
		`relay "b" cannot carry it out: out of luck` {
		t.Errorf("the error came as %v", err)
	}
	fault = spool.ErrElsewhere
	if _, err = c.Ask(t.Context(), "b", want); !errors.Is(err, spool.ErrElsewhere) {
		t.Errorf("elsewhere came as %v", err)
	}
	f.err = errors.New("no responders")
	if _, err = c.Ask(t.Context(), "b", want); err == nil {
		t.Error("silence is an answer")
	} else if _, is := errors.AsType[*SilentError](err); !is {
		t.Errorf("silence came as %v", err)
	}
}

// A tick is heard once; storing an instant again, or the one before again, is no tick; a clock that
// was set back goes on.
func TestHears(t *testing.T) {
	f := new(fake)
	at := time.Unix(1_800_000_000, 0)
	c := New(f, f, at)
	hears := func(at time.Time, want bool) {
		t.Helper()
		if c.Hears(at) != want {
			t.Errorf("the tick of %s is news: %t", at, !want)
		}
	}
	hears(at, false)
	hears(at.Add(time.Minute+time.Nanosecond), true)
	hears(at.Add(time.Minute), false) // as it is read again
	hears(at, false)
	hears(at.Add(time.Minute), false)
	hears(at.Add(-time.Hour), true)
	hears(at.Add(-time.Hour+time.Minute), true)
	if !(*Company)(nil).Hears(at) {
		t.Error("a relay that is alone does not hear its own tick")
	}
}

// Whoever had a lane before is asked about its notices by each way, until it has answered, while it
// lives.
func TestFormer(t *testing.T) {
	f := &fake{relays: []spool.Relay{{Name: "a"}, {Name: "b"}}, owner: "b"}
	c := New(f, f, time.Time{})
	former := func(lane spool.LaneID, way uint8, want string) {
		t.Helper()
		if got, is := c.Former(lane, way); got != want || is != (want != "") {
			t.Errorf("lane %d by way %d: %q, %t", lane, way, got, is)
		}
	}
	c.Follow(1, false, 2)
	f.owner = ""
	c.Follow(1, false, 2) // nobody's for a moment
	f.owner = "a"
	c.Follow(1, true, 2)
	former(1, 0, "b")
	former(1, 0, "b") // until it has answered
	c.Settled(1, 0)
	former(1, 0, "")
	former(1, 1, "b")
	former(1, 2, "")
	c.Follow(1, true, 2) // it was ours
	former(1, 0, "")
	f.owner = "b"
	c.Follow(2, false, 2)
	f.owner, f.relays = "a", f.relays[:1]
	c.Follow(2, true, 2) // b is dead
	former(2, 0, "")
	former(1, 1, "") // it died since
}

// The others are those that are not this one; their clocks are compared with its own, and an
// unreadable note is none.
func TestOthers(t *testing.T) {
	f := &fake{relays: []spool.Relay{{Name: "a", Ahead: time.Second},
		{Name: "b", Ahead: 4 * time.Second, Note: Note{Version: "9", Config: "x"}.Encode()},
		{Name: "c", Ahead: time.Second, Note: []byte("?")}}}
	c := New(f, f, time.Time{})
	c.Say(Note{Version: "1", Config: "x"})
	if ReadNote(f.said).Version != "1" {
		t.Errorf("said %s", f.said)
	}
	c.Compare(time.Now(), time.Second)
	others := c.Others()
	if len(others) != 2 || others[0].Ahead != 3*time.Second || !others[0].Strays ||
		others[0].Note.Version != "9" || others[1].Ahead != 0 || others[1].Note != (Note{}) ||
		c.Differs() {
		t.Errorf("the others are %+v", others)
	}
}
