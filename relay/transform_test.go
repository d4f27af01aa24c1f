package relay

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
)

// What a transform cannot make a payload of costs its target nothing: no request is made, the
// delivery waits with the attempts that it had, is tried at every tick, and is sent as attempt 0 by
// the program of the day that it works.
func TestTransformFails(t *testing.T) {
	t.Parallel()
	for name, program := range map[string]string{"two results": `., .`, "none": `empty`,
		"too large": `[range(200000)]`, "an error": `.phone.number`, "for ever": `last(repeat(1))`,
		"its own error": `error(.phone)`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.cfg.Retry.MaxAttempts, f.cfg.Retry.StopJobAfter = 2, 1
			f.cfg.Defect.AfterFailedJobs = 2
			var log lockedBuffer
			good := newReceiver(t, always(200))
			f.target("crm", good.URL, func(t *config.Target) { t.Transform = program })
			f.start()
			f.log = slog.New(slog.NewTextHandler(&log, nil))
			f.post("/v1/events/x", `{"phone":"447700900123"}`)
			l := f.laneNamed("crm")
			waits := func() bool { c := l.spool.Counts(); return c.Fresh == 0 && c.Pending == 1 }
			f.wait("it to wait for a tick", waits)
			for range 5 {
				f.runTick()
				f.synced()
			}
			f.wantUncharged(l)
			if l.status() != Enabled || !waits() || good.count() != 0 {
				t.Errorf("%s, %+v, %d requests", l.status(), l.spool.Counts(), good.count())
			}
			if n := counted(l.m().attempts[attempt.Transform]); n != 6 {
				t.Errorf("%g attempts with outcome transform, want 6", n)
			}
			wantTransformShown(t, f)
			if strings.Contains(log.String(), "4477") {
				t.Errorf("the log quotes the payload:\n%s", log.String())
			}
			f.reload(func(c *config.Config) { c.Targets[0].Transform = `{phone, type: $type}` })
			f.runTick()
			f.wait("the delivery", func() bool { return l.spool.Counts().Delivered == 1 })
			if got := good.attempts(); !slices.Equal(got, []int{0}) ||
				good.bodies[0] != `{"phone":"447700900123","type":"x"}` {
				t.Errorf("attempts %v, %q", got, good.bodies)
			}
		})
	}
}

// wantTransformShown looks at what is told of the one delivery that waits.
func wantTransformShown(t *testing.T, f *fixture) {
	t.Helper()
	var list admin.Deliveries
	f.api("GET", "/v1/deliveries?target=crm", &list)
	if len(list.Deliveries) != 1 || list.Deliveries[0].Attempts != 0 ||
		!strings.Contains(list.Deliveries[0].LastError, "cannot transform the event: ") {
		t.Errorf("deliveries %+v", list.Deliveries)
		return
	}
	var history admin.Attempts
	f.api("GET", "/v1/attempts/"+list.Deliveries[0].ID, &history)
	for _, a := range history.Attempts {
		if a.Outcome != attempt.Transform.String() || a.Attempt != 0 {
			t.Errorf("an attempt %+v", a)
		}
	}
	if text := fmt.Sprint(list, history); strings.Contains(text, "4477") {
		t.Errorf("the payload is quoted: %s", text)
	}
}

// What is not JSON has no transform, and neither explanation nor sample sends what there is not.
func TestTransformExplained(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := newReceiver(t, always(200))
	f.target("crm", good.URL, func(t *config.Target) { t.Transform = `{id: $id, n, session: $session}` })
	f.target("bad", good.URL, func(t *config.Target) { t.Transform = `.n.x` })
	f.target("plain", good.URL)
	f.start()
	var e admin.Explanation
	f.api("POST", "/v1/explain?type=message&id=mine", &e, `{"n":1.0,"waId":"1"}`)
	crm, bad, plain := e.Targets[0], e.Targets[1], e.Targets[2]
	if !crm.Transformed || !strings.HasSuffix(crm.Request,
		"\r\n\r\n"+`{"id":"mine","n":1.0,"session":"inactive"}`) {
		t.Errorf("crm would get %+v", crm)
	}
	if bad.Request != "" || bad.RefusedBy != "" || !strings.Contains(bad.Note,
		"its transform fails, so that nothing would be sent: expected an object but got: number (1.0)") {
		t.Errorf("bad would get %+v", bad)
	}
	if plain.Transformed || !strings.HasSuffix(plain.Request, `{"n":1.0,"waId":"1"}`) {
		t.Errorf("plain would get %+v", plain)
	}
	f.api("POST", "/v1/explain?type=message", &e, `no JSON`)
	if got := e.Targets[0]; got.Request != "" || !strings.Contains(got.Note, "not JSON") {
		t.Errorf("of what is not JSON crm would get %+v", got)
	}
	var s admin.Sample
	f.api("POST", "/v1/targets/crm/sample?type=message", &s)
	if !s.Acknowledged || s.Sent != fmt.Sprintf(`{"id":%q,"n":null,"session":null}`, s.ID) ||
		!strings.Contains(s.Payload, "waId") || good.bodies[0] != s.Sent {
		t.Errorf("sample %+v, %q", s, good.bodies)
	}
	s = admin.Sample{}
	f.reload(func(c *config.Config) { c.Targets[0].Transform = `empty` })
	f.api("POST", "/v1/targets/crm/sample?type=message", &s)
	if s.Acknowledged || s.Outcome != "transform" || s.Sent != "" || s.Payload == "" ||
		!strings.Contains(s.Error, "gives no result") || good.count() != 1 {
		t.Errorf("sample %+v, %d requests", s, good.count())
	}
}
