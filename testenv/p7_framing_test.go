package testenv

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smuggled is a whole request that hides behind another one; it must never be taken for one.
const smuggled = "POST /v1/events HTTP/1.1\r\nHost: relay\r\nwebhook-id: smuggled\r\n" +
	"Content-Length: 2\r\n\r\n{}"

// shape is a request that HTTP implementations read in different ways.
type shape struct {
	what string
	head string // between the request line and the empty line, without Host
	body string
	want int // 200 or 400
}

func shapes() []shape {
	const te = "Transfer-Encoding: chunked\r\n"
	end := "0\r\n\r\n" + smuggled
	length := fmt.Sprintf("Content-Length: %d\r\n", len(end))
	return []shape{
		{"length and chunks", length + te, end, 400},
		{"chunks and length", te + length, end, 400},
		{"equal lengths", "Content-Length: 2\r\nContent-Length: 2\r\n", "{}" + smuggled, 400},
		{"other lengths", "Content-Length: 2\r\nContent-Length: 200\r\n", "{}" + smuggled, 400},
		{"list of lengths", "Content-Length: 2, 2\r\n", "{}" + smuggled, 400},
		{"length with plus", "Content-Length: +2\r\n", "{}" + smuggled, 400},
		{"negative length", "Content-Length: -2\r\n", "{}" + smuggled, 400},
		{"hexadecimal length", "Content-Length: 0x2\r\n", "{}" + smuggled, 400},
		{"empty length", "Content-Length:\r\n", "{}" + smuggled, 400},
		{"length beyond 64 bits", "Content-Length: 18446744073709551618\r\n", "{}" + smuggled, 400},
		{"coding identity", "Transfer-Encoding: identity\r\n", smuggled, 400},
		{"coding gzip", "Transfer-Encoding: gzip\r\n", end, 400},
		{"coding xchunked", "Transfer-Encoding: xchunked\r\n", end, 400},
		{"gzip and chunked", "Transfer-Encoding: gzip, chunked\r\n", end, 400},
		{"chunked and identity", "Transfer-Encoding: chunked, identity\r\n", end, 400},
		{"two codings", te + "Transfer-Encoding: identity\r\n", end, 400},
		{"chunked twice", te + te, end, 400},
		{"chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n", end, 400},
		{"chunked with a parameter", "Transfer-Encoding: chunked;q=1\r\n", end, 400},
		{"vertical tab", "Transfer-Encoding: \vchunked\r\n", end, 400},
		{"space before the colon", "Transfer-Encoding : chunked\r\n" + length, end, 400},
		{"tab before the colon", "Content-Length\t: 2\r\n", "{}" + smuggled, 400},
		{"folded coding", "Transfer-Encoding:\r\n chunked\r\n", end, 400},
		{"folded field", "X-A: b\r\n c\r\nContent-Length: 2\r\n", "{}", 400},
		{"fold that hides", "X-A: b\r\n\tTransfer-Encoding: chunked\r\nContent-Length: 2\r\n",
			"{}", 400},
		{"fold at the start", " X-A: b\r\nContent-Length: 2\r\n", "{}", 400},
		{"bare LF", "X-A: b\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", "{}", 400},
		{"LF LF", "Content-Length: 2\r\nX-A: b\n\nTransfer-Encoding: chunked\r\n", end, 400},
		{"bare CR", "X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", "{}", 400},
		{"NUL in a value", "X-A: b\x00c\r\nContent-Length: 2\r\n", "{}", 400},
		{"NUL in a name", "X-A\x00: b\r\nContent-Length: 2\r\n", "{}", 400},
		{"DEL in an id", "webhook-id: a\x7fb\r\nContent-Length: 2\r\n", "{}", 400},
		{"ESC in a CloudEvent", "ce-specversion: 1.0\r\nce-id: 1\r\nce-type: t\r\nce-source: s\r\n" +
			"ce-x: \x1b[31m\r\nContent-Length: 2\r\n", "{}", 400},
		{"space in a name", "ce-a b: v\r\nContent-Length: 2\r\n", "{}", 400},
		{"letter beyond ASCII in a name", "X-\u00c4: v\r\nContent-Length: 2\r\n", "{}", 400},
		{"no colon", "X-A b\r\nContent-Length: 2\r\n", "{}", 400},
		{"no name", ": b\r\nContent-Length: 2\r\n", "{}", 400},
		{"second Host", "Host: other\r\nContent-Length: 2\r\n", "{}", 400},
		{"endless head", "X-A: " + strings.Repeat("b", 20<<10) + "\r\nContent-Length: 2\r\n", "{}",
			400},
		{"many fields", strings.Repeat("X-A: b\r\n", 4<<10) + "Content-Length: 2\r\n", "{}", 400},
		// Chunks.
		{"size zz", te, "zz\r\n{}\r\n" + end, 400},
		{"size -2", te, "-2\r\n{}\r\n" + end, 400},
		{"size +2", te, "+2\r\n{}\r\n" + end, 400},
		{"size 0x2", te, "0x2\r\n{}\r\n" + end, 400},
		{"no size", te, "\r\n{}\r\n" + end, 400},
		{"size beyond 64 bits", te, "10000000000000002\r\n{}\r\n" + end, 400},
		{"more than the size", te, "2\r\n{}x\r\n" + end, 400},
		{"no CR LF after it", te, "2\r\n{}0\r\n\r\n" + smuggled, 400},
		{"size ends in LF", te, "2\n{}\r\n" + end, 400},
		{"chunk ends in LF", te, "2\r\n{}\n" + end, 400},
		{"extension without a name", te, "2;\r\n{}\r\n" + end, 400},
		{"extension without a value", te, "2;a=\r\n{}\r\n" + end, 400},
		{"space after a size", te, "2 \r\n{}\r\n" + end, 400},
		{"trailer that is no field", te, "2\r\n{}\r\n0\r\na b: c\r\n\r\n" + smuggled, 400},
		{"LF in an extension", te, "2;a\nb\r\n{}\r\n" + end, 400},
		{"cut in a chunk", te, "5\r\n{}", 400},
		{"cut after a chunk", te, "2\r\n{}\r\n", 400},
		{"cut before the last line", te, "2\r\n{}\r\n0\r\n", 400},
		{"cut in a length", "Content-Length: 20000\r\n", "{}" + strings.Repeat(" ", 10000), 400},
		// What is legal stays so.
		{"chunks", te, "2\r\n{}\r\n0\r\n\r\n", 200},
		{"chunks of any case", "tRaNsFeR-eNcOdInG: CHUNKED\r\n", "2\r\n{}\r\n0\r\n\r\n", 200},
		{"extension", te, "2;a=\"b\"\r\n{}\r\n0;c\r\n\r\n", 200},
		{"leading zeros", te, "0002\r\n{}\r\n000\r\n\r\n", 200},
		{"tab before a value", "Content-Length:\t2\r\n", "{}", 200},
		{"neither length nor chunks", "", "", 200},
		{"trailer", te, "2\r\n{}\r\n0\r\nX-A: b\r\n\r\n", 200},
	}
}

