package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// crowd are connections of senders that do not mean well.
type crowd struct {
	t     *testing.T
	conns []net.Conn
}

// join opens n more connections, says something on each, and leaves them open.
func (c *crowd) join(address string, n int, words string) {
	c.t.Helper()
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			c.t.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		_ = conn.SetDeadline(time.Now().Add(2 * requestTimeout))
		_, _ = io.WriteString(conn, words) // it may be refused in the middle
	}
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// rid counts the connections that the relay has ended.
func (c *crowd) rid() int {
	n := 0
	for _, conn := range c.conns {
		// To join and to be served may have taken longer than the deadline that join set.
		_ = conn.SetDeadline(time.Now().Add(Patience))
		if _, err := io.Copy(io.Discard, conn); err == nil || !isTimeout(err) {
			n++
		}
	}
	return n
}

func isTimeout(err error) bool {
	netErr, ok := err.(net.Error)
	return ok && netErr.Timeout()
}

// TestP7HostileSenders asserts that half a head, a head without its body, bodies that declare the
// largest batch and come slowly or never, and bodies without an end cost the relay a bounded memory
// and are cut off at read_timeout, while a healthy sender beside them is served; and that nothing of
// them is left afterwards.
func TestP7HostileSenders(t *testing.T) {
	effort.OnlyLong(t, "hundreds of connections")
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.read_timeout", "2s")
	j.Start()
	j.SendIDs("warm", 20)
	base := usageOf(j.Relay)
	mob := &crowd{t: t}
	defer mob.leave()
	const head = "POST /v1/events HTTP/1.1\r\nHost: relay\r\n"
	const batch = head + "Content-Type: application/x-ndjson\r\nContent-Length: 8388608\r\n\r\n"
	at := j.EventsAddress()
	mob.join(at, 300, head+"X-Half: a head")
	mob.join(at, 100, head+"Content-Length: 100\r\n\r\nhalf a body")
	mob.join(at, 300, batch)
	mob.join(at, 300, batch+strings.Repeat(" ", 9<<10))
	j.SendIDs("among-the-slow", 50)
	checkMemory(t, "1000 slow senders", base, usageOf(j.Relay), memoryMiB(96))
	// 40 times 4 MiB of batches that do not end: more than all bodies may use together.
	piece := strings.Repeat(" ", 4<<20)
	mob.join(at, 40, batch+piece)
	j.SendIDs("among-the-large", 50)
	checkMemory(t, "160 MiB in hand", base, usageOf(j.Relay), memoryMiB(224))
	if n := j.Metrics().Get("events_refused_total", "reason", "overloaded"); n == 0 {
		t.Error("no body was refused as overloaded")
	}
	endless := &crowd{t: t}
	defer endless.leave()
	withoutEnd := head + "Transfer-Encoding: chunked\r\n\r\n" +
		strings.Repeat("1000\r\n"+piece[:0x1000]+"\r\n", 160)
	endless.join(at, 20, withoutEnd)
	j.SendIDs("among-the-endless", 50)
	if n := mob.rid(); n != len(mob.conns) {
		t.Errorf("%d of %d slow senders were cut off", n, len(mob.conns))
	}
	// Those above may have been refused for want of room, or of time on a busy machine.
	Until(t, Patience, "a body without an end to be refused as too large", func() bool {
		endless.join(at, 1, withoutEnd)
		return j.Metrics().Get("events_refused_total", "reason", "too_large") > 0
	})
	if n := endless.rid(); n != len(endless.conns) {
		t.Errorf("%d of %d senders without an end were cut off", n, len(endless.conns))
	}
	j.Ledger.AwaitDelivered()
	awaitRest(t, j.Relay, base)
}

