package testenv

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestPurgeSince purges by the instant of acceptance: counted first, then deleted, those and no
// others, whether on their way through the log or beside it.
func TestPurgeSince(t *testing.T) {
	t.Parallel()
	rx := NewReceiver(t)
	rx.Always("dead", Code(503))
	j := Start(t, NewConfig().Target("dead", rx.URL("dead")).
		Target("held", rx.URL("held"), "status", "paused"))
	var ids []string
	for range 3 {
		ids = append(ids, j.Post(Post{Body: []byte(`{}`)}).ID)
	}
	Until(t, Patience, "three failures", func() bool {
		failed := 0
		for _, d := range j.Deliveries("dead", "pending") {
			failed += min(d.Attempts, 1)
		}
		return failed == 3
	})
	var event struct {
		AcceptedAt string `json:"accepted_at"`
	}
	j.mustGet("/v1/events/"+ids[1], &event)
	for _, name := range []string{"held", "dead"} {
		purge := func(want string, args ...string) {
			t.Helper()
			args = append([]string{"purge", "--target", name, "--since", event.AcceptedAt}, args...)
			if out := j.CLI(args...); out.Code != 0 || out.Stdout != want {
				t.Errorf("%q: %+v, want %q", args, out, want)
			}
		}
		pending := func(want int) {
			t.Helper()
			if n := len(j.Deliveries(name, "pending")); n != want {
				t.Errorf("%d deliveries of %s are pending, want %d", n, name, want)
			}
		}
		purge("2 pending deliveries of "+name+" would be purged\n", "--dry-run")
		pending(3)
		purge("0 pending deliveries of "+name+" would be purged\n", "--dry-run", "--type", "x")
		purge("purged 2 pending deliveries of "+name+"\n", "--yes")
		pending(1)
		if d := j.Deliveries(name, "pending"); d[0].ID != ids[0] {
			t.Errorf("%s is left of %s, want %s", d[0].ID, name, ids[0])
		}
	}
	status, body := j.Admin("POST", "/v1/targets/held/purge?since="+
		time.Now().UTC().Format(time.RFC3339)+"&until=2000-01-01T00:00:00Z")
	if status != 400 {
		t.Errorf("since after until: %d %s", status, body)
	}
}

// TestAnswersEndLines asserts that whatever is answered in JSON ends in a newline, so that a prompt
// does not stick to it.
func TestAnswersEndLines(t *testing.T) {
	t.Parallel()
	rx := NewReceiver(t)
	j := Start(t, NewConfig().Target("a", rx.URL("a")))
	f := func(method, url, kind, body string, want int) {
		t.Helper()
		r, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != want || !strings.HasSuffix(string(text), "}\n") {
			t.Errorf("%s %s: %d %q, %v", method, url, a.StatusCode, text, err)
		}
	}
	events, admin := j.EventsURL()+"/v1/events", "http://"+j.AdminAddress()
	f("POST", events, "application/json", `{"eventType":"message"}`, 200)
	f("POST", events, "application/x-ndjson", "{}\n{}\n", 200)
	f("POST", events+"/nonsense/path", "application/json", `{}`, 404)
	f("PUT", events, "application/json", `{}`, 405)
	for path, want := range map[string]int{"/v1/status": 200, "/v1/targets": 200, "/v1/events": 200,
		"/v1/events/lost": 404, "/v1/nothing": 404, "/openapi.json": 200} {
		f("GET", admin+path, "", "", want)
	}
}
