package relay

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// contract collects answers of a relay, to hold them to what it says of them.
type contract struct {
	*fixture
	heard struct {
		Document []byte
		Answers  []documented
	}
}

// documented is one answer, as testenv/openapicheck reads it.
type documented struct {
	Method, URL string
	Status      int
	Header      http.Header
	Body        []byte
}

func newContract(f *fixture) *contract {
	f.t.Helper()
	c := &contract{fixture: f}
	var text string
	f.api("GET", "/openapi.json", &text)
	c.heard.Document = []byte(text)
	return c
}

// ask makes a call and keeps its answer.
func (c *contract) ask(want int, method, path string, body ...string) {
	c.t.Helper()
	_, address := c.Addresses()
	req, err := http.NewRequest(method, "http://"+address+path,
		strings.NewReader(strings.Join(body, "")))
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if res.StatusCode != want {
		c.t.Errorf("%s %s: %d, want %d: %s", method, path, res.StatusCode, want, text)
	}
	c.heard.Answers = append(c.heard.Answers,
		documented{method, req.URL.String(), res.StatusCode, res.Header, text})
}

// hold holds the answers to the document. What knows OpenAPI takes minutes to compile, so a change
// does not wait for it.
func (c *contract) hold() {
	c.t.Helper()
	if !effort.Long() {
		return
	}
	text, err := json.Marshal(&c.heard)
	if err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(c.t.TempDir(), "heard.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command("go", "run", ".", file)
	cmd.Dir = filepath.Join("..", "testenv", "openapicheck")
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Errorf("%v\n%s", err, out)
	}
}

// Every answer of a relay that has something to tell, good and bad, has the status that it should,
// and in the long half is held to the document.
func TestOpenAPIHoldsForTheAnswers(t *testing.T) {
	t.Parallel()
	f := stocked(t)
	c := newContract(f)
	for _, path := range []string{"/v1/status", "/v1/targets", "/v1/targets/bad",
		"/v1/targets/good/attempts", "/v1/targets/bad/attempts?limit=2", "/v1/events",
		"/v1/events?target=bad&state=exhausted&limit=2", "/v1/events?since=1h&until=0s",
		"/v1/events?where=n%3D1&where=.a.b.c&id=a*&session=none&status=5xx&error=status",
		"/v1/conversations/491?since=22:00&limit=1", "/v1/deliveries?status=503&error=tls",
		"/v1/events/a1", "/v1/attempts/a1", "/v1/attempts/b1?target=good",
		"/v1/deliveries", "/v1/deliveries?target=bad&state=exhausted&limit=2",
		"/v1/deliveries?target=good&state=delivered&type=r*", "/v1/spool", "/livez?verbose",
		"/readyz?verbose", "/healthz?verbose", "/openapi.json", "/v1/events/a1/payload"} {
		c.ask(200, "GET", path)
	}
	for _, path := range []string{"/v1/targets/good/sample?type=message", "/v1/targets/bad/retry",
		"/v1/targets/bad/enable", "/v1/targets/bad/pause", "/v1/targets/bad/resume",
		"/v1/replay?target=bad&dry_run=true&limit=2", "/v1/replay?id=a1",
		"/v1/targets/held/purge?dry_run=true"} {
		c.ask(200, "POST", path)
	}
	c.ask(200, "POST", "/v1/explain", `{"eventType":"message","waId":"1"}`)
	c.ask(200, "POST", "/v1/explain?type=x", "")
	c.ask(200, "POST", "/v1/spool/import", "")
	for _, bad := range []string{"/v1/events?limit=0", "/v1/events?since=x", "/v1/deliveries?state=x",
		"/v1/status?x=1", "/v1/events?after=x"} {
		c.ask(400, "GET", bad)
	}
	for _, bad := range []string{"/v1/targets/none", "/v1/events/none", "/v1/attempts/none",
		"/v1/events/none/payload", "/v1/targets/none/attempts", "/v1/events?target=none",
		"/v1/deliveries?target=none"} {
		c.ask(404, "GET", bad)
	}
	c.ask(400, "POST", "/v1/replay")
	c.ask(404, "POST", "/v1/replay?target=none")
	c.ask(409, "POST", "/v1/targets/held/retry")
	c.ask(400, "POST", "/v1/explain?type=%0A", "{}")
	c.ask(415, "POST", "/v1/explain?content_type=application/x-ndjson", "{}")
	c.ask(422, "POST", "/v1/reload")
	c.ask(400, "POST", "/v1/spool/import", "{")
	c.ask(200, "POST", "/v1/spool/import", importLine("orphaned", "orphan"))
	c.ask(409, "POST", "/v1/targets/orphan/purge?forget=true")
	c.ask(200, "POST", "/v1/targets/orphan/purge")
	c.ask(400, "POST", "/v1/targets/orphan/purge?forget=true&limit=1")
	c.ask(200, "POST", "/v1/targets/orphan/purge?forget=true")
	c.ask(404, "POST", "/v1/targets/orphan/purge?forget=true")
	c.hold()
}
