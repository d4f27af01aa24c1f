package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/peers"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
)

// others is the rest of a company of two, relay a, which is the one that is tested, and b. Every
// lane is a's, which does not lead, until a test says otherwise.
type others struct {
	changed chan struct{}

	mu      sync.Mutex // guards below
	leads   bool
	away    error
	copies  spool.Copies
	tenures map[spool.LaneID]uint64
	owners  map[spool.LaneID]string
	relays  []spool.Relay
	said    peers.Note
	asked   []string
	// b is what b answers; nil: it is silent.
	b func(q *peers.Question) (any, error)
	a func(context.Context, []byte) []byte
}

func (o *others) locked() func() {
	o.mu.Lock()
	return o.mu.Unlock
}

func (o *others) Name() string { return "a" }

func (o *others) Relays() []spool.Relay {
	defer o.locked()()
	return slices.Clone(o.relays)
}

func (o *others) Owner(id spool.LaneID) string {
	defer o.locked()()
	if owner, is := o.owners[id]; is {
		return owner
	}
	return "a"
}

func (o *others) Say(note []byte) {
	defer o.locked()()
	o.said = peers.ReadNote(note)
}

func (o *others) Away() error {
	defer o.locked()()
	return o.away
}

func (o *others) Copies() spool.Copies {
	defer o.locked()()
	return o.copies
}

func (o *others) Leads() bool {
	defer o.locked()()
	return o.leads
}

func (o *others) Changed() <-chan struct{} { return o.changed }

func (o *others) Tenure(l *spool.Lane) uint64 {
	defer o.locked()()
	if tenure, is := o.tenures[l.ID()]; is {
		return tenure
	}
	return peers.Alone
}

func (o *others) Answer(a func(context.Context, []byte) []byte) {
	defer o.locked()()
	o.a = a
}

// Ask lets b answer as a would.
func (o *others) Ask(ctx context.Context, relay string, text []byte) ([]byte, error) {
	unlock := o.locked()
	var q peers.Question
	if err := json.Unmarshal(text, &q); err != nil || relay != "b" {
		panic(fmt.Sprintf("asked %s of relay %s: %v", text, relay, err))
	}
	o.asked = append(o.asked, string(q.Verb)+" "+q.Target)
	b := o.b
	unlock()
	if b == nil {
		return nil, engine.ErrUnavailable
	}
	loop := new(others)
	peers.New(loop, loop, time.Time{}).Answer(func(_ context.Context, q *peers.Question) (any, error) {
		return b(q)
	})
	return loop.a(ctx, text), nil
}

func (o *others) questions() []string {
	defer o.locked()()
	return slices.Clone(o.asked)
}

// change changes something and tells the relay.
func (o *others) change(how func()) {
	o.mu.Lock()
	how()
	o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// give gives a lane to b, or back to a in another tenure.
func (f *fixture) give(o *others, name string, tenure uint64) {
	f.t.Helper()
	l := f.laneNamed(name)
	o.change(func() {
		o.tenures[l.spool.ID()] = tenure
		o.owners[l.spool.ID()] = map[bool]string{true: "b", false: "a"}[tenure == 0]
	})
	f.wait("the lane to be another's", func() bool { return l.tenure.Load() == tenure })
}

// inCompany makes a fixture one of two relays.
func inCompany(t *testing.T) (*fixture, *others) {
	f := newFixture(t)
	o := &others{changed: make(chan struct{}, 1), tenures: make(map[spool.LaneID]uint64),
		owners: map[spool.LaneID]string{spool.SpoolItself: "b"},
		relays: []spool.Relay{{Name: "a"}, {Name: "b", Seen: time.Now()}}}
	f.made = func(r *Relay) { r.company = peers.New(o, o, r.spool.LastTick().At) }
	return f, o
}

// gate is a receiver that holds its requests until it is opened.
func newGate(t *testing.T, status int) (*receiver, func()) {
	open := make(chan struct{})
	var once sync.Once
	let := func() { once.Do(func() { close(open) }) }
	r := newReceiver(t, always(status))
	inner := r.Config.Handler
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		<-open
		inner.ServeHTTP(w, q)
	})
	t.Cleanup(let)
	return r, let
}

