package testenv

import (
	"fmt"
	"strings"
	"testing"
)

// defectJourney has a target that always fails, a tick of 20 ms and a mailbox. Because there is one
// delivery, attempt k is made by job k. gated attempts wait for the gate, so that a scenario can
// look at the relay between two jobs.
func defectJourney(t *testing.T, gated int) (*Journey, *Mailbox, chan struct{}) {
	t.Helper()
	j, box, gate := NewJourney(t), NewMailbox(t), make(chan struct{})
	box.Configure(j.Config)
	j.Config.Set("retry.interval", "20ms")
	j.Config.Target("dead", j.RX.URL("dead?token=canary"), "timeout", "60s")
	j.RX.On("dead", func(req *Request) Reply {
		if req.Attempt == gated {
			return Held(gate, Code(500))
		}
		return Code(500)
	})
	return j, box, gate
}

// awaitAttempt waits until an attempt of the only delivery is in hand.
func awaitAttempt(j *Journey, target, id string, attempt int) {
	j.t.Helper()
	Until(j.t, 2*Patience, fmt.Sprint("attempt ", attempt), func() bool {
		return j.RX.CountID(target, id) >= attempt+1
	})
}

// TestP5The101stFailedJob asserts that after 100 failed jobs a target is Enabled and nobody has
// mail; that the 101st makes it Defective with exactly one e-mail that says what CONTRACT §6 asks
// for; that jobs go on; and that the first success makes it Enabled with one recovery mail and
// drains the backlog.
func TestP5The101stFailedJob(t *testing.T) {
	t.Parallel()
	j, box, gate := defectJourney(t, 101)
	j.Config.Set("retry.max_attempts", 10_000) // a busy machine takes longer than 145 of them
	j.Start()
	id := j.Send(Post{Body: []byte(`{"eventType":"message"}`)}).ID
	awaitAttempt(j, "dead", id, 101)
	target := j.Target("dead")
	if target.FailedJobs != 100 || target.Status != "Enabled" || len(box.Mails()) != 0 {
		t.Fatalf("after 100 failed jobs: %d counted, %s, %d mails", target.FailedJobs,
			target.Status, len(box.Mails()))
	}
	close(gate)
	target = j.AwaitStatus("dead", "Defective")
	if target.FailedJobs < 101 || target.DefectiveSince == nil {
		t.Errorf("Defective after %d failed jobs, since %v", target.FailedJobs,
			target.DefectiveSince)
	}
	checkDefectMail(t, box.Await(1)[0])
	j.SendIDs("while-defective", 20)
	j.AwaitTicks(10)
	if m := j.Metrics(); m.Get("target_status", "target", "dead") != 2 ||
		m.Get("deliveries_pending", "target", "dead") != 21 {
		t.Errorf("status %d, %d pending", m.Get("target_status", "target", "dead"),
			m.Get("deliveries_pending", "target", "dead"))
	}
	if code, _ := j.Admin("GET", "/readyz"); code != 200 {
		t.Errorf("readyz answers %d because of a target", code)
	}
	if n := len(box.Mails()); n != 1 {
		t.Errorf("%d mails about one defect", n)
	}
	j.RX.Always("dead", OK())
	j.Ledger.AwaitDelivered()
	target = j.AwaitStatus("dead", "Enabled")
	mails := box.Await(2)
	j.AwaitTicks(10)
	if n := len(box.Mails()); n != 2 || !strings.Contains(mails[1].Subject, "recovered") {
		t.Errorf("%d mails; the second is %q", n, mails[1].Subject)
	}
	if target.FailedJobs != 0 || j.Metrics().Get("target_status", "target", "dead") != 1 {
		t.Errorf("after recovery: %+v", target)
	}
	if n := j.Metrics().Get("alerts_total", "result", "success"); n != 2 {
		t.Errorf("alerts_total{result=success} is %d, want 2", n)
	}
}

func checkDefectMail(t *testing.T, mail Mail) {
	t.Helper()
	if mail.ID == "" || len(mail.To) != 1 || mail.To[0] != "oncall@ops.example" {
		t.Errorf("the mail goes to %v with id %q", mail.To, mail.ID)
	}
	for _, want := range []string{"dead", "101", "500", "127.0.0.1", "since", "ending",
		"ldest", "xhausted", "hookspool retry", "hookspool sample"} {
		if !strings.Contains(mail.Text, want) {
			t.Errorf("the mail does not say %q:\n%s", want, mail.Text)
		}
	}
	if strings.Contains(mail.Text, "canary") {
		t.Errorf("the mail shows the query of the URL:\n%s", mail.Text)
	}
}

