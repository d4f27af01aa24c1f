package receiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func testRequest() Request {
	return Request{
		At:     time.Date(2026, 11, 3, 9, 5, 7, 42e6, time.UTC),
		Method: "POST", Path: "/", ID: "evt_01JC", Type: "message", Session: "active",
		Body:     []byte(`{"eventType":"message","text":"hi"}`),
		Header:   map[string]string{"webhook-signature": "v1,x"},
		Verified: Valid, Status: 200,
	}
}

// shown is what a printer with these options makes of requests.
func shown(options Options, requests ...Request) string {
	var out bytes.Buffer
	options.Out = &out
	p := newPrinter(options)
	for i := range requests {
		p.print(&requests[i])
	}
	return out.String()
}

func TestTable(t *testing.T) {
	second := testRequest()
	second.Attempt, second.Duplicate, second.Replay = 144, true, true
	second.ID, second.Type, second.Session, second.Header = "", "", "", nil
	second.Verified, second.Status, second.Body = Unchecked, 503, make([]byte, 1536)
	second.Method, second.Path = "GET", "/x"
	third := testRequest()
	third.Attempt, third.Sample, third.Status = NoAttempt, true, 401
	third.Verified = "cannot verify with 1 keys"
	third.ID = "sample_01902d1c-6c5e-7c3f-8f1d-111111111111"
	got := shown(Options{}, testRequest(), second, third)
	want := "" +
		"TIME            #  EVENT TYPE                     SIZE  SESSION   SIGNATURE  ANSWER  ID\n" +
		"09:05:07.042    0  message                         35B  active    valid      → 200   evt_01JC\n" +
		"09:05:07.042  144  -                            1.5KiB  -         absent     → 503   -  " +
		"duplicate  replay  GET /x\n" +
		"09:05:07.042    -  message                         35B  active    invalid    → 401   " +
		"sample_01902d1c-6c5e-7c3f-8f1d-111111111111  sample  cannot verify with 1 keys\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestColor(t *testing.T) {
	request := testRequest()
	request.Duplicate = true
	got := shown(Options{Color: true}, request)
	for _, want := range []string{
		dim + "TIME", green + "→ 200" + reset, yellow + "duplicate" + reset,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	request.Status = 500
	if got := shown(Options{Color: true}, request); !strings.Contains(got, red+"→ 500"+reset) {
		t.Errorf("%q is not red", got)
	}
	if got := shown(Options{}, request); strings.Contains(got, "\x1b") {
		t.Errorf("%q has colours", got)
	}
}

func TestObject(t *testing.T) {
	f := func(options Options, request Request, want string) {
		t.Helper()
		options.JSON = true
		if got := shown(options, request); got != want+"\n" {
			t.Errorf("got  %swant %s", got, want)
		}
	}
	// A plain one, without its body.
	request := testRequest()
	f(Options{}, request, `{"time":"2026-11-03T09:05:07.042Z","method":"POST","path":"/",`+
		`"id":"evt_01JC","type":"message","session":"active","attempt":0,"bytes":35,`+
		`"signature":"valid","status":200,"duplicate":false}`)
	// With everything, and a body that is JSON.
	request.Attempt, request.Replay, request.Sample, request.Duplicate = 3, true, true, true
	request.Verified, request.Body = "cannot verify", []byte("{ \"n\": 1.0 }\n")
	f(Options{ShowBody: true}, request, `{"time":"2026-11-03T09:05:07.042Z","method":"POST",`+
		`"path":"/","id":"evt_01JC","type":"message","session":"active","attempt":3,`+
		`"replay":true,"sample":true,"bytes":13,"signature":"invalid",`+
		`"signature_error":"cannot verify","status":200,"duplicate":true,"body":{"n":1.0}}`)
	// With nothing, and a body that is not.
	f(Options{ShowBody: true}, Request{Attempt: NoAttempt, Body: []byte("a\nb")},
		`{"time":"0001-01-01T00:00:00Z","method":"","path":"","id":"","type":"","bytes":3,`+
			`"signature":"absent","status":0,"duplicate":false,"body":"a\nb"}`)
}

// Nothing that a sender writes reaches the terminal as anything but text.
func TestTerminalInjection(t *testing.T) {
	const evil = "a\x1b[2J\x07\r\n\x00\x7f\u009b31m\u202e\u2028\xff\U000E0001z"
	request := testRequest()
	request.ID, request.Type, request.Session, request.Path = evil, evil, evil, evil
	request.Method, request.Verified, request.Status = evil, evil, 401
	check := func(options Options, linesMax int) {
		t.Helper()
		for _, body := range []string{evil, `{"a":"` + "\u009b\u202e\x7f" + `"}`} {
			request.Body = []byte(body)
			got := shown(options, request)
			for _, bad := range []string{
				"\x1b", "\x07", "\r", "\x00", "\x7f", "\u009b", "\u202e", "\u2028", "\xff\\",
				"\U000E0001",
			} {
				if strings.Contains(got, bad) {
					t.Errorf("%+v: output has %q: %q", options, bad, got)
				}
			}
			if n := strings.Count(got, "\n"); n > linesMax {
				t.Errorf("%+v: %d lines: %q", options, n, got)
			}
			if options.JSON && !json.Valid([]byte(got)) {
				t.Errorf("not JSON: %q", got)
			}
		}
	}
	check(Options{}, 2)
	check(Options{ShowBody: true}, 5)
	check(Options{JSON: true}, 1)
	check(Options{JSON: true, ShowBody: true}, 1)

	// What JSON escapes is still the same text.
	got := shown(Options{JSON: true}, request)
	var line struct{ ID string }
	if err := json.Unmarshal([]byte(got), &line); err != nil {
		t.Fatal(err)
	}
	if want := strings.ToValidUTF8(evil, "\uFFFD"); line.ID != want {
		t.Errorf("id %q, want %q", line.ID, want)
	}
}

func TestClean(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		if got := clean(s); got != want {
			t.Errorf("clean(%q) = %q, want %q", s, got, want)
		}
	}
	f("", "")
	f("plain ü 日本 🙂", "plain ü 日本 🙂")
	f("a\tb\x1b[0m", `a\x09b\x1b[0m`)
	f("\xff\u009b\u202e", `\xff\u009b\u202e`)
	// A replacement character that the sender meant, and one that it did not.
	f("\uFFFD\x80", "\uFFFD\\x80")
}

