package attempt

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	f := func(text string, want time.Duration) {
		t.Helper()
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("%q asks for %s; want %s", text, got, want)
		}
	}
	// Seconds, however many.
	f("120", 2*time.Minute)
	f("0", 0)
	f("0030", 30*time.Second)
	f("3153600000", 3153600000*time.Second)
	f(strings.Repeat("9", 60), math.MaxInt64/time.Second*time.Second)
	// A date in each of its three forms.
	f("Sat, 28 Nov 2026 12:00:30 GMT", 30*time.Second)
	f("Saturday, 28-Nov-26 12:00:30 GMT", 30*time.Second)
	f("Sat Nov 28 12:00:30 2026", 30*time.Second)
	// One that has passed, and one of another century.
	f("Sat, 28 Nov 2026 11:59:30 GMT", 0)
	f("Mon, 01 Jan 2126 00:00:00 GMT", time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC).Sub(now))
	f("Fri, 01 Jan 9999 00:00:00 GMT", math.MaxInt64)
	// What is neither.
	for _, text := range []string{"", "-1", "+5", "1.5", "5s", "soon", "12 34", "1e9", "0x10",
		"2026-11-28T12:00:30Z", "Sat, 28 Nov 2026 12:00:30", "\x80"} {
		f(text, 0)
	}
}

// What an answer says reaches the Outcome with 429 and 503 alone.
func TestRetryAfterOfAnAnswer(t *testing.T) {
	t.Parallel()
	f := func(status int, fields string, want time.Duration) {
		t.Helper()
		r := newReceiver(t, says(fmt.Sprintf("HTTP/1.1 %d X\r\n%sContent-Length: 0\r\n\r\n", status,
			fields), false))
		o := attemptAt(t, options(t, r.url()))
		if o.Status != status || o.RetryAfter != want {
			t.Errorf("%d with %q: got %d, %s; want %s", status, fields, o.Status, o.RetryAfter, want)
		}
	}
	f(429, "Retry-After: 30\r\n", 30*time.Second)
	f(503, "retry-after:\t30 \r\n", 30*time.Second)
	// The first one counts, as a proxy appends.
	f(503, "Retry-After: 30\r\nRetry-After: 60\r\n", 30*time.Second)
	f(200, "Retry-After: 30\r\n", 0)
	f(301, "Retry-After: 30\r\n", 0)
	f(500, "Retry-After: 30\r\n", 0)
	f(503, "", 0)
	f(429, "Retry-After: "+strings.Repeat("1", 1000)+"\r\n", 0)
	f(429, "X: Retry-After: 30\r\n", 0)
}
