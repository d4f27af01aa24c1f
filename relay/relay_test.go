package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// testPatience is how long tests wait for what takes milliseconds on a quiet machine: only a failure
// waits that long.
const testPatience = 2 * time.Minute

// fixture is a relay whose clock only moves by hand: its interval is an hour, ticks are calls.
type fixture struct {
	desk
	t    testing.TB
	cfg  config.Config
	stop func()
	tick time.Time
	now  func() time.Time // nil: the clock of the machine
	// made, when set, gets a relay that does not run yet.
	made func(*Relay)
}

// target adds a target with a URL to the config.
func (f *fixture) target(name, address string, change ...func(*config.Target)) {
	u, err := url.Parse(address)
	if err != nil {
		f.t.Fatal(err)
	}
	t := config.DefaultTarget(name)
	t.URL, t.Events, t.Timeout = u, []config.Pattern{"*"}, 2*time.Second
	for _, c := range change {
		c(&t)
	}
	f.cfg.Targets = append(f.cfg.Targets, t)
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{t: t, cfg: config.Default(), tick: time.Now()}
	f.cfg.Server.Listen = []string{"127.0.0.1:0"}
	f.cfg.Server.AdminListen = "127.0.0.1:0"
	f.cfg.Server.DrainTimeout = 2 * time.Second
	f.cfg.Server.ReloadCheck = 0
	f.cfg.Spool.Dir = t.TempDir() + "/spool"
	f.cfg.Spool.MinFreeDisk = 0
	f.cfg.Retry.Interval = time.Hour
	return f
}

// start runs the relay; the test's end stops it.
func (f *fixture) start() {
	f.t.Helper()
	r, err := New(Options{Config: &f.cfg, Version: "test", Now: f.now,
		Log: slog.New(slog.NewTextHandler(testWriter{f.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		f.t.Fatal(err)
	}
	f.desk = desk{r}
	if f.made != nil {
		f.made(r)
	}
	ready := make(chan struct{})
	r.OnReady(func() { close(ready) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	<-ready
	var once sync.Once
	f.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				f.t.Errorf("stopping: %v", err)
			}
		})
	}
	f.t.Cleanup(f.stop)
}

func (f *fixture) restart() {
	f.t.Helper()
	f.stop()
	f.start()
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// post sends one event and returns status and answer.
func (f *fixture) post(path, body string, headers ...string) (int, map[string]any) {
	f.t.Helper()
	events, _ := f.Addresses()
	req, err := http.NewRequest("POST", "http://"+events[0]+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		f.t.Fatalf("the answer %q is not JSON: %v", text, err)
	}
	return res.StatusCode, out
}

// runTick lets one tick happen and waits until its jobs are over.
func (f *fixture) runTick() {
	f.t.Helper()
	f.tick = f.tick.Add(time.Hour)
	if err := f.Tick(f.tick); err != nil {
		f.t.Fatal(err)
	}
	f.wait("the tick's jobs", func() bool {
		for _, l := range f.allLanes() {
			if l.jobRunning.Load() {
				return false
			}
		}
		return true
	})
}

func (f *fixture) wait(what string, done func() bool) {
	f.t.Helper()
	waitFor(f.t, what, done)
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(testPatience)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// receiver answers what its function says and remembers what came.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	status   func(n int) int
}

func newReceiver(t *testing.T, status func(n int) int) *receiver {
	r := &receiver{status: status}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		n := len(r.requests)
		r.requests = append(r.requests, q)
		r.bodies = append(r.bodies, string(body))
		code := r.status(n)
		r.mu.Unlock()
		w.WriteHeader(code)
	}))
	t.Cleanup(r.Close)
	return r
}

func always(code int) func(int) int { return func(int) int { return code } }

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}

