package attempt

import (
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/signature"
)

// Each method differs from POST in its own name alone, the signature included, on the wire and in a
// preview.
func TestMethod(t *testing.T) {
	at := time.Unix(7, 0)
	r := func() *Request { return &Request{ID: "evt_1", Type: "t", Payload: []byte("{}"), At: at} }
	given := func(method string) Options {
		o := withPort(t, "http://127.0.0.1:PORT/hook")
		o.Method, o.Keys = method, []signature.Key{mustKey(t, testSecret)}
		return o
	}
	want := rawRequest(t, given(""), r())
	for _, method := range []string{"POST", "PUT", "PATCH"} {
		got := rawRequest(t, given(method), r())
		if got != strings.Replace(want, "POST ", method+" ", 1) {
			t.Errorf("%s sends\n%s\nPOST sends\n%s", method, got, want)
		}
		o := options(t, "http://crm/hook")
		o.Method = method
		if got := string(newTestClient(t, o).Preview(r())); !strings.HasPrefix(got,
			method+" /hook HTTP/1.1\r\n") {
			t.Errorf("the preview of %s is %q", method, got)
		}
	}
	for _, method := range []string{"GET", "HEAD", "DELETE", "put", "POST ", "PUT / HTTP/1.1\r\nX: "} {
		o := options(t, "http://crm/hook")
		o.Method = method
		if _, err := NewClient(o); err == nil || !strings.Contains(err.Error(), "POST, PUT or PATCH") {
			t.Errorf("method %q: %v", method, err)
		}
	}
}
