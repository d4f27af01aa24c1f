package relay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// wanting is a resolver that lacks a descriptor until it is told otherwise.
type wanting struct {
	lacks   atomic.Bool
	lookups atomic.Int64
}

// LookupNetIP finds every name on this machine.
func (w *wanting) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	w.lookups.Add(1)
	if w.lacks.Load() {
		return nil, &wantOfSocket{}
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
}

type wantOfSocket struct{}

func (*wantOfSocket) Error() string { return "socket: too many open files" }
func (*wantOfSocket) Unwrap() error { return syscall.EMFILE }

// starve gives a running lane a client that has to ask w for the address of its target.
func (f *fixture) starve(name string, w *wanting) *lane {
	f.t.Helper()
	l := f.laneNamed(name)
	before := l.work.Load()
	target := *before.target
	u := *target.URL
	u.Host = "crm.localhost:" + u.Port()
	o, err := AttemptOptions(&target, "test")
	if err != nil {
		f.t.Fatal(err)
	}
	o.URL, o.Resolver = &u, w
	client, err := attempt.NewClient(o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(client.Close)
	w.lacks.Store(true)
	l.work.Store(&work{target: before.target, client: client})
	return l
}

// wantUncharged asserts that nothing is held against a target.
func (f *fixture) wantUncharged(l *lane) {
	f.t.Helper()
	for k := attempt.Success; k < attempt.Aborted; k++ {
		if n := counted(l.m().attempts[k]); n != 0 && k != attempt.Success {
			f.t.Errorf("%g attempts with outcome %s", n, k)
		}
	}
	c := l.spool.Counts()
	if n := counted(l.m().jobs[false]); n != 0 || l.failedJobs() != 0 ||
		c.Exhausted != 0 || !c.LastFailure.IsZero() {
		f.t.Errorf("%g failed jobs, %d in a row, %+v", n, l.failedJobs(), c)
	}
}

// A live attempt that finds no descriptor is made again by the same worker until there is one: as
// attempt 0, without a tick, and nobody is charged.
func TestWantIsWaitedOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.start()
	w := new(wanting)
	l := f.starve("crm", w)
	f.post("/v1/events/x", "body")
	f.wait("three tries", func() bool { return w.lookups.Load() >= 3 })
	if n := counted(l.m().withheld); n < 2 {
		t.Errorf("%g attempts were withheld", n)
	}
	if c := l.spool.Counts(); c.Fresh != 1 || good.count() != 0 || l.slots.InUse() != 1 {
		t.Errorf("%+v, %d requests, %d slots", c, good.count(), l.slots.InUse())
	}
	w.lacks.Store(false)
	f.wait("the delivery", func() bool { return l.spool.Counts().Delivered == 1 })
	if got := good.attempts(); len(got) != 1 || got[0] != 0 {
		t.Errorf("attempts %v", got)
	}
	f.wantUncharged(l)
}

