package testenv

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// talkStep is one event of a conversation and the session state it must be delivered with.
type talkStep struct {
	typ  string
	body string // without eventType
	want string // webhook-session; "" for no header
	wait bool   // let a whole window pass before
}

const conv = `"conversationId":"c"`

// talks are the sessions of CONTRACT §7 (wati.md S8 to S11).
func talks() map[string][]talkStep {
	by := func(typ, want string) talkStep { return talkStep{typ, conv, want, false} }
	later := func(typ, want string) talkStep { return talkStep{typ, conv, want, true} }
	owned := func(typ, owner, want string) talkStep {
		return talkStep{typ, conv + `,"owner":` + owner, want, false}
	}
	of := func(typ, keys, want string) talkStep { return talkStep{typ, keys, want, false} }
	return map[string][]talkStep{
		"business first, the reply makes it active": {
			by("templateMessageSent", "inactive"), by("sentMessageDELIVERED", "inactive"),
			by("sentMessageREAD_v2", "inactive"), by("message", "active"),
			by("sentMessageREPLIED", "active")},
		"user first, the reply makes it active at once": {
			by("message", "inactive"), by("message", "inactive"),
			by("sessionMessageSent_v2", "active"), by("message", "active")},
		"one side only, however often": {
			by("templateMessageSent", "inactive"), by("templateMessageSent_v2", "inactive"),
			by("sessionMessageSent", "inactive")},
		"it ends": {
			by("templateMessageSent", "inactive"), by("message", "active"),
			later("sentMessageDELIVERED", "inactive"), by("message", "inactive"),
			by("sessionMessageSent", "active")},
		"a user's message a window ago does not count": {
			by("message", "inactive"), later("templateMessageSent", "inactive"),
			by("message", "active")},
		"nobody answers in time": {
			by("templateMessageSent", "inactive"), later("message", "inactive")},
		"failed messages count for nobody": {
			by("templateMessageFailed", "inactive"), by("sessionMessageFailed", "inactive"),
			by("message", "inactive"), by("templateMessageFailed", "inactive"),
			by("templateMessageSent", "active")},
		"delivered and read take no side, whoever owns them": {
			by("message", "inactive"), owned("sentMessageDELIVERED", "true", "inactive"),
			owned("sentMessageREAD", `"true"`, "inactive"), owned("unheardOf", "true", "inactive")},
		"replied proves the user": {
			by("templateMessageSent", "inactive"), by("sentMessageREPLIED_v2", "active")},
		"the owner decides": {
			owned("message", "true", "inactive"), owned("message", "false", "active")},
		"the owner as text": {
			owned("sessionMessageSent", `"false"`, "inactive"),
			owned("message", `"true"`, "active")},
		"other values of owner say nothing": {
			owned("message", `"yes"`, "inactive"), owned("templateMessageSent", "1", "active")},
		"bsuid twins": {
			of("templateMessageSent_v2_bsuid", `"bsuid":"b"`, "inactive"),
			of("message_bsuid", `"bsuid":"b"`, "active")},
		"no conversation": {
			of("templateReviewed", `"x":1`, ""), of("message", `"conversationId":null`, ""),
			of("message", `"conversationId":""`, "")},
		"the first key present counts": {
			of("message", `"waId":"1","bsuid":"2"`, "inactive"),
			of("templateMessageSent", `"bsuid":"2"`, "active")},
		"two keys of one conversation, learnt later": {
			of("newContactMessageReceived", `"waId":"1"`, "inactive"),
			of("sentMessageDELIVERED", `"conversationId":"c"`, "inactive"),
			of("chatbotTriggered", `"conversationId":"c","waId":"1"`, "inactive"),
			of("templateMessageSent", `"conversationId":"c"`, "active"),
			of("sentMessageREAD", `"waId":"1"`, "active")},
		"merged: the business under one key, the user under the other": {
			of("templateMessageSent", `"waId":"1"`, "inactive"),
			of("message", `"conversationId":"c"`, "inactive"),
			of("sentMessageDELIVERED", `"conversationId":"c","waId":"1"`, "active"),
			of("sentMessageREAD", `"conversationId":"c"`, "active")},
		"other conversations": {
			of("templateMessageSent", `"waId":"1"`, "inactive"),
			of("message", `"waId":"2"`, "inactive"), of("message", `"waId":"1"`, "active")},
	}
}

// shortWindow is what a talk begins with that lets a window pass.
const shortWindow = 2 * time.Second

// inTime plays something whose steps must come within a window, and another that must pass. If a
// machine took longer than that over what it did wrong, it says nothing about the relay: it is
// played again from the beginning with a window that is twice as long.
func inTime(t *testing.T, play func(window time.Duration) (wrong []string, slow bool)) {
	t.Helper()
	for window := shortWindow; ; window *= 2 {
		wrong, slow := play(window)
		if len(wrong) > 0 && slow && window < Patience {
			t.Logf("this machine was too slow for a window of %s: %q", window, wrong)
			continue
		}
		for _, w := range wrong {
			t.Error(w)
		}
		return
	}
}

// letPass waits until a window has passed since an instant.
func letPass(t *testing.T, window time.Duration, since time.Time) {
	t.Helper()
	Until(t, window+Patience, "a window to pass", func() bool { return time.Since(since) > window })
}

