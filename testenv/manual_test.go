package testenv

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestManualServed follows every link of the manual as the console serves it: pages, anchors, styles
// and the way back are all there, under the console's policy and for whoever has the token.
func TestManualServed(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.admin_token", "a-token-for-the-manual")
	j.Start()
	if code, _ := getPage(t, j, "/help/", ""); code != http.StatusUnauthorized {
		t.Errorf("without the token the manual is %d", code)
	}
	base, err := url.Parse("http://" + j.AdminAddress() + "/help/")
	if err != nil {
		t.Fatal(err)
	}
	href := regexp.MustCompile(`(?:href|src)="([^"]+)"`)
	seen, pages := map[string]string{}, 0
	for waiting := []string{base.Path}; len(waiting) > 0; {
		path := waiting[0]
		waiting = waiting[1:]
		if _, was := seen[path]; was {
			continue
		}
		code, body := getPage(t, j, path, "a-token-for-the-manual")
		if seen[path] = body; code != http.StatusOK {
			t.Errorf("GET %s: %d", path, code)
		}
		if !strings.HasPrefix(path, base.Path) {
			continue // the rest of the console
		}
		pages++
		for _, m := range href.FindAllStringSubmatch(body, -1) {
			to, err := base.Parse(m[1])
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if to.Host == base.Host {
				waiting = append(waiting, to.EscapedPath())
			} else if to.Scheme != "https" {
				t.Errorf("%s leads to %s", path, to)
			}
		}
	}
	for path, body := range seen {
		at := &url.URL{Scheme: base.Scheme, Host: base.Host, Path: path}
		for _, m := range href.FindAllStringSubmatch(body, -1) {
			to, err := at.Parse(m[1])
			if err != nil || to.Fragment == "" || !strings.HasPrefix(to.Path, base.Path) {
				continue
			}
			if !strings.Contains(seen[to.Path], `id="`+to.Fragment+`"`) {
				t.Errorf("%s: %s has no such heading", path, m[1])
			}
		}
	}
	if pages < 15 {
		t.Errorf("there are %d pages", pages)
	}
	if code, body := getPage(t, j, "/help/nosuch", "a-token-for-the-manual"); code != 404 ||
		!strings.Contains(body, "the manual has no page") {
		t.Errorf("GET /help/nosuch: %d %s", code, body)
	}
}

// getPage gets a path of the admin listener with a token, as a page that is trusted with nothing.
func getPage(t *testing.T, j *Journey, path, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequest("GET", "http://"+j.AdminAddress()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.SetBasicAuth("operator", token)
	}
	answer, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if csp := answer.Header.Get("Content-Security-Policy"); !strings.Contains(csp,
		"default-src 'none'") {
		t.Errorf("GET %s has the policy %q", path, csp)
	}
	return answer.StatusCode, string(body)
}
