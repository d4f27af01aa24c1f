package accept

import (
	"fmt"
	"testing"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/session"
)

func TestLookInside(t *testing.T) {
	cfg := config.Default()
	cfg.Session.UserEvents = []config.Pattern{"*"}
	f := func(body, wantType string, wantSide session.Side, wantKeys string) {
		t.Helper()
		a := arrival{payload: []byte(body)}
		d, r := a.draft(rulesOf(&cfg), new(fastjson.Parser))
		if r != nil {
			t.Fatal(r)
		}
		talk := d.Note.(judged).talk
		if d.Type != wantType || talk.Side != wantSide || fmt.Sprint(talk.Keys) != wantKeys {
			t.Errorf("%s: got type %q, side %v, keys %v; want %q, %v, %s", body, d.Type, talk.Side,
				talk.Keys, wantType, wantSide, wantKeys)
		}
	}
	f(`{"eventType":"message","waId":"1","owner":false}`, "message", session.SideUser, "[waId=1]")
	f(`{"eventType":"m","waId":491,"conversationId":"c","owner":"true"}`, "m", session.SideBusiness,
		"[conversationId=c waId=491]")
	f(` {"eventType":7,"waId":""}`, "", session.SideNone, "[]")
	f(`{"eventType":"m"`, "", session.SideNone, "[]")
	f(`["eventType"]`, "", session.SideNone, "[]")
	f(``, "", session.SideNone, "[]")
	f(`{"waId":null,"bsuid":{"a":1}}`, "", session.SideNone, "[]")
	cfg.Event.TypeField = "data.kind"
	f(`{"data":{"kind":"deep"}}`, "deep", session.SideNone, "[]")
	f(`{"data.kind":"flat"}`, "flat", session.SideNone, "[]")
	cfg.Event.DefaultType = "other"
	f(`{"data":{}}`, "other", session.SideNone, "[]")
	f(`plain`, "other", session.SideNone, "[]")
}

// Whatever comes in, looking inside ends, and what it finds is a string.
func FuzzLookInside(f *testing.F) {
	for _, s := range []string{`{"eventType":"a","owner":true,"waId":1e999}`, `{"eventType":"\ud800"}`,
		`{"a":[[[[{}]]]]}`, "{", "\x00"} {
		f.Add([]byte(s))
	}
	cfg := config.Default()
	f.Fuzz(func(t *testing.T, body []byte) {
		in := arrival{payload: body}
		_, r := in.draft(rulesOf(&cfg), new(fastjson.Parser))
		if r == nil && len(in.typ) > nameBytesMax {
			t.Errorf("a type of %d bytes was let through", len(in.typ))
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte("{}\n\n{\"eventType\":1}\r\n"), true)
	f.Add([]byte(`[{"specversion":"1.0","id":"1","source":"s","type":"t"}]`), false)
	cfg := config.Default()
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		cut, r := splitBatch(body, !lines)
		if r != nil {
			return
		}
		drafts, r := postOf(&cfg, arrival{id: "k"}).batchDrafts(cut, !lines)
		if r == nil && len(drafts) != len(cut) {
			t.Errorf("%d lines became %d events", len(cut), len(drafts))
		}
	})
}
