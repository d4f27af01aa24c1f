package envelope

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
)

// at is an instant of acceptance.
func at() time.Time { return time.Date(2026, 11, 28, 1, 2, 3, 456, time.UTC) }

// cases are events that a batch of CloudEvents carries, and the form in which it does.
func cases() map[*Event]form {
	const js = "application/json"
	plain := func(contentType, payload string) *Event {
		return &Event{ID: "evt_1", Type: "message", ContentType: contentType, Payload: []byte(payload),
			At: at()}
	}
	full := plain(js, `{"a":1}`)
	full.ID, full.Type, full.Session = "ä-\"\\<>&\u2028", "t \"<ü>\u2028", "active"
	full.Headers = []spool.Header{{Name: "traceparent", Value: "00-a-b-01"},
		{Name: "tracestate", Value: "x=y,z=\"q\""}}
	binary := plain("text/plain; charset=utf-8", "plain text")
	binary.Headers = []spool.Header{{Name: "ce-specversion", Value: "1.0"}, {Name: "ce-id", Value: "%C3%A4"},
		{Name: "ce-source", Value: "/s"}, {Name: "ce-type", Value: "other"}, {Name: "ce-data", Value: "x"},
		{Name: "ce-un-known", Value: "%zz"}, {Name: "ce-time", Value: "2020-01-01T00:00:00Z"}}
	const whole = `{"specversion":"1.0","id":"a","source":"/s","type":"t","data":{"x":[1.0,1e400]}}`
	traced := plain(ceMedia, whole)
	traced.Headers = []spool.Header{{Name: "traceparent", Value: "00-a-b-01"}}
	return map[*Event]form{
		full: formData, binary: formBase64, traced: formData, plain(ceMedia, whole): formWhole,
		plain(ceMedia, `{"hookspoolid":"x","hookspooltype":"y","id":1}`): formWhole,
		plain(ceMedia, " "+whole): formBase64, plain(ceMedia, whole+"\n"): formBase64,
		plain(ceMedia+"; charset=utf-8", whole): formData, plain(ceMedia, `[]`): formData,
		plain(js, `{"b":1.0, "a":1e400 ,"a":"\u00e9\ud800","":[null,{}]}`): formData,
		plain(js, "{\n  \"a\" : 1\r\n}"):                                   formData,
		plain(js, `null`):                                                  formData, plain(js, `"x"`): formData, plain(js, `-0.0e-0`): formData,
		plain(js+"; charset=\"utf-8\"", `{"a":1}`): formData, plain("APPLICATION/VND.X+JSON", `[]`): formData,
		plain(js, ``): formBase64, plain(js, ` {}`): formBase64, plain(js, "{}\n"): formBase64,
		plain(js, "\xef\xbb\xbf{}"): formBase64, plain(js, `{"a":}`): formBase64, plain(js, `{}{}`): formBase64,
		plain(js, "{\"a\":\"\xff\"}"):                                        formBase64,
		plain(js, strings.Repeat("[", 64)+strings.Repeat("]", 64)):           formData,
		plain(js, strings.Repeat("[", 65)+strings.Repeat("]", 65)):           formBase64,
		plain(js, `"`+strings.Repeat("[", 100)+`\"`+`"`):                     formData,
		plain("", `{"a":1}`):                                                 formBase64,
		plain("text/plain", `{"a":1}`):                                       formBase64,
		plain("application/octet-stream", "\x00\x01\xfe\xff\r\n"):            formBase64,
		plain("application/json\tx", `{}`):                                   formBase64,
		plain(js, "\""+strings.Repeat("\u2028\U0001F600 </script>", 9)+"\""): formData,
	}
}

// same compares what a relay knows of an event.
func same(a, b *Event) bool {
	return a.ID == b.ID && a.Type == b.Type && a.ContentType == b.ContentType &&
		bytes.Equal(a.Payload, b.Payload) &&
		(len(a.Headers)+len(b.Headers) == 0 || reflect.DeepEqual(a.Headers, b.Headers))
}

