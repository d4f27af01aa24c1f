package testenv

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// alerted is a post of an alert as a program reads it.
type alerted struct {
	Text       string `json:"text"`
	Kind       string `json:"kind"`
	ID         string `json:"id"`
	Target     string `json:"target"`
	URL        string `json:"url"`
	FailedJobs int    `json:"failed_jobs"`
	Percent    int    `json:"percent"`
}

// postAlerts lets alerts go to a receiver of their own, so that the ledger sees only events.
func postAlerts(j *Journey) *Receiver {
	hook := NewReceiver(j.t)
	j.Config.Set("alert.webhook.url", hook.URL("alerts")+"/services/canary?key=canary")
	return hook
}

// posts are the alerts that were answered 200, in order.
func posts(t *testing.T, hook *Receiver) []alerted {
	t.Helper()
	var out []alerted
	for _, r := range hook.Requests("alerts") {
		var a alerted
		if err := json.Unmarshal(r.Body, &a); err != nil {
			t.Fatalf("an alert is not JSON: %v in %s", err, r.Body)
		}
		if r.Answered == 200 {
			out = append(out, a)
		}
	}
	return out
}

// subjects are those of the mails, without what all have.
func subjects(box *Mailbox) []string {
	var out []string
	for _, mail := range box.Mails() {
		out = append(out, strings.TrimPrefix(mail.Subject, "[hookspool] "))
	}
	return out
}

// awaitPaid waits until the relay has noted n alerts as taken, so that a kill repeats none.
func awaitPaid(j *Journey, n int) {
	j.t.Helper()
	got := 0
	if !Eventually(Patience, func() bool {
		got = j.Metrics().Get("alerts_total", "result", "success")
		return got >= n
	}) {
		j.t.Fatalf("%d alerts are noted as taken, want %d", got, n)
	}
}

// TestAlertAtNinetyPercent asserts that, with warnings by mail, there is one at the 90th failed job,
// none before, not another one after a kill, and one more at the 101st.
func TestAlertAtNinetyPercent(t *testing.T) {
	t.Parallel()
	j, box, _ := defectJourney(t, -2)
	j.Config.Set("alert.email.warnings", true)
	gates := map[int]chan struct{}{90: make(chan struct{}), 95: make(chan struct{}),
		101: make(chan struct{})}
	j.RX.On("dead", func(req *Request) Reply {
		if gate := gates[req.Attempt]; gate != nil {
			return Held(gate, Code(500))
		}
		return Code(500)
	})
	j.Start()
	id := j.Send(Post{Body: []byte(`{"eventType":"message"}`)}).ID
	awaitAttempt(j, "dead", id, 90)
	if n := j.Target("dead").FailedJobs; n != 89 || len(box.Mails()) != 0 {
		t.Fatalf("after %d failed jobs there are mails %q", n, subjects(box))
	}
	close(gates[90])
	want := "warning: target dead has failed 90 of 100 jobs"
	if box.Await(1); subjects(box)[0] != want {
		t.Errorf("the mail is %q", subjects(box))
	}
	awaitAttempt(j, "dead", id, 95)
	awaitPaid(j, 1)
	if n := j.LogCount("level=WARN", "close to being Defective", "failed_jobs=90"); n != 1 {
		t.Errorf("%d log lines warn", n)
	}
	j.Kill()
	close(gates[95])
	j.Start()
	awaitAttempt(j, "dead", id, 102) // one more request than attempts: 95 was made twice
	if n := j.Target("dead").FailedJobs; n != 100 || len(box.Mails()) != 1 {
		t.Errorf("after %d failed jobs there are mails %q", n, subjects(box))
	}
	close(gates[101])
	j.AwaitStatus("dead", "Defective")
	box.Await(2)
	j.AwaitTicks(10)
	if got := subjects(box); !slices.Equal(got, []string{want, "target dead is Defective"}) {
		t.Errorf("the mails are %q", got)
	}
	if ids := box.Mails(); ids[0].ID == ids[1].ID {
		t.Error("the warning and the defect have one Message-Id")
	}
}

