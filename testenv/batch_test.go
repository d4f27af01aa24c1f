package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// packedEvent is what a receiver finds in an element of a batch of CloudEvents.
type packedEvent struct {
	Whole       string          `json:"hookspoolid"`
	Packed      string          `json:"hookspooldata"`
	Type        string          `json:"hookspooltype"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
	Base64      []byte          `json:"data_base64"`
}

// unpack returns the events of a request, id by payload.
func unpack(t testing.TB, r *Request) (ids []string, payloads [][]byte) {
	t.Helper()
	switch r.Header.Get("Content-Type") {
	case "application/x-ndjson":
		for line := range bytes.Lines(r.Body) {
			payloads = append(payloads, bytes.TrimSuffix(line, []byte("\n")))
		}
		return make([]string, len(payloads)), payloads
	case "application/cloudevents-batch+json":
	default:
		return []string{r.ID}, [][]byte{r.Body}
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(r.Body, &elements); err != nil {
		t.Errorf("a batch is no JSON array: %v: %.200s", err, r.Body)
	}
	for _, element := range elements {
		var e packedEvent
		if err := json.Unmarshal(element, &e); err != nil {
			t.Errorf("%v: %s", err, element)
		}
		payload := []byte(e.Data)
		if e.Data == nil {
			payload = e.Base64
		}
		ids, payloads = append(ids, e.Packed+e.Whole), append(payloads, payload)
	}
	return ids, payloads
}

// batched adds a target that gets batches.
func batched(c *Config, name, url, format string, most int, wait time.Duration) {
	at := "target." + name + ".batch."
	c.Target(name, url).Set(at+"format", format).Set(at+"max_events", most).Set(at+"max_wait", wait.String())
}

// TestBatches asserts what a receiver sees of batches: never more events than it wants, each event
// once, its bytes as they came, the request signed and named by what is in it; that what no batch
// can carry goes alone; that an event waits no longer for others than it may; and that a reload
// turns them on and off under load.
func TestBatches(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t)
	j.Ledger.AllowForeign() // a batch is no event
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	batched(j.Config, "ce", j.RX.URL("ce"), "cloudevents", 10, 50*time.Millisecond)
	batched(j.Config, "lines", j.RX.URL("lines"), "ndjson", 10, 0)
	j.Config.Set("target.ce.secret", secret).Set("target.ce.concurrency", 2)
	j.Start()
	sent := map[string][]byte{}
	var mu sync.Mutex
	post := func(p Post) {
		a := j.Relay.Post(p)
		if a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		mu.Lock()
		defer mu.Unlock()
		sent[a.ID] = p.Body
	}
	began := time.Now()
	post(Post{ID: "first", Type: "message", Body: []byte(`{"lone": 1.0}`)})
	first := j.RX.Await("ce", 1)[0]
	if took := first.At.Sub(began); took < 50*time.Millisecond {
		t.Errorf("the first event waited only %v for others", took)
	}
	if !strings.HasPrefix(first.ID, "batch_") || first.Attempt != 0 || first.Type != "" ||
		first.Header.Get("Webhook-Signature") == "" {
		t.Errorf("%s %d %q", first.ID, first.Attempt, first.Type)
	}
	var all sync.WaitGroup
	for c := range 8 {
		all.Go(func() {
			for i := range 60 {
				post(Post{ID: fmt.Sprintf("e-%d-%d", c, i), Type: "message",
					Body: fmt.Appendf(nil, `{"c":%d, "i":%d}`, c, i)})
			}
		})
	}
	all.Wait()
	post(Post{ID: "binary", Type: "t", ContentType: "text/plain", Body: []byte("\x00\xff\n")})
	post(Post{ID: "untyped", ContentType: "text/plain", Body: []byte("no type")})
	post(Post{ID: "pretty", Type: "t", Body: []byte("{\n \"a\": 1 }")})
	post(Post{ID: "large", Type: "t", ContentType: "text/plain", Body: randomBytes(rng, 500_000)})
	arrived := func(target string) (n, most, alone int) {
		seen := map[string]int{}
		for _, r := range j.RX.Requests(target) {
			if r.Sample {
				continue
			}
			ids, payloads := unpack(t, &r)
			if most = max(most, len(payloads)); !strings.HasPrefix(r.ID, "batch_") {
				alone++
			}
			for i, payload := range payloads {
				if ids[i] != "" && !bytes.Equal(payload, sent[ids[i]]) {
					t.Errorf("%s: %.100q arrived as %.100q", ids[i], sent[ids[i]], payload)
				}
				if seen[string(payload)]++; seen[string(payload)] > 1 {
					t.Errorf("%.100q arrived twice at %s", payload, target)
				}
			}
		}
		return len(seen), most, alone
	}
	f := func(target string, wantAlone int) {
		t.Helper()
		Until(t, Patience, "all events at "+target, func() bool {
			n, _, _ := arrived(target)
			return n >= len(sent)
		})
		n, most, alone := arrived(target)
		if n != len(sent) || most < 2 || most > 10 || alone != wantAlone {
			t.Errorf("%s: %d of %d events, up to %d together, %d alone", target, n, len(sent), most, alone)
		}
	}
	f("ce", 2)    // without a type, and too large as base64
	f("lines", 4) // and what is no line
	out := j.CLI("explain", "--type", "message", "--file", writeTemp(t, `{"a":1}`))
	if !strings.Contains(out.Stdout, "application/cloudevents-batch+json") ||
		!strings.Contains(out.Stdout, `"hookspooltype":"message"`) {
		t.Errorf("explain shows %s", out.Stdout)
	}
	if out := j.CLI("sample", "ce"); out.Code != 0 {
		t.Errorf("sample: %d %s", out.Code, out.Stderr)
	}
	load := startLoad(rng, 4, func(_ *rand.Rand, c, i int) Answer {
		p := Post{ID: fmt.Sprintf("l-%d-%d", c, i), Type: "message", Body: fmt.Appendf(nil, "[%d,%d]", c, i)}
		a := j.Relay.Post(p)
		if a.Status == 200 {
			mu.Lock()
			sent[p.ID] = p.Body
			mu.Unlock()
		}
		return a
	})
	for range 3 {
		j.Config.Remove("target.ce.batch").Remove("target.lines.batch")
		j.Reload()
		batched(j.Config, "ce", j.RX.URL("ce"), "cloudevents", 10, 50*time.Millisecond)
		batched(j.Config, "lines", j.RX.URL("lines"), "ndjson", 10, 0)
		j.Reload()
	}
	load.Stop()
	for _, target := range []string{"ce", "lines"} {
		Until(t, Patience, "all events at "+target, func() bool {
			n, _, _ := arrived(target)
			return n >= len(sent)
		})
	}
}

// TestBatchesHeld asserts that a pause, a stop and the end of batches in the config find events that
// wait for others, that none of them is sent after a pause or kept waiting by a stop, and that each
// arrives once in the end.
func TestBatchesHeld(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Ledger.AllowForeign()
	// The longest max_wait there is. What took as long tells nothing, for events go by themselves then.
	const long, soon = 10 * time.Second, 8 * time.Second
	waits := func() { batched(j.Config, "crm", j.RX.URL("crm"), "cloudevents", 100, long) }
	waits()
	j.Config.Set("server.drain_timeout", "1m")
	j.Start()
	n := 0
	send := func() {
		for range 3 {
			n++
			if a := j.Relay.Post(Post{ID: fmt.Sprintf("e-%d", n), Type: "message",
				Body: fmt.Appendf(nil, `{"n":%d}`, n)}); a.Status != 200 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
		}
	}
	arrived := func() (all []string) {
		for _, r := range j.RX.Requests("crm") {
			ids, _ := unpack(t, &r)
			all = append(all, ids...)
		}
		slices.Sort(all)
		return all
	}
	// within reports whether something happened so soon after an instant that it did not wait.
	within := func(since time.Time) bool { return time.Since(since) < soon }
	// f does something while events wait, which reports whether it was in time to be judged. A machine
	// may be slow once and again; who waits for max_wait does so every time.
	f := func(what string, do func(sent time.Time) bool) {
		t.Helper()
		for range 5 {
			waits()
			j.Reload()
			sent := time.Now()
			send()
			j.AwaitPending("crm", 3)
			waiting, early := n-3, len(arrived())
			inTime := within(sent)
			if inTime && early != waiting {
				t.Errorf("%s: %d of %d were sent before", what, early, waiting)
			}
			inTime = do(sent) && inTime
			done := time.Now()
			Until(t, Patience, "what waited, after "+what, func() bool { return len(arrived()) >= n })
			inTime = within(done) && inTime
			if all := arrived(); len(slices.Compact(slices.Clone(all))) != n {
				t.Errorf("%s: then %v", what, all)
			}
			j.AwaitPending("crm", 0)
			if inTime {
				return
			}
			t.Logf("%s: this or the machine was slow", what)
		}
		t.Errorf("%s: what waits is kept waiting", what)
	}
	f("a pause", func(sent time.Time) bool {
		if out := j.CLI("pause", "crm"); out.Code != 0 {
			t.Fatal(out.Stderr)
		}
		j.AwaitStatus("crm", "Paused")
		inTime := within(sent)
		send()
		j.Config.Set("target.crm.batch.max_wait", "100ms")
		j.Reload()
		if got := arrived(); inTime && len(got) != n-6 {
			t.Errorf("sent while paused: %v", got)
		}
		if out := j.CLI("resume", "crm"); out.Code != 0 {
			t.Fatal(out.Stderr)
		}
		return inTime
	})
	f("a stop", func(time.Time) bool {
		began := time.Now()
		if code := j.Terminate(); code != 0 {
			t.Errorf("exit %d", code)
		}
		inTime := within(began)
		j.Config.Set("target.crm.batch.max_wait", "100ms")
		j.Start()
		return inTime
	})
	f("the end of batches", func(time.Time) bool {
		j.Config.Remove("target.crm.batch")
		j.Reload()
		return true
	})
}

// TestBatchesFail asserts that the deliveries of a batch fail together, are retried with numbers of
// their own, and are acknowledged together; that an event which a receiver refuses takes the others
// with it for a few attempts only; and that a target that is down for good sees every delivery to
// the end, counted exactly, across a restart.
func TestBatchesFail(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Ledger.AllowForeign()
	j.Ledger.AllowGaps()
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 12)
	batched(j.Config, "picky", j.RX.URL("picky"), "cloudevents", 16, 20*time.Millisecond)
	batched(j.Config, "dead", j.RX.URL("dead"), "ndjson", 16, 20*time.Millisecond)
	j.RX.On("picky", func(r *Request) Reply {
		if bytes.Contains(r.Body, []byte("poison")) {
			return Code(400)
		}
		return OK()
	})
	j.RX.Always("dead", Code(500))
	j.Start()
	var lines [][]byte
	for i := range 40 {
		lines = append(lines, fmt.Appendf(nil, `{"eventType":"message","n":%d}`, i))
	}
	lines[20] = []byte(`{"eventType":"message","poison":true}`)
	a := j.Relay.Post(Post{ContentType: "application/x-ndjson", Body: bytes.Join(lines, []byte("\n"))})
	if len(a.Events) != len(lines) {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	Until(t, Patience, "the exhausted", func() bool {
		return len(j.Deliveries("picky", "exhausted")) == 1 && len(j.Deliveries("dead", "exhausted")) == 40
	})
	if d := j.Deliveries("picky", "exhausted")[0]; d.ID != a.Events[20].ID || d.Attempts != 13 {
		t.Errorf("exhausted is %s after %d attempts", d.ID, d.Attempts)
	}
	for _, d := range j.Deliveries("dead", "exhausted") {
		if d.Attempts != 13 {
			t.Errorf("%s is exhausted after %d attempts", d.ID, d.Attempts)
		}
	}
	tried, highest := map[string]int{}, 0
	for _, r := range j.RX.Requests("dead") {
		_, payloads := unpack(t, &r)
		for _, payload := range payloads {
			tried[string(payload)]++
		}
		highest = max(highest, r.Attempt)
	}
	for line, n := range tried {
		if n != 13 {
			t.Errorf("%s was attempted %d times", line, n)
		}
	}
	if len(tried) != 40 || highest != 12 {
		t.Errorf("%d events, attempts up to %d", len(tried), highest)
	}
	good := map[string]int{}
	for _, r := range j.RX.Requests("picky") {
		if ids, _ := unpack(t, &r); r.Answered == 200 {
			for _, id := range ids {
				good[id]++
			}
		}
	}
	if len(good) != 39 {
		t.Errorf("%d events were acknowledged", len(good))
	}
	j.RX.Always("dead", OK())
	j.Restart()
	before := len(j.RX.Requests("dead"))
	if out := j.CLI("replay", "--target", "dead", "--state", "exhausted", "--yes"); out.Code != 0 {
		t.Fatalf("replay: %s", out.Stderr)
	}
	Until(t, Patience, "the replay", func() bool { return j.Target("dead").Exhausted == 0 })
	for _, r := range j.RX.Requests("dead")[before:] {
		if !r.Replay || r.Attempt != 0 {
			t.Errorf("replay %v, attempt %d", r.Replay, r.Attempt)
		}
	}
}

// chain is a relay whose only target is another relay, which has the receiver for its target.
type chain struct {
	*Journey // of the edge
	centre   *Relay
}

func newChain(t *testing.T) *chain {
	t.Helper()
	c := &chain{Journey: NewJourney(t)}
	config := NewConfig().Set("server.listen", []string{freeAddress(t)}).Set("retry.interval", "100ms").
		Set("event.dedupe_window", "1h")
	config.Target("on", c.RX.URL("on"))
	c.centre = NewRelay(t, config)
	c.centre.Start()
	batched(c.Config, "on", c.centre.EventsURL()+"/v1/events", "cloudevents", 50, 5*time.Millisecond)
	c.Config.Set("retry.interval", "100ms")
	c.Journey.Start()
	return c
}

// TestBatchChain asserts that an event that goes from one relay to the next is the same there: id,
// type, session, trace context, attributes of CloudEvents, content type and bytes.
func TestBatchChain(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	const ce = `{"specversion":"1.0","id":"x","source":"/s","type":"t","data":{ "a":1.0}}`
	trace := map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"tracestate": "a=b,c=d"}
	binary := map[string]string{"ce-specversion": "1.0", "ce-id": "%C3%A4 1", "ce-source": "/s",
		"ce-type": "ce.type", "ce-subject": "%22a%22"}
	f := func(p Post, typ, session string, header map[string]string) {
		t.Helper()
		p.Header = header
		a := c.Send(p)
		got := c.RX.AwaitID("on", a.ID)
		if got.Type != typ || got.Session != session {
			t.Errorf("%s: type %q, session %q; want %q, %q", a.ID, got.Type, got.Session, typ, session)
		}
		for name, value := range header {
			if got.Header.Get(name) != value {
				t.Errorf("%s: %s is %q, was %q", a.ID, name, got.Header.Get(name), value)
			}
		}
	}
	const js = `{"eventType":"templateMessageSent","waId":"1", "n": 1.00}`
	f(Post{ID: "given", Body: []byte(js)}, "templateMessageSent", "inactive", trace)
	f(Post{Body: []byte(`{"eventType":"message","waId":"1"}`)}, "message", "active", nil)
	f(Post{ID: "typed", Type: "other", Body: []byte(" {\"x\":1}\n")}, "other", "", nil)
	f(Post{Type: "bytes", ContentType: "application/octet-stream", Body: allBytes()}, "bytes", "", trace)
	f(Post{Type: "none", ContentType: "-", Body: []byte("x")}, "none", "", nil)
	f(Post{ContentType: "text/plain", Body: []byte("no type")}, "", "", trace)
	f(Post{ContentType: "application/cloudevents+json", Body: []byte(ce)}, "t", "", nil)
	f(Post{ID: "named", Type: "mine", ContentType: "application/cloudevents+json",
		Body: []byte(strings.Replace(ce, "/s", "/2", 1) + "\n")}, "mine", "", trace)
	f(Post{Body: []byte(`{"b":1}`)}, "ce.type", "", binary)
	batch := Post{ContentType: "application/cloudevents-batch+json",
		Body: []byte("[" + strings.Replace(ce, `"x"`, `"y"`, 1) + "]")}
	a := c.Relay.Post(batch)
	c.Ledger.AllowForeign() // one that came in a batch
	if len(a.Events) != 1 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if got := c.RX.AwaitID("on", a.Events[0].ID); string(got.Body) != strings.Replace(ce, `"x"`, `"y"`, 1) {
		t.Errorf("%s", got.Body)
	}
	c.Ledger.AwaitDelivered()
	// The edge does it again, as after a crash; the centre knows them by their ids.
	before := c.RX.Count("on")
	if out := c.CLI("replay", "--target", "on", "--state", "delivered", "--yes"); out.Code != 0 {
		t.Fatalf("replay: %s", out.Stderr)
	}
	Until(t, Patience, "the replay", func() bool { return c.Target("on").Pending == 0 })
	if n := c.RX.Count("on"); n != before {
		t.Errorf("%d events were delivered again although their ids were known", n-before)
	}
	// What only looks like an event of a relay is refused.
	bad := c.centre.Post(Post{ContentType: "application/cloudevents-batch+json", Body: []byte(
		`[{"hookspooldata":"i","hookspooltype":"t","data":1,"hookspoolheaders":"authorization:x\n"}]`)})
	if bad.Status != 400 || !strings.Contains(bad.Problem.Detail, "not one of a relay's") {
		t.Errorf("%d %s", bad.Status, bad.Body)
	}
}

// TestBatchChainKills asserts that nothing is lost on the way through two relays of which each is
// killed under load; that what the edge repeats after a kill is known to the centre, so that the
// receiver sees nothing twice; and that a kill of the centre repeats only what it had not noted as
// delivered: what comes twice came before and after one.
func TestBatchChainKills(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	rng := Seed(t)
	c := newChain(t)
	const kills = 3
	load := c.StartLoad(rng, 8, "edge")
	for range kills {
		c.awaitMore(t, 300)
		c.Kill()
		c.Journey.Start()
	}
	c.awaitMore(t, 300)
	load.Stop()
	c.Ledger.AwaitDelivered()
	if n := c.Ledger.Duplicates(); n != 0 {
		t.Errorf("%d events came twice although only the edge was killed", n)
	}
	load = c.StartLoad(rng, 8, "centre")
	type kill struct{ asked, done time.Time }
	var killed []kill
	for range kills {
		c.awaitMore(t, 300)
		asked := time.Now()
		c.centre.Kill()
		killed = append(killed, kill{asked, time.Now()})
		c.centre.Start()
	}
	c.awaitMore(t, 300)
	load.Stop()
	c.Ledger.AwaitDelivered()
	last := map[string]time.Time{}
	for _, r := range c.RX.Requests("on") {
		before, again := last[r.ID]
		between := func(k kill) bool {
			return before.Before(k.done.Add(time.Second)) && r.At.After(k.asked)
		}
		if again && !slices.ContainsFunc(killed, between) {
			t.Errorf("%s came twice without a kill of the centre", r.ID)
		}
		last[r.ID] = r.At
	}
	t.Logf("%d events, %d of them twice", c.Ledger.Accepted(), c.Ledger.Duplicates())
}

// awaitMore waits for so many more requests.
func (c *chain) awaitMore(t *testing.T, n int) {
	t.Helper()
	n += c.RX.Count("on")
	Until(t, Patience, "more events", func() bool { return c.RX.Count("on") >= n })
}

// TestBatchTokens asserts that a batch has a token like one event: without one each of its
// deliveries waits uncharged with outcome auth, and after a 401 all go out again with one new token.
func TestBatchTokens(t *testing.T) {
	t.Parallel()
	const n = 20
	auth := NewAuthServer(t, clientRules())
	auth.Script(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	j := NewJourney(t)
	j.Ledger.AllowForeign() // a batch is no event
	j.Ledger.AllowGaps()
	j.Config.Set("retry.interval", "100ms")
	batched(j.Config, "crm", j.RX.URL("crm"), "cloudevents", n, time.Second)
	auth.Configure(j.Config, "crm")
	j.RX.On("crm", auth.Guard(func(*Request) Reply { return OK() }))
	j.Start()
	send := func(prefix string) {
		for i := range n {
			j.Relay.Post(Post{ID: fmt.Sprint(prefix, i), Body: []byte(`{"eventType":"message"}`)})
		}
	}
	send("before")
	counted := func() int {
		return j.Metrics().Get("attempts_total", "target", "crm", "outcome", "auth")
	}
	Until(t, Patience, "each to fail for want of a token, and once more", func() bool {
		return counted() >= 2*n
	})
	for _, d := range j.Deliveries("crm", "pending") {
		if d.Attempts != 0 {
			t.Errorf("%s was charged %d attempts", d.ID, d.Attempts)
		}
	}
	if target := j.Target("crm"); target.Pending != n || target.FailedJobs != 0 ||
		j.RX.Count("crm") != 0 {
		t.Errorf("%+v, %d requests", target, j.RX.Count("crm"))
	}
	auth.Script(nil)
	j.AwaitPending("crm", 0)
	issued := auth.Issued()
	auth.Revoke()
	send("after")
	j.AwaitPending("crm", 0)
	if got := auth.Issued(); got != issued+1 {
		t.Errorf("%d tokens after one was revoked; want one", got-issued)
	}
	tries := map[string][]int{}
	for _, r := range j.RX.Requests("crm") {
		ids, _ := unpack(t, &r)
		for _, id := range ids {
			tries[id] = append(tries[id], r.Attempt)
		}
	}
	for id, attempts := range tries {
		if len(attempts) > 2 || attempts[0] != 0 {
			t.Errorf("%s came with attempts %v", id, attempts)
		}
	}
	if len(tries) != 2*n {
		t.Errorf("%d events came, want %d", len(tries), 2*n)
	}
}
