package catalogue

import (
	"strings"
	"testing"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/sample"
)

// Every type that has a sample has words, and no other.
func TestEveryTypeIsTold(t *testing.T) {
	cfg := config.Default()
	list := List(&cfg.Session)
	if len(list) != len(sample.Types()) || len(list) < 39 {
		t.Fatalf("%d types", len(list))
	}
	for _, e := range list {
		if e.When == "" || e.Effect == "" {
			t.Errorf("%s is not told: %+v", e.Type, e)
		}
		payload, _ := sample.Payload(e.Type)
		if len(Fields(payload)) == 0 {
			t.Errorf("%s has no fields", e.Type)
		}
	}
	if _, ok := Find(&cfg.Session, "typo"); ok || when("typo") != "" {
		t.Error("a type that is none has an entry")
	}
}

// What a type does to the session follows from the rules of the config.
func TestEffect(t *testing.T) {
	cfg := config.Default()
	f := func(typ, side, effect string) {
		t.Helper()
		e, ok := Find(&cfg.Session, typ)
		if !ok || e.Side != side || !strings.Contains(e.Effect, effect) {
			t.Errorf("%s: %+v; want %s, %q", typ, e, side, effect)
		}
	}
	f("message", "user", "active if a business message has opened a session")
	f("sessionMessageSent", "business", "opens a session of 24h unless")
	f("templateMessageSent_v2_bsuid", "business", "opens")
	f("sentMessageREPLIED_v2", "user", "the user writes")
	f("sentMessageREAD", "none", "takes no side")
	f("templateMessageFailed", "none", "takes no side")
	f("accountDeleted", "none", "no conversation")
	cfg.Session.UserEvents, cfg.Session.Window = nil, cfg.Session.Window/2
	f("message", "none", "takes no side")
	f("sessionMessageSent", "business", "12h")
	cfg.Session.Enabled = false
	f("sessionMessageSent", "none", "sessions are off")
}

func TestFields(t *testing.T) {
	f := func(payload, want string) {
		t.Helper()
		var lines []string
		for _, x := range Fields([]byte(payload)) {
			lines = append(lines, strings.TrimSpace(x.Name+" "+x.Type+" "+x.Example))
		}
		if got := strings.Join(lines, ", "); got != want {
			t.Errorf("%s has %s; want %s", payload, got, want)
		}
	}
	f(`{"b":1,"a":"x","c":null,"d":false}`, `b number 1, a string "x", c null null, d boolean false`)
	f(`{"o":{"x":10000000000000001}}`, `o object, o.x number 10000000000000001`)
	f(`{"l":[{"t":"1","u":2},{"v":3}],"e":[],"n":{}}`,
		`l array, l[] object, l[].t string "1", l[].u number 2, e array [], n object {}`)
	f(`{"t":"`+strings.Repeat("ä", 100)+`"}`, `t string "`+strings.Repeat("ä", 59)+"…")
	f(`no JSON`, "")
}

func TestNear(t *testing.T) {
	f := func(typ, want string) {
		t.Helper()
		if got := Near(typ); got != want {
			t.Errorf("near %q is %q; want %q", typ, got, want)
		}
	}
	f("mesage", "message")
	f("MESSAGE", "message")
	f("emssage", "message")
	f("templatemessagesent", "templateMessageSent")
	f("sentMessageREAD_v3", "sentMessageREAD_v2")
	f("sentMessageDELIVRED", "sentMessageDELIVERED")
	f("order.paid", "")
	f("typo", "")
	f("", "")
}