// TestP5KillKeepsFailedJobs kills the relay between the 60th and the 61st failed job and asserts
// that the count goes on, so that the 101st is the 101st.
func TestP5KillKeepsFailedJobs(t *testing.T) {
	t.Parallel()
	j, box, gate := defectJourney(t, 61)
	j.Start()
	id := j.Send(Post{Body: []byte(`{"eventType":"message"}`)}).ID
	awaitAttempt(j, "dead", id, 61)
	if n := j.Target("dead").FailedJobs; n != 60 {
		t.Fatalf("%d failed jobs before the kill, want 60", n)
	}
	j.Kill()
	before := j.RX.CountID("dead", id)
	late := make(chan struct{})
	j.RX.On("dead", func(req *Request) Reply {
		if req.Attempt == 101 {
			return Held(late, Code(500))
		}
		return Code(500)
	})
	close(gate)
	j.Start()
	awaitAttempt(j, "dead", id, 101+before-61) // attempt 61 was made twice
	target := j.Target("dead")
	if target.FailedJobs != 100 || target.Status != "Enabled" || len(box.Mails()) != 0 {
		t.Fatalf("after 100 failed jobs: %d counted, %s, %d mails", target.FailedJobs,
			target.Status, len(box.Mails()))
	}
	close(late)
	j.AwaitStatus("dead", "Defective")
	box.Await(1)
	// Between the mail server's yes and the note of it a kill may repeat a mail, with the same
	// Message-Id: no protocol can make the two one.
	Until(t, Patience, "the mail to be noted", func() bool {
		return j.Metrics().Get("alerts_total", "result", "success") == 1
	})
	j.Kill()
	j.Start()
	if s := j.Target("dead").Status; s != "Defective" {
		t.Errorf("after a kill the target is %s", s)
	}
	j.AwaitTicks(20)
	if n := len(box.Mails()); n != 1 {
		t.Errorf("%d mails about one defect across a kill", n)
	}
}

// TestP5SuccessResetsTheCount asserts that one live success after 100 failed jobs begins the count
// again: the 101st failed job is the first.
func TestP5SuccessResetsTheCount(t *testing.T) {
	t.Parallel()
	j, box, gate := defectJourney(t, 101)
	j.RX.On("dead", func(req *Request) Reply {
		switch {
		case req.ID == "good":
			return OK()
		case req.Attempt == 101:
			return Held(gate, Code(500))
		}
		return Code(500)
	})
	j.Start()
	id := j.Send(Post{Body: []byte(`{"eventType":"message"}`)}).ID
	awaitAttempt(j, "dead", id, 101)
	if n := j.Target("dead").FailedJobs; n != 100 {
		t.Fatalf("%d failed jobs, want 100", n)
	}
	j.Send(Post{ID: "good", Body: []byte(`{"eventType":"message"}`)})
	Until(t, Patience, "the count to be reset", func() bool { return j.Target("dead").FailedJobs == 0 })
	close(gate)
	Until(t, 2*Patience, "exhaustion", func() bool { return j.Target("dead").Exhausted == 1 })
	// The job ends after the delivery that it exhausts.
	Until(t, Patience, "the job to end", func() bool {
		return j.Metrics().Get("retry_jobs_total", "target", "dead", "result", "failed") == attemptsMax
	})
	target := j.Target("dead")
	if target.FailedJobs != attemptsMax-100 || target.Status != "Enabled" || len(box.Mails()) != 0 {
		t.Errorf("%d failed jobs since the success, want 44; %s; %d mails", target.FailedJobs,
			target.Status, len(box.Mails()))
	}
}

// TestP5OneMailWhateverHappens asserts that the mail about a defect is owed durably: the server is
// away at first, the relay is killed, the server greylists, and in the end there is exactly one
// mail; then the same for the recovery.
func TestP5OneMailWhateverHappens(t *testing.T) {
	t.Parallel()
	j, box, _ := defectJourney(t, -2)
	j.Config.Set("defect.after_failed_jobs", 2).Set("retry.max_attempts", 10_000)
	box.Down()
	j.Start()
	j.Send(Post{Body: []byte(`{"eventType":"message"}`)})
	j.AwaitStatus("dead", "Defective")
	Until(t, Patience, "a failed alert", func() bool {
		return j.Metrics().Get("alerts_total", "result", "failed") >= 2
	})
	j.Kill()
	box.Refuse(3)
	box.Up()
	j.Start()
	box.Await(1)
	j.AwaitTicks(20)
	if n, tries := len(box.Mails()), box.Tries(); n != 1 || tries != 4 {
		t.Errorf("%d mails after %d offers, want 1 after 4", n, tries)
	}
	box.Refuse(2)
	j.RX.Always("dead", OK())
	box.Await(2)
	j.Restart()
	j.AwaitTicks(20)
	mails := box.Mails()
	if len(mails) != 2 || mails[0].ID == mails[1].ID ||
		!strings.Contains(mails[1].Subject, "recovered") {
		t.Errorf("%d mails after the recovery", len(mails))
	}
	// Another episode is another mail.
	j.RX.Always("dead", Code(500))
	j.Send(Post{Body: []byte(`{"eventType":"message"}`)})
	j.AwaitStatus("dead", "Defective")
	if mails = box.Await(3); mails[2].ID == mails[0].ID {
		t.Error("two episodes have one Message-Id")
	}
}

