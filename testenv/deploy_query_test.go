package testenv

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/port"
)

// promServer is a real Prometheus that scrapes relays.
type promServer struct {
	t    *testing.T
	base string
}

// startPrometheus scrapes addresses by their job, five times a second, with the rules of deploy/; nil
// when there is none.
func startPrometheus(t *testing.T, jobs map[string][]string) *promServer {
	t.Helper()
	bin, ok := tool(t, "PROMETHEUS", "prometheus", "prometheus")
	if !ok {
		return nil
	}
	dir := keptDir(t)
	config := fmt.Sprintf("global: {scrape_interval: 200ms, evaluation_interval: 200ms}\n"+
		"rule_files: [%q]\nscrape_configs:\n",
		filepath.Join(mustRoot(t), "deploy/prometheus/rules.yml"))
	for job, addresses := range jobs {
		config += fmt.Sprintf("- job_name: %s\n  static_configs: [{targets: [%s]}]\n", job,
			strings.Join(addresses, ", "))
	}
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartProcess(bin, filepath.Join(dir, "log"), nil, "--web.listen-address="+address,
		"--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+dir+"/data")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return &promServer{t: t, base: "http://" + address}
}

// get asks the API; an error is Prometheus' own, such as a query that it cannot read.
func (p *promServer) get(path string, into any) error {
	res, err := http.Get(p.base + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s", answer.Error)
	}
	return nil
}

// results is how many series a query has.
func (p *promServer) results(query string) (int, error) {
	var data struct{ Result []json.RawMessage }
	err := p.get("/api/v1/query?query="+url.QueryEscape(query), &data)
	return len(data.Result), err
}

// TestDeployQueries has a real Prometheus scrape the real binary, one that is alone and two that share
// a spool, and asserts that every query of the dashboard is understood and has an answer, that every
// rule is evaluated without an error, and that an alert that must fire does and no other.
func TestDeployQueries(t *testing.T) {
	effort.OnlyLong(t, "it runs programs that few machines have")
	effort.WithoutRace(t)
	t.Parallel()
	j := NewJourney(t).Aim("good", "bad")
	j.RX.Always("bad", Code(500))
	j.Start()
	fleet := readyFleet(t, 2, "good", "other")
	fleet.StartAll()
	prom := startPrometheus(t, map[string][]string{"hookspool": {j.AdminAddress()},
		"hookspool-shared": {fleet.Relays[0].AdminAddress(), fleet.Relays[1].AdminAddress()}})
	if prom == nil {
		return
	}
	Until(t, 2*Patience, "the first scrapes", func() bool {
		n, err := prom.results(`count_over_time(hookspool_ready[1m]) > 2`)
		return err == nil && n == 3
	})
	j.SendIDs("x", 20)
	j.AwaitPending("good", 0)
	j.AwaitFailed("bad", 20)
	j.Verb("enable", "bad") // a job, which fails
	j.RX.Await("bad", 40)
	j.Verb("sample", "good")
	j.Relay.Post(Post{Body: []byte("{}"), ID: "has a space"})
	Until(t, 2*Patience, "all of it in Prometheus", func() bool {
		n, err := prom.results(`increase(hookspool_retry_jobs_total{target="bad"}[1m]) > 0 and ` +
			`on () increase(hookspool_events_refused_total{reason="malformed"}[1m]) > 0 and on () ` +
			`increase(hookspool_attempts_total{target="bad",outcome="status"}[1m]) > 0`)
		return err == nil && n == 1
	})
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			prom.check(p.Title, q.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		if _, err := prom.results(filled(a.Expr)); a.Expr != "" && err != nil {
			t.Errorf("annotation %s: %v", a.Expr, err)
		}
	}
	prom.checkRules()
}

// filled is a query of the dashboard with all chosen.
func filled(expr string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*", "$target",
		".*").Replace(expr)
}

// check wants an answer, except where there can be none: no target of the test has a certificate.
func (p *promServer) check(title, expr string) {
	p.t.Helper()
	n, err := p.results(filled(expr))
	if err != nil || n == 0 && !strings.Contains(expr, "tls_expiry") {
		p.t.Errorf("panel %q has %d series, %v: %s", title, n, err, expr)
	}
}

// checkRules wants every rule healthy, and the right ones on their way to fire.
func (p *promServer) checkRules() {
	p.t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	// An alert is seen at the next evaluation.
	Until(p.t, Patience, "the alert about refused requests", func() bool {
		n, err := p.results(`ALERTS{alertname="HookspoolSendersRefused", reason="malformed"}`)
		return err == nil && n == 1
	})
	if err := p.get("/api/v1/rules", &data); err != nil {
		p.t.Fatal(err)
	}
	active := []string{"HookspoolSendersRefused", "HookspoolTargetErrors"}
	rules := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			rules++
			if r.Health != "ok" {
				p.t.Errorf("rule %s is %s: %s", r.Name, r.Health, r.LastError)
			}
			// A machine that is busy with other tests syncs slowly for a while.
			quiet := r.State == "inactive" || r.Name == "HookspoolSyncSlow" && r.State == "pending"
			for _, name := range active {
				quiet = quiet || r.Name == name
			}
			if !quiet {
				p.t.Errorf("alert %s is %s although nothing is wrong", r.Name, r.State)
			}
		}
	}
	if rules < 15 {
		p.t.Errorf("Prometheus evaluates %d rules", rules)
	}
}