// TestSessionTalks plays every talk in conversations of its own and asserts the webhook-session of
// each delivery, and the fan-out to targets that want only active or only inactive sessions.
func TestSessionTalks(t *testing.T) {
	t.Parallel()
	for name, steps := range talks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if slices.ContainsFunc(steps, func(s talkStep) bool { return s.wait }) {
				inTime(t, func(window time.Duration) ([]string, bool) {
					return playTalk(t, steps, window)
				})
				return
			}
			wrong, _ := playTalk(t, steps, time.Hour)
			for _, w := range wrong {
				t.Error(w)
			}
		})
	}
}

// playTalk plays a talk with a relay of its own. It is slow if what comes between two waits took
// longer than a window.
func playTalk(t *testing.T, steps []talkStep, window time.Duration) (wrong []string, slow bool) {
	t.Helper()
	j := NewJourney(t).Aim("any")
	j.Config.Set("session.window", window.String())
	j.Config.Target("active", j.RX.URL("active"), "session", "active")
	j.Config.Target("inactive", j.RX.URL("inactive"), "session", "inactive")
	j.Start()
	began := time.Now()
	for i, step := range steps {
		if step.wait {
			letPass(t, window, time.Now())
			began = time.Now()
		}
		wrong = append(wrong, playStep(t, j, i, step)...)
		slow = slow || time.Since(began) > window
	}
	j.Ledger.AwaitDelivered()
	return wrong, slow
}

func playStep(t *testing.T, j *Journey, i int, step talkStep) (wrong []string) {
	t.Helper()
	a := j.Send(Post{ID: fmt.Sprint("step-", i),
		Body: fmt.Appendf(nil, `{"eventType":%q,%s}`, step.typ, step.body)})
	r := j.RX.AwaitID("any", a.ID)
	f := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("step %d, %s: ", i, step.typ)+fmt.Sprintf(format, args...))
	}
	if _, has := r.Header["Webhook-Session"]; r.Session != step.want || has != (step.want != "") {
		f("webhook-session is %q, want %q", r.Session, step.want)
	}
	want := []string{"active", "any", "inactive"}
	if step.want != "" {
		want = slices.DeleteFunc(want, func(s string) bool {
			return s != "any" && s != step.want
		})
	}
	slices.Sort(a.Targets)
	if !slices.Equal(a.Targets, want) {
		f("owed to %v, want %v", a.Targets, want)
	}
	if e := j.Event(a.ID); e.Session != step.want {
		f("the API says session %q, want %q", e.Session, step.want)
	}
	return wrong
}

// TestSessionIsFixedNotSliding asserts that a session is a fixed increment: messages within do not
// extend it, and the next business message after its end opens another.
func TestSessionIsFixedNotSliding(t *testing.T) {
	t.Parallel()
	inTime(t, func(window time.Duration) ([]string, bool) { return playSliding(t, window) })
}

// playSliding is slow if a message that is to be within the first increment came after its end, or
// the last ones are further apart than a window.
func playSliding(t *testing.T, window time.Duration) (wrong []string, slow bool) {
	t.Helper()
	j := NewJourney(t).Aim("any")
	j.Config.Set("session.window", window.String())
	j.Start()
	step := func(i int, typ, want string) {
		t.Helper()
		id := j.Send(Post{ID: fmt.Sprint("step-", i),
			Body: fmt.Appendf(nil, `{"eventType":%q,%s}`, typ, conv)}).ID
		if got := j.RX.AwaitID("any", id).Session; got != want {
			wrong = append(wrong, fmt.Sprintf("step %d, %s: %q, want %q", i, typ, got, want))
		}
	}
	began := time.Now()
	step(0, "templateMessageSent", "inactive")
	opened := time.Now() // at the latest
	step(1, "message", "active")
	letPass(t, window*6/10, began)
	step(2, "templateMessageSent", "active") // extends nothing
	step(3, "message", "active")
	slow = time.Since(began) > window
	letPass(t, window, opened)
	began = time.Now()
	step(4, "sentMessageREAD", "inactive")
	step(5, "message", "inactive")
	step(6, "templateMessageSent", "active")
	return wrong, slow || time.Since(began) > window
}

// TestSessionSurvives asserts that sessions survive kill -9, that the state of a delivery is frozen
// at acceptance (a retry after the session's end still says active), and that the switch works.
func TestSessionSurvives(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("any", "late")
	j.Config.Set("retry.interval", "100ms").Set("session.window", "1h").
		Set("retry.max_attempts", 10_000)
	j.RX.Always("late", Code(500))
	j.Start()
	send := func(id, typ, body, want string) {
		t.Helper()
		j.Send(Post{ID: id, Body: fmt.Appendf(nil, `{"eventType":%q,%s}`, typ, body)})
		if got := j.RX.AwaitID("any", id).Session; got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	send("one", "templateMessageSent", `"waId":"1"`, "inactive")
	send("alias", "sentMessageDELIVERED", `"waId":"1",`+conv, "inactive")
	opened := time.Now()
	j.Kill()
	j.Start()
	send("two", "message", conv, "active")
	// The window ends when everything that must come within it is there.
	j.Config.Set("session.window", "1s")
	j.Reload()
	letPass(t, time.Second, opened)
	send("over", "sentMessageREAD", conv, "inactive")
	j.Config.Set("session.enabled", false)
	j.Reload()
	send("off", "message", conv, "")
	seen := j.RX.CountID("late", "two")
	Until(t, Patience, "another retry", func() bool { return j.RX.CountID("late", "two") > seen })
	for _, r := range j.RX.Requests("late") {
		want := map[string]string{"one": "inactive", "alias": "inactive", "two": "active",
			"over": "inactive", "off": ""}
		if r.Session != want[r.ID] {
			t.Errorf("attempt %d of %s says %q", r.Attempt, r.ID, r.Session)
		}
	}
}
