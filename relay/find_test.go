package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// api makes one call of the admin API and decodes its answer into out, unless that is nil.
func (f *fixture) api(method, path string, out any, body ...string) int {
	f.t.Helper()
	_, address := f.Addresses()
	req, err := http.NewRequest(method, "http://"+address+path,
		strings.NewReader(strings.Join(body, "")))
	if err != nil {
		f.t.Fatal(err)
	}
	return f.decode(req, out)
}

func (f *fixture) decode(req *http.Request, out any) int {
	f.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if raw, ok := out.(*string); ok {
		*raw = string(text)
		return res.StatusCode
	}
	if out == nil {
		return res.StatusCode
	}
	if err := json.Unmarshal(text, out); err != nil {
		f.t.Fatalf("%s %s is answered %q: %v", req.Method, req.URL, text, err)
	}
	return res.StatusCode
}

// ids goes through all pages of a listing.
func (f *fixture) ids(path, query string) []string {
	f.t.Helper()
	var ids []string
	for after, pages := "", 0; ; pages++ {
		var page struct {
			Events, Deliveries []struct{ ID string }
			Next               string
		}
		if code := f.api("GET", path+"?"+query+"&after="+url.QueryEscape(after), &page); code != 200 {
			f.t.Fatalf("%s?%s is answered %d", path, query, code)
		}
		for _, e := range append(page.Events, page.Deliveries...) {
			ids = append(ids, e.ID)
		}
		if after = page.Next; after == "" {
			return ids
		}
		if pages > 100 {
			f.t.Fatalf("%s?%s does not end", path, query)
		}
	}
}

// send posts an event with an id and a type.
func (f *fixture) send(id, typ string) {
	f.t.Helper()
	if code, answer := f.post("/v1/events/"+typ, id, "webhook-id", id); code != 200 {
		f.t.Fatalf("posting %s: %d %v", id, code, answer)
	}
}

// stocked is a relay in which good delivers, bad has exhausted a.. and holds b.. after one retry,
// and held holds everything.
func stocked(t *testing.T) *fixture {
	f := newFixture(t)
	f.cfg.Retry.MaxAttempts = 1
	bad := newReceiver(t, always(500))
	f.target("good", newReceiver(t, always(200)).URL)
	f.target("bad", bad.URL)
	f.target("held", bad.URL, func(t *config.Target) { t.Status = config.StatusPaused })
	f.start()
	for i := range 6 {
		f.send(fmt.Sprint("a", i), []string{"red", "blue"}[i%2])
	}
	f.wait("the first attempts", func() bool { return bad.count() == 6 })
	f.wait("their outcomes", func() bool {
		return f.laneNamed("bad").spool.Counts().Fresh == 0 &&
			f.laneNamed("good").spool.Counts().Pending == 0
	})
	f.runTick()
	f.wait("exhausted", func() bool { return f.laneNamed("bad").spool.Counts().Exhausted == 6 })
	for i := range 4 {
		f.send(fmt.Sprint("b", i), "red")
	}
	f.wait("more attempts", func() bool {
		return f.laneNamed("bad").spool.Counts().Fresh == 0 &&
			f.laneNamed("good").spool.Counts().Pending == 0
	})
	return f
}

