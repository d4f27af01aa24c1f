package testenv

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// open connects to a listener, with the patience of a scenario.
func open(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// say writes bytes and reads one answer, without a word about the end of what it writes.
func say(t *testing.T, conn net.Conn, in *bufio.Reader, bytes string) Answer {
	t.Helper()
	if _, err := io.WriteString(conn, bytes); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return Answer{Err: err}
	}
	return readAnswer(resp)
}

// TestP7AtOnce asserts that what cannot become a request any more is refused without waiting for
// the rest of it, on both listeners.
func TestP7AtOnce(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.read_timeout", "10m")
	j.Start()
	const line = "POST /v1/events HTTP/1.1\r\n"
	f := func(what, bytes string, status int) {
		t.Helper()
		conn, in := open(t, j.EventsAddress())
		checkProblem(t, what, say(t, conn, in, bytes), status, "malformed")
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("%s: the connection does not end: %v", what, err)
		}
		conn, in = open(t, j.AdminAddress())
		// A wait would end in 408 there.
		a := say(t, conn, in, strings.Replace(bytes, "/v1/events", "/v1/reload", 1))
		checkProblem(t, what+", admin listener", a, status, "malformed")
		if strings.Contains(a.Problem.Detail, "cannot be read") ||
			strings.Contains(a.Problem.Detail, "cut off") {
			t.Errorf("%s: the admin listener does not say what is wrong: %s", what, a.Body)
		}
	}
	f("bare LF in the first line", "POST /v1/events HTTP/1.1\nHost: a\n\n", 400)
	f("bare LF in a field", line+"Host: a\n", 400)
	f("bare LF at the end", line+"Host: a\r\nContent-Length: 0\r\n\n", 400)
	f("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400)
	f("a body without a head", `{"eventType":"a"}`, 400)
	f("space in a name", line+"ce-a b: v\r\n", 400)
	f("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
	f("HTTP/9.9", "POST /v1/events HTTP/9.9\r\nHost: a\r\n", 505)
	f("chunks of no size", line+"Host: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5;\r\n", 400)
	if n := j.Status().Accepted; n != 0 {
		t.Errorf("%d events were accepted", n)
	}
}

// TestP7AnswerAtOnce asserts that a finished answer leaves although another request has begun to
// come, wherever that one stops.
func TestP7AnswerAtOnce(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.read_timeout", "10m")
	j.Start()
	j.Ledger.AllowForeign()
	whole := func(id string) string { return RawPost("/v1/events", "{}", "webhook-id: "+id) }
	next := whole("next")
	for at := 1; at < len(next); at++ {
		if at%7 != 0 && at < len(next)-2 { // its head is whole, its body is not
			continue
		}
		conn, in := open(t, j.EventsAddress())
		id := fmt.Sprint("first-", at)
		if a := say(t, conn, in, whole(id)+next[:at]); a.Status != 200 || a.ID != id {
			t.Fatalf("followed by %d bytes: answered %d %q, %v", at, a.Status, a.ID, a.Err)
		}
		// A refusal, and a probe, leave in the same way.
		if a := say(t, conn, in, next[at:]+RawPost("/v1/events", "{}", "webhook-id: a.b")+"P"); a.ID !=
			"next" {
			t.Fatalf("the second after %d bytes: %d %q, %v", at, a.Status, a.ID, a.Err)
		}
		if a := say(t, conn, in, ""); a.Status != 400 {
			t.Fatalf("the third after %d bytes: %d, %v", at, a.Status, a.Err)
		}
	}
}

// TestP7AdminAnswerAtOnce asserts the same of the admin listener.
func TestP7AdminAnswerAtOnce(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	const first = "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	next := strings.Replace(RawPost("/v1/explain?type=a", `{"n":1}`), "Host: relay", "Host: 127.0.0.1", 1)
	for _, at := range []int{1, 20, len(next) - 5, len(next) - 1} {
		conn, in := open(t, j.AdminAddress())
		// A request that does not come to its end is given up after 10 s.
		if a := say(t, conn, in, first+next[:at]); a.Status != 200 || string(a.Body) != "ok\n" {
			t.Fatalf("followed by %d bytes: answered %d %q, %v", at, a.Status, a.Body, a.Err)
		}
		if a := say(t, conn, in, next[at:]); a.Status != 200 {
			t.Fatalf("the second after %d bytes: answered %d %s, %v", at, a.Status, a.Body, a.Err)
		}
	}
}

// TestP7Expect asserts that 100-continue is known in any case of its letters, and ignored in
// HTTP/1.0 (RFC 9110 §10.1.1).
func TestP7Expect(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.read_timeout", "10m")
	j.Start()
	j.Ledger.AllowForeign()
	head := func(version, expect string) string {
		return "POST /v1/events HTTP/" + version + "\r\nHost: a\r\nContent-Length: 2\r\nExpect: " +
			expect + "\r\n\r\n"
	}
	for _, expect := range []string{"100-continue", "100-Continue", "100-CONTINUE"} {
		conn, in := open(t, j.EventsAddress())
		if a := say(t, conn, in, head("1.1", expect)); a.Status != 100 {
			t.Fatalf("%s: answered %d, %v; want 100", expect, a.Status, a.Err)
		}
		if a := say(t, conn, in, "{}"); a.Status != 200 {
			t.Errorf("%s: answered %d, %v", expect, a.Status, a.Err)
		}
		conn, in = open(t, j.EventsAddress())
		if a := say(t, conn, in, head("1.0", expect)+"{}"); a.Status != 200 {
			t.Errorf("%s in HTTP/1.0: answered %d, %v", expect, a.Status, a.Err)
		}
	}
	conn, in := open(t, j.EventsAddress())
	if a := say(t, conn, in, head("1.1", "more")+"{}"); a.Status != 200 {
		t.Errorf("another expectation: answered %d, %v", a.Status, a.Err)
	}
}

// TestP7JSONInTheWild asserts that a byte order mark, other names of NDJSON, deep nesting and equal
// keys do not hide an event's type, that what arrives is what was sent, and that an event that looks
// like JSON, has no type and is wanted by nobody does not go without a word.
func TestP7JSONInTheWild(t *testing.T) {
	t.Parallel()
	const mark = "\xef\xbb\xbf"
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "events", []string{"paid"})
	j.Start()
	j.Ledger.AllowForeign()
	f := func(what, body string, events ...string) {
		t.Helper()
		contentType, _, _ := strings.Cut(what, ",")
		a := j.Relay.Post(Post{ContentType: contentType, Body: []byte(body)})
		if len(events) == 0 {
			events = []string{body}
		}
		all := append(a.Events, a.Accepted)
		if a.Status != 200 || len(all) < len(events) {
			t.Fatalf("%s: answered %d %s", what, a.Status, a.Body)
		}
		for i, want := range events {
			if len(all[i].Targets) != 1 {
				t.Errorf("%s: event %d is wanted by %v", what, i, all[i].Targets)
				continue
			}
			if got := j.RX.AwaitID("crm", all[i].ID); string(got.Body) != want || got.Type != "paid" {
				t.Errorf("%s: event %d arrived as %q %q", what, i, got.Type, got.Body)
			}
		}
	}
	const paid, other = `{"eventType":"paid"}`, `{"eventType":"paid","n":1}`
	f("application/json, marked", mark+paid)
	f("application/json, deep", `{"x":`+strings.Repeat("[", 500)+strings.Repeat("]", 500)+
		`,"eventType":"paid"}`)
	f("application/json, twice", `{"eventType":"lost","eventType":"paid"}`)
	f("application/json, escaped twice", `{"event\u0054ype":"lost","eventType":"paid"}`)
	for _, name := range []string{"application/x-ndjson", "application/ndjson", "application/jsonl",
		"Application/JSONL; charset=utf-8"} {
		f(name, paid+"\n"+other+"\r\n", paid, other)
		f(name+", marked", mark+paid+"\n"+other, mark+paid, other)
	}
	const ce = `{"specversion":"1.0","id":"%d","source":"/","type":"paid"}`
	f("application/cloudevents+json, marked", mark+fmt.Sprintf(ce, 1))
	f("application/cloudevents-batch+json, marked", mark+"["+fmt.Sprintf(ce, 2)+"]", fmt.Sprintf(ce, 2))

	before, began := j.Metrics().Get("events_unmatched_total"), time.Now()
	for _, body := range []string{mark + ` {"type":"paid"}`, `[1]`, `{`} {
		if a := j.Relay.Post(Post{Body: []byte(body)}); a.Status != 200 || len(a.Targets) != 0 {
			t.Errorf("%q: answered %d %s", body, a.Status, a.Body)
		}
	}
	j.Relay.Post(Post{ContentType: "text/plain", Body: []byte("no type")})
	j.Relay.Post(Post{Body: []byte(`{"eventType":"unwanted"}`)})
	if n := j.Metrics().Get("events_unmatched_total") - before; n != 5 {
		t.Errorf("events_unmatched_total grew by %d, want 5", n)
	}
	most := 1 + int(time.Since(began)/time.Minute)
	if n := strings.Count(j.Log(), "has no type that could be found"); n < 1 || n > most {
		t.Errorf("it was said %d times, want once a minute:\n%s", n, tail(j.Log()))
	}
}

