package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/testenv/effort"
)

// TestVerdict is the table of who gets an event.
func TestVerdict(t *testing.T) {
	t.Parallel()
	f := func(events []config.Pattern, status config.Status, filter, typ string, s spool.Session,
		want refuser) {
		t.Helper()
		target := &config.Target{Events: events, Status: status, Session: filter}
		if got := judge(target, typ).settle(s).refusedBy; got != want {
			t.Errorf("%v, %s, %s sessions; an event %q, session %v: refused by %q; want %q", events,
				status, filter, typ, s, got, want)
		}
	}
	all, some := []config.Pattern{"*"}, []config.Pattern{"message", "templateMessage*"}
	const none, active, inactive = spool.SessionNone, spool.SessionActive, spool.SessionInactive
	f(all, config.StatusEnabled, "any", "", none, "")
	f(some, config.StatusEnabled, "any", "message", none, "")
	f(some, config.StatusEnabled, "any", "templateMessageSent_v2", none, "")
	f(some, config.StatusEnabled, "any", "Message", none, byEvents)
	f(some, config.StatusEnabled, "any", "messages", none, byEvents)
	f(nil, config.StatusEnabled, "any", "", none, byEvents)
	f(all, config.StatusPaused, "any", "x", none, "")
	f(all, config.StatusDisabled, "any", "x", none, byStatus)
	// The first that refuses is told.
	f(some, config.StatusDisabled, "active", "x", inactive, byEvents)
	f(all, config.StatusDisabled, "active", "x", inactive, byStatus)
	for _, filter := range []string{"any", "active", "inactive"} {
		f(all, config.StatusEnabled, filter, "x", none, "") // no conversation
	}
	f(all, config.StatusEnabled, "active", "x", active, "")
	f(all, config.StatusEnabled, "active", "x", inactive, bySession)
	f(all, config.StatusEnabled, "inactive", "x", active, bySession)
	f(all, config.StatusEnabled, "inactive", "x", inactive, "")
	f(all, config.StatusEnabled, "any", "x", inactive, "")
}

// fanoutOf makes a fanout for targets with the given events.
func fanoutOf(events ...[]config.Pattern) *fanout {
	cfg := &config.Config{}
	for i, patterns := range events {
		cfg.Targets = append(cfg.Targets, config.Target{Name: fmt.Sprint("t", i), Events: patterns})
	}
	return newFanout(cfg, make([]spool.LaneID, len(events)))
}

// Every answer is given twice: found, and remembered.
func TestFanout(t *testing.T) {
	t.Parallel()
	r := fanoutOf([]config.Pattern{"message", "mess*"}, []config.Pattern{"*"},
		[]config.Pattern{"templateMessage*"}, []config.Pattern{"message"})
	f := func(typ string, want ...string) {
		t.Helper()
		for range 2 {
			var got []string
			for _, v := range r.wantedOf(typ).verdicts {
				got = append(got, v.target.Name)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q goes to %v, want %v", typ, got, want)
			}
		}
	}
	f("message", "t0", "t1", "t3")
	f("messages", "t0", "t1")
	f("Message", "t1")
	f("templateMessageSent_v2", "t1", "t2")
	f("", "t1")
}

// A stranger who sends a new type each time neither fills the memory nor is judged wrongly.
func TestFanoutForgets(t *testing.T) {
	t.Parallel()
	r := fanoutOf([]config.Pattern{"t1*"})
	for i := range 3 * knownMax {
		typ := fmt.Sprintf("t%d", i)
		if got, want := len(r.wantedOf(typ).verdicts) > 0, typ[:2] == "t1"; got != want {
			t.Fatalf("%q is wanted: %v", typ, got)
		}
	}
	if len(r.known) > knownMax {
		t.Errorf("%d types are remembered", len(r.known))
	}
}