// A worker has patience, but not for ever: then the delivery waits for a tick with the attempts it
// had, through a restart, and what is sent in the end is attempt 0.
func TestWantOutlastsPatience(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Retry.StopJobAfter = 2
	f.cfg.Defect.AfterFailedJobs = 3
	var log lockedBuffer
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.start()
	f.log = slog.New(slog.NewTextHandler(&log, nil))
	f.patience = 0
	w := new(wanting)
	l := f.starve("crm", w)
	const events = 6
	for range events {
		f.post("/v1/events/x", "body")
	}
	waits := func() bool { c := l.spool.Counts(); return c.Fresh == 0 && c.Pending == events }
	f.wait("all to wait for a tick", waits)
	for range 8 {
		before := w.lookups.Load()
		f.runTick()
		// no end by stop_job_after: every delivery was looked at
		if n := w.lookups.Load() - before; n != events {
			t.Fatalf("a job made %d attempts; want %d", n, events)
		}
		f.synced()
	}
	f.wantUncharged(l)
	if l.status() != Enabled || !waits() {
		t.Errorf("%s, %+v", l.status(), l.spool.Counts())
	}
	if n := counted(l.m().jobs[true]); n != 0 {
		t.Errorf("%g jobs succeeded", n)
	}
	if n := strings.Count(log.String(), "attempts are withheld"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
	f.restart()
	l = f.laneNamed("crm")
	f.runTick()
	f.wait("the deliveries", func() bool { return l.spool.Counts().Delivered == events })
	for _, n := range good.attempts() {
		if n != 0 {
			t.Errorf("attempts %v", good.attempts())
			break
		}
	}
}

// A job that makes some attempts and cannot make others is judged by those that it made.
func TestJobWithSomeWithheld(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad := newReceiver(t, always(500))
	f.target("crm", bad.URL, func(t *config.Target) { t.Concurrency = 1 })
	f.start()
	f.post("/v1/events/x", "one")
	f.post("/v1/events/x", "two")
	l := f.laneNamed("crm")
	f.wait("both live attempts", func() bool { return l.spool.Counts().Fresh == 0 })
	w := new(wanting)
	f.patience = 0
	l = f.starve("crm", w)
	f.runTick()
	if l.failedJobs() != 0 || bad.count() != 2 {
		t.Errorf("%d failed jobs, %d requests", l.failedJobs(), bad.count())
	}
	w.lacks.Store(false)
	f.synced()
	f.runTick()
	if l.failedJobs() != 1 || bad.count() != 4 {
		t.Errorf("%d failed jobs, %d requests", l.failedJobs(), bad.count())
	}
	for i, n := range bad.attempts() {
		if n != i/2 {
			t.Errorf("attempts %v", bad.attempts())
			break
		}
	}
}

// What waits for a want is in nobody's way: pausing gives the slot back, stopping does not wait.
func TestWantAndLeaving(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.start()
	w := new(wanting)
	l := f.starve("crm", w)
	f.post("/v1/events/x", "one")
	f.wait("a try", func() bool { return w.lookups.Load() > 0 })
	if err := l.hold(true, ""); err != nil {
		t.Fatal(err)
	}
	f.wait("the slot", func() bool { return l.slots.InUse() == 0 })
	f.wait("the exception", func() bool { c := l.spool.Counts(); return c.Fresh == 0 && c.Pending == 1 })
	if err := l.hold(false, ""); err != nil {
		t.Fatal(err)
	}
	tries := w.lookups.Load()
	f.post("/v1/events/x", "two")
	f.wait("another try", func() bool { return w.lookups.Load() > tries+3 })
	began := time.Now()
	f.restart()
	if took := time.Since(began); took > f.cfg.Server.DrainTimeout+10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	l = f.laneNamed("crm")
	f.wait("what was cut off", func() bool { return good.count() == 1 })
	f.runTick()
	f.wait("both", func() bool { return l.spool.Counts().Delivered == 2 })
	if got := good.attempts(); got[0] != 0 || got[1] != 0 {
		t.Errorf("attempts %v", got)
	}
}

// An event that cannot be sent, which an older spool may hold, costs its target nothing: it waits,
// is shown with its reason under the number that it was to have, and is never exhausted by us.
func TestUnsendable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Retry.MaxAttempts = 2
	f.cfg.Defect.AfterFailedJobs = 3
	f.cfg.Retry.StopJobAfter = 1
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.start()
	l := f.laneNamed("crm")
	d := &spool.Draft{ID: "evil", Given: true, Type: "x", Payload: []byte("body"), At: f.tick,
		Headers: []spool.Header{{Name: "ce-a b", Value: "v"}}}
	f.setup.Load().fanout.Judge(d, accept.Inside{})
	if err := f.spool.Append(d); err != nil {
		t.Fatal(err)
	}
	f.wait("the refusal", func() bool { c := l.spool.Counts(); return c.Fresh == 0 && c.Pending == 1 })
	for range 10 {
		f.runTick()
		f.synced()
	}
	f.wantUncharged(l)
	if c := l.spool.Counts(); c.Pending != 1 || l.status() != Enabled || good.count() != 0 {
		t.Errorf("%+v, %s, %d requests", c, l.status(), good.count())
	}
	if n := counted(l.m().withheld); n != 11 {
		t.Errorf("%g attempts were withheld; want 11", n)
	}
	e, err := f.Event("evil")
	if err != nil {
		t.Fatal(err)
	}
	at := e.Deliveries[0]
	if at.State != "pending" || at.Attempts != 0 || at.FirstFailure != nil || at.LastAttempt != nil ||
		!strings.Contains(at.LastError, "cannot send request: the event's header") {
		t.Errorf("shown as %+v", at)
	}
	made, err := f.Attempts("evil", "")
	if err != nil {
		t.Fatal(err)
	}
	last := made.Attempts[len(made.Attempts)-1]
	if last.Outcome != "withheld" || last.Attempt != 0 || last.Duration != 0 || made.KeptFrom != 0 ||
		!strings.Contains(last.Error, "cannot send request") {
		t.Errorf("attempts %+v", made)
	}
	if p50 := describe(l).LatencyP50; p50 != nil {
		t.Errorf("latency %g of no request", *p50)
	}
	// its neighbours go out
	f.post("/v1/events/x", "body")
	f.wait("the next event", func() bool { return good.count() == 1 })
}