// raw is a POST with lines that net/http would join or refuse.
func rawLines(lines ...string) string { return RawPost("/v1/events", `{"n":1}`, lines...) }

// TestP7DoubleHeaders asserts that two lines of a header that names an event must say the same, and
// that a CloudEvent has each attribute once, of valid UTF-8.
func TestP7DoubleHeaders(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	j.Ledger.AllowForeign()
	f := func(status int, lines ...string) {
		t.Helper()
		a := j.Raw(rawLines(lines...))
		if a.Status != status || a.Err != nil {
			t.Errorf("%q: answered %d %s, %v; want %d", lines, a.Status, a.Body, a.Err, status)
		}
	}
	for _, name := range []string{"webhook-id", "Idempotency-Key", "webhook-event-type"} {
		f(200, name+": a", name+": a")
		f(400, name+": a", name+": b")
		f(400, name+": b", strings.ToUpper(name)+": c", name+": b")
	}
	f(400, "content-type: application/x-ndjson")
	f(200, "CONTENT-TYPE: application/json")
	ce := []string{"ce-specversion: 1.0", "ce-type: t", "ce-source: /s"}
	with := func(lines ...string) []string { return append(append([]string{}, ce...), lines...) }
	f(200, with("ce-id: ok")...)
	for _, line := range []string{"ce-id: x", "ce-type: t", "ce-source: /s", "ce-specversion: 1.0",
		"ce-time: 2026-01-01T00:00:00Z", "ce-mine: a"} {
		f(400, with("ce-id: x", line, line)...)
	}
	f(400, with("ce-id: x%C0%A0")...)
	f(400, with("ce-id: x", "ce-subject: %ff")...)
	f(400, with("ce-id: x", "ce-subject: \xff")...)
	f(200, with("ce-id: euro", "ce-subject: %E2%82%AC", "ce-mine: \u20ac")...)
	f(400, "ce-type: a", "ce-type: b")
	f(400, "ce-source: a", "ce-id: b", "ce-id: c")
}