func (r *receiver) attempts() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []int
	for _, q := range r.requests {
		n, err := strconv.Atoi(q.Header.Get("webhook-attempt"))
		if err != nil {
			n = -1
		}
		out = append(out, n)
	}
	return out
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL+"/hook?x=1")
	f.start()
	code, got := f.post("/v1/events", `{"eventType":"message","waId":"1"}`, "Content-Type",
		"application/json")
	if code != 200 || got["duplicate"] != false || fmt.Sprint(got["targets"]) != "[crm]" {
		t.Fatalf("got %d %v", code, got)
	}
	f.wait("the delivery", func() bool { return good.count() == 1 })
	q := good.requests[0]
	for name, want := range map[string]string{
		"webhook-id": got["id"].(string), "webhook-attempt": "0", "webhook-event-type": "message",
		"webhook-session": "inactive", "Content-Type": "application/json",
		"User-Agent": "hookspool/test",
	} {
		if q.Header.Get(name) != want {
			t.Errorf("header %s is %q; want %q", name, q.Header.Get(name), want)
		}
	}
	if good.bodies[0] != `{"eventType":"message","waId":"1"}` || q.URL.String() != "/hook?x=1" {
		t.Errorf("got body %q at %s", good.bodies[0], q.URL)
	}
	l := f.laneNamed("crm")
	f.wait("the settling", func() bool { return l.spool.Counts().Pending == 0 })
}

// A dead target sees exactly 145 requests, with attempts 0 to 144, also across restarts.
func TestExhaust(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad := newReceiver(t, always(500))
	f.target("dead", bad.URL)
	f.start()
	f.post("/v1/events/x", "body")
	f.wait("attempt 0", func() bool { return bad.count() == 1 })
	l := f.laneNamed("dead")
	f.wait("its settling", func() bool { c := l.spool.Counts(); return c.Pending == 1 && c.Fresh == 0 })
	for n := range 150 {
		if n == 40 || n == 100 {
			f.restart()
		}
		f.runTick()
	}
	got := bad.attempts()
	if len(got) != 145 {
		t.Fatalf("got %d requests; want 145", len(got))
	}
	for i, n := range got {
		if n != i {
			t.Fatalf("request %d has attempt %d", i, n)
		}
	}
	c := f.laneNamed("dead").spool.Counts()
	if c.Pending != 0 || c.Exhausted != 1 {
		t.Errorf("got %d pending, %d exhausted; want 0, 1", c.Pending, c.Exhausted)
	}
}

// The 101st failed job in a row makes a target Defective, the first success Enabled again.
func TestDefect(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	healed := false
	bad := newReceiver(t, func(int) int {
		if healed {
			return 200
		}
		return 503
	})
	f.target("erp", bad.URL)
	f.start()
	f.post("/v1/events/x", "first")
	l := f.laneNamed("erp")
	f.wait("attempt 0", func() bool { c := l.spool.Counts(); return c.Pending == 1 && c.Fresh == 0 })
	for range 60 {
		f.runTick()
	}
	f.restart()
	l = f.laneNamed("erp")
	for range 40 {
		f.runTick()
	}
	if l.status() != Enabled || l.failedJobs() != 100 {
		t.Fatalf("after 100 failed jobs: %v, %d", l.status(), l.failedJobs())
	}
	f.runTick()
	if l.status() != Defective || l.failedJobs() != 101 {
		t.Fatalf("after 101 failed jobs: %v, %d", l.status(), l.failedJobs())
	}
	before := bad.count()
	for i := range 50 {
		f.post("/v1/events/x", fmt.Sprint("later ", i))
	}
	if c := l.spool.Counts(); c.Pending != 51 {
		t.Errorf("%d deliveries are pending; want 51", c.Pending)
	}
	if n := bad.count() - before; n > 1 {
		t.Errorf("%d live attempts went to a Defective target; want at most one", n)
	}
	bad.mu.Lock()
	healed = true
	bad.mu.Unlock()
	f.runTick()
	f.wait("the drain", func() bool { return l.spool.Counts().Pending == 0 })
	if l.status() != Enabled || l.failedJobs() != 0 {
		t.Errorf("after a success: %v, %d", l.status(), l.failedJobs())
	}
	seen := make(map[string]bool)
	for _, b := range bad.bodies[before:] {
		if seen[b] {
			t.Errorf("%q was delivered twice", b)
		}
		seen[b] = true
	}
	if len(seen) != 51 {
		t.Errorf("%d events were delivered; want 51", len(seen))
	}
}