// A sample that could not be sent, or was cut off, is no sample.
func TestWithheldSample(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.start()
	w := new(wanting)
	f.starve("crm", w)
	out, err := f.Sample(context.Background(), "crm", admin.SampleQuery{})
	if err != nil || out.Outcome != "withheld" || out.Acknowledged ||
		!strings.Contains(out.Error, "no file descriptor left") {
		t.Errorf("%+v, %v", out, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if out, err = f.Sample(ctx, "crm", admin.SampleQuery{}); err != nil || out.Outcome != "aborted" {
		t.Errorf("%+v, %v", out, err)
	}
}

// A log that cannot be read for a moment is read again without another event.
func TestFetchFailsForAMoment(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	var fails atomic.Int64
	f.made = func(r *Relay) {
		l := r.laneNamed("crm")
		l.fetch = func(most int) ([]*spool.Event, error) {
			if l.spool.Counts().Fresh > 0 && fails.Add(1) <= 2 {
				return nil, &wantOfSocket{}
			}
			return l.spool.Fetch(most)
		}
	}
	f.start()
	f.post("/v1/events/x", "body")
	f.wait("the delivery", func() bool { return good.count() == 1 })
	f.wantUncharged(f.laneNamed("crm"))
}

// synced waits until what was handed to the spool is on disk.
func (f *fixture) synced() {
	f.t.Helper()
	if err := f.spool.Apply(spool.Change{}); err != nil {
		f.t.Fatal(err)
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// counted is the value of a counter, or how much was observed by a histogram.
func counted(c prometheus.Metric) float64 {
	var out dto.Metric
	if err := c.Write(&out); err != nil {
		panic(err)
	}
	return out.GetCounter().GetValue() + float64(out.GetHistogram().GetSampleCount())
}

// locked is a credential that is not to be had until it is told otherwise.
type locked struct {
	open  atomic.Bool
	asked atomic.Int64
}

func (l *locked) Authorization(context.Context, time.Time) (string, error) {
	l.asked.Add(1)
	if !l.open.Load() {
		return "", errors.New("the token server is away")
	}
	return "Bearer token-of-today", nil
}

func (*locked) Refused(string, int) {}

func (*locked) Secrets() []string { return nil }

// lock gives the attempts of a lane a credential.
func (f *fixture) lock(l *lane, cred attempt.Credential) {
	f.t.Helper()
	before := l.work.Load()
	o, err := AttemptOptions(before.target, "test")
	if err != nil {
		f.t.Fatal(err)
	}
	o.Credential = cred
	client, err := attempt.NewClient(o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(client.Close)
	l.work.Store(&work{target: before.target, client: client})
}

// A job for whose attempts there is no credential ends as early as one whose target cannot be
// reached, is not counted, and tells the operator why until a request is made again.
func TestNoCredentialEndsJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Retry.StopJobAfter = 2
	good := newReceiver(t, always(200))
	f.target("crm", good.URL, func(t *config.Target) { t.Concurrency = 1 })
	f.start()
	l, cred := f.laneNamed("crm"), new(locked)
	f.lock(l, cred)
	const events = 6
	for range events {
		f.post("/v1/events/x", "body")
	}
	f.wait("the exceptions", func() bool { return l.spool.Counts().Fresh == 0 })
	f.synced()
	cred.asked.Store(0)
	f.runTick()
	f.wait("the job", func() bool { return cred.asked.Load() > 0 && !l.jobRunning.Load() })
	if n := cred.asked.Load(); n > 3 { // one may be on its way
		t.Errorf("a job of %d deliveries asked %d times for a credential", events, n)
	}
	f.synced()
	f.wantUncharged(l)
	shown := func() string {
		var target admin.Target
		f.api("GET", "/v1/targets/crm", &target)
		if target.LastError == nil {
			return ""
		}
		return *target.LastError
	}
	if got := shown(); !strings.Contains(got, "the token server is away") {
		t.Errorf("the last error is %q", got)
	}
	cred.open.Store(true)
	f.runTick()
	f.wait("the deliveries", func() bool { return l.spool.Counts().Delivered == events })
	if got := shown(); got != "" {
		t.Errorf("the last error is still %q", got)
	}
}

// Without a credential no attempt is made: nobody is charged, the delivery waits for a tick, not for
// a worker, its history says why, and it goes out as attempt 0 once there is one.
func TestNoCredential(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.start()
	l, cred := f.laneNamed("crm"), new(locked)
	f.lock(l, cred)
	_, event := f.post("/v1/events/x", "body")
	f.wait("the exception", func() bool { c := l.spool.Counts(); return c.Fresh == 0 && c.Pending == 1 })
	if l.slots.InUse() != 0 || counted(l.m().attempts[attempt.Auth]) != 1 ||
		counted(l.m().withheld) != 0 {
		t.Errorf("%d slots, %g without a token, %g withheld", l.slots.InUse(),
			counted(l.m().attempts[attempt.Auth]), counted(l.m().withheld))
	}
	f.runTick()
	f.synced()
	f.wantUncharged(l)
	list, err := f.Attempts(event["id"].(string), "")
	if err != nil || len(list.Attempts) == 0 || list.Attempts[0].Outcome != "auth" ||
		list.Attempts[0].Attempt != 0 || list.KeptFrom != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	cred.open.Store(true)
	f.runTick()
	f.wait("the delivery", func() bool { return l.spool.Counts().Delivered == 1 })
	if got := good.attempts(); len(got) != 1 || got[0] != 0 {
		t.Errorf("attempts %v", got)
	}
	if got := good.requests[0].Header.Get("Authorization"); got != "Bearer token-of-today" {
		t.Errorf("sent %q", got)
	}
}