// TestP7CloudEventModes asserts that binary, structured and batch mode of one event are repeats of
// each other whatever their JSON looks like, that other data are a conflict, and that data which
// nobody could read are refused.
func TestP7CloudEventModes(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	j.Ledger.AllowForeign()
	binary := func(id, contentType, body string) Post {
		return Post{ContentType: contentType, Body: []byte(body), Header: map[string]string{
			"ce-specversion": "1.0", "ce-type": "t", "ce-source": "/s", "ce-id": id}}
	}
	structured := func(id, rest string) Post {
		return Post{ContentType: "application/cloudevents+json", Body: fmt.Appendf(nil,
			`{"specversion":"1.0","type":"t","source":"/s","id":%q%s}`, id, rest)}
	}
	batch := func(id, rest string) Post {
		p := structured(id, rest)
		p.ContentType = "application/cloudevents-batch+json"
		p.Body = bytes.Join([][]byte{[]byte("["), p.Body, []byte("]")}, nil)
		return p
	}
	f := func(what string, first Post, again ...Post) {
		t.Helper()
		for i, p := range append([]Post{first}, again...) {
			a := j.Relay.Post(p)
			if len(a.Events) == 1 {
				a.Accepted = a.Events[0]
			}
			if a.Status != 200 || a.Duplicate != (i > 0) {
				t.Errorf("%s: post %d: answered %d %s", what, i, a.Status, a.Body)
			}
		}
	}
	conflict := func(what string, p Post) {
		t.Helper()
		checkProblem(t, what, j.Relay.Post(p), 409, "id_conflict")
	}
	const data = `{"b":"\u00e9\n","a":[1.50,true,null]}`
	const same = ",\n \"data\" : { \"a\":[1.50, true ,null], \"b\":\"\u00e9\\u000a\" }, \"datacontenttype\":\"application/json\""
	f("JSON", binary("json", "application/json", data), structured("json", `,"data":`+data),
		structured("json", same), batch("json", same), binary("json", "application/json", " "+data))
	conflict("other number", structured("json", `,"data":{"b":"\u00e9\n","a":[1.5,true,null]}`))
	conflict("no data", structured("json", ""))
	f("batch first", batch("b", same), structured("b", `,"data":`+data), binary("b", "", data))
	f("text", binary("text", "text/plain", "a\nb"),
		structured("text", `,"data":"a\nb","datacontenttype":"text/plain"`),
		structured("text", `,"data_base64":"YQpi","datacontenttype":"text/plain"`))
	f("base64 of JSON", structured("b64", `,"data_base64":"eyJhIjogMX0="`),
		structured("b64", `,"data":{"a":1}`), binary("b64", "application/x+json", `{"a":1}`))
	f("nothing", structured("none", ""), binary("none", "application/json", ""))
	conflict("text for JSON", binary("none", "application/json", "x"))
	f("equal keys", structured("keys", `,"data":{"a":1,"a":2}`), structured("keys", `,"data":{"a":2}`))
	refused := func(what, rest string) {
		t.Helper()
		for _, p := range []Post{structured("bad", rest), batch("bad", rest)} {
			checkProblem(t, what, j.Relay.Post(p), 400, "malformed")
		}
	}
	refused("both data", `,"data":1,"data_base64":"YQ=="`)
	refused("no base64", `,"data_base64":"Y"`)
	refused("base64 with a line end", `,"data_base64":"YQ\n=="`)
	refused("no text", `,"data_base64":1`)
}
