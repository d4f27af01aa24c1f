package alert

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/signature"
)

// taken is what the other side of a Poster got.
type taken struct {
	head http.Header
	body []byte
}

// newPosted returns a Poster and what arrives where it posts to, answered with a status.
func newPosted(t *testing.T, status int, keys ...signature.Key) (*Poster, chan taken) {
	t.Helper()
	got := make(chan taken, 8) // room for all requests of a test
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- taken{r.Header, body}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "path-canary is what you asked for")
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL + "/services/path-canary")
	if err != nil {
		t.Fatal(err)
	}
	client, err := attempt.NewClient(attempt.Options{Name: "alert.webhook", URL: u, Keys: keys,
		Timeout: 10 * time.Second, Success: func(status int) bool { return status/100 == 2 }})
	if err != nil {
		t.Fatal(err)
	}
	p := NewPoster(client, "http://chat.example/…", func() time.Time { return at(10, 22) })
	t.Cleanup(p.Close)
	return p, got
}

// TestPost asserts that every kind arrives as JSON with a text and the fields of the notice, twice
// with one webhook-id, signed for the instant of the sending.
func TestPost(t *testing.T) {
	key, err := signature.ParseKey("whsec_" + strings.Repeat("A", 32))
	if err != nil {
		t.Fatal(err)
	}
	p, got := newPosted(t, 204, key)
	f := func(notice Notice, parts ...string) {
		t.Helper()
		var ids []string
		for range 2 {
			if err := p.Send(t.Context(), notice); err != nil {
				t.Fatal(err)
			}
			request := <-got
			ids = append(ids, request.head.Get("webhook-id"))
			var fields map[string]any
			if err := json.Unmarshal(request.body, &fields); err != nil {
				t.Fatalf("%v in %s", err, request.body)
			}
			text, _ := fields["text"].(string)
			for _, part := range append(parts, notice.subject()+"\n```\n") {
				if !strings.Contains(text, part) {
					t.Errorf("%s: the text lacks %q:\n%s", notice.Kind, part, text)
				}
			}
			if fields["kind"] != string(notice.Kind) || fields["target"] != notice.Target ||
				fields["id"] != notice.ID || !strings.HasSuffix(text, "```") {
				t.Errorf("%s: the fields are %v", notice.Kind, fields)
			}
			if kind := request.head.Get("Content-Type"); kind != "application/json" {
				t.Errorf("Content-Type: %s", kind)
			}
			if request.head.Get("webhook-event-type") != "hookspool."+string(notice.Kind) ||
				request.head.Get("webhook-timestamp") != "1793701320" ||
				!strings.HasPrefix(request.head.Get("webhook-signature"), "v1,") {
				t.Errorf("%s: the head is %v", notice.Kind, request.head)
			}
		}
		if ids[0] != ids[1] || ids[0] != notice.messageID() {
			t.Errorf("the ids of one notice are %q", ids)
		}
	}
	f(defectNotice(), "Defective", "101", "hookspool retry crm")
	f(recoveryNotice(), "has recovered")
	f(failingNotice(), "90 in a row")
	f(certificateNotice(), "2026-11-16")
	f(spaceNotice(), "8.1 GiB")
}

// TestPostInjection asserts that nothing from outside makes a mention, a link or an end of the block
// in a chat, nor a second line in a field.
func TestPostInjection(t *testing.T) {
	p, got := newPosted(t, 200)
	notice := defectNotice()
	notice.LastError = "``` <!channel> <https://evil.example|click> & more\nsecond\u202e line"
	if err := p.Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	var fields struct {
		Text      string `json:"text"`
		LastError string `json:"last_error"`
	}
	if err := json.Unmarshal((<-got).body, &fields); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(fields.Text, "<>\u202e") || strings.Count(fields.Text, "```") != 2 ||
		!strings.Contains(fields.Text, "''' &lt;!channel&gt;") ||
		!strings.Contains(fields.Text, "&amp; more second") {
		t.Errorf("the text is %s", fields.Text)
	}
	if want := "``` <!channel> <https://evil.example|click> & more second  line"; fields.LastError != want {
		t.Errorf("the field is %q, want %q", fields.LastError, want)
	}
}

// TestPostFails asserts that a refusal is an error that tells the status, and nothing of the path or
// of the answer; and that a context that is done is told as such.
func TestPostFails(t *testing.T) {
	p, _ := newPosted(t, 403)
	err := p.Send(t.Context(), spaceNotice())
	if err == nil || !strings.Contains(err.Error(), "cannot post alert about the spool to "+
		"http://chat.example/…: status: answered 403") || strings.Contains(err.Error(), "canary") {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err = p.Send(ctx, defectNotice()); err == nil ||
		!strings.Contains(err.Error(), `for target "crm"`) ||
		!strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("the error is %v", err)
	}
}
