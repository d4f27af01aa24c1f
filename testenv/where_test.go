package testenv

import (
	"fmt"
	"strings"
	"testing"
)

// wantTargets asserts to whom an event went.
func (j *Journey) wantTargets(p Post, want ...string) Answer {
	j.t.Helper()
	a := j.Send(p)
	if got := strings.Join(a.Targets, " "); got != strings.Join(want, " ") {
		j.t.Errorf("%s went to %q, want %q", p.Body, got, want)
	}
	return a
}

// TestWhere asserts that where chooses by what is in an event, that what it chose is frozen across a
// reload and a kill, that a program that fails leaves the event wanted and is counted, and that
// nobody with a program gets what is not JSON.
func TestWhere(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("all")
	where := func(name, program string) {
		j.Config.Target(name, j.RX.URL(name), "where", program)
	}
	where("active", `$session == "active"`)
	where("de", `.country == "DE"`)
	where("large", "# orders\n.amount > 100 and ($type | startswith(\"order\"))")
	where("tenant", `$headers["ce-tenant"] == "a" and $headers["content-type"] == "application/json"`)
	j.Start()
	body := func(text string) Post {
		return Post{Type: "orderPlaced", ContentType: "application/json", Body: []byte(text)}
	}
	j.wantTargets(body(`{"country":"DE","amount":100}`), "all", "de")
	j.wantTargets(body(`{"country":"FR","amount":100.5}`), "all", "large")
	j.wantTargets(body(`{"country":"DE","amount":1e3,"text":"`+strings.Repeat("ü", 9000)+`"}`),
		"all", "de", "large")
	j.wantTargets(body(`{"country":["DE"],"amount":null}`), "all")
	j.wantTargets(body(`country=DE`), "all")
	j.wantTargets(body(``), "all")
	j.wantTargets(body(`["DE"]`), "all", "de", "large")
	ce := Post{ContentType: "application/json", Body: []byte(`{"country":"AT"}`), Header: map[string]string{
		"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-type": "x", "ce-tenant": "a"}}
	j.wantTargets(ce, "all", "tenant")
	// Of a structured CloudEvent a program sees the envelope, of a batch each event.
	j.wantTargets(Post{ContentType: "application/cloudevents+json", Body: []byte(`{"specversion":` +
		`"1.0","id":"2","source":"/","type":"order","country":"DE","data":{"country":"FR"}}`)},
		"all", "de")
	batch := j.SendBatch([]byte(`{"country":"DE"}`), []byte(`{"country":"FR"}`))
	if got := fmt.Sprint(batch.Events[0].Targets, batch.Events[1].Targets); got != "[all de] [all]" {
		t.Errorf("the batch went to %s", got)
	}
	// The session is what it is with the event.
	talk := func(typ string) Post {
		return Post{Type: typ, Body: []byte(`{"waId":"1"}`)}
	}
	j.wantTargets(talk("message"), "all")
	j.wantTargets(talk("sessionMessageSent"), "active", "all")
	m := j.Metrics()
	for name, want := range map[string]int{"all": 0, "active": 0, "de": 1, "large": 1, "tenant": 0} {
		if got := m.Get("filter_errors_total", "target", name); got != want {
			t.Errorf("%d filter errors of %s, want %d", got, name, want)
		}
	}
	if j.LogCount("the where of a target failed") != 2 {
		t.Errorf("the log does not say once for each target that its where failed\n%s", tail(j.Log()))
	}
	j.Ledger.AwaitDelivered()
}

// TestWhereIsFrozen asserts that what was accepted stays owed to whom it was owed when the program
// changes, and that a program that is none changes nothing.
func TestWhereIsFrozen(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "where", `.n == 1`)
	j.RX.Always("crm", Code(500))
	j.Start()
	first := j.wantTargets(Post{Body: []byte(`{"n":1}`)}, "crm")
	j.wantTargets(Post{Body: []byte(`{"n":2}`)})
	j.RX.AwaitID("crm", first.ID)
	j.Config.Target("crm", j.RX.URL("crm"), "where", `.n == = 2`)
	if err := j.WriteConfig(j.Config.String()); err != nil {
		t.Fatal(err)
	}
	code, text := j.Admin("POST", "/v1/reload")
	if code != 422 || !strings.Contains(string(text), `is no jq program: unexpected token`) {
		t.Errorf("a reload of what is no program: %d %s", code, text)
	}
	if out := j.CLI("check"); out.Code != 1 || !strings.Contains(out.Stdout+out.Stderr, "no jq program") {
		t.Errorf("check of what is no program: %+v", out)
	}
	j.wantTargets(Post{Body: []byte(`{"n":1,"again":true}`)}, "crm")
	j.Config.Target("crm", j.RX.URL("crm"), "where", `.n == 2`)
	j.Reload()
	j.wantTargets(Post{Body: []byte(`{"n":1,"late":true}`)})
	j.wantTargets(Post{Body: []byte(`{"n":2,"late":true}`)}, "crm")
	j.Kill()
	j.RX.Always("crm", OK())
	j.Start()
	j.Verb("enable", "crm")
	j.AwaitPending("crm", 0)
	if n := j.Target("crm").Delivered; n != 3 {
		t.Errorf("%d events were delivered, want 3", n)
	}
}
