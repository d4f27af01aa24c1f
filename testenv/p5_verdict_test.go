package testenv

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// verdict is a way to answer and what it must count as.
type verdict struct {
	name    string
	reply   Reply
	outcome string
}

const okHead = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

// verdicts: the response head decides, and nothing else does.
func verdicts() []verdict {
	raw := func(s string) Reply { return RawClose(200, s) }
	return []verdict{
		{"200", OK(), "success"},
		{"200-body-cut", raw(okHead), "success"},
		{"200-body-stalls", HeadThen(okHead, stalled{}), "success"},
		{"200-endless", HeadThen("HTTP/1.1 200 OK\r\n\r\n", Endless{}), "success"},
		{"200-bad-chunks", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
			"success"},
		{"200-false-gzip", raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n" +
			"Content-Length: 3\r\n\r\nabc"), "success"},
		{"200-http10", raw("HTTP/1.0 200 OK\r\n\r\n"), "success"},
		{"200-no-reason", raw("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), "success"},
		{"200-after-103", raw("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + okHead + "ok"),
			"success"},
		{"200-after-100", raw("HTTP/1.1 100 Continue\r\n\r\n" + okHead + "ok"), "success"},
		{"200-long-head", raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" +
			strings.Repeat("X: "+strings.Repeat("x", 1<<10)+"\r\n", 100) + "\r\nok"), "success"},
		{"200-huge-head", raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"),
			"success"},
		{"201", Code(201), "status"}, {"202", Code(202), "status"}, {"204", Code(204), "status"},
		{"206", Code(206), "status"}, {"299", Code(299), "status"},
		{"304", Code(304), "status"},
		{"400", Code(400), "status"}, {"401", Code(401), "status"}, {"404", Code(404), "status"},
		{"410", Code(410), "status"}, {"429", Code(429), "status"}, {"500", Code(500), "status"},
		{"503", Code(503), "status"}, {"599", Code(599), "status"},
		{"500-says-200", raw("HTTP/1.1 500 OK\r\nContent-Length: 15\r\n\r\nHTTP/1.1 200 OK"),
			"status"},
		{"close", Close(), "protocol"},
		{"reset", Reset(), "protocol"},
		{"garbage", raw("SSH-2.0-OpenSSH_9.2\r\n"), "protocol"},
		{"head-cut", raw("HTTP/1.1 200 OK\r\nContent-Le"), "protocol"},
		{"only-100", raw("HTTP/1.1 100 Continue\r\n\r\n"), "protocol"},
		{"status-20", raw("HTTP/1.1 20 OK\r\n\r\n"), "protocol"},
		{"status-2000", raw("HTTP/1.1 2000 OK\r\n\r\n"), "protocol"},
		{"no-status", raw("HTTP/1.1\r\n\r\n"), "protocol"},
		{"huge-status", raw("HTTP/1.1 200 " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), "protocol"},
		{"hang", Hang(), "timeout"},
		{"head-stalls", HeadThen("HTTP/1.1 200 OK\r\n", stalled{}), "timeout"},
		{"head-drips", Drip(time.Second, 200, okHead), "timeout"},
		{"late-200", Slow(10*time.Minute, OK()), "timeout"},
	}
}

// stalled is a body that never comes.
type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, io.EOF }

// TestP5Verdicts asserts for each way to answer whether it acknowledges, and its outcome in the
// metrics. Each is a target of its own and gets one event. Only where the timeout is to win is it
// short: elsewhere a machine that stands still must not be taken for a target that hangs.
func TestP5Verdicts(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	for _, v := range verdicts() {
		timeout := "2m"
		if v.outcome == "timeout" {
			timeout = "2s"
		}
		j.Config.Target(v.name, j.RX.URL(v.name), "timeout", timeout)
		j.RX.Always(v.name, holdOpen(v))
	}
	tlsName, down := "tls-to-plain", NewReceiver(t)
	j.Config.Target(tlsName, strings.Replace(j.RX.URL(tlsName), "http:", "https:", 1))
	j.Config.Target("refused", down.URL("refused"))
	down.Down()
	j.Start()
	j.Ledger.AllowForeign()
	a := j.Relay.Post(Post{ID: "one", Body: []byte(`{"eventType":"message"}`)})
	if a.Status != 200 {
		t.Fatalf("answered %d %s", a.Status, a.Body)
	}
	all := append(verdicts(), verdict{tlsName, nil, "tls"}, verdict{"refused", nil, "connect"})
	var m Metrics
	Until(t, Patience, "one attempt at each target", func() bool {
		m = j.Metrics()
		for _, v := range all {
			if m.Attempts(v.name) == 0 {
				return false
			}
		}
		return true
	})
	for _, v := range all {
		checkVerdict(t, j, m, v)
	}
}