// TestAlertEveryLevel asserts that 50, 75 and 90 percent are told once each, in order and before the
// defect, although the mail server is away for the whole of it and the relay is killed; and that a
// success begins again.
func TestAlertEveryLevel(t *testing.T) {
	t.Parallel()
	j, box, _ := defectJourney(t, -2)
	j.Config.Set("alert.email.warnings", true).Set("alert.warn_at", []int{90, 50, 75})
	j.Config.Set("defect.after_failed_jobs", 20)
	j.Config.Set("retry.max_attempts", 10_000)
	box.Down()
	j.Start()
	j.Send(Post{Body: []byte(`{"eventType":"message"}`)})
	j.AwaitStatus("dead", "Defective")
	j.Kill()
	box.Refuse(2)
	box.Up()
	j.Start()
	want := []string{"warning: target dead has failed 10 of 20 jobs",
		"warning: target dead has failed 15 of 20 jobs",
		"warning: target dead has failed 18 of 20 jobs", "target dead is Defective"}
	box.Await(4)
	j.AwaitTicks(20)
	if got := subjects(box); !slices.Equal(got, want) {
		t.Errorf("the mails are %q, want %q", got, want)
	}
	j.RX.Always("dead", OK())
	j.Ledger.AwaitDelivered()
	box.Await(5)
	j.RX.Always("dead", Code(500))
	j.Send(Post{Body: []byte(`{"eventType":"message"}`)})
	box.Await(6)
	if got := subjects(box)[4:]; got[0] != "target dead has recovered" || got[1] != want[0] {
		t.Errorf("then the mails are %q", got)
	}
}

// TestAlertWaysAreApart asserts that an alert webhook that is down or hangs holds up neither the
// mail nor a delivery; that what it is owed survives a kill and is posted once it is up, in order and
// once each, with the same id at every try; and that a mail server that is down holds up no post.
func TestAlertWaysAreApart(t *testing.T) {
	t.Parallel()
	j, box, _ := defectJourney(t, -2)
	hook := postAlerts(j)
	j.Config.Set("defect.after_failed_jobs", 2).Set("retry.max_attempts", 10_000)
	j.Config.Set("alert.webhook.timeout", "60s").Set("alert.webhook.headers",
		map[string]string{"Authorization": "Bearer canary"})
	j.Aim("fine")
	hook.Always("alerts", Hang())
	j.Start()
	j.Send(Post{ID: "first", Body: []byte(`{"eventType":"message"}`)})
	j.AwaitStatus("dead", "Defective")
	hook.Await("alerts", 1)
	box.Await(1)
	ids := j.SendIDs("meanwhile", 20)
	j.RX.AwaitID("fine", ids[19])
	j.RX.Always("dead", OK())
	j.Ledger.AwaitDelivered()
	box.Await(2)
	awaitPaid(j, 2)
	hook.Always("alerts", Code(503))
	j.Kill() // the hanging try ends with it
	j.Start()
	tried := hook.Count("alerts")
	hook.Await("alerts", tried+2)
	if n := len(posts(t, hook)); n != 0 {
		t.Fatalf("%d alerts were taken by what answers 503", n)
	}
	hook.Always("alerts", OK())
	Until(t, Patience, "two posts", func() bool { return len(posts(t, hook)) == 2 })
	j.AwaitTicks(10)
	got := posts(t, hook)
	if len(got) != 2 || got[0].Kind != "defect" || got[1].Kind != "recovery" ||
		got[0].FailedJobs != 3 || got[0].Target != "dead" || len(box.Mails()) != 2 {
		t.Errorf("the posts are %+v, the mails %q", got, subjects(box))
	}
	if text := got[0].Text; !strings.HasPrefix(text, "[hookspool] target dead is Defective\n") ||
		!strings.Contains(text, "hookspool retry dead") || strings.Contains(text, "canary") {
		t.Errorf("the text is %s", text)
	}
	checkPosts(t, hook)
	box.Down()
	j.RX.Always("dead", Code(500))
	j.Send(Post{Body: []byte(`{"eventType":"message"}`)})
	Until(t, Patience, "a post without a mail", func() bool { return len(posts(t, hook)) == 3 })
	if strings.Contains(j.Log(), "canary") {
		t.Error("the log shows what is secret of the alert webhook")
	}
}

