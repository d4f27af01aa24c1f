package testenv

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestP6ByteForByte asserts that body and content type arrive as they came: binary, multipart,
// empty, JSON with everything a re-serialiser would change, sizes up to max_body_size, chunked; to
// several targets, also on a retry and after a restart. The ledger compares.
func TestP6ByteForByte(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("crm", "audit")
	j.Config.Set("retry.interval", "50ms")
	j.RX.On("audit", FailFirst(1, 500))
	j.Start()
	multipart := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\r\n\r\n\x00" +
		"\xff\r\n--b--\r\n"
	f := func(contentType string, body []byte) {
		t.Helper()
		j.Send(Post{ContentType: contentType, Body: body})
	}
	f("application/octet-stream", allBytes())
	f("multipart/form-data; boundary=b", []byte(multipart))
	f("application/x-www-form-urlencoded", []byte("a=1&b=%20+&c"))
	f("application/json; charset=\"utf-8\"", []byte("{ \"b\":1.0,\"a\":1e400 ,\"a\":\"\\u00e9\" }\n"))
	f("text/plain", []byte("\r\n\r\nGET / HTTP/1.1\r\n\r\n"))
	f("application/json", nil)
	f("-", []byte("no content type"))
	f("application/json", []byte("\xef\xbb\xbf{\"eventType\":\"message\"}"))
	for _, n := range []int{1, 8 << 10, 8<<10 + 1, 64 << 10, 500 << 10, 512 << 10} {
		f("application/octet-stream", randomBytes(rng, n))
	}
	chunked := "POST /v1/events HTTP/1.1\r\nHost: relay\r\nwebhook-id: chunked\r\n" +
		"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n"
	a := j.Raw(chunked)
	j.Ledger.Note(Post{ID: "chunked", ContentType: "text/plain", Body: []byte(`{"a":1}`)}, a)
	if a.Status != 200 {
		t.Errorf("chunked: answered %d %v", a.Status, a.Err)
	}
	j.Ledger.AwaitDelivered()
	j.Restart()
	j.Ledger.Check()
}

func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestP6ConcurrentBodies asserts that bodies of many events in hand at once are not mixed up.
func TestP6ConcurrentBodies(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("a", "b")
	j.Config.Set("retry.interval", "50ms")
	j.RX.On("b", FailFirst(1, 503))
	j.Start()
	load := j.StartLoad(rng, 16, "mixed")
	Until(t, Patience, "1000 events", func() bool { return j.Ledger.Accepted() >= 1000 })
	load.Stop()
	j.Ledger.AwaitDelivered()
	if n := j.Ledger.Duplicates(); n != 0 {
		t.Errorf("%d deliveries were answered 200 more than once", n)
	}
}