// TestP7Framing asserts that whatever two HTTP implementations might read differently is refused,
// whatever the request is otherwise (event, probe, unknown path), that the connection ends with the
// refusal, and that nothing after it is ever taken for a request.
func TestP7Framing(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Ledger.AllowForeign()
	j.Start()
	accepted := 0
	for _, line := range []string{"POST /v1/events", "POST /nothing", "GET /v1/events",
		"PUT /v1/events"} {
		for _, s := range shapes() {
			request := line + " HTTP/1.1\r\nHost: relay\r\n" + s.head + "\r\n" + s.body
			answers := converse(t, j.EventsAddress(), request)
			switch {
			case s.want == 400 && strings.HasPrefix(line, "POST /v1"):
				checkOnly400(t, line+": "+s.what, answers)
			case s.want == 400:
				// Broken chunks of a body that nobody reads are nobody's fault.
				if len(answers) != 1 || answers[0].Status == 200 && !strings.HasPrefix(line, "GET") {
					t.Errorf("%s: %s: %d answers", line, s.what, len(answers))
				}
			case line == "POST /v1/events":
				accepted++
				if len(answers) != 1 || answers[0].Status != 200 {
					t.Errorf("%s: %s: %+v", line, s.what, answers)
				}
			}
		}
	}
	j.RX.Await("crm", accepted)
	if s := j.Status(); int(s.Accepted) != accepted {
		t.Errorf("%d events were accepted, want %d", s.Accepted, accepted)
	}
	if code, _ := j.Admin("GET", "/v1/events/smuggled"); code != 404 {
		t.Errorf("the smuggled event is answered %d", code)
	}
}

// TestP7AdminFraming asserts the same of the admin listener, for a call that reads its body and for
// those that do not.
func TestP7AdminFraming(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	pause := "POST /v1/targets/crm/pause HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
	for _, line := range []string{"POST /v1/explain?type=a", "GET /readyz", "POST /nothing"} {
		for _, s := range shapes() {
			what := line + ": " + s.what
			answers := converse(t, j.AdminAddress(), line+" HTTP/1.1\r\nHost: 127.0.0.1\r\n"+s.head+
				"\r\n"+strings.ReplaceAll(s.body, smuggled, pause))
			switch {
			case s.want == 400 && len(s.head) > 16<<10:
				if len(answers) != 1 || answers[0].Status != 431 {
					t.Errorf("%s: %d answers, want one of 431", what, len(answers))
				}
			case s.want == 400 && strings.HasPrefix(line, "POST /v1"):
				checkOnly400(t, what, answers)
			case s.want == 400:
				// Broken chunks of a body that nobody reads are nobody's fault.
				if len(answers) != 1 {
					t.Errorf("%s: %d answers, want one", what, len(answers))
				}
			case len(answers) != 1 || answers[0].Status != 200 && line != "POST /nothing":
				t.Errorf("%s: %+v", what, answers)
			}
		}
	}
	if status := j.Target("crm").Status; status != "Enabled" {
		t.Errorf("a smuggled admin call made the target %s", status)
	}
}