// busy waits until so many attempts of a target are under way.
func (f *fixture) busy(name string, n int) {
	f.t.Helper()
	f.wait("attempts under way", func() bool { return f.laneNamed(name).slots.InUse() == n })
}

// What is in flight when a lane goes finishes and counts for nothing; nothing more is sent.
func TestLaneLost(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 500} {
		f, o := inCompany(t)
		slow, open := newGate(t, status)
		f.target("crm", slow.URL)
		f.start()
		f.post("/v1/events/x", "in flight")
		f.busy("crm", 1)
		f.give(o, "crm", 0)
		f.post("/v1/events/x", "too late")
		open()
		f.busy("crm", 0)
		l := f.laneNamed("crm")
		f.stop() // all attempts and settlements are over
		if c := l.spool.Counts(); slow.count() != 1 || c.Pending != 2 || c.Fresh != 2 ||
			c.LastError != "" || c.Delivered != 0 {
			t.Errorf("%d: %d requests, then %+v", status, slow.count(), c)
		}
	}
}

// A lane that comes back while an attempt of before is in flight is another one by then: what that
// attempt has learned is of the tenure before.
func TestLaneLostAndBack(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	slow, open := newGate(t, 500)
	f.target("crm", slow.URL)
	f.start()
	f.post("/v1/events/x", "in flight")
	f.busy("crm", 1)
	f.give(o, "crm", 0)
	f.give(o, "crm", 7)
	open()
	f.busy("crm", 0)
	l := f.laneNamed("crm")
	f.post("/v1/events/x", "in the new tenure")
	f.wait("the new one", func() bool { return slow.count() == 2 })
	f.busy("crm", 0)
	f.stop() // all settlements are over
	if c := l.spool.Counts(); c.Pending != 2 || c.Fresh != 1 {
		t.Errorf("%+v", c)
	}
}

// A job ends with the tenure: the rest is not tried, and it is no failed job.
func TestJobOfALostLane(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	var hold sync.Mutex
	bad := newReceiver(t, func(int) int {
		hold.Lock()
		defer hold.Unlock()
		return 500
	})
	f.target("crm", bad.URL, func(t *config.Target) { t.Concurrency = 1 })
	f.start()
	for i := range 5 {
		f.post("/v1/events/x", fmt.Sprint(i))
	}
	l := f.laneNamed("crm")
	f.wait("attempt 0 of all", func() bool { return l.spool.Counts().Fresh == 0 })
	hold.Lock()
	if _, err := f.desk.Retry(order("crm")); err != nil {
		t.Fatal(err)
	}
	f.busy("crm", 1)
	f.give(o, "crm", 0)
	hold.Unlock()
	f.wait("the end of the job", func() bool { return !l.jobRunning.Load() })
	if n := bad.count(); n != 6 {
		t.Errorf("%d requests, want 5 and one of the job", n)
	}
	if st := l.spool.Standing(); st.FailedJobs != 0 || l.failedJobs() != 0 {
		t.Errorf("the standing is %+v", st)
	}
	l.verdict(&job{l: l, tenure: peers.Alone, tried: 1, good: 1}) // it has nothing to settle
}