// TestP7Drip asserts that one byte now and then does not keep a request alive beyond read_timeout,
// in the head and in the body.
func TestP7Drip(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.read_timeout", "500ms")
	j.Start()
	for _, start := range []string{"", "Content-Length: 100000\r\n\r\n",
		"Content-Type: application/x-ndjson\r\nContent-Length: 100000\r\n\r\n" +
			strings.Repeat(" ", 9<<10), "Transfer-Encoding: chunked\r\n\r\n5000\r\n"} {
		conn, err := net.Dial("tcp", j.EventsAddress())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST /v1/events HTTP/1.1\r\nHost: relay\r\n"+start)
		began, tick := time.Now(), time.NewTicker(20*time.Millisecond)
		for err == nil && time.Since(began) < Patience {
			<-tick.C
			_, err = io.WriteString(conn, "x")
		}
		tick.Stop()
		_ = conn.Close()
		if err == nil {
			t.Errorf("%q: a dripping request is kept for %s", start, time.Since(began))
		}
	}
	if n := j.Metrics().Get("events_refused_total", "reason", "malformed"); n != 4 {
		t.Errorf("%d requests were refused, want 4", n)
	}
}

// TestP7IdleConnections asserts that 2,000 connections that say nothing cost little, hear nothing
// until they speak, and can then be used.
func TestP7IdleConnections(t *testing.T) {
	effort.OnlyLong(t, "hundreds of connections")
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.read_timeout", "2m") // also how long a new connection may say nothing
	j.Start()
	j.SendIDs("warm", 20)
	base := usageOf(j.Relay)
	mob := &crowd{t: t}
	defer mob.leave()
	mob.join(j.EventsAddress(), 1000, "")
	mob.join(j.EventsAddress(), 1000, "GET /v1/events HTTP/1.1\r\nHost: relay\r\n\r\n")
	j.SendIDs("beside", 50)
	Until(t, Patience, "all of them are taken", func() bool {
		// Of those that it had before, connections to the target may be gone by then.
		return usageOf(j.Relay).descriptors >= base.descriptors+2000-leakSlack
	})
	checkMemory(t, "2000 idle connections", base, usageOf(j.Relay), memoryMiB(128))
	j.Ledger.AllowForeign()
	for i, conn := range []net.Conn{mob.conns[0], mob.conns[999], mob.conns[1000], mob.conns[1999]} {
		// Joining may have taken longer than the deadline that it set.
		err := conn.SetDeadline(time.Now().Add(requestTimeout))
		if err == nil {
			_, err = io.WriteString(conn, RawPost("/v1/events", "{}", fmt.Sprint("webhook-id: late-", i)))
		}
		if err != nil {
			t.Fatal("an idle connection cannot be used:", err)
		}
		j.RX.AwaitID("crm", fmt.Sprint("late-", i))
	}
	mob.leave()
	awaitRest(t, j.Relay, base)
}

// TestP7PreparedConnection asserts that a connection opened in advance, on which nothing was said
// within read_timeout, is closed without a word: whatever was said there would be taken for the
// answer to the first event.
func TestP7PreparedConnection(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.read_timeout", "200ms")
	j.Start()
	mob := &crowd{t: t}
	defer mob.leave()
	mob.join(j.EventsAddress(), 1, "")
	if said, err := io.ReadAll(mob.conns[0]); len(said) > 0 || err != nil {
		t.Errorf("the relay said %q, %v", said, err)
	}
	if n := j.Metrics().Get("events_refused_total", "reason", "malformed"); n != 0 {
		t.Errorf("%d refusals were counted", n)
	}
}

