package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMethod asserts that a target with a method gets all its requests by it: live, in jobs, replays
// and samples, after a reload for what is pending, and that its signature holds; that explain, check
// and the API say so; and that a neighbour without one is sent to by POST.
func TestMethod(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", 10_000)
	j.Config.Target("put", j.RX.URL("put"), "method", "PUT", "secret", secret)
	j.Config.Target("post", j.RX.URL("post"))
	j.RX.On("put", FailFirst(2, 503))
	j.Start()
	id := j.Send(Post{Body: []byte(`{"eventType":"message"}`)}).ID
	j.Ledger.AwaitDelivered()
	j.Sample("put", "message")
	all := j.RX.Await("put", 4)
	for _, r := range all {
		if r.Method != "PUT" {
			t.Errorf("attempt %d of %s came by %s", r.Attempt, r.ID, r.Method)
		}
	}
	last := all[2]
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, last.Body, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := j.CLI("verify", "--secret", secret, "--id", id, "--timestamp",
		last.Header.Get("webhook-timestamp"), "--signature", last.Header.Get("webhook-signature"),
		body); out.Code != 0 {
		t.Errorf("the signature: %s%s", out.Stdout, out.Stderr)
	}
	if r := j.RX.AwaitID("post", id); r.Method != "POST" {
		t.Errorf("the neighbour was sent to by %s", r.Method)
	}
	for _, said := range []struct{ args, want string }{
		{"explain --type message --file " + body, "PUT /put HTTP/1.1"},
		{"check", "PUT and not POST"},
		{"targets put --json", `"method": "PUT"`},
	} {
		if out := j.CLI(strings.Fields(said.args)...); !strings.Contains(out.Stdout, said.want) {
			t.Errorf("%s without %q:\n%s%s", said.args, said.want, out.Stdout, out.Stderr)
		}
	}
	// An attempt by the old method may be under way at the reload, and must not be the last.
	j.RX.On("put", func(req *Request) Reply {
		if req.Method == "PATCH" {
			return OK()
		}
		return Code(500)
	})
	pending := j.Send(Post{Body: []byte(`{"eventType":"message"}`)}).ID
	j.RX.AwaitID("put", pending)
	j.Config.Set("target.put.method", "PATCH")
	j.Reload()
	before := j.RX.CountID("put", pending)
	j.Ledger.AwaitDelivered()
	j.Restart()
	got := j.RX.Requests("put")
	if r := got[len(got)-1]; r.ID != pending || r.Method != "PATCH" {
		t.Errorf("after the reload (%d attempts before) %s came by %s", before, r.ID, r.Method)
	}
}