// One delivery that always fails beside healthy ones never makes a target Defective.
func TestPoison(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Defect.AfterFailedJobs = 3
	poison := newReceiver(t, nil)
	poison.status = func(n int) int {
		if poison.bodies[n] == "poison" {
			return 400
		}
		return 200
	}
	f.target("crm", poison.URL)
	f.start()
	f.post("/v1/events", "poison")
	l := f.laneNamed("crm")
	f.wait("attempt 0", func() bool { c := l.spool.Counts(); return c.Pending == 1 && c.Fresh == 0 })
	for i := range 10 {
		f.runTick()
		f.post("/v1/events", fmt.Sprint(i))
		f.wait("the healthy delivery", func() bool { return l.spool.Counts().Pending == 1 })
	}
	if l.status() != Enabled {
		t.Errorf("the target is %v", l.status())
	}
}

// A job on a target that cannot be reached ends early, and what it did not try is not charged.
func TestStopJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Retry.StopJobAfter = 5
	f.cfg.Defect.AfterFailedJobs = 0
	f.target("gone", "http://127.0.0.1:1/")
	f.start()
	for i := range 40 {
		f.post("/v1/events", fmt.Sprint(i))
	}
	l := f.laneNamed("gone")
	f.wait("attempt 0", func() bool { return l.spool.Counts().Fresh == 0 })
	f.runTick()
	if l.status() != Defective {
		t.Fatalf("the target is %v; want Defective after its first failed job", l.status())
	}
	tried := 0
	list, _, err := look.List(l.r.spool, look.Listing{Lane: l.spool.ID(),
		State: spool.StatePending, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if d.Places[0].Attempts == 2 {
			tried++
		}
	}
	most := 5 + l.target().Concurrency
	if len(list) != 40 || tried < 5 || tried > most {
		t.Errorf("%d of %d deliveries were tried again; want 5 to %d", tried, len(list), most)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.start()
	if err := f.Pause(order("crm")); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		f.post("/v1/events", fmt.Sprint(i))
	}
	f.restart()
	f.runTick()
	l := f.laneNamed("crm")
	if good.count() != 0 || l.spool.Counts().Pending != 5 || l.status() != Paused {
		t.Fatalf("%d requests, %d pending, %v", good.count(), l.spool.Counts().Pending, l.status())
	}
	if err := f.Resume(order("crm")); err != nil {
		t.Fatal(err)
	}
	f.wait("the deliveries", func() bool { return l.spool.Counts().Pending == 0 })
	if strings.Join(good.bodies, "") == "" || good.count() != 5 {
		t.Errorf("got %v", good.bodies)
	}
}