// elements cuts a batch as the one who accepts it does.
func elements(t testing.TB, batch []byte) (out []json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal(batch, &out); err != nil {
		t.Fatalf("%v: %.300s", err, batch)
	}
	return out
}

// Whatever goes into a batch comes out of it to the byte, and weighs no more than was said.
func TestRoundTrip(t *testing.T) {
	var all []Event
	sum := 2
	for e, want := range cases() {
		size, ok := CloudEvents.Weigh(e)
		if !ok || e.form != want {
			t.Errorf("%+v: %v, form %d; want %d", e, ok, e.form, want)
		}
		one := CloudEvents.Append(nil, []Event{*e})
		if len(one) > size {
			t.Errorf("%s: %d bytes, %d were said", one, len(one), size)
		}
		sum += size
		all = append(all, *e)
	}
	batch := CloudEvents.Append(nil, all)
	if len(batch) > sum {
		t.Errorf("%d bytes, %d were said", len(batch), sum)
	}
	for i, element := range elements(t, batch) {
		var ce map[string]json.RawMessage
		if err := json.Unmarshal(element, &ce); err != nil {
			t.Errorf("%v: %s", err, element)
		}
		got, ok, err := Open(element)
		if !ok || err != nil || !same(&got, &all[i]) {
			t.Errorf("%v %v\n%+v\n%+v", ok, err, got, all[i])
		}
	}
}