// What explain says is what becomes of the event, whatever the targets and the conversation.
func TestExplainIsTheVerdict(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	f := newFixture(t)
	for i := range 30 {
		f.target(fmt.Sprint("t", i), "http://127.0.0.1:1/", func(t *config.Target) {
			t.Status = []config.Status{config.StatusEnabled, config.StatusPaused,
				config.StatusDisabled}[random.IntN(3)]
			t.Session = pick("any", "active", "inactive")
			t.Events = []config.Pattern{config.Pattern(pick("*", "message", "mess*",
				"sessionMessageSent", "x"))}
			t.Where = pick("", "", ".n == 7", ".n % 2 == 0", ".waId == \"1\" or .n == 3",
				"$session == \"active\"", "$session == null", ".n.x", ".waId | not")
		})
	}
	f.start()
	for i := range 60 {
		path := "?type=" + pick("message", "sessionMessageSent", "x", "y")
		body := fmt.Sprintf(`{%s"n":%d}`, pick("", `"waId":"1",`, `"waId":"2",`), i)
		body = pick(body, body, body, "no JSON", `["n"]`, "")
		var e admin.Explanation
		if code := f.api("POST", "/v1/explain"+path, &e, body); code != 200 {
			t.Fatalf("%d", code)
		}
		want := []string{}
		for _, x := range e.Targets {
			if x.RefusedBy == "" {
				want = append(want, x.Target)
			}
		}
		_, got := f.post("/v1/events/"+path[len("?type="):], body)
		if fmt.Sprint(got["targets"]) != fmt.Sprint(want) {
			t.Errorf("%s %s: explained %v; it went to %v", path, body, want, got["targets"])
		}
	}
}

// drafted is an event after the first stage, by the setup of now.
func (f *fixture) drafted(typ, body string) *spool.Draft {
	f.t.Helper()
	d, _, no := accept.Read(&f.setup.Load().rules, &accept.Posted{Type: typ, Payload: []byte(body)})
	if no != nil {
		f.t.Fatal(no)
	}
	d.At = f.Relay.now()
	return d
}

// reload puts other targets to work.
func (f *fixture) reload(change func(*config.Config)) {
	f.t.Helper()
	cfg := f.cfg
	cfg.Targets = slices.Clone(cfg.Targets)
	change(&cfg)
	f.reloads.mu.Lock()
	defer f.reloads.mu.Unlock()
	if err := f.apply(&cfg); err != nil {
		f.t.Fatal(err)
	}
}

// A reload between the stages, and a pause, change nothing for an event that is judged: each of its
// deliveries is there, and is made when its target sends.
func TestReloadBetweenStages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newReceiver(t, always(200))
	for _, name := range []string{"stays", "removed", "disabled", "held", "filtered"} {
		f.target(name, rx.URL)
	}
	f.start()
	d := f.drafted("message", `{"waId":"1"}`)
	f.reload(func(c *config.Config) {
		c.Targets = slices.Delete(c.Targets, 1, 2)
		c.Targets[1].Status = config.StatusDisabled
		c.Targets[3].Session, c.Targets[3].Events = "active", []config.Pattern{"x"}
		c.Session.Enabled = false
	})
	if err := f.laneNamed("held").hold(true, ""); err != nil {
		t.Fatal(err)
	}
	if err := f.spool.Append(d); err != nil {
		t.Fatal(err)
	}
	want := []string{"stays", "removed", "disabled", "held", "filtered"}
	if got := f.owedBy(d); !slices.Equal(got, want) || d.Session != spool.SessionInactive {
		t.Fatalf("it is owed to %v, session %v; want %v", got, d.Session, want)
	}
	pending := func(name string) uint64 { return f.laneNamed(name).spool.Counts().Pending }
	f.wait("what sends", func() bool { return pending("stays") == 0 && pending("filtered") == 0 })
	for _, name := range []string{"removed", "disabled", "held"} {
		if pending(name) != 1 {
			t.Errorf("%s has %d deliveries pending", name, pending(name))
		}
	}
	if other := f.drafted("message", `{}`); f.spool.Append(other) != nil ||
		!slices.Equal(f.owedBy(other), []string{"stays", "held"}) {
		t.Errorf("an event after the reload is owed to %v", f.owedBy(other))
	}
	f.reload(func(*config.Config) {}) // all of them come back
	if err := f.laneNamed("held").hold(false, ""); err != nil {
		t.Fatal(err)
	}
	f.wait("the rest", func() bool {
		return pending("removed")+pending("disabled")+pending("held") == 0
	})
}

