package admin

import (
	"strings"
	"testing"
)

// TestHelp asserts that pages of the manual are served in the console's frame, to whoever has the
// token, and that a title cannot become markup. The real pages are looked at in testenv.
func TestHelp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if a := f.ask("GET", "/help/"); a.StatusCode != 404 {
		t.Errorf("without a manual /help/ is %d", a.StatusCode)
	}
	f.server.options.Manual = func(name string) (string, []byte, bool) {
		return "a <b>", []byte("<h1>page " + name + "</h1>"), name == "" || name == "one"
	}
	for path, want := range map[string]string{"/help/": "<h1>page </h1>",
		"/help/one": "<h1>page one</h1>"} {
		a := f.ask("GET", path)
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != pageKind(".html") ||
			!strings.Contains(a.body, want) ||
			!strings.Contains(a.body, "<title>a &lt;b&gt; · hookspool</title>") {
			t.Errorf("GET %s: %d %s", path, a.StatusCode, a.body)
		}
	}
	if a := f.ask("HEAD", "/help/one"); a.StatusCode != 200 || a.body != "" {
		t.Errorf("HEAD /help/one: %d %q", a.StatusCode, a.body)
	}
	if a := f.ask("GET", "/help/two"); a.StatusCode != 404 ||
		!strings.Contains(a.body, "/help/ lists its pages") {
		t.Errorf("GET /help/two: %d %s", a.StatusCode, a.body)
	}
	if a := f.ask("POST", "/help/one"); a.StatusCode != 405 {
		t.Errorf("POST /help/one: %d", a.StatusCode)
	}
	f.token = "secret"
	if a := f.ask("GET", "/help/one"); a.StatusCode != 401 ||
		!strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("without the token GET /help/one: %d", a.StatusCode)
	}
}