// Others read in a CloudEvent what they need.
func TestAttributes(t *testing.T) {
	f := func(e *Event, want map[string]any) {
		t.Helper()
		var got map[string]any
		if err := json.Unmarshal(CloudEvents.Append(nil, []Event{*e})[1:], &got); err == nil {
			t.Fatal("no array")
		}
		if err := json.Unmarshal(elements(t, CloudEvents.Append(nil, []Event{*e}))[0], &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
	f(&Event{ID: "1", Type: "m", Session: "active", ContentType: "application/json",
		Payload: []byte(`{"x":1}`), At: at(),
		Headers: []spool.Header{{Name: "traceparent", Value: "tp"}}},
		map[string]any{"hookspooldata": "1", "hookspooltype": "m", "specversion": "1.0", "id": "1",
			"source": "hookspool", "type": "m", "time": "2026-11-28T01:02:03.000000456Z",
			"datacontenttype": "application/json", "hookspoolsession": "active", "traceparent": "tp",
			"hookspoolheaders": "traceparent:tp\n", "data": map[string]any{"x": 1.0}})
	f(&Event{ID: "ce_9", Type: "m", Payload: []byte("\x00"), At: at(), Headers: []spool.Header{
		{Name: "ce-specversion", Value: "1.0"}, {Name: "ce-id", Value: "%41"},
		{Name: "ce-source", Value: "/s"}, {Name: "ce-type", Value: "T"}, {Name: "ce-x", Value: "y"}}},
		map[string]any{"hookspooldata": "ce_9", "hookspooltype": "m", "specversion": "1.0", "id": "A",
			"source": "/s", "type": "T", "time": "2026-11-28T01:02:03.000000456Z", "x": "y",
			"hookspoolheaders": "ce-specversion:1.0\nce-id:%41\nce-source:/s\nce-type:T\nce-x:y\n",
			"data_base64":      "AA=="})
}

// What no batch carries goes alone.
func TestWeighRefuses(t *testing.T) {
	f := func(format Format, want bool, change func(e *Event)) {
		t.Helper()
		e := &Event{ID: "1", Type: "m", ContentType: "application/json", Payload: []byte(`{}`), At: at()}
		change(e)
		if _, got := format.Weigh(e); got != want {
			t.Errorf("%s: %+v: %v, want %v", format, e, got, want)
		}
	}
	header := func(name, value string) func(*Event) {
		return func(e *Event) { e.Headers = []spool.Header{{Name: name, Value: value}} }
	}
	f(CloudEvents, true, func(*Event) {})
	f(CloudEvents, false, func(e *Event) { e.Type = "" })
	f(CloudEvents, false, func(e *Event) { e.ContentType = "\xff" })
	f(CloudEvents, false, header("ce-a", "\xff"))
	f(CloudEvents, false, header("Traceparent", "x"))
	f(CloudEvents, false, header("x-other", "x"))
	f(NDJSON, true, func(*Event) {})
	f(NDJSON, true, func(e *Event) { e.Type = "" })
	f(NDJSON, false, func(e *Event) { e.ContentType = "text/plain" })
	for _, payload := range []string{"", "x", "{\n}", "{\r}", "{} ", "\"\xff\""} {
		f(NDJSON, false, func(e *Event) { e.Payload = []byte(payload) })
	}
	events := []Event{{ID: "a", Type: "m", Payload: []byte("1")}, {ID: "b", Type: "m", Payload: []byte("2")}}
	if got := string(NDJSON.Append(nil, events)); got != "1\n2\n" || TypeOf(events) != "m" {
		t.Errorf("%q %q", got, TypeOf(events))
	}
	again := slices.Clone(events)
	if ID(events) != ID(again) || ID(events) == ID(events[:1]) || TypeOf(append(events, Event{})) != "" {
		t.Error("ids or types")
	}
}

// What only looks like a relay's is refused, and what does not is left alone.
func TestOpenRefuses(t *testing.T) {
	f := func(element string, wantOK bool, want string) {
		t.Helper()
		_, ok, err := Open([]byte(element))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if ok != wantOK || !strings.HasPrefix(text, want) || (want == "") != (err == nil) {
			t.Errorf("%s: %v %q, want %v %q", element, ok, text, wantOK, want)
		}
	}
	const members, data, headers = "its hookspoolid, ", "its data ", "its hookspoolheaders "
	f(`{"specversion":"1.0","hookspoolid":"x"}`, false, "")
	f(`{ "hookspoolid":"x"}`, false, "")
	f(`{"hookspoolid":1}`, true, members)
	f(`{"hookspoolid":"x"}`, true, members)
	f(`{"hookspoolid":"x","hookspooltype":1}`, true, members)
	f(`{"hookspoolid":"x","hookspooltype":"y"}`, true, members)
	f(`{"hookspoolid":"x\`, true, members)
	f(`{"hookspoolid":`, true, members)
	f(`{"hookspooldata":"x","hookspooltype":"y","a":1}`, true, data)
	f(`{"hookspooldata":"x","hookspooltype":"y","data":1,"data_base64":""}`, true, data)
	f(`{"hookspooldata":"x","hookspooltype":"y","data_base64":"*"}`, true, data)
	f(`{"hookspooldata":"x","hookspooltype":"y","data":1,"datacontenttype":1}`, true, data)
	f(`{"hookspooldata":"x","hookspooltype":"y","data":1,"hookspoolheaders":"authorization:x\n"}`, true,
		headers)
	f(`{"hookspooldata":"x","hookspooltype":"y","data":1,"hookspoolheaders":"ce-x"}`, true, headers)
	f(`{"hookspooldata":"x","hookspooltype":"y","data":null}`, true, "")
}

// FuzzRoundTrip holds the round trip for whatever event there is, and Open to not panicking.
func FuzzRoundTrip(f *testing.F) {
	for e := range cases() {
		f.Add(e.ID, e.Type, e.ContentType, e.Payload, "v")
	}
	f.Fuzz(func(t *testing.T, id, typ, contentType string, payload []byte, value string) {
		_, _, _ = Open(bytes.Clone(payload))
		e := Event{ID: strings.ToValidUTF8(id, ""), Type: strings.ToValidUTF8(typ, ""), ContentType: contentType,
			Payload: payload, At: at()}
		if value != "" && !strings.ContainsAny(value, "\r\n") {
			e.Headers = []spool.Header{{Name: "ce-x", Value: value}}
		}
		size, ok := CloudEvents.Weigh(&e)
		if !ok {
			return
		}
		batch := CloudEvents.Append(nil, []Event{e})
		got, ok, err := Open(elements(t, batch)[0])
		if !ok || err != nil || !same(&got, &e) || len(batch) > size {
			t.Errorf("%v %v, %d of %d bytes\n%s\n%+v\n%+v", ok, err, len(batch), size, batch, got, e)
		}
	})
}