// TestP5MailsInOrder asserts that a recovery is never told before its defect, although the server
// refuses the first and would take the second; and that the delivery that ended the defect is not
// told as pending.
func TestP5MailsInOrder(t *testing.T) {
	t.Parallel()
	j, box, _ := defectJourney(t, -2)
	j.Config.Set("defect.after_failed_jobs", 2).Set("retry.max_attempts", 10_000)
	box.Down()
	j.Start()
	j.Send(Post{Body: []byte(`{"eventType":"message"}`)})
	j.AwaitStatus("dead", "Defective")
	j.RX.Always("dead", OK())
	Until(t, 2*Patience, "a recovery to be said", func() bool {
		return j.LogCount("target is Enabled again") == 1
	})
	if j.LogCount("target is Enabled again", "pending=0") != 1 {
		t.Error("the recovery does not tell that nothing is pending")
	}
	j.Terminate()
	box.Refuse(1)
	box.Up()
	j.Start()
	mails := box.Await(2)
	if !strings.Contains(mails[0].Subject, "Defective") ||
		!strings.Contains(mails[1].Subject, "recovered") {
		t.Errorf("the mails are %q, then %q", mails[0].Subject, mails[1].Subject)
	}
	if text := mails[1].Text; !strings.Contains(text, "Pending deliveries  0") ||
		strings.Contains(text, "Oldest pending") {
		t.Errorf("the recovery mail tells of pending deliveries:\n%s", text)
	}
}

// TestP5MailNeverDelaysDeliveries asserts that a mail server that hangs costs no delivery a thing,
// and no stop either.
func TestP5MailNeverDelaysDeliveries(t *testing.T) {
	t.Parallel()
	j, box, _ := defectJourney(t, -2)
	j.Config.Set("defect.after_failed_jobs", 2).Set("retry.max_attempts", 10_000)
	j.Aim("fine")
	box.Hang()
	j.Start()
	j.SendIDs("first", 1)
	j.AwaitStatus("dead", "Defective")
	Until(t, Patience, "the mail to hang", func() bool { return box.Tries() > 0 })
	tried := j.RX.Count("dead")
	ids := j.SendIDs("meanwhile", 50)
	j.RX.AwaitID("fine", ids[49])
	j.RX.Await("dead", tried+5) // jobs go on
	if n := len(box.Mails()); n != 0 {
		t.Errorf("%d mails were taken by a server that hangs", n)
	}
	if code := j.Terminate(); code != 0 {
		t.Errorf("the relay left with %d", code)
	}
	box.Unhang()
	j.Start()
	box.Await(1)
}

// TestP5LiveWaitsWhileDefective asserts that while a target is Defective its new events wait for a
// job, one probe at most, that nothing of them is lost, and that enable runs a job at once.
func TestP5LiveWaitsWhileDefective(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("dead", "fine")
	j.Config.Set("defect.after_failed_jobs", 0)
	j.RX.Always("dead", Code(500))
	j.Start()
	j.SendIDs("first", 1)
	j.AwaitFailed("dead", 1)
	j.Verb("enable", "dead") // a job, which fails, and is one more than 0
	j.AwaitStatus("dead", "Defective")
	before := j.RX.Count("dead")
	ids := j.SendIDs("later", 100)
	j.RX.AwaitID("fine", ids[99])
	j.AwaitPending("dead", 101)
	if n := j.RX.Count("dead") - before; n > 1 {
		t.Errorf("%d live requests to a Defective target", n)
	}
	j.Kill()
	j.Start()
	j.RX.Always("dead", OK())
	j.AwaitPending("dead", 101)
	j.Verb("enable", "dead")
	j.Ledger.AwaitDelivered()
	j.AwaitStatus("dead", "Enabled")
}

// TestP5PoisonIsNotADefect asserts that one delivery which always gets 400 beside healthy traffic
// never makes its target Defective, although its jobs all fail.
func TestP5PoisonIsNotADefect(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("defect.after_failed_jobs", 20)
	j.RX.On("crm", func(req *Request) Reply {
		if req.ID == "poison" {
			return Code(400)
		}
		return OK()
	})
	j.Start()
	j.Send(Post{ID: "poison", Body: []byte(`{"eventType":"message"}`)})
	j.AwaitFailed("crm", 1)
	for failed := range 60 { // no tick decides how many jobs there are between two successes
		if failed%15 == 0 {
			j.SendIDs(fmt.Sprint("healthy-", failed), 3)
			Until(t, Patience, "the success to count", func() bool {
				target := j.Target("crm")
				return target.Pending == 1 && target.FailedJobs == 0
			})
		}
		j.Verb("retry", "crm")
		Until(t, Patience, "a failed job", func() bool {
			return j.Metrics().Get("retry_jobs_total", "target", "crm", "result", "failed") == failed+1
		})
		if target := j.Target("crm"); target.Status != "Enabled" {
			t.Fatalf("the target is %s after %d failed jobs", target.Status, failed+1)
		}
	}
}