func TestSearchAndListings(t *testing.T) {
	t.Parallel()
	f := stocked(t)
	check := func(path, query, want string) {
		t.Helper()
		for _, limit := range []int{1, 2, 3, 1000} {
			got := strings.Join(f.ids(path, fmt.Sprint(query, "&limit=", limit)), " ")
			if got != want {
				t.Errorf("%s?%s with limit %d: %q, want %q", path, query, limit, got, want)
			}
		}
	}
	const down, up = "b3 b2 b1 b0 a5 a4 a3 a2 a1 a0", "a0 a1 a2 a3 a4 a5 b0 b1 b2 b3"
	check("/v1/events", "", down)
	check("/v1/events", "type=blue", "a5 a3 a1")
	check("/v1/events", "type=*lu*", "a5 a3 a1")
	check("/v1/events", "type=green", "")
	check("/v1/events", "target=bad&state=exhausted", "a5 a4 a3 a2 a1 a0")
	check("/v1/events", "target=bad&state=pending", "b3 b2 b1 b0")
	check("/v1/events", "target=good&state=pending", "")
	check("/v1/events", "target=good&state=delivered&type=red", "b3 b2 b1 b0 a4 a2 a0")
	check("/v1/events", "state=exhausted", "a5 a4 a3 a2 a1 a0")
	check("/v1/events", "since=1h", down)
	check("/v1/events", "until=1h", "")
	check("/v1/events", "since="+url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339)), "")
	check("/v1/deliveries", "target=held", up)
	check("/v1/deliveries", "target=held&type=blue", "a1 a3 a5")
	check("/v1/deliveries", "target=held&since=1h&until=0s", up)
	check("/v1/deliveries", "target=held&until=1h", "")
	check("/v1/deliveries", "target=bad", "b0 b1 b2 b3")
	check("/v1/deliveries", "target=bad&state=exhausted&type=red", "a0 a2 a4")
	check("/v1/deliveries", "target=good&state=delivered", down)
	check("/v1/deliveries", "target=bad&state=delivered", "")
	check("/v1/deliveries", "state=pending", "b0 b1 b2 b3 "+up)
	check("/v1/deliveries", "state=exhausted", "a0 a1 a2 a3 a4 a5")
	// what nobody has is not looked for
	for query, looked := range map[string]bool{"state=expired": false, "state=pending": true,
		"target=bad&state=expired": false, "target=good&state=exhausted": false,
		"target=bad&state=exhausted": true} {
		var page admin.Events
		f.api("GET", "/v1/events?limit=1&"+query, &page)
		if (page.LookedAt > 0) != looked {
			t.Errorf("%s: it looked at %d", query, page.LookedAt)
		}
	}
	for _, bad := range []string{"/v1/events?target=none", "/v1/deliveries?target=none",
		"/v1/events/none", "/v1/events/none/payload", "/v1/attempts/none", "/v1/attempts/a1?target=x",
		"/v1/targets/none/attempts"} {
		var p admin.Problem
		if code := f.api("GET", bad, &p); code != 404 || p.Code != accept.CodeNotFound {
			t.Errorf("%s: %d %+v", bad, code, p)
		}
	}
	for _, bad := range []string{"/v1/events?after=x", "/v1/deliveries?after=x",
		"/v1/deliveries?target=bad&after=1@bad"} {
		if code := f.api("GET", bad, nil); code != 400 {
			t.Errorf("%s: %d", bad, code)
		}
	}
}

// What the sweep has been over is found as long as a delivery needs it, and time finds its place.
func TestSearchBehindTheSweep(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	begin := time.Now().Add(-time.Hour)
	var passed atomic.Int64 // seconds
	f.now = func() time.Time { return begin.Add(time.Duration(passed.Load()) * time.Second) }
	f.cfg.Spool.KeepDelivered = time.Minute
	f.target("good", newReceiver(t, always(200)).URL)
	f.target("bad", newReceiver(t, always(500)).URL, func(t *config.Target) {
		t.Events = []config.Pattern{"red"}
	})
	f.start()
	var marks []time.Time
	for i := range 60 {
		passed.Add(10)
		marks = append(marks, f.now())
		f.send(fmt.Sprint("e", i), map[bool]string{true: "red", false: "blue"}[i%20 == 0])
	}
	f.wait("all attempts", func() bool {
		return f.laneNamed("bad").spool.Counts().Fresh == 0 &&
			f.laneNamed("good").spool.Counts().Pending == 0
	})
	f.wait("the sweep", func() bool { return len(f.ids("/v1/events", "limit=1000")) == 9 })
	at := func(i int) string { return url.QueryEscape(marks[i].Format(time.RFC3339Nano)) }
	check := func(query, want string) {
		t.Helper()
		for _, path := range []string{"/v1/events?target=bad&state=pending",
			"/v1/deliveries?target=bad"} {
			path, fixed, _ := strings.Cut(path, "?")
			got := f.ids(path, fixed+"&limit=1"+query)
			if path == "/v1/events" {
				slices.Reverse(got)
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("%s?%s%s: %q, want %q", path, fixed, query, text, want)
			}
		}
	}
	check("", "e0 e20 e40")
	check("&since="+at(20), "e20 e40")
	check("&until="+at(20), "e0 e20")
	check("&since="+at(1)+"&until="+at(39), "e20")
	check("&since="+at(41), "")
	check("&until="+at(0), "e0")
}

