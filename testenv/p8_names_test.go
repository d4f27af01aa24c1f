package testenv

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestP8DeployedNames asks what deploy/ tells Prometheus to ask, under the name that it gives the
// relay, of a relay with the token that every deployed config sets beside an address that others
// reach: probes and metrics answer, whoever has the token may use the name, and nobody else, until
// server.admin_hosts has it, which needs no restart.
func TestP8DeployedNames(t *testing.T) {
	t.Parallel()
	scrape := regexp.MustCompile(`targets: \["([^"]+)"\]`)
	m := scrape.FindStringSubmatch(deployed(t, "prometheus/rules.yml"))
	if m == nil {
		t.Fatal("prometheus/rules.yml tells of no target to scrape")
	}
	for name, text := range configs(t) {
		if strings.Contains(text, `admin_listen = ":8471"`) && !strings.Contains(text, "admin_token = ") {
			t.Errorf("the config for %s sets no token, so its metrics would not answer to %s", name, m[1])
		}
	}
	const secret = "a-token-of-the-admin"
	j := NewJourney(t).Aim("crm")
	j.Config.Set("server.admin_token", secret)
	j.Start()
	host, token := "Host: "+m[1], "Authorization: Bearer "+secret
	f := func(want int, method, path string, headers ...string) {
		t.Helper()
		if got := ask(t, j.Relay, method, path, "", headers...).StatusCode; got != want {
			t.Errorf("%s %s %q: answered %d, want %d", method, path, headers, got, want)
		}
	}
	for _, path := range []string{"/metrics", "/livez", "/readyz", "/healthz"} {
		f(200, "GET", path, host)
	}
	for _, path := range []string{"/", "/v1/status", "/v1/targets", "/nothing"} {
		f(421, "GET", path, host)
		f(421, "GET", path, host, "Authorization: Bearer wrong")
	}
	f(200, "GET", "/v1/status", host, token)
	f(200, "POST", "/v1/targets/crm/pause", host, token)
	f(403, "POST", "/v1/targets/crm/resume", host, token, "Origin: http://evil.example")
	name, _, _ := strings.Cut(m[1], ":")
	j.Config.Set("server.admin_hosts", []string{name})
	j.Reload()
	f(401, "GET", "/", host)
	f(200, "POST", "/v1/targets/crm/resume", host, token, "Origin: http://"+m[1])
	f(421, "GET", "/", "Host: other."+name)
	// Without a token nothing asks who reads along, so every name must be known.
	j.Config.Remove("server.admin_token")
	if err := j.WriteConfig(j.Config.String()); err != nil {
		t.Fatal(err)
	}
	j.Signal(syscall.SIGHUP)
	Until(t, Patience, "the token to go", func() bool {
		return ask(t, j.Relay, "GET", "/v1/status", "").StatusCode == 200
	})
	f(200, "GET", "/metrics", host)
	f(421, "GET", "/metrics", "Host: evil.example")
	f(421, "GET", "/metrics", "Host: evil.example", token)
}