// between is a Judge that stops between the stages.
type between struct {
	inner        accept.Judge
	judged, goOn chan struct{}
}

func (b *between) Judge(d *spool.Draft, in accept.Inside) {
	b.inner.Judge(d, in)
	close(b.judged)
	<-b.goOn
}

// A target is not forgotten while an event is in hand that was judged when the config had it, however
// many reloads ago that was: the event is owed to it, and so it is not forgotten at all.
func TestForgetWaitsForJudged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.target("stays", "http://127.0.0.1:1/", func(t *config.Target) { t.Status = config.StatusPaused })
	f.target("gone", "http://127.0.0.1:1/")
	b := &between{judged: make(chan struct{}), goOn: make(chan struct{})}
	f.made = func(r *Relay) {
		rules := &r.setup.Load().rules
		b.inner, rules.Judge = rules.Judge, b
	}
	f.start()
	owed := make(chan string, 1)
	go func() {
		_, answer := f.post("/v1/events/message", "{}")
		owed <- fmt.Sprint(answer["targets"])
	}()
	<-b.judged
	without := func(c *config.Config) { c.Targets = c.Targets[:1] }
	f.reload(without)
	f.reload(without)
	forgot := make(chan error, 1)
	go func() { forgot <- f.forget("gone") }()
	f.wait("the forgetting to begin", func() bool {
		begun := !f.reloads.mu.TryLock()
		if !begun {
			f.reloads.mu.Unlock()
		}
		return begun || len(forgot) > 0
	})
	close(b.goOn)
	if got := <-owed; got != "[stays gone]" {
		t.Errorf("the event is owed to %s", got)
	}
	err := <-forgot
	var no *admin.Error
	if !errors.As(err, &no) || no.Code != "not_empty" {
		t.Errorf("forgetting says %v; want not_empty", err)
	}
	if l := f.laneNamed("gone"); l == nil || l.spool.Counts().Pending != 1 {
		t.Error("the delivery is not there")
	}
	if len(f.retired) != 0 {
		t.Errorf("%d setups are remembered", len(f.retired))
	}
}

// owedBy are the targets that owe a draft's event.
func (f *fixture) owedBy(d *spool.Draft) (names []string) {
	for _, lane := range d.Lanes() {
		names = append(names, f.spool.NameOf(lane))
	}
	return names
}

// judging is rules for so many targets, and an event whose payload is parsed anyway; where, if it is
// not empty, has a place for the number of the target.
func judging(targets int, where string) (*accept.Rules, *accept.Posted) {
	cfg := config.Default()
	for i := range targets {
		t := config.DefaultTarget(fmt.Sprint("t", i))
		t.Events = []config.Pattern{"*"}
		if where != "" {
			t.Where = fmt.Sprintf(where, i)
		}
		cfg.Targets = append(cfg.Targets, t)
	}
	return &accept.Rules{Config: &cfg, Judge: newFanout(&cfg, make([]spool.LaneID, targets))},
		&accept.Posted{Payload: []byte(`{"eventType":"message","waId":"1","country":"c0"}`)}
}

// An event of a relay without programs is judged with the allocations that it had before there were
// any.
func TestJudgeAllocations(t *testing.T) {
	if effort.Race {
		t.Skip("the race detector allocates")
	}
	rules, p := judging(1, "")
	if n := testing.AllocsPerRun(1000, func() { accept.Read(rules, p) }); n > 15 {
		t.Errorf("%v allocations, want 15", n)
	}
}

// BenchmarkJudge is the first stage without a where, with one, and with 1,000 targets that each want
// another value of one field.
func BenchmarkJudge(b *testing.B) {
	run := func(name string, targets int, where string) {
		b.Run(name, func(b *testing.B) {
			rules, p := judging(targets, where)
			b.ReportAllocs()
			for b.Loop() {
				if d, _, no := accept.Read(rules, p); no != nil || d.Note == nil {
					b.Fatal(no)
				}
			}
		})
	}
	run("no where", 1, "")
	run("one", 1, `.country == "c%d"`)
	run("1000", 1000, `.country == "c%d"`)
}