func TestAttemptsAndPayload(t *testing.T) {
	t.Parallel()
	f := stocked(t)
	var text string
	if code := f.api("GET", "/v1/events/a1/payload", &text); code != 200 || text != "a1" {
		t.Errorf("the payload is %d %q", code, text)
	}
	var a admin.Attempts
	f.api("GET", "/v1/attempts/a1?target=bad", &a)
	if a.ID != "a1" || a.KeptFrom != 0 || len(a.Attempts) != 2 || a.Attempts[0].Attempt != 0 ||
		a.Attempts[1].Attempt != 1 || a.Attempts[1].Status != 500 ||
		a.Attempts[1].Outcome != "status" || a.Attempts[1].Target != "bad" ||
		a.Attempts[1].Remote == "" {
		t.Errorf("attempts %+v", a)
	}
	f.api("GET", "/v1/attempts/a1", &a)
	if len(a.Attempts) != 3 {
		t.Errorf("attempts of all targets %+v", a)
	}
	var recent admin.RecentAttempts
	f.api("GET", "/v1/targets/bad/attempts?limit=5", &recent)
	if len(recent.Attempts) != 5 || recent.Attempts[0].ID[0] != 'b' || recent.Attempts[0].Type != "red" {
		t.Errorf("recent attempts %+v", recent)
	}
	target, _ := f.Target("bad")
	if target.LastStatus != 500 || target.LatencyP50 == nil || *target.LatencyP99 <= 0 ||
		target.RateFailed <= 0 || target.RateSuccess != 0 || target.TLSExpiry != nil {
		t.Errorf("target %+v", target)
	}
	if s := f.Status(); s.AcceptedPerSecond <= 0 {
		t.Errorf("status %+v", s)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	f := stocked(t)
	replay := func(query string, want admin.Replayed) admin.Replayed {
		t.Helper()
		var got admin.Replayed
		code := f.api("POST", "/v1/replay?"+query, &got)
		if code != 200 || got.Count != want.Count || got.DryRun != want.DryRun {
			t.Errorf("%s: %d %+v, want %+v", query, code, got, want)
		}
		return got
	}
	if err := f.Pause(order("bad")); err != nil { // no job comes between the counts
		t.Fatal(err)
	}
	replay("target=bad&dry_run=true", admin.Replayed{Count: 6, DryRun: true})
	replay("target=bad&type=blue&dry_run=true", admin.Replayed{Count: 3, DryRun: true})
	replay("target=bad&until=1h", admin.Replayed{})
	replay("target=good", admin.Replayed{})
	replay("id=b0", admin.Replayed{})
	replay("id=a0", admin.Replayed{Count: 1})
	page := replay("target=bad&limit=2", admin.Replayed{Count: 2})
	if page.Next == "" {
		t.Fatal("there is no next page")
	}
	page = replay("target=bad&limit=1000&after="+page.Next, admin.Replayed{Count: 3})
	if page.Next != "" {
		t.Errorf("there is a page after the last: %+v", page)
	}
	replay("target=bad", admin.Replayed{})
	if err := errors.Join(f.Resume(order("bad")), retried(f.Retry(order("bad")))); err != nil {
		t.Fatal(err)
	}
	f.wait("the job", func() bool {
		var a admin.Attempts
		f.api("GET", "/v1/attempts/a5?target=bad", &a)
		return slices.ContainsFunc(a.Attempts, func(t admin.Attempt) bool {
			return t.Replay && t.Attempt == 0 // resumed, it went at once, and by the job once more
		})
	})
	// A last page runs the job itself.
	replay("target=good&state=delivered&type=blue", admin.Replayed{Count: 3})
	replay("id=a0&target=good&state=delivered", admin.Replayed{Count: 1})
	f.wait("the replayed deliveries", func() bool {
		return f.laneNamed("good").spool.Counts().Delivered == 14
	})
	for query, want := range map[string]int{"target=none": 404, "id=none": 404, "": 400,
		"target=bad&after=x": 400, "id=a0&target=none": 404} {
		if code := f.api("POST", "/v1/replay?"+query, nil); code != want {
			t.Errorf("%s: %d, want %d", query, code, want)
		}
	}
}

func TestRetryNow(t *testing.T) {
	t.Parallel()
	f := stocked(t)
	before := f.laneNamed("bad").spool.Noted()
	var target admin.Target
	if code := f.api("POST", "/v1/targets/bad/retry", &target); code != 200 || target.Name != "bad" {
		t.Fatalf("%d %+v", code, target)
	}
	f.wait("the job", func() bool { return f.laneNamed("bad").spool.Noted() == before+4 })
	if code := f.api("POST", "/v1/targets/held/retry", nil); code != 409 {
		t.Errorf("a paused target: %d", code)
	}
	if code := f.api("POST", "/v1/targets/none/retry", nil); code != 404 {
		t.Errorf("no target: %d", code)
	}
}

// A job that is asked for while one runs comes after it, and not at the next tick only.
func TestJobBehindJob(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	requests := make(chan int, 16)
	rx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.Header.Get("webhook-attempt"))
		if n == 1 {
			<-gate
		}
		w.WriteHeader(503)
		requests <- n
	}))
	defer rx.Close()
	f := newFixture(t)
	f.target("crm", rx.URL)
	f.start()
	f.post("/v1/events", "{}")
	if n := <-requests; n != 0 {
		t.Fatalf("attempt %d came first", n)
	}
	f.wait("the failure", func() bool {
		c := f.laneNamed("crm").spool.Counts()
		return c.Pending == 1 && c.Fresh == 0
	})
	for range 3 { // one that runs, and one for all that are asked for meanwhile
		if _, err := f.Retry(order("crm")); err != nil {
			t.Fatal(err)
		}
		f.wait("the job", func() bool { return f.laneNamed("crm").jobRunning.Load() })
	}
	close(gate)
	for want := 1; want <= 2; want++ {
		if n := <-requests; n != want {
			t.Fatalf("attempt %d came, want %d", n, want)
		}
	}
	f.wait("the jobs", func() bool { return !f.laneNamed("crm").jobRunning.Load() })
	if len(requests) > 0 {
		t.Errorf("%d more attempts came", len(requests))
	}
}

