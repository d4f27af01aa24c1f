package attempt

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// The heads of a failure: everything as it was sent and answered, but what is secret.
func TestHeads(t *testing.T) {
	const secret = "hunter2hunter2"
	r := newReceiver(t, each(func(nc net.Conn, req *http.Request, _ []byte) bool {
		io.WriteString(nc, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+
			"HTTP/1.1 422 No\r\nX-Trace: a1\r\nSet-Cookie: sid=cookie-value; Secure\r\n"+
			"X-Echo: "+req.Header.Get("X-Api-Key")+"\r\nContent-Length: 0\r\n\r\n")
		return true
	}))
	o := options(t, strings.Replace(r.url(), "://", "://user:"+secret+"@", 1)+"?token="+secret)
	o.Header = []Header{{"X-Api-Key", secret}}
	out := attemptAt(t, o)
	want := "POST " + strings.TrimSuffix(r.url(), "/")
	request := string(out.Request)
	if !strings.HasPrefix(request, want) || !strings.Contains(request, "?"+redacted+"\nHost: ") {
		t.Errorf("the request is %q", request)
	}
	for _, field := range []string{"\nAuthorization: " + redacted, "\nX-Api-Key: " + redacted,
		"\nUser-Agent: hookspool/test", "\nContent-Type: application/json", "\nContent-Length: 8",
		"\nwebhook-id: evt_1", "\nwebhook-timestamp: 1614265330", "\nwebhook-attempt: 0",
		"\nwebhook-event-type: message"} {
		if !strings.Contains(request, field) {
			t.Errorf("the request has no %q: %q", field, request)
		}
	}
	if text := "HTTP/1.1 422 No\nX-Trace: a1\nSet-Cookie: " + redacted + "\nX-Echo: " + redacted +
		"\nContent-Length: 0"; string(out.Response) != text {
		t.Errorf("the response is %q; want %q", out.Response, text)
	}
	if all := request + string(out.Response); strings.Contains(all, secret) ||
		strings.Contains(all, basicAuth(o.URL.User)) || strings.Contains(all, "cookie-value") {
		t.Errorf("a secret is shown: %q", all)
	}
}

// A head that is too long is cut, and marked; so is one whose end would be half a secret.
func TestHeadsAreBounded(t *testing.T) {
	const secret = "hunter2hunter2"
	f := func(fields string) string {
		t.Helper()
		r := newReceiver(t, says("HTTP/1.1 500 X\r\n"+fields+"Content-Length: 0\r\n\r\n", true))
		o := options(t, r.url())
		o.Header = []Header{{"X-Api-Key", secret}}
		return string(attemptAt(t, o).Response)
	}
	line := "X-Pad: " + strings.Repeat("p", 93) + "\r\n"
	for _, fields := range []string{strings.Repeat(line, 40),
		"X-Long: " + strings.Repeat("q", 20<<10) + "\r\n", strings.Repeat("X: "+secret+"\r\n", 200)} {
		text := f(fields)
		if len(text) > shownHeadMax+len(moreMark) || strings.Contains(text, secret[:6]) {
			t.Errorf("%d bytes: %q", len(text), text)
		}
		if cut := strings.HasSuffix(text, moreMark); !cut {
			t.Errorf("it is not marked: …%q", text[len(text)-20:])
		}
	}
	// the secret ends with the room
	for pad := range len(secret) + 2 {
		fields := "X: " + strings.Repeat("p", shownHeadMax-len("HTTP/1.1 500 X\nX: \nY: ")-pad) +
			"\r\nY: " + secret + "\r\n"
		if text := f(fields); strings.Contains(text, secret[:4]) {
			t.Errorf("%d bytes of a secret are shown: …%q", pad, text[len(text)-40:])
		}
	}
	// an event's own headers have no bound of ours
	r := newReceiver(t, says("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", true))
	req := request()
	req.Header = []Header{{"tracestate", strings.Repeat("t", 4<<10)}}
	out := checked(t, newTestClient(t, options(t, r.url())).Do(context.Background(), req))
	if text := string(out.Request); !strings.HasSuffix(text, "t"+moreMark) ||
		len(text) != shownHeadMax+len(moreMark) {
		t.Errorf("%d bytes: …%q", len(text), text[len(text)-20:])
	}
}

// What did not leave is not shown as sent, what was cut off is.
func TestHeadsOfFaults(t *testing.T) {
	f := func(answer string, want Kind, response string) {
		t.Helper()
		r := newReceiver(t, says(answer, true))
		out := attemptAt(t, options(t, r.url()))
		if out.Kind != want || len(out.Request) == 0 || string(out.Response) != response {
			t.Errorf("%q: %v, %q, %q", answer, out.Kind, out.Request, out.Response)
		}
	}
	f("", Protocol, "")
	f("HTTP/1.1 200 OK\r\nX: y\r\n", Protocol, "HTTP/1.1 200 OK\nX: y")
	f("HTTP/1.1 200 OK\r\nX: y\r\nbad line\r\n", Protocol, "HTTP/1.1 200 OK\nX: y\nbad line")
	out := attemptAt(t, options(t, "http://127.0.0.1:1/"))
	if out.Kind != Connect || out.Request != nil || out.Response != nil {
		t.Errorf("%v, %q, %q", out.Kind, out.Request, out.Response)
	}
	c := newTestClient(t, options(t, "https://crm.example.com:8443/hook"))
	if text := string(c.Head(request())); !strings.HasPrefix(text,
		"POST https://crm.example.com:8443/hook\nHost: crm.example.com:8443\n") {
		t.Errorf("the head would be %q", text)
	}
}