// holdOpen lets the replies that stall keep their connection until the relay gives up.
func holdOpen(v verdict) Reply {
	if !strings.Contains(v.name, "stalls") {
		return v.reply
	}
	return then(v.reply, Hang())
}

func checkVerdict(t *testing.T, j *Journey, m Metrics, v verdict) {
	t.Helper()
	for _, outcome := range outcomes() {
		want := 0
		if outcome == v.outcome {
			want = 1
		}
		if got := m.Get("attempts_total", "target", v.name, "outcome", outcome); got != want {
			t.Errorf("%s: attempts_total{outcome=%q} is %d, want %d", v.name, outcome, got, want)
		}
	}
	// An attempt is counted before its outcome is settled.
	Until(t, Patience, v.name+" to be settled", func() bool {
		target := j.Target(v.name)
		told := target.LastError != nil && *target.LastError != ""
		if v.outcome == "success" {
			return target.Pending == 0 && target.Delivered == 1
		}
		return target.Pending == 1 && target.Delivered == 0 && told
	})
}

func outcomes() []string {
	return []string{"success", "status", "timeout", "connect", "dns", "tls", "protocol"}
}

// TestP5Redirects asserts that redirects of every kind are failures and never followed: not within
// the server, not to another one.
func TestP5Redirects(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	elsewhere := NewReceiver(t)
	codes := []int{300, 301, 302, 303, 305, 307, 308}
	for _, code := range codes {
		name := fmt.Sprint("r", code)
		j.Config.Target(name, j.RX.URL(name))
		j.RX.Always(name, Redirect(code, elsewhere.URL("followed")))
	}
	j.Config.Target("slash", j.RX.URL("slash/a"))
	j.RX.Always("slash", Redirect(308, "/followed"))
	j.Start()
	j.Send(Post{ID: "one", Body: []byte(`{"eventType":"message"}`)})
	for _, code := range codes {
		name := fmt.Sprint("r", code)
		j.RX.Await(name, 1)
		Until(t, Patience, name+" to count", func() bool {
			return j.Metrics().Get("attempts_total", "target", name, "outcome", "status") == 1
		})
	}
	if n := elsewhere.Count("followed") + j.RX.Count("followed"); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// TestP5Success asserts that success in the config replaces the rule: classes and lists.
func TestP5Success(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	cases := []struct {
		name    string
		success any
		code    int
		outcome string
	}{
		{"class-204", []string{"2xx"}, 204, "success"},
		{"class-299", []string{"2xx"}, 299, "success"},
		{"class-300", []string{"2xx"}, 300, "status"},
		{"list-202", []int{200, 202}, 202, "success"},
		{"list-201", []int{200, 202}, 201, "status"},
		{"without-200", []int{410}, 200, "status"},
		{"gone", []int{410}, 410, "success"},
		{"redirect", []string{"3xx"}, 302, "success"},
	}
	for _, c := range cases {
		j.Config.Target(c.name, j.RX.URL(c.name), "success", c.success)
		j.RX.Always(c.name, Code(c.code))
	}
	j.Start()
	j.Ledger.AllowForeign()
	j.Relay.Post(Post{Body: []byte(`{"eventType":"message"}`)})
	for _, c := range cases {
		Until(t, Patience, c.name+" to count", func() bool { return j.Metrics().Attempts(c.name) == 1 })
		if j.Metrics().Get("attempts_total", "target", c.name, "outcome", c.outcome) != 1 {
			t.Errorf("%s: %d with success %v is not %s", c.name, c.code, c.success, c.outcome)
		}
	}
}

// TestP5StaleConnection asserts that a kept connection which the target has closed meanwhile costs
// no attempt: the request is made again at once, as the same attempt.
func TestP5StaleConnection(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "concurrency", 1)
	j.RX.On("crm", func(req *Request) Reply {
		if req.Nth == 2 {
			return Close() // a keep-alive that ended while the request was under way
		}
		return OK()
	})
	j.Start()
	j.SendIDs("one", 1)
	j.RX.Await("crm", 1)
	j.SendIDs("two", 1)
	requests := j.RX.Await("crm", 3)
	if requests[1].Attempt != 0 || requests[2].Attempt != 0 || requests[2].ID != "two-0" {
		t.Errorf("after a stale connection: %q attempt %d", requests[2].ID, requests[2].Attempt)
	}
	j.AwaitPending("crm", 0)
	if n := j.Metrics().Attempts("crm"); n != 2 {
		t.Errorf("%d attempts were counted, want 2", n)
	}
}