func checkOnly400(t *testing.T, what string, answers []Answer) {
	t.Helper()
	if len(answers) != 1 {
		t.Errorf("%s: %d answers, want one", what, len(answers))
		return
	}
	checkProblem(t, what, answers[0], 400, "malformed")
}

// converse writes bytes, ends its side, and reads all answers until the other side ends too.
func converse(t *testing.T, address, request string) []Answer {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(requestTimeout))
	// The other side may be done before all is written.
	_, _ = io.WriteString(conn, request)
	_ = conn.(*net.TCPConn).CloseWrite()
	var answers []Answer
	for in := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) &&
				!errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%.80q: the connection does not end: %v", request, err)
			}
			return answers
		}
		answers = append(answers, readAnswer(resp))
	}
}

// TestP7RequestLines asserts the answer to first lines that are none, or are of another protocol.
func TestP7RequestLines(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	rest := "\r\nHost: relay\r\nContent-Length: 2\r\n\r\n{}"
	f := func(line string, statuses ...int) {
		t.Helper()
		answers := converse(t, j.EventsAddress(), line+rest)
		for _, status := range statuses {
			if len(answers) == 1 && answers[0].Status == status {
				return
			}
		}
		t.Errorf("%.60q: %d answers %+v, want %v", line, len(answers), answers, statuses)
	}
	f("\x16\x03\x01\x02\x00\x01", 400)
	f("PRI * HTTP/2.0", 505)
	f("POST /v1/events HTTP/9.9", 505)
	f("POST /v1/events HTTP/0.9", 505)
	f("POST /v1/events", 400)
	f("POST  /v1/events HTTP/1.1", 400)
	f("POST /v1/events x HTTP/1.1", 400, 404)
	f("PO\x00ST /v1/events HTTP/1.1", 400)
	f("post /v1/events HTTP/1.1", 405, 400)
	f("CONNECT relay:80 HTTP/1.1", 400, 404, 405)
	f("POST /v1/events/"+strings.Repeat("a", 20<<10)+" HTTP/1.1", 400)
	f("POST /v1/events/../targets HTTP/1.1", 404)
	f("POST /v1/events/..%2f..%2fetc HTTP/1.1", 200)
	f("POST http://evil.example/v1/other HTTP/1.1", 404)
	j.Ledger.AllowForeign()
	j.RX.Await("crm", 1)
}

// TestP7Pipelining asserts that requests written at once are answered in order, refusals among them,
// up to the one that ends the connection.
func TestP7Pipelining(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Ledger.AllowForeign()
	j.Start()
	var all strings.Builder
	var want []int
	for i := range 200 {
		switch i % 10 {
		case 3:
			all.WriteString(RawPost("/nothing", "{}"))
			want = append(want, 404)
		case 7:
			all.WriteString(RawPost("/v1/events", `{"n":1}`, "webhook-id: a.b"))
			want = append(want, 400)
		case 8:
			all.WriteString("GET /v1/events HTTP/1.1\r\nHost: relay\r\n\r\n")
			want = append(want, 200)
		default:
			all.WriteString(RawPost("/v1/events", "{}", fmt.Sprint("webhook-id: p-", i)))
			want = append(want, 200)
		}
	}
	all.WriteString(RawPost("/v1/events", "0\r\n\r\n", "Transfer-Encoding: chunked"))
	all.WriteString(smuggled)
	want = append(want, 400)
	answers := converse(t, j.EventsAddress(), all.String())
	if len(answers) != len(want) {
		t.Fatalf("%d answers, want %d", len(answers), len(want))
	}
	for i, a := range answers {
		if a.Status != want[i] || a.Err != nil || a.ID != "" && a.ID != fmt.Sprint("p-", i) {
			t.Errorf("answer %d: %d %q %v, want %d", i, a.Status, a.ID, a.Err, want[i])
		}
	}
	j.RX.Await("crm", 140)
	if n := j.Status().Accepted; n != 140 {
		t.Errorf("%d events were accepted, want 140", n)
	}
}

// TestP7AdminCursor asserts that a cursor or limit that no answer gave is refused or finds nothing,
// and never more than there is.
func TestP7AdminCursor(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "status", "paused")
	j.Start()
	j.SendIDs("x", 5)
	for _, state := range []string{"pending", "exhausted"} {
		for _, after := range []string{"0", "5", "6", "9223372036854775807", "18446744073709551615",
			"18446744073709551616", "-1", "1e3", "0x1", " 1", "a", "%00", "%ff"} {
			for _, limit := range []string{"1", "1000", "1001", "0", "-1", "9223372036854775808"} {
				code, body := j.Admin("GET", "/v1/deliveries?target=crm&state="+state+"&limit="+limit+
					"&after="+strings.ReplaceAll(after, " ", "%20"))
				var page struct{ Deliveries []Delivery }
				if code != 400 && (code != 200 || json.Unmarshal(body, &page) != nil ||
					len(page.Deliveries) > 5) {
					t.Errorf("after %q limit %q: answered %d %s", after, limit, code, body)
				}
			}
		}
	}
}
