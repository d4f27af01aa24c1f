package relay

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
)

// TestExplainByConfig asserts that the config alone says what a relay says, but for what only a
// spool knows.
func TestExplainByConfig(t *testing.T) {
	t.Parallel()
	f := explainFixture(t)
	plain := func(e admin.Explanation) admin.Explanation {
		for i := range e.Targets { // the instant of asking differs
			before, rest, _ := strings.Cut(e.Targets[i].Request, "webhook-timestamp: ")
			_, after, _ := strings.Cut(rest, "\r\n")
			e.Targets[i].Request = before + after
		}
		return e
	}
	var want admin.Explanation
	if code := f.api("POST", "/v1/explain?type=xyz&id=mine", &want, `{"a":1}`); code != 200 {
		t.Fatalf("%d", code)
	}
	q := admin.ExplainQuery{Type: "xyz", ID: "mine", Payload: []byte(`{"a":1}`)}
	got, err := ExplainByConfig(&f.cfg, f.version, q)
	if err != nil || !reflect.DeepEqual(plain(got), plain(want)) {
		t.Errorf("the config says %+v, %v; the relay says %+v", got, err, want)
	}
	q.Payload = []byte(`{"waId":"1"}`)
	got, err = ExplainByConfig(&f.cfg, f.version, q)
	if err != nil || got.Session == nil || got.Session.StateAfter != sessionUnknown ||
		got.Targets[1].RefusedBy != "" ||
		got.Targets[1].Note != "only if the session is active; the request would carry webhook-session" {
		t.Errorf("of a conversation it says %+v, %v", got, err)
	}
}

// TestExplainByConfigRefuses what the relay would not accept.
func TestExplainByConfigRefuses(t *testing.T) {
	t.Parallel()
	fixture := newFixture(t)
	f := func(q admin.ExplainQuery, code string) {
		t.Helper()
		_, err := ExplainByConfig(&fixture.cfg, "test", q)
		var no *admin.Error
		if !errors.As(err, &no) || no.Code != code {
			t.Errorf("%.20q: %v, want %s", q.Payload, err, code)
		}
	}
	f(admin.ExplainQuery{ID: "a b"}, accept.CodeMalformed)
	f(admin.ExplainQuery{ContentType: "application/x-ndjson"}, accept.CodeUnsupported)
	f(admin.ExplainQuery{Payload: make([]byte, fixture.cfg.Server.MaxBodySize+1)}, accept.CodeTooLarge)
}
