package head

import (
	"os/exec"
	"strings"
	"testing"
)

// The command of an event that is brought in again, for every way in which one came.
func TestCurlPost(t *testing.T) {
	f := func(p Post, want ...string) {
		t.Helper()
		got := CurlPost(&p)
		if joined := strings.Join(want, " \\\n  ") + "\n"; got != joined {
			t.Errorf("got\n%s\nwant\n%s", got, joined)
		}
		if out, err := exec.Command("sh", "-nc", got).CombinedOutput(); err != nil {
			t.Errorf("it is no command: %v: %s\n%s", err, out, got)
		}
	}
	at := []string{"127.0.0.1:8470"}
	const here = "curl -i http://127.0.0.1:8470/v1/events"
	// JSON as an app sends it; what its trace was is over.
	f(Post{Listen: at, ID: "a", Type: "message", ContentType: "application/json",
		Fields: []Field{{"traceparent", "00-1"}}, Payload: []byte(`{"text":"it's"}`)},
		here, "-H 'Content-Type: application/json'", "-H 'webhook-event-type: message'",
		`--data-raw '{"text":"it'\''s"}'`)
	// No type, no content type, no payload.
	f(Post{Listen: at, ID: "a"}, here, "-H Content-Type:", "--data-raw ''")
	// The token is never shown.
	f(Post{Listen: []string{"unix:/run/a b", "[::]:80"}, ID: "a", Token: true, Payload: []byte("@x")},
		"curl -i http://localhost:80/v1/events", "-H Content-Type:",
		`-H "Authorization: Bearer $EVENT_TOKEN"`, "--data-raw @x")
	f(Post{Listen: []string{"unix:/run/a b"}, ID: "a"},
		"curl -i --unix-socket '/run/a b' http://localhost/v1/events", "-H Content-Type:",
		"--data-raw ''")
	// What is no text, or long, comes from the relay.
	for _, payload := range []string{"\x00", "\xff", "a\rb", strings.Repeat("x", inlineBytesMax+1)} {
		f(Post{Listen: at, ID: "a b", Payload: []byte(payload)},
			"hookspool events 'a b' --payload | "+here, "-H Content-Type:", "--data-binary @-")
	}
	// CloudEvents have their ids in themselves.
	again := `-H "webhook-id: again-$(date +%s)"`
	f(Post{Listen: at, ID: "a", Type: "t", ContentType: "application/cloudevents+json",
		Payload: []byte("{}")}, here, "-H 'Content-Type: application/cloudevents+json'", again,
		"--data-raw '{}'")
	f(Post{Listen: at, ID: "a", Type: "t", ContentType: "text/plain", Payload: []byte("hi"),
		Fields: []Field{{"ce-id", "1"}, {"ce-type", "t"}}},
		here, "-H 'Content-Type: text/plain'", "-H 'ce-id: 1'", "-H 'ce-type: t'", again,
		"--data-raw hi")
}