// checkPosts asserts that all tries of one alert have one id, and what else a receiver relies on.
func checkPosts(t *testing.T, hook *Receiver) {
	t.Helper()
	ids := map[string]string{}
	for _, r := range hook.Requests("alerts") {
		if before, ok := ids[r.Type]; ok && before != r.ID {
			t.Errorf("%s has the ids %q and %q", r.Type, before, r.ID)
		}
		ids[r.Type] = r.ID
		if r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" ||
			r.Header.Get("Authorization") != "Bearer canary" ||
			r.Path != "/alerts/services/canary?key=canary" {
			t.Errorf("an alert came as %s %s %v", r.Method, r.Path, r.Header)
		}
	}
	if len(ids) != 2 || ids["hookspool.defect"] == ids["hookspool.recovery"] {
		t.Errorf("the alerts and their ids are %v", ids)
	}
}

// TestAlertWebhookAddressRules asserts that the address rules of targets hold for the alert webhook,
// that the log tells which key would permit it and nothing secret, and that a reload with another
// URL pays what is owed.
func TestAlertWebhookAddressRules(t *testing.T) {
	t.Parallel()
	j, _, _ := defectJourney(t, -2)
	j.Config.Remove("alert.email")
	j.Config.Set("defect.after_failed_jobs", 1).Set("retry.max_attempts", 10_000)
	j.Config.Set("alert.webhook.url", "http://169.254.169.254/canary?x=canary")
	j.Start()
	j.Send(Post{Body: []byte(`{"eventType":"message"}`)})
	j.AwaitStatus("dead", "Defective")
	Until(t, Patience, "the log to tell why an alert cannot be posted", func() bool {
		return j.LogCount("cannot send an alert post", "http://169.254.169.254/…", "connect",
			"allow_addresses") > 0
	})
	Until(t, Patience, "the failed alert to count", func() bool {
		return j.Metrics().Get("alerts_total", "result", "failed") > 0
	})
	if strings.Contains(j.Log(), "canary") {
		t.Error("the log shows the path of the alert webhook")
	}
	hook := postAlerts(j)
	j.Reload()
	Until(t, Patience, "the post", func() bool { return len(posts(t, hook)) == 1 })
}

// TestAlertSpoolPercent asserts that a spool above 80 % of its budget is told once, in the log and by
// both ways, also across a kill.
func TestAlertSpoolPercent(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	j, box := NewJourney(t), NewMailbox(t)
	box.Configure(j.Config).Set("alert.email.warnings", true)
	hook := postAlerts(j)
	j.Config.Set("spool.max_size", "6MiB").Set("server.max_body_size", "128KiB")
	j.Config.Set("retry.interval", "50ms").Target("held", j.RX.URL("held"), "status", "paused")
	j.Start()
	body := fmt.Appendf(nil, `{"eventType":"message","x":%q}`, strings.Repeat("x", 100_000))
	Until(t, 2*Patience, "a full spool", func() bool {
		if j.Metrics().Get("spool_size_bytes") <= 5<<20 {
			j.Post(Post{Body: body})
		}
		return len(box.Mails()) > 0
	})
	Until(t, Patience, "the post", func() bool { return len(posts(t, hook)) > 0 })
	awaitPaid(j, 2)
	j.Kill()
	j.Start()
	j.AwaitTicks(40) // 2 s: the spool was looked at
	mails, got := box.Mails(), posts(t, hook)
	if len(mails) != 1 || !strings.Contains(mails[0].Subject, "warning: the spool takes") ||
		!strings.Contains(mails[0].Text, "hookspool spool stat") {
		t.Errorf("the mails are %q", subjects(box))
	}
	if len(got) != 1 || got[0].Kind != "space" || got[0].Percent <= 80 || got[0].Target != "" {
		t.Errorf("the posts are %+v", got)
	}
	if n := j.LogCount("level=WARN", "the spool takes most of its room"); n != 1 {
		t.Errorf("%d log lines warn", n)
	}
}