// A history is whole from the number on from which none is missing; one that was not made has the
// number of the next, and leaves no gap.
func TestKeptFrom(t *testing.T) {
	type made struct {
		number int
		kind   attempt.Kind
	}
	f := func(want int, list ...made) {
		t.Helper()
		history := make([]spool.Attempt, len(list))
		for i, m := range list {
			history[i].Number, history[i].Outcome = m.number, uint8(m.kind)
		}
		if got := keptFrom(history); got != want {
			t.Errorf("%v: got %d; want %d", list, got, want)
		}
	}
	f(0)
	f(0, made{0, attempt.Status}, made{1, attempt.Timeout}, made{2, attempt.Success})
	f(7, made{0, attempt.Status}, made{7, attempt.Status}, made{8, attempt.Success})
	f(7, made{7, attempt.Status}, made{8, attempt.Success})
	f(0, made{0, attempt.Status}, made{1, attempt.Withheld}, made{1, attempt.Auth},
		made{1, attempt.Auth}, made{1, attempt.Status}, made{2, attempt.Success})
}

// TestAttemptsInTurn has two relays tell the same attempts, of which each knows its own to the
// nanosecond.
func TestAttemptsInTurn(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_903)
	made := func(target string, number int, at time.Time) admin.Attempt {
		return admin.Attempt{Target: target, Attempt: number, At: at}
	}
	names := func(list ...admin.Attempt) (out string) {
		inTurn(list)
		for _, a := range list {
			out += fmt.Sprintf("%s%d ", a.Target, a.Attempt)
		}
		return strings.TrimSpace(out)
	}
	const want = "b0 a0 c0 a1"
	for i, got := range []string{
		names(made("a", 0, at.Add(300*time.Microsecond)), made("a", 1, at.Add(time.Second)),
			made("b", 0, at.Add(-time.Microsecond)), made("c", 0, at)),
		names(made("a", 0, at), made("a", 1, at.Add(time.Second)),
			made("b", 0, at.Add(-time.Millisecond)), made("c", 0, at.Add(90*time.Microsecond))),
	} {
		if got != want {
			t.Errorf("relay %d tells %s, want %s", i, got, want)
		}
	}
}