// TestP7Injection asserts that nothing a sender puts into id, type, session or CloudEvent attributes
// becomes a header or a line of the log: it is refused, or it arrives as the text it is.
func TestP7Injection(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Target("down", "http://127.0.0.1:9/").Set("log.format", "json")
	j.Ledger.AllowForeign()
	j.Start()
	ce := func(name, value string) Post {
		h := map[string]string{"ce-specversion": "1.0", "ce-type": "t", "ce-source": "s", "ce-id": "1"}
		h[name] = value
		return Post{Header: h, Body: []byte(`{}`)}
	}
	refused := []Post{
		{Path: "/v1/events/a%0d%0aX-Evil:%201"}, {Path: "/v1/events/a%0aX-Evil:%201"},
		{Path: "/v1/events/a%00b"}, {Path: "/v1/events/a%c2%85b"}, {Path: "/v1/events/%c2%9b31m"},
		{Path: "/v1/events/a%7fb"},
		{Body: []byte(`{"eventType":"a\r\nX-Evil: 1"}`)}, {Body: []byte(`{"eventType":"\u001b[2J"}`)},
		{Body: []byte(`{"eventType":"a\u0000"}`)}, {ID: "a\tb"}, {ID: "a\xffb"}, {ID: "a\u009bb"},
		ce("ce-type", "t%0D%0AX-Evil: 1"), ce("ce-type", `"t%0AX"`), ce("ce-type", "%FF"),
		{ContentType: "application/cloudevents+json", Body: []byte(`{"specversion":"1.0","id":"1",` +
			`"source":"s","type":"t\nX-Evil: 1"}`)},
	}
	for _, p := range refused {
		checkProblem(t, fmt.Sprintf("%+v", p), j.Relay.Post(p), 400, "malformed")
	}
	for _, path := range []string{"/v1/events/a%0", "/v1/events/a%zz"} {
		checkProblem(t, path, j.Raw(RawPost(path, "{}")), 400, "malformed")
	}
	texts := []string{`" level=ERROR msg="forged`, `{"level":"ERROR","msg":"forged"}`, "a%0d%0aX-Evil",
		"\u2028X-Evil: 1", "<script>alert(1)</script>", "\u202egnp.exe", "../../etc", "a b\u00a0c", "😀"}
	for i, text := range texts {
		p := Post{Path: "/v1/events/" + url.PathEscape(text), Body: []byte(`{"waId":"\r\nX-Evil: 1"}`),
			ID: fmt.Sprintf("{\"id\":\"%d\"}", i)}
		if a := j.Relay.Post(p); a.Status != 200 {
			t.Errorf("type %q: %d %s", text, a.Status, a.Body)
			continue
		}
		if got := j.RX.AwaitID("crm", p.ID); got.Type != text {
			t.Errorf("type %q arrived as %q", text, got.Type)
		}
	}
	for _, p := range []Post{ce("ce-id", "a%0d%0aX-Evil: 1"), ce("ce-source", "\"%0d%0aX-Evil: 1\""),
		ce("ce-webhook-id", "x"), ce("ce-extra", "%0d%0aX-Evil: 1")} {
		j.RX.AwaitID("crm", j.Relay.Post(p).ID)
	}
	for _, r := range j.RX.Requests("") {
		if r.Header.Get("X-Evil") != "" || len(r.Header["Webhook-Id"]) != 1 ||
			len(r.Header["Webhook-Event-Type"]) != 1 {
			t.Errorf("headers were injected: %v", r.Header)
		}
	}
	checkLogLines(t, j.Relay)
}

// checkLogLines wants every line of a log to be one JSON object that the relay wrote.
func checkLogLines(t *testing.T, r *Relay) {
	t.Helper()
	for line := range strings.Lines(r.Log()) {
		var entry struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "forged" {
			t.Errorf("a line of the log is not the relay's: %q", line)
		}
	}
}