// TestP6Headers asserts what a target sees: method, path and query of its URL, every header of
// CONTRACT §5, the configured ones, trace context passed through; and what it does not see.
func TestP6Headers(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Set("retry.interval", "50ms")
	url := "http://user:p%40ss@" + j.RX.Address() + "/crm/hook?token=a%20b&x"
	j.Config.Target("crm", url, "headers", map[string]string{"X-Tenant": "blue", "x-empty": "e"})
	j.Config.Target("own", j.RX.URL("own"), "headers",
		map[string]string{"Authorization": "Bearer own"})
	j.RX.On("crm", FailFirst(2, 500))
	j.Start()
	j.Send(Post{ID: "one", Type: "order ✓", ContentType: "text/x-own; a=b", Header: map[string]string{
		"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"tracestate":  "a=1,b=2", "X-Private": "stays", "Cookie": "stays"}, Body: []byte("body")})
	requests := j.RX.Await("crm", 3)
	for attempt, r := range requests {
		want := map[string]string{
			"webhook-id": "one", "webhook-attempt": strconv.Itoa(attempt),
			"webhook-event-type": "order ✓", "Content-Type": "text/x-own; a=b",
			"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			"tracestate":  "a=1,b=2", "X-Tenant": "blue", "Content-Length": "4",
			"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("user:p@ss")),
			"X-Private":     "", "Cookie": "", "webhook-session": "", "webhook-replay": "",
			"webhook-sample": "", "webhook-signature": "", "Accept-Encoding": "",
		}
		for name, value := range want {
			if got := r.Header.Get(name); got != value {
				t.Errorf("attempt %d: %s is %q, want %q", attempt, name, got, value)
			}
		}
		if r.Method != "POST" || r.Path != "/crm/hook?token=a%20b&x" || r.Host != j.RX.Address() {
			t.Errorf("attempt %d: %s %s of %s", attempt, r.Method, r.Path, r.Host)
		}
		if !strings.HasPrefix(r.Header.Get("User-Agent"), "hookspool/") {
			t.Errorf("User-Agent is %q", r.Header.Get("User-Agent"))
		}
		checkTimestamp(t, &r)
	}
	if got := j.RX.AwaitID("own", "one").Header.Get("Authorization"); got != "Bearer own" {
		t.Errorf("configured Authorization is %q", got)
	}
}

// checkTimestamp wants the seconds of the attempt itself.
func checkTimestamp(t *testing.T, r *Request) {
	t.Helper()
	seconds, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
	if err != nil || r.At.Sub(time.Unix(seconds, 0)) > Patience ||
		time.Unix(seconds, 0).After(r.At) {
		t.Errorf("attempt %d at %s has webhook-timestamp %q", r.Attempt, r.At,
			r.Header.Get("webhook-timestamp"))
	}
}

// TestP6Signatures verifies every attempt by Standard Webhooks 1.0: v1 (HMAC-SHA256) and v1a
// (ed25519), one signature per secret in their order, each over id.timestamp.body of that attempt.
func TestP6Signatures(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	shared := []byte("0123456789abcdef0123456789abcdef")
	next := []byte("fedcba9876543210fedcba9876543210")
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	secret := func(prefix string, key []byte) string {
		return prefix + base64.StdEncoding.EncodeToString(key)
	}
	j.Config.Set("retry.interval", "50ms")
	j.Config.Target("one", j.RX.URL("one"), "secret", secret("whsec_", shared))
	j.Config.Target("all", j.RX.URL("all"), "secret",
		[]string{secret("whsec_", next), secret("whsk_", private), secret("whsec_", shared)})
	j.RX.On("one", FailFirst(1, 500))
	j.RX.On("all", FailFirst(1, 500))
	j.Start()
	id := j.Send(Post{Body: []byte("a.b\x00\xff")}).ID
	j.Send(Post{Body: nil})
	for _, r := range j.RX.Await("one", 4) {
		checkSignatures(t, &r, "v1,"+hmacOf(shared, &r))
	}
	for _, r := range j.RX.Await("all", 4) {
		got := strings.Fields(r.Header.Get("webhook-signature"))
		if len(got) != 3 || got[0] != "v1,"+hmacOf(next, &r) || got[2] != "v1,"+hmacOf(shared, &r) {
			t.Fatalf("signatures are %q", got)
		}
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(got[1], "v1a,"))
		if err != nil || !ed25519.Verify(public, signed(&r), raw) {
			t.Errorf("the ed25519 signature %q does not verify", got[1])
		}
	}
	if got := j.RX.Attempts("one", id); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("attempts %v", got)
	}
}

// signed is what Standard Webhooks signs.
func signed(r *Request) []byte {
	head := fmt.Sprintf("%s.%s.", r.ID, r.Header.Get("webhook-timestamp"))
	return bytes.Join([][]byte{[]byte(head), r.Body}, nil)
}

func hmacOf(key []byte, r *Request) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(signed(r))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func checkSignatures(t *testing.T, r *Request, want string) {
	t.Helper()
	if got := r.Header.Get("webhook-signature"); got != want {
		t.Errorf("attempt %d: webhook-signature is %q, want %q", r.Attempt, got, want)
	}
}
