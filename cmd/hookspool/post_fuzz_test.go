package main

import (
	"net/http"
	"testing"
)

// FuzzRefusal lets a relay answer anything: the wait before the next try is never below our own pause
// and never above the most, and an answer that is no problem+json is not believed to be one.
func FuzzRefusal(f *testing.F) {
	f.Add(503, "1", "application/problem+json", `{"code":"overloaded","detail":"x","lines":[1]}`)
	f.Add(503, "9223372036854775807", "application/problem+json", `{"code":"draining"}`)
	f.Add(507, "-1", "application/problem+json; charset=utf-8", `{"code":"spool_full"}`)
	f.Add(503, "Wed, 21 Oct 2026 07:28:00 GMT", "application/problem+json", `{}`)
	f.Add(413, "", "text/html", `<html>`)
	f.Fuzz(func(t *testing.T, status int, after, kind, body string) {
		p := &poster{peer: &peer{shown: "relay"}}
		r := p.refusal(status, http.Header{"Retry-After": {after}, "Content-Type": {kind}}, []byte(body))
		if r.failure == nil || r.Error() == "" {
			t.Fatal("a refusal without a word")
		}
		if again, wait := p.retryable(r, backoffFirst); again != r.again || wait < backoffFirst ||
			wait > max(retryAfterMax, backoffFirst) {
			t.Fatalf("Retry-After %q: again %v, after %s", after, again, wait)
		}
		if r.after < 0 || r.after > retryAfterMax {
			t.Fatalf("Retry-After %q is read as %s", after, r.after)
		}
		if r.again && status != http.StatusServiceUnavailable &&
			status != http.StatusInsufficientStorage {
			t.Fatalf("%d is tried again", status)
		}
	})
}