func TestRefusalsOfAccept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Server.MaxBodySize = 1000
	f.cfg.Server.EventToken = "sesame"
	f.target("crm", "http://127.0.0.1:1/")
	f.start()
	token := []string{"Authorization", "Bearer sesame"}
	check := func(code int, reason, path, body string, headers ...string) {
		t.Helper()
		status, got := f.post(path, body, append(headers, token...)...)
		if status != code || got["code"] != reason {
			t.Errorf("POST %s %.20q %v: got %d %v; want %d %s", path, body, headers, status, got, code,
				reason)
		}
	}
	long := strings.Repeat("x", 300)
	check(400, "malformed", "/v1/events/"+long, "x")
	check(400, "malformed", "/v1/events/", "x")
	check(400, "malformed", "/v1/events/a%0ab", "x")
	check(400, "malformed", "/v1/events", "x", "webhook-id", "a.b")
	check(400, "malformed", "/v1/events", `{"eventType":"`+long+`"}`)
	check(404, "not_found", "/v1/events/a/b", "x")
	check(404, "not_found", "/", "x")
	check(413, "too_large", "/v1/events", strings.Repeat("x", 1001))
	check(415, "unsupported_media_type", "/v1/events", "x", "Content-Encoding", "gzip")
	check(415, "unsupported_media_type", "/v1/events", "x", "Content-Type",
		"application/cloudevents+avro")
	check(400, "malformed", "/v1/events", "{}", "Content-Type", "application/cloudevents+json")
	check(400, "malformed", "/v1/events", "{}", "ce-specversion", "1.0", "ce-id", "1")
	check(400, "malformed", "/v1/events", "{}\n{]\n{}\n", "Content-Type", "application/x-ndjson")
	check(413, "too_large", "/v1/events", strings.Repeat("{}\n", 6000), "Content-Type",
		"application/x-ndjson")
	token = nil
	check(401, "unauthorized", "/v1/events", "x")
	token = []string{"Authorization", "Bearer sesam"}
	check(401, "unauthorized", "/v1/events", "x")
	if n := f.laneNamed("crm").spool.Counts().Pending; n != 0 {
		t.Errorf("%d deliveries were spooled by refused requests", n)
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL)
	f.start()
	lines := "{\"eventType\":\"a\"}\n\n{\"eventType\":\"b\"}\r\n{}"
	send := func() []any {
		t.Helper()
		code, got := f.post("/v1/events", lines, "Content-Type", "application/x-ndjson",
			"Idempotency-Key", "k")
		if code != 200 {
			t.Fatalf("got %d %v", code, got)
		}
		return got["events"].([]any)
	}
	first := send()
	if len(first) != 3 {
		t.Fatalf("got %v", first)
	}
	f.wait("the deliveries", func() bool { return good.count() == 3 })
	for _, e := range send() {
		if e.(map[string]any)["duplicate"] != true {
			t.Errorf("sent again: %v", e)
		}
	}
	lines = "{}\n{\"eventType\":\"c\"}"
	code, got := f.post("/v1/events", lines, "Content-Type", "application/x-ndjson",
		"Idempotency-Key", "k")
	if code != 409 || fmt.Sprint(got["lines"]) != "[1]" {
		t.Errorf("another body under the same key: %d %v", code, got)
	}
	ce := `[{"specversion":"1.0","id":"1","source":"s","type":"t.x", "data":{"a":1}} ,
		{"specversion":"1.0","id":"2","source":"s","type":"t.y"}]`
	code, got = f.post("/v1/events", ce, "Content-Type", "application/cloudevents-batch+json")
	if code != 200 || len(got["events"].([]any)) != 2 {
		t.Fatalf("got %d %v", code, got)
	}
	f.wait("the CloudEvents", func() bool { return good.count() == 5 })
	good.mu.Lock()
	defer good.mu.Unlock()
	for i, q := range good.requests[3:] {
		if q.Header.Get("Content-Type") != "application/cloudevents+json" {
			t.Errorf("got content type %q", q.Header.Get("Content-Type"))
		}
		if !strings.Contains(ce, good.bodies[3+i]) {
			t.Errorf("%q is not a part of the batch", good.bodies[3+i])
		}
	}
}

// What is not spooled uses up nothing of the budget, however often it comes.
func TestBudgetCountsWhatIsSpooled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Spool.MaxSize = 8 << 20
	f.target("crm", "http://127.0.0.1:1/", func(c *config.Target) {
		c.Events, c.Status = []config.Pattern{"wanted"}, config.StatusPaused
	})
	f.start()
	big := strings.Repeat("x", 300<<10)
	g := func(want int, path string, headers ...string) {
		t.Helper()
		if status, answer := f.post(path, big, headers...); status != want {
			t.Fatalf("answered %d %v; want %d", status, answer, want)
		}
	}
	g(200, "/v1/events/wanted", "webhook-id", "one")
	for range 40 {
		g(200, "/v1/events/wanted", "webhook-id", "one")      // a duplicate
		g(200, "/v1/events/unwanted")                         // nobody wants it
		g(415, "/v1/events/wanted", "Content-Encoding", "br") // refused by the head
		g(400, "/v1/events/wanted", "Content-Type", "application/cloudevents+json")
	}
	g(200, "/v1/events/wanted")
}
