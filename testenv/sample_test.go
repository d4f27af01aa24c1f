package testenv

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// catalogue is Wati's event types (wati.md §2), each of which must have a sample.
func catalogue() []string {
	return strings.Fields(`
		message message_bsuid newContactMessageReceived newContactMessageReceived_bsuid
		sessionMessageSent sessionMessageSent_v2 sessionMessageSent_bsuid sessionMessageSent_v2_bsuid
		templateMessageSent templateMessageSent_v2 templateMessageSent_bsuid
		templateMessageSent_v2_bsuid sentMessageDELIVERED sentMessageDELIVERED_v2 sentMessageREAD
		sentMessageREAD_v2 sentMessageREPLIED sentMessageREPLIED_v2 templateMessageFailed
		sessionMessageFailed chatbotTriggered chatbotTriggered_bsuid ctaUrlClicked
		ctaUrlClicked_bsuid ctaButtonClicked call.status callStatus call.status_bsuid
		contactRequestTyping paymentCaptured templateReviewed templateQualityUpdated
		templateCategoryUpdated wabaStatusReviewUpdate accountDeleted accountUpdated
		PhoneNumberQualityUpdatedEvent phoneNumberDeleted businessCapabilityUpdated`)
}

// TestSampleEveryType asserts that a sample of every type of the catalogue reaches the target at
// once, marked as a sample, signed like an event, and touches no counter.
func TestSampleEveryType(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	key := "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	j.Config.Target("crm", j.RX.URL("crm"), "events", []string{"nothing"}, "session", "active",
		"secret", key)
	j.Start()
	before := j.Target("crm")
	for _, typ := range catalogue() {
		s := j.Sample("crm", typ)
		if !s.Acknowledged || s.Outcome != "success" || s.Status != 200 || s.Type != typ {
			t.Errorf("%s: %+v", typ, s)
			continue
		}
		r := j.RX.AwaitID("crm", s.ID)
		var payload map[string]any
		if err := json.Unmarshal(r.Body, &payload); err != nil {
			t.Errorf("%s: the payload is not JSON: %v", typ, err)
		}
		if !r.Sample || r.Type != typ || r.Header.Get("webhook-signature") == "" {
			t.Errorf("%s: sample %v, type %q, headers %v", typ, r.Sample, r.Type, r.Header)
		}
	}
	if n := j.RX.Count("crm"); n != len(catalogue()) {
		t.Errorf("%d requests for %d samples", n, len(catalogue()))
	}
	m, after := j.Metrics(), j.Target("crm")
	samples := m.Get("samples_total", "target", "crm", "outcome", "success")
	if samples != len(catalogue()) || m.Attempts("crm") != 0 || m.Get("events_accepted_total") != 0 {
		t.Errorf("%d samples counted, %d attempts, %d events", samples, m.Attempts("crm"),
			m.Get("events_accepted_total"))
	}
	if after.FailedJobs != before.FailedJobs || after.Delivered != before.Delivered ||
		after.Pending != 0 || after.LastSuccess != nil {
		t.Errorf("samples changed the target: %+v", after)
	}
	if code, _ := j.Admin("POST", "/v1/targets/nobody/sample"); code != 404 {
		t.Errorf("a sample to nobody answered %d", code)
	}
}