// TestP7DeepJSON asserts that JSON made to hurt (a million brackets, long strings, endless numbers,
// one key many times) is accepted as the opaque payload it is, or refused where it must be JSON, and
// costs neither memory nor the patience of others.
func TestP7DeepJSON(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.max_body_size", "1MB").Set("event.default_type", "opaque")
	j.Start()
	base := usageOf(j.Relay)
	many := func(s string, n int) []byte { return bytes.Repeat([]byte(s), n) }
	opaque := [][]byte{
		many("[", 1_000_000), many(`{"a":`, 190_000), append([]byte(`{"eventType":`), many("[", 900_000)...),
		append(append([]byte(`{"x":`), many("[", 10_001)...), append(many("]", 10_001), `,"eventType":"deep"}`...)...),
		[]byte(`{"eventType":"a`), []byte(`{"eventType":"a"}}`), []byte(`{"eventType":["a"]}`),
		[]byte(`{"eventType":"a",}`), []byte(`{"eventType":'a'}`), []byte("\xfe\xff\x00{\x00}"),
		[]byte("{\"eventType\":\"a\x01\"}"), []byte(`{"eventType":"\q"}`),
	}
	for i, body := range opaque {
		id := fmt.Sprint("opaque-", i)
		j.Send(Post{ID: id, Body: body})
		if got := j.RX.AwaitID("crm", id); got.Type != "opaque" {
			t.Errorf("%.40q has type %q, want the default", body, got.Type)
		}
	}
	j.Send(Post{ID: "long", Body: append(append([]byte(`{"x":"`), many("\\u0041", 150_000)...),
		`","eventType":"long"}`...)})
	j.Send(Post{ID: "number", Body: append(append([]byte(`{"waId":`), many("9", 900_000)...),
		`,"eventType":"number"}`...)})
	j.Send(Post{ID: "keys", Body: append(append([]byte(`{"eventType":"keys"`),
		many(`,"a":0`, 150_000)...), '}')})
	// Deeper than a parser goes that keeps what it has read, and above what is looked for.
	j.Send(Post{ID: "deep", Body: append(append([]byte(`{"x":`), many(`{"a":[`, 4_900)...),
		append(append([]byte("0"), many("]}", 4_900)...), `,"eventType":"deep"}`...)...)})
	for _, id := range []string{"long", "number", "keys", "deep"} {
		if got := j.RX.AwaitID("crm", id); got.Type != id {
			t.Errorf("the event %q has type %q", id, got.Type)
		}
	}
	lines := append(append([]byte("{}\n"), many("[", 900_000)...), "\n{}\n"...)
	a := j.Relay.Post(Post{ContentType: "application/x-ndjson", Body: lines})
	checkProblem(t, "deep line", a, 400, "malformed")
	for _, body := range [][]byte{many("[", 1_000_000), many(`{"id":`, 100_000)} {
		for _, kind := range []string{"application/cloudevents+json", "application/cloudevents-batch+json"} {
			a := j.Relay.Post(Post{ContentType: kind, Body: body})
			checkProblem(t, "deep "+kind, a, 400, "malformed")
		}
	}
	checkMemory(t, "deep JSON", base, usageOf(j.Relay), memoryMiB(160))
}

// TestP7BatchLimits asserts the bounds of a batch: 10,000 events and 16 times max_body_size are
// accepted, one more of either is refused, and one bad line of 10,000 refuses all.
func TestP7BatchLimits(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("target.crm.status", "paused") // what counts here is what is spooled
	j.Start()
	const batchMax, kind = 10_000, "application/x-ndjson"
	lines := bytes.Repeat([]byte("{\"eventType\":\"message\"}\n"), batchMax)
	a := j.Relay.Post(Post{ContentType: kind, Body: append(lines, "{}\n"...)})
	checkProblem(t, "10,001 lines", a, 413, "too_large")
	a = j.Relay.Post(Post{ContentType: kind, Body: append(lines[:len(lines):len(lines)], " \n"...)})
	if a.Status != 200 || len(a.Events) != batchMax {
		t.Errorf("10,000 lines are answered %d with %d events", a.Status, len(a.Events))
	}
	j.AwaitPending("crm", batchMax)
	bad := bytes.Clone(lines)
	copy(bad[7776*len(lines)/batchMax:], "(")
	a = j.Relay.Post(Post{ContentType: kind, Body: bad})
	checkProblem(t, "one bad line", a, 400, "malformed")
	if len(a.Problem.Lines) != 1 || a.Problem.Lines[0] != 7777 {
		t.Errorf("lines at fault %v, want 7777", a.Problem.Lines)
	}
	a = j.Relay.Post(Post{ContentType: kind, Body: bytes.Repeat([]byte("x\n"), batchMax)})
	checkProblem(t, "all bad", a, 400, "malformed")
	a = j.Relay.Post(Post{ContentType: "application/cloudevents-batch+json",
		Body: []byte("[" + strings.Repeat("{},", batchMax) + "{}]")})
	checkProblem(t, "10,001 CloudEvents", a, 413, "too_large")
	event := []byte(`{"x":"` + strings.Repeat("x", 512<<10-10) + "\"}\n")
	full := bytes.Repeat(event, 16)
	full = append(full, bytes.Repeat([]byte("\n"), 16*512<<10-len(full))...)
	if a = j.Relay.Post(Post{ContentType: kind, Body: full}); a.Status != 200 || len(a.Events) != 16 {
		t.Errorf("16 of the largest events are answered %d %.200s", a.Status, a.Body)
	}
	a = j.Relay.Post(Post{ContentType: kind, Body: append(full, '\n')})
	checkProblem(t, "one byte more", a, 413, "too_large")
	j.AwaitPending("crm", batchMax+16)
}