// A lane that is gained goes on from what is stored: standing and memo. Until then it is shown as
// stored.
func TestLaneGained(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.start()
	f.give(o, "crm", 0)
	l := f.laneNamed("crm")
	write := func(st spool.Standing) {
		t.Helper()
		body, err := json.Marshal(memo{Level: 90})
		if err == nil {
			err = f.spool.Apply(spool.Change{Standing: &st, StandingOf: l.spool.ID(),
				Memos: []spool.Memo{{Lane: l.spool.ID(), Body: body}}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(spool.Standing{FailedJobs: 105, DefectiveSince: time.Now()})
	if s, _ := f.desk.Target("crm"); s.Status != "Defective" || s.FailedJobs != 105 || s.Relay != "b" {
		t.Errorf("shown is %s with %d failed jobs, served by %s", s.Status, s.FailedJobs, s.Relay)
	}
	write(spool.Standing{FailedJobs: 95})
	f.give(o, "crm", 2)
	l.mu.Lock()
	level := l.memo.Level
	l.mu.Unlock()
	if l.failedJobs() != 95 || level != 90 {
		t.Errorf("it goes on with %d failed jobs, warned at %d", l.failedJobs(), level)
	}
	f.post("/v1/events/x", "body")
	f.wait("the end of the run", func() bool { return l.spool.Standing().FailedJobs == 0 })
	if s, _ := f.desk.Target("crm"); s.Relay != "a" {
		t.Errorf("served by %s", s.Relay)
	}
}

// Who does not lead beats no tick, hears those of others once each, and runs the jobs of its own
// lanes then. A job by hand is no tick.
func TestTickHeard(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	bad, other := newReceiver(t, always(500)), newReceiver(t, always(500))
	f.target("mine", bad.URL)
	f.target("theirs", other.URL)
	f.cfg.Retry.Interval = 20 * time.Millisecond
	f.start()
	f.post("/v1/events/x", "body")
	for _, name := range []string{"mine", "theirs"} {
		l := f.laneNamed(name)
		f.wait("attempt 0", func() bool { c := l.spool.Counts(); return c.Pending == 1 && c.Fresh == 0 })
	}
	f.give(o, "theirs", 0)
	beat := func(at time.Time, requests int) {
		t.Helper()
		if _, err := f.spool.Beat(at); err != nil {
			t.Fatal(err)
		}
		o.change(func() {})
		f.wait("the job", func() bool { return bad.count() == requests })
		f.wait("its end", func() bool { return !f.laneNamed("mine").jobRunning.Load() })
	}
	at := time.Now().Add(-time.Hour)
	beat(at, 2)
	beat(at.Add(time.Minute), 3)
	if _, err := f.desk.Retry(order("mine")); err != nil {
		t.Fatal(err)
	}
	f.wait("the job by hand", func() bool {
		return bad.count() == 4 && !f.laneNamed("mine").jobRunning.Load() // or the tick would be skipped
	})
	beat(at.Add(2*time.Minute), 5)
	number := f.spool.LastTick().Number
	if number != 4 {
		t.Errorf("it is tick %d; somebody else has beaten", number)
	}
	if got := bad.attempts(); !slices.Equal(got, []int{0, 1, 2, 3, 4}) || other.count() != 1 {
		t.Errorf("attempts %v here, %d there", got, other.count())
	}
	// It leads from now on: the tick that was missed is one.
	o.change(func() { o.leads = true })
	f.wait("ticks of its own", func() bool { return bad.count() >= 8 })
	if at := f.spool.LastTick().At; time.Since(at) > time.Minute {
		t.Errorf("the last tick is of %s", at)
	}
}

// The clock of a spool that never ticked begins with no tick: what has failed waits for the first.
func TestClockBegins(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	bad := newReceiver(t, always(500))
	f.target("crm", bad.URL)
	f.target("other", bad.URL, func(t *config.Target) { t.Events = []config.Pattern{"none"} })
	f.start()
	f.post("/v1/events/x", "body")
	l := f.laneNamed("crm")
	f.wait("attempt 0", func() bool { c := l.spool.Counts(); return c.Pending == 1 && c.Fresh == 0 })
	o.change(func() { o.leads = true })
	f.wait("the clock", func() bool { return !f.spool.LastTick().At.IsZero() })
	for tenure := range uint64(4) { // it has looked at what has changed, from the beginning to the end
		f.give(o, "other", 2*tenure)
	}
	f.wait("the end of any job", func() bool { return !l.jobRunning.Load() })
	if bad.count() != 1 || l.failedJobs() != 0 {
		t.Errorf("%d requests, %d failed jobs", bad.count(), l.failedJobs())
	}
}

// Whoever leads from now on goes on where the last tick was: those that were missed are one.
func TestLeadTakenOver(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	f.start()
	if _, err := f.spool.Beat(time.Now().Add(-5 * f.cfg.Retry.Interval)); err != nil {
		t.Fatal(err)
	}
	before := f.spool.LastTick().Number
	o.change(func() { o.leads = true })
	f.wait("the missed tick", func() bool { return f.spool.LastTick().Number > before })
	f.stop()
	if tick := f.spool.LastTick(); tick.Number != before+1 || time.Since(tick.At) > time.Minute {
		t.Errorf("after tick %d came %+v", before, tick)
	}
}

// A tick that began while a lane was nobody's is not lost for it; what was tried at that tick is not
// tried again.
func TestTickMissedAtTakeOver(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	bad := newReceiver(t, always(500))
	f.target("crm", bad.URL)
	f.start()
	f.post("/v1/events/x", "body")
	l := f.laneNamed("crm")
	f.wait("attempt 0", func() bool { c := l.spool.Counts(); return c.Pending == 1 && c.Fresh == 0 })
	f.give(o, "crm", 0)
	if _, err := f.spool.Beat(time.Now()); err != nil {
		t.Fatal(err)
	}
	f.give(o, "crm", 2)
	f.wait("the job of that tick", func() bool { return bad.count() == 2 && !l.jobRunning.Load() })
	f.give(o, "crm", 0)
	f.give(o, "crm", 3)
	f.wait("the end of any job", func() bool { return !l.jobRunning.Load() })
	if bad.count() != 2 || l.failedJobs() != 1 {
		t.Errorf("%d requests, %d failed jobs", bad.count(), l.failedJobs())
	}
}

// Notices are paid by whoever has the lane, those of the spool by whoever leads, and none that the
// relay before has paid.
func TestNoticesOfOthers(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	inbox := newReceiver(t, always(200))
	good := newReceiver(t, always(200))
	f.target("mine", good.URL)
	f.target("theirs", good.URL)
	u, err := url.Parse(inbox.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.Alert.Webhook = config.Webhook{URL: u, Timeout: 5 * time.Second}
	f.start()
	f.give(o, "theirs", 0)
	owe := func(lane spool.LaneID, episode uint64, target string) {
		t.Helper()
		body := fmt.Sprintf(`{"kind":"defect","target":%q,"id":"%d"}`, target, episode)
		if err := f.spool.Apply(spool.Change{Owe: []spool.Notice{{Lane: lane, Episode: episode,
			Way: uint8(byPost), Body: []byte(body)}}}); err != nil {
			t.Fatal(err)
		}
	}
	theirs := f.laneNamed("theirs").spool.ID()
	owe(f.laneNamed("mine").spool.ID(), 1, "mine")
	owe(theirs, 2, "theirs")
	owe(theirs, 3, "theirs")
	owe(spool.SpoolItself, 4, "")
	owed := func() (episodes []uint64) {
		t.Helper()
		notices, err := f.spool.Notices()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range notices {
			episodes = append(episodes, n.Episode)
		}
		return episodes
	}
	f.wakePayers()
	f.wait("its own", func() bool { return len(owed()) == 3 })
	o.change(func() { o.leads = true })
	f.wait("the spool's", func() bool { return len(owed()) == 2 })
	f.give(o, "theirs", 5)
	f.wait("the question", func() bool { return slices.Contains(o.questions(), "accounts ") })
	if n := inbox.count(); n != 2 || len(owed()) != 2 {
		t.Errorf("%d were sent although b does not say what it has", n)
	}
	o.change(func() {
		o.b = func(q *peers.Question) (any, error) {
			if q.Verb != peers.Accounts || q.Lane != theirs {
				return nil, fmt.Errorf("asked %+v", q)
			}
			return []uint64{2}, nil
		}
	})
	f.wakePayers()
	f.wait("the rest", func() bool { return len(owed()) == 0 })
	if inbox.count() != 3 || strings.Contains(strings.Join(inbox.bodies, " "), `"id":"2"`) {
		t.Errorf("sent were %q", inbox.bodies)
	}
}

// A relay tells whoever has a lane now what it has paid since it had the lane itself, and waits for
// the conversation that is under way.
func TestAccounts(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	inbox, open := newGate(t, 200)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	u, err := url.Parse(inbox.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.Alert.Webhook = config.Webhook{URL: u, Timeout: 20 * time.Second}
	f.start()
	lane := f.laneNamed("crm").spool.ID()
	if err := f.spool.Apply(spool.Change{Owe: []spool.Notice{{Lane: lane, Episode: 9,
		Way: uint8(byPost), Body: []byte(`{"kind":"defect","target":"crm"}`)}}}); err != nil {
		t.Fatal(err)
	}
	f.wakePayers()
	p := f.payers[byPost]
	f.wait("the conversation", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.ended != nil
	})
	f.give(o, "crm", 0)
	told := make(chan []uint64, 1)
	go func() { told <- p.accounts(t.Context(), lane) }()
	open()
	if got := <-told; !slices.Equal(got, []uint64{9}) {
		t.Errorf("told are %v", got)
	}
	if got := p.accounts(t.Context(), lane); got != nil {
		t.Errorf("told again are %v", got)
	}
}

// gauges are the series of a target that the owner alone has, counters those of every relay.
func (f *fixture) series(name, target string) (values []float64) {
	f.t.Helper()
	families, err := f.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			of := target == ""
			for _, label := range m.GetLabel() {
				of = of || label.GetName() == "target" && label.GetValue() == target
			}
			if of && family.GetName() == prefix+name {
				values = append(values, m.GetGauge().GetValue()+m.GetCounter().GetValue())
			}
		}
	}
	return values
}

// The gauges of a target are its owner's, so that their sum over all relays is right; what is
// counted here stays here.
func TestMetricsOfOthers(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.target("erp", good.URL)
	f.start()
	f.post("/v1/events/x", "body")
	f.wait("both", func() bool { return good.count() == 2 })
	gauges := []string{"deliveries_pending", "deliveries_exhausted", "target_status",
		"delivery_oldest_pending_timestamp_seconds", "target_consecutive_failed_jobs",
		"target_tls_expiry_timestamp_seconds", "target_held_until_timestamp_seconds",
		"deliveries_expired"}
	check := func(there int, owned float64) {
		t.Helper()
		for _, name := range gauges {
			if got := f.series(name, "crm"); len(got) != there {
				t.Errorf("%s of a target has %v", name, got)
			}
			if got := f.series(name, "erp"); len(got) != 1 {
				t.Errorf("%s of the other one has %v", name, got)
			}
		}
		total := 0.0
		for _, v := range f.series("attempts_total", "crm") {
			total += v
		}
		if total != 1 {
			t.Errorf("%g attempts are counted", total)
		}
		if got := f.series("lanes_owned", ""); len(got) != 1 || got[0] != owned {
			t.Errorf("it owns %v", got)
		}
	}
	f.wait("the count", func() bool { return len(f.series("attempts_total", "crm")) > 0 })
	check(1, 2)
	f.give(o, "crm", 0)
	check(0, 1)
	f.give(o, "crm", 2)
	check(1, 2)
	if got := f.series("target_status", "crm"); len(got) != 1 || got[0] != float64(Enabled) {
		t.Errorf("its status is %v", got)
	}
	for name, want := range map[string]float64{"relays": 2, "relay_leads": 0, "config_differs": 0} {
		if got := f.series(name, ""); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %v", name, got)
		}
	}
}

// Lanes that other relays make are met, and forgotten with them. A target of the config whose lane
// was forgotten elsewhere has another one.
func TestLanesOfOthers(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.start()
	s, err := f.spool.Lane("new")
	if err != nil {
		t.Fatal(err)
	}
	o.change(func() {})
	f.wait("the new lane", func() bool { return f.laneNamed("new") != nil })
	if err := f.spool.Forget(s); err != nil {
		t.Fatal(err)
	}
	o.change(func() {})
	f.wait("its end", func() bool { return f.laneNamed("new") == nil })
	old := f.laneNamed("crm")
	f.give(o, "crm", 0)
	if err := f.spool.Forget(old.spool); err != nil {
		t.Fatal(err)
	}
	o.change(func() {})
	f.wait("another lane", func() bool { l := f.laneNamed("crm"); return l != nil && l != old })
	f.post("/v1/events/x", "body")
	f.wait("its delivery", func() bool { return good.count() == 1 })
	if got := f.series("target_status", "crm"); len(got) != 1 {
		t.Errorf("its status is %v", got)
	}
}

// What the relays are is in the status, another config after a while; a relay says anew what it is
// when it has reloaded.
func TestStatusOfOthers(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.target("erp", good.URL)
	f.start()
	f.give(o, "crm", 0)
	if err := f.apply(f.setup.Load().cfg); err != nil {
		t.Fatal(err)
	}
	unlock := o.locked()
	said := o.said
	o.relays[1].Note = peers.Note{Version: "9", Config: "another", Admin: "b:1"}.Encode()
	o.relays[1].Ahead = time.Hour + time.Second
	unlock()
	if said.Version != "test" || len(said.Config) != 64 || said.Admin == "" || said.Started.IsZero() {
		t.Errorf("it says %+v", said)
	}
	later := time.Now().Add(2 * peers.DriftPatience)
	f.company.Compare(time.Now(), time.Hour)
	f.company.Compare(later, time.Hour)
	s := f.desk.Status()
	if len(s.Relays) != 2 {
		t.Fatalf("the relays are %+v", s.Relays)
	}
	if a := s.Relays[0]; a.Name != "a" || a.Version != "test" || a.Lanes != 1 || a.Leads ||
		a.Admin != s.Admin || a.ConfigDiffers {
		t.Errorf("a is %+v", a)
	}
	if b := s.Relays[1]; b.Name != "b" || b.Version != "9" || b.Lanes != 1 || !b.Leads ||
		!b.ConfigDiffers || b.ClockAhead != 3601 || b.Admin != "b:1" || b.SeenAgo < 0 {
		t.Errorf("b is %+v", b)
	}
	if got := f.series("config_differs", ""); len(got) != 1 || got[0] != 1 {
		t.Errorf("the metric is %v", got)
	}
	var target admin.Target
	f.api("GET", "/v1/targets/erp", &target)
	if target.Relay != "a" {
		t.Errorf("erp is served by %q", target.Relay)
	}
}

// Without a majority a relay is not ready, and refuses with a word that means wait.
func TestAway(t *testing.T) {
	t.Parallel()
	f, o := inCompany(t)
	f.start()
	if err := (peers.Entrance{Spool: f.spool, Company: f.company}).Admit(1); err != nil {
		t.Errorf("it does not admit: %v", err)
	}
	o.change(func() { o.away = fmt.Errorf("%w: no majority for 3s", engine.ErrUnavailable) })
	if got := f.Unready(); len(got) != 1 || !strings.Contains(got[0], "no majority for 3s") {
		t.Errorf("unready: %v", got)
	}
	err := (peers.Entrance{Spool: f.spool, Company: f.company}).Admit(1)
	if !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("it admits: %v", err)
	}
}