// TestSampleInAnyStanding asserts that a sample works for a Disabled, Paused and Defective target,
// that one that fails says how and is not retried, and that neither changes the standing.
func TestSampleInAnyStanding(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("defective")
	j.Config.Set("defect.after_failed_jobs", 0)
	j.Config.Target("disabled", j.RX.URL("disabled"), "status", "disabled")
	j.Config.Target("paused", j.RX.URL("paused"), "status", "paused")
	j.RX.On("defective", func(req *Request) Reply {
		if req.Sample {
			return OK()
		}
		return Code(500)
	})
	j.Start()
	j.SendIDs("x", 1)
	j.AwaitFailed("defective", 1)
	j.Verb("enable", "defective")
	j.AwaitStatus("defective", "Defective")
	long := "HTTP/1.1 418 Short And Stout\r\nContent-Length: 5000\r\n\r\n" +
		strings.Repeat("teapot\n\x00\xff", 5000/9+1)[:5000]
	statuses := map[string]string{"disabled": "Disabled", "paused": "Paused",
		"defective": "Defective"}
	for target, status := range statuses {
		failed := j.Target(target).FailedJobs
		if s := j.Sample(target, ""); !s.Acknowledged || s.Type == "" {
			t.Errorf("%s: %+v", target, s)
		}
		j.RX.Always(target, Raw(418, long))
		s := j.Sample(target, "message")
		if s.Acknowledged || s.Outcome != "status" || s.Status != 418 || len(s.Body) > 4<<10 ||
			!strings.HasPrefix(s.StatusLine, "HTTP/1.1 418 Short And Stout") ||
			!strings.HasPrefix(s.Body, "teapot") || s.Latency <= 0 || s.Remote != j.RX.Address() {
			t.Errorf("%s: a sample that fails: %+v", target, s)
		}
		now := j.Target(target)
		if now.Status != status || now.FailedJobs != failed {
			t.Errorf("%s: after samples it is %s with %d failed jobs, was %d", target, now.Status,
				now.FailedJobs, failed)
		}
		m := j.Metrics()
		if m.Get("samples_total", "target", target, "outcome", "success") != 1 ||
			m.Get("samples_total", "target", target, "outcome", "status") != 1 {
			t.Errorf("%s: samples are not counted", target)
		}
	}
}

// TestSampleOfAnyType asserts that a type of the app's own has a sample, which is the one by default
// for a target that wants nothing else; that what no event can have as a type is refused; and that
// an orphan is called one.
func TestSampleOfAnyType(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("shop", j.RX.URL("shop"), "events", []string{"order.*", "order.paid"})
	j.Config.Target("gone", j.RX.URL("gone"), "status", "paused")
	j.Start()
	for _, typ := range []string{"order.paid", "order.\u20ac/1", ""} {
		s := j.Sample("shop", typ)
		if typ == "" {
			typ = "order.paid"
		}
		r := j.RX.AwaitID("shop", s.ID)
		var payload struct {
			EventType, Text, Timestamp string
			Sample                     bool
		}
		if err := json.Unmarshal(r.Body, &payload); err != nil || !s.Acknowledged {
			t.Errorf("%q: %+v, %v", typ, s, err)
		}
		if s.Type != typ || r.Type != typ || payload.EventType != typ || !payload.Sample ||
			payload.Text == "" || payload.Timestamp == "" {
			t.Errorf("%q: of type %q, %q came: %s", typ, s.Type, r.Type, r.Body)
		}
	}
	for _, typ := range []string{"a%0Ab", "%FF", strings.Repeat("x", 257)} {
		if code, body := j.Admin("POST", "/v1/targets/shop/sample?type="+typ); code != 400 {
			t.Errorf("a sample of type %q answered %d: %s", typ, code, body)
		}
	}
	j.SendIDs("kept", 1)
	j.Config.Remove("target.gone")
	j.Reload()
	if code, body := j.Admin("POST", "/v1/targets/gone/sample"); code != 409 ||
		!strings.Contains(string(body), "not in the config any more") {
		t.Errorf("a sample to an orphan answered %d: %s", code, body)
	}
}

// TestSampleVerb asserts the verb: exit 0 and a status line when it is acknowledged, exit 1 when it
// is not, with what came back.
func TestSampleVerb(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	out := j.CLI("sample", "crm", "message")
	if out.Code != 0 || !strings.Contains(out.Stdout, "200") {
		t.Errorf("sample left with %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
	j.RX.Always("crm", Code(204))
	out = j.CLI("sample", "crm", "message")
	if out.Code != 1 || !strings.Contains(out.Stdout+out.Stderr, "204") {
		t.Errorf("sample left with %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
	j.RX.Down()
	if out = j.CLI("sample", "crm"); out.Code != 1 {
		t.Errorf("sample to nowhere left with %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
	if out = j.CLI("sample", "crmm"); out.Code != 1 || !strings.Contains(out.Stderr, "error: ") {
		t.Errorf("sample of a wrong name left with %d: %s", out.Code, out.Stderr)
	}
	types := []string{}
	for _, r := range j.RX.Requests("crm") {
		types = append(types, r.Type)
	}
	if !slices.Equal(types, []string{"message", "message"}) {
		t.Errorf("samples were of types %v", types)
	}
}