func TestBody(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		if got := string(appendBody(nil, []byte(body))); got != want {
			t.Errorf("body %.40q:\ngot  %q\nwant %q", body, got, want)
		}
	}
	f("", "")
	f(`{"a":[1,"x"]}`, "    {\n      \"a\": [\n        1,\n        \"x\"\n      ]\n    }\n")
	f("one\r\ntwo\n", "    one\n    two\n")
	f("\x00\x01", "    \\x00\\x01\n")
	// Too many lines, and one that is too long, cut between two characters.
	f(strings.Repeat("x\n", bodyLinesMax), strings.Repeat("    x\n", bodyLinesMax))
	f(strings.Repeat("x\n", bodyLinesMax)+"1\n2",
		strings.Repeat("    x\n", bodyLinesMax)+"    … about 2 more lines\n")
	f(strings.Repeat("x", bodyColumnsMax-1)+"ü!",
		"    "+strings.Repeat("x", bodyColumnsMax-1)+"…\n")
	// JSON nested so deep that indenting it would make megabytes of spaces.
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	f(deep, "    "+deep[:bodyColumnsMax]+"…\n")
	// Brackets and escaped quotes inside a string do not count.
	if got := depth([]byte(`{"a":"[[[\"[[\\"}`)); got != 1 {
		t.Errorf("depth = %d", got)
	}
}

// One write per request, so that lines of two requests never mix; a screen that is gone is no
// reason to stop.
func TestWrites(t *testing.T) {
	f := start(t, Options{ShowBody: true})
	f.wantStatus(200)
	f.wantStatus(200)
	if f.out.writes != 2 {
		t.Errorf("%d writes", f.out.writes)
	}
	broken := start(t, Options{Out: brokenPipe{}})
	broken.wantStatus(200)
	// Somebody who connects and says nothing is not worth a line.
	conn, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(f.url, "http:"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	f.wantStatus(200)
	if strings.Contains(f.out.String(), "not a request") {
		t.Errorf("shown: %s", f.out)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// A refusal is one line in both formats.
func TestRefusal(t *testing.T) {
	f := func(options Options, want string) {
		t.Helper()
		var out bytes.Buffer
		options.Out = &out
		p := newPrinter(options)
		p.began = true
		p.printRefusal(testRequest().At, 400, errors.New("bad\x1b line"))
		if out.String() != want {
			t.Errorf("got %q, want %q", &out, want)
		}
	}
	f(Options{}, `09:05:07.042  → 400  not a request: bad\x1b line`+"\n")
	f(Options{JSON: true},
		`{"error":"bad\u001b line","status":400,"time":"2026-11-03T09:05:07.042Z"}`+"\n")
}
