package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/relay/framing"
)

// fake is a Backend that remembers what it was asked.
type fake struct {
	asked   []string
	query   Query
	events  EventQuery
	talk    ConversationQuery
	replay  ReplayQuery
	name    string // follows the target's
	unready []string
	dead    error
	err     error // of every call that can fail
	broken  error // of a work under way
	gather  error
	gathers func()        // when set, called by Gather
	wait    chan struct{} // when set, Sample waits for it or for the end of its context
	entered chan struct{}
	restart []string // what a reload could not change
	acts    []action.Action
}

func (f *fake) Status() Status { return Status{Version: "1.2.3", Ready: len(f.unready) == 0} }

func (f *fake) Targets() []Target {
	return []Target{{Name: "crm" + f.name, Status: "Enabled"}}
}

func (f *fake) Target(name string) (Target, bool) {
	return Target{Name: name, Status: "Enabled"}, name == "crm"
}

func (f *fake) Sample(ctx context.Context, name string, q SampleQuery) (Sample, error) {
	if name == "boom" {
		panic("a bug")
	}
	if f.wait != nil {
		f.entered <- struct{}{}
		select {
		case <-f.wait:
		case <-ctx.Done():
			return Sample{}, ctx.Err()
		}
	}
	f.asked = append(f.asked, "sample "+name+" "+q.Type)
	return Sample{Target: name, Type: q.Type, Acknowledged: true, Sent: string(q.Payload)}, f.err
}

func (f *fake) Conversation(q ConversationQuery) (Conversation, error) {
	f.talk = q
	return Conversation{Key: q.Key}, nil
}

func (f *fake) Purge(_ context.Context, name string, q PurgeQuery) (Purged, error) {
	f.asked = append(f.asked, fmt.Sprintf("purge %s %s dry=%v %d %q", name, q.State, q.DryRun,
		q.Limit, q.After))
	return Purged{Target: name, State: q.State, Count: 3, DryRun: q.DryRun, Next: q.After}, f.err
}

func (f *fake) MayBackup() error { return nil }

func (f *fake) Backup(_ context.Context, w io.Writer) error {
	f.asked = append(f.asked, "backup")
	_, err := io.WriteString(w, "the spool")
	return errors.Join(err, f.err)
}

func (f *fake) Export(q ExportQuery) (Work, error) {
	f.asked = append(f.asked, fmt.Sprintf("export %s all=%v", q.Target, q.All))
	if f.err != nil {
		return nil, f.err
	}
	return func(_ context.Context, w io.Writer, progress func(done, total int64)) (any, error) {
		progress(1, 2)
		_, err := io.WriteString(w, `{"id":"a"}`+"\n")
		return map[string]int{"events": 1}, errors.Join(err, f.broken)
	}, nil
}

func (f *fake) Verify(_ context.Context, _ io.Writer, progress func(done, total int64)) (any,
	error) {
	f.asked = append(f.asked, "verify")
	progress(7, 9)
	return map[string]int{"fault_count": 0}, f.broken
}

func (f *fake) Import(lines []byte, _ action.Action) (any, error) {
	f.asked = append(f.asked, "import "+string(lines))
	return map[string]int{"imported": 1}, f.err
}

func (f *fake) SpoolStat() (any, error) { return map[string]int{"events": 7}, f.err }

func (f *fake) order(verb, name string) error {
	f.asked = append(f.asked, verb+" "+name)
	return f.err
}

func (f *fake) Enable(o Order) (uint64, error) { return 7, f.order("enable", o.Target) }
func (f *fake) Pause(o Order) error            { return f.order("pause", o.Target) }
func (f *fake) Resume(o Order) error           { return f.order("resume", o.Target) }
func (f *fake) Retry(o Order) (uint64, error)  { return 0, f.order("retry", o.Target) }

func (f *fake) Act(a action.Action, more bool) string {
	f.acts = append(f.acts, a)
	return "run"
}

func (f *fake) CutShort(run string, _ action.Who) *action.Action {
	if f.asked = append(f.asked, "stop "+run); run != "run" {
		return nil
	}
	return &action.Action{Run: run, Verb: "purge", Result: "stopped"}
}

func (f *fake) Actions(q ActionQuery) (Actions, error) {
	return Actions{Actions: f.acts}, f.err
}

func (f *fake) Reload() ([]string, error) { return f.restart, f.order("reload", "") }

func (f *fake) Events(q EventQuery) (Events, error) {
	f.events = q
	return Events{}, f.err
}

func (f *fake) Payload(id string) ([]byte, error) {
	return []byte("<script>"), f.order("payload", id)
}

func (f *fake) Attempts(id, target string) (Attempts, error) {
	return Attempts{ID: id}, f.order("attempts "+id, target)
}

func (f *fake) Failures(name, after string) (Failures, error) {
	return Failures{Target: name}, f.order("failures "+after, name)
}

func (f *fake) History(name, span string) (History, error) {
	return History{Target: name, Span: span}, f.order("history "+span, name)
}

func (f *fake) RecentAttempts(name string, limit int) (RecentAttempts, error) {
	return RecentAttempts{}, f.order(fmt.Sprintf("recent %d", limit), name)
}

func (f *fake) Replay(_ context.Context, q ReplayQuery) (Replayed, error) {
	f.replay = q
	return Replayed{Count: 3, DryRun: q.DryRun}, f.err
}

func (f *fake) EventTypes() []EventType { return []EventType{{Type: "message"}} }

func (f *fake) EventTypeOf(typ string) (TypeDetail, error) {
	return TypeDetail{EventType: EventType{Type: typ}}, f.err
}

func (f *fake) Explain(q ExplainQuery) (Explanation, error) {
	if f.wait != nil {
		f.entered <- struct{}{}
		<-f.wait
		return Explanation{}, nil
	}
	f.asked = append(f.asked, fmt.Sprintf("explain %s %s %s %d", q.Type, q.ID, q.ContentType,
		len(q.Payload)))
	return Explanation{Type: q.Type}, f.err
}

func (f *fake) BodyBytesMax() int { return 512 << 10 }

func (f *fake) Follow() func(most int) ([]RecentAttempt, uint64) {
	told := false
	return func(int) ([]RecentAttempt, uint64) {
		if told {
			return nil, 0
		}
		told = true
		return []RecentAttempt{{ID: "evt_1"}, {ID: "evt_2"}}, 7
	}
}

func (f *fake) Event(id string) (Event, error) {
	return Event{ID: id}, f.order("event", id)
}

func (f *fake) Deliveries(q Query) (Deliveries, error) {
	f.query = q
	return Deliveries{}, f.err
}

func (f *fake) Unready() []string { return f.unready }
func (f *fake) Dead() error       { return f.dead }

func (f *fake) Gather() ([]*dto.MetricFamily, error) {
	if f.gathers != nil {
		f.gathers()
	}
	name, help, kind, value := "hookspool_build_info", "Build.", dto.MetricType_GAUGE, 1.0
	return []*dto.MetricFamily{{Name: &name, Help: &help, Type: &kind,
		Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &value}}}}}, f.gather
}

// fixture is a Server on a port of its own.
type fixture struct {
	*testing.T
	backend *fake
	server  *Server
	token   string
	hosts   []string
	log     lockedBuffer
	base    string
	client  *http.Client
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, &http.Client{})
}

func serveOn(t *testing.T, ln net.Listener, client *http.Client) *fixture {
	f := &fixture{T: t, backend: &fake{}, client: client, base: "http://" + ln.Addr().String()}
	f.server = New(Options{
		Backend: f.backend,
		Token:   func() string { return f.token },
		Hosts:   func() []string { return f.hosts },
		Log:     slog.New(slog.NewTextHandler(&f.log, nil)),
	})
	done := make(chan error)
	go func() { done <- f.server.Serve(ln) }()
	t.Cleanup(func() {
		client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(f.server.Shutdown(ctx), <-done); err != nil {
			t.Error(err)
		}
	})
	return f
}

// answer is what came back.
type answer struct {
	*http.Response
	body string
}

// ask sends one request; headers are "Name: value", and "Host: …" is the Host header.
func (f *fixture) ask(method, path string, headers ...string) answer {
	return f.askBody(method, path, "", headers...)
}

func (f *fixture) askBody(method, path, body string, headers ...string) answer {
	f.Helper()
	r, err := http.NewRequest(method, f.base+path, strings.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
	a, err := f.client.Do(r)
	if err != nil {
		f.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options",
		"Referrer-Policy", "Cache-Control", "X-Frame-Options"} {
		if a.Header.Get(name) == "" {
			f.Errorf("%s %s: no %s", method, path, name)
		}
	}
	return answer{a, string(text)}
}

// problem wants a refusal with this status and code.
func (f *fixture) problem(a answer, status int, code string) Problem {
	f.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		f.Fatalf("%s: %q", err, a.body)
	}
	if a.StatusCode != status || p.Status != status || p.Code != code ||
		a.Header.Get("Content-Type") != "application/problem+json" || p.Type != "about:blank" {
		f.Errorf("%s %s: status %d, want %d, %s: %s", a.Request.Method, a.Request.URL, a.StatusCode,
			status, code, a.body)
	}
	return p
}

func (f *fixture) ok(a answer, body string) {
	f.Helper()
	if a.StatusCode != 200 || !strings.Contains(a.body, body) {
		f.Errorf("%s %s: status %d, body %s, want 200 with %s", a.Request.Method, a.Request.URL,
			a.StatusCode, a.body, body)
	}
}

func TestCalls(t *testing.T) {
	f := newFixture(t)
	f.ok(f.ask("GET", "/v1/status"), `"version":"1.2.3"`)
	f.ok(f.ask("GET", "/v1/status"), `"unready":[]`)
	f.ok(f.ask("GET", "/v1/status"), `"last_tick":null`)
	f.ok(f.ask("GET", "/v1/targets"), `{"targets":[{"name":"crm","status":"Enabled","events":[],`)
	f.ok(f.ask("GET", "/v1/targets/crm"), `{"name":"crm"`)
	f.problem(f.ask("GET", "/v1/targets/erp"), 404, codeNotFound)
	f.ok(f.ask("POST", "/v1/targets/crm/sample?type=message"), `"acknowledged":true`)
	f.ok(f.ask("POST", "/v1/targets/crm/enable"), `{"name":"crm"`)
	f.ok(f.ask("POST", "/v1/targets/crm/pause"), `{"name":"crm"`)
	f.ok(f.ask("POST", "/v1/targets/crm/resume"), `{"name":"crm"`)
	f.ok(f.ask("GET", "/v1/events/a%2Fb%20c"), `"deliveries":[]`)
	f.ok(f.ask("POST", "/v1/reload"), `"restart_needed":[]`)
	want := "sample crm message, enable crm, pause crm, resume crm, event a/b c, reload "
	if got := strings.Join(f.backend.asked, ", "); got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	f.ok(f.ask("GET", "/v1/deliveries?target=crm"),
		`{"deliveries":[],"next":"","looked_at":0,"left":0}`)
	all := Query{Target: "crm", State: "pending", Page: Page{100, ""}}
	if want := all; !reflect.DeepEqual(f.backend.query, want) {
		t.Errorf("query %+v, want %+v", f.backend.query, want)
	}
	f.ok(f.ask("GET", "/v1/deliveries?target=crm&state=exhausted&limit=7&after=x"), "")
	all = Query{Target: "crm", State: "exhausted", Page: Page{7, "x"}}
	if want := all; !reflect.DeepEqual(f.backend.query, want) {
		t.Errorf("query %+v, want %+v", f.backend.query, want)
	}
	if a := f.ask("HEAD", "/v1/status"); a.StatusCode != 200 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.StatusCode, a.body)
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	f.problem(f.ask("GET", "/nothing"), 404, codeNotFound)
	f.problem(f.ask("GET", "/v1/events/"), 404, codeNotFound)
	f.problem(f.ask("GET", "/v1/deliveries?target=a&state=done"), 400, codeMalformed)
	f.problem(f.ask("GET", "/v1/deliveries?target=a&limit=0"), 400, codeMalformed)
	f.problem(f.ask("GET", "/v1/deliveries?target=a&limit=1001"), 400, codeMalformed)
	// A typing error in a parameter is not ignored, nor is a body that would be.
	f.problem(f.ask("GET", "/v1/deliveries?target=a&stat=pending"), 400, codeMalformed)
	f.problem(f.ask("POST", "/v1/targets/crm/sample?url=http://x"), 400, codeMalformed)
	f.problem(f.askBody("POST", "/v1/targets/crm/retry", `{"url":"http://x"}`), 400,
		codeMalformed)
	f.ok(f.askBody("POST", "/v1/targets/crm/sample", `{"text":"x"}`), `"sent":"{\"text\":\"x\"}"`)
	if a := f.askBody("POST", "/v1/targets/crm/sample", " {} "); strings.Contains(a.body, "sent") {
		t.Errorf("an empty body is a payload: %s", a.body)
	}
	f.ok(f.askBody("POST", "/v1/targets/crm/retry", "{}"), "")
	f.ok(f.ask("GET", "/v1/types"), `{"types":[{"type":"message"`)
	f.ok(f.ask("GET", "/v1/types/a%2Fb"), `"type":"a/b"`)
	f.problem(f.askBody("POST", "/v1/reload", strings.Repeat("x", bodyBytesMax+1)), 413,
		codeTooLarge)
	f.problem(f.ask("GET", "/v1/status", "X-Long: "+strings.Repeat("x", framing.HeadBytesMax)), 431,
		codeTooLarge)
	a := f.ask("GET", "/v1/reload")
	f.problem(a, 405, codeMethodNotAllowed)
	if got := a.Header.Get("Allow"); got != "POST" {
		t.Errorf("Allow: %q", got)
	}
	a = f.ask("DELETE", "/v1/status")
	f.problem(a, 405, codeMethodNotAllowed)
	if got := a.Header.Get("Allow"); got != "GET, HEAD" {
		t.Errorf("Allow: %q", got)
	}
}

func TestErrors(t *testing.T) {
	f := newFixture(t)
	f.backend.err = &Error{Status: 422, Code: "config", Detail: "the config is at fault",
		Hint: "hookspool check", Faults: []string{"a.toml:1:1: x"}}
	p := f.problem(f.ask("POST", "/v1/reload"), 422, "config")
	if p.Hint != "hookspool check" || len(p.Faults) != 1 {
		t.Errorf("problem %+v", p)
	}
	f.backend.err = errors.New("cannot read the spool")
	p = f.problem(f.ask("POST", "/v1/targets/crm/enable"), 500, codeInternal)
	if p.Detail != "cannot read the spool" || !strings.Contains(f.log.String(), p.Detail) {
		t.Errorf("problem %+v, log %s", p, &f.log)
	}
	f.problem(f.ask("POST", "/v1/targets/boom/sample"), 500, codeInternal)
	if !strings.Contains(f.log.String(), "BUG") {
		t.Errorf("log %s", &f.log)
	}
	f.ok(f.ask("GET", "/livez"), "ok")
}

func TestToken(t *testing.T) {
	f := newFixture(t)
	f.token = "correct horse"
	a := f.ask("GET", "/v1/status")
	f.problem(a, 401, codeUnauthorized)
	if got := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer ") {
		t.Errorf("challenge %q", got)
	}
	a = f.ask("GET", "/")
	f.problem(a, 401, codeUnauthorized)
	if got := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Basic ") {
		t.Errorf("challenge %q", got)
	}
	f.problem(f.ask("GET", "/console.js"), 401, codeUnauthorized)
	f.problem(f.ask("GET", "/v1/status", "Authorization: Bearer correct hors"), 401,
		codeUnauthorized)
	f.problem(f.ask("GET", "/v1/status", "Authorization: correct horse"), 401, codeUnauthorized)
	f.problem(f.ask("GET", "/v1/status", "Authorization: Basic %%%"), 401, codeUnauthorized)
	f.ok(f.ask("GET", "/v1/status", "Authorization: bearer correct horse"), "")
	f.ok(f.ask("GET", "/", "Authorization: Basic YW55OmNvcnJlY3QgaG9yc2U="), "<!doctype html>")
	// Probes and scrapers have no token.
	f.ok(f.ask("GET", "/readyz"), "ok")
	f.ok(f.ask("GET", "/metrics"), "hookspool_build_info 1")
	// A reload may change it.
	f.token = ""
	f.ok(f.ask("GET", "/v1/status"), "")
}

func TestHost(t *testing.T) {
	f := newFixture(t)
	for _, host := range []string{"localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:80", "[::1]:80",
		"[::1]", "10.1.2.3"} {
		f.ok(f.ask("GET", "/v1/status", "Host: "+host), "")
	}
	for _, path := range []string{"/v1/status", "/", "/metrics", "/readyz", "/nothing"} {
		f.problem(f.ask("GET", path, "Host: evil.example:8471"), 421, codeMisdirected)
	}
	f.problem(f.ask("GET", "/v1/status", "Host: localhost.evil.example"), 421, codeMisdirected)
	f.hosts = []string{"Relay.internal:8471"}
	f.ok(f.ask("GET", "/v1/status", "Host: relay.internal"), "")
	f.problem(f.ask("GET", "/v1/status", "Host: evil.example"), 421, codeMisdirected)
	// A port in the list is as good as none, and an empty host is nobody's name.
	f.hosts = []string{":8471"}
	f.problem(f.ask("GET", "/v1/status", "Host: :8471"), 421, codeMisdirected)
}

// With a token set, who has it may use any name, and what asks for no token asks for no name. All
// else is as it was: a page that rebound its name is not even asked for a password.
func TestHostAndToken(t *testing.T) {
	f := newFixture(t)
	f.token = "correct horse"
	const host, token = "Host: hookspool:8471", "Authorization: Bearer correct horse"
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/metrics"} {
		f.ok(f.ask("GET", path, host), "")
		f.ok(f.ask("GET", path, host, "Authorization: Bearer wrong"), "")
		f.problem(f.ask("POST", path, host), 421, codeMisdirected)
	}
	f.ok(f.ask("GET", "/v1/status", host, token), "")
	f.ok(f.ask("GET", "/", host, "Authorization: Basic YW55OmNvcnJlY3QgaG9yc2U="), "")
	f.ok(f.ask("POST", "/v1/reload", host, token), "")
	f.problem(f.ask("GET", "/nothing", host, token), 404, codeNotFound)
	for _, path := range []string{"/", "/v1/status", "/v1/stream", "/nothing", "/v1/reload"} {
		for _, wrong := range []string{"X: y", "Authorization: Bearer wrong", "Authorization: Bearer "} {
			a := f.ask("GET", path, host, wrong)
			if p := f.problem(a, 421, codeMisdirected); !strings.Contains(p.Hint, "server.admin_hosts") {
				t.Errorf("%s: hint %q", path, p.Hint)
			}
			if a.Header.Get("WWW-Authenticate") != "" || a.Header.Get("Allow") != "" {
				t.Errorf("%s: a stranger learns %v", path, a.Header)
			}
		}
	}
	f.hosts = []string{"hookspool"}
	f.problem(f.ask("GET", "/", host), 401, codeUnauthorized)
	f.ok(f.ask("POST", "/v1/reload", host, token, "Origin: http://hookspool:8471"), "")
	f.problem(f.ask("POST", "/v1/reload", host, token, "Origin: http://evil.example"), 403,
		codeForbidden)
	f.token, f.hosts = "", nil
	f.problem(f.ask("GET", "/metrics", host, token), 421, codeMisdirected)
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }
	f := serveOn(t, ln, &http.Client{Transport: &http.Transport{DialContext: dial}})
	f.base = "http://anything"
	f.ok(f.ask("GET", "/v1/status"), "")
}

func TestOrigin(t *testing.T) {
	f := newFixture(t)
	call := func(headers ...string) answer { return f.ask("POST", "/v1/reload", headers...) }
	f.ok(call("Origin: "+f.base), "")
	f.ok(call("Sec-Fetch-Site: same-origin"), "")
	f.ok(call("Sec-Fetch-Site: none"), "")
	f.problem(call("Origin: http://evil.example"), 403, codeForbidden)
	f.problem(call("Origin: null"), 403, codeForbidden)
	f.problem(call("Origin: "+f.base+"1"), 403, codeForbidden)
	f.problem(call("Sec-Fetch-Site: cross-site"), 403, codeForbidden)
	f.problem(call("Sec-Fetch-Site: same-site"), 403, codeForbidden)
	if len(f.backend.asked) != 3 {
		t.Errorf("asked %q", f.backend.asked)
	}
}

// What takes a place or makes work is not done for another page, although it could not read the
// answer; what a person follows a link to, is, but for a stream, which a page would hold on to.
func TestOriginOfReads(t *testing.T) {
	f := newFixture(t)
	link := []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate",
		"Sec-Fetch-Dest: document"}
	strangers := [][]string{{"Origin: http://evil.example"}, {"Origin: null"},
		{"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"},
		{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}}
	f.client.Timeout = 5 * time.Second // a stream that is let in does not end
	for _, r := range f.server.routes {
		path := strings.NewReplacer("{name}", "crm", "{id}", "x").Replace(r.path)
		cheap := r.guard == pages || r.guard == open && path != metricsPath
		for _, headers := range strangers {
			if a := f.ask(r.method, path, headers...); (a.StatusCode == 403) == cheap {
				t.Errorf("%s %s %q: status %d", r.method, path, headers, a.StatusCode)
			}
		}
		holds := r.method == "POST" || path == streamPath
		if a := f.ask(r.method, path, link...); (a.StatusCode == 403) != holds {
			t.Errorf("a link to %s %s: status %d", r.method, path, a.StatusCode)
		}
	}
	if len(f.server.streams) != 0 {
		t.Errorf("%d streams are held", len(f.server.streams))
	}
	if a := f.ask("HEAD", streamPath, "Origin: http://evil.example"); a.StatusCode != 403 {
		t.Errorf("HEAD %s: status %d", streamPath, a.StatusCode)
	}
}

func TestHealth(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		f.ok(f.ask("GET", path), "ok\n")
	}
	f.ok(f.ask("GET", "/healthz?verbose"), `{"ok":true,"checks":[{"name":"alive","ok":true,`+
		`"reasons":[]},{"name":"ready","ok":true,"reasons":[]}]}`)
	f.backend.unready = []string{"the relay drains", "the disk is full"}
	f.ok(f.ask("GET", "/livez"), "ok\n")
	for _, path := range []string{"/readyz", "/healthz"} {
		a := f.ask("GET", path)
		if a.StatusCode != 503 || a.body != "the relay drains\nthe disk is full\n" {
			t.Errorf("%d %q", a.StatusCode, a.body)
		}
	}
	f.backend.dead = errors.New("the spool failed")
	if a := f.ask("GET", "/livez?verbose"); a.StatusCode != 503 ||
		!strings.Contains(a.body, `{"name":"alive","ok":false,"reasons":["the spool failed"]}`) {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
}

func TestMetrics(t *testing.T) {
	f := newFixture(t)
	a := f.ask("GET", "/metrics")
	f.ok(a, "# TYPE hookspool_build_info gauge\nhookspool_build_info 1\n")
	if got := a.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", got)
	}
	a = f.ask("GET", "/metrics", "Accept: application/openmetrics-text; version=1.0.0")
	f.ok(a, "# EOF\n")
	if got := a.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") {
		t.Errorf("content type %q", got)
	}
	f.backend.gather = errors.New("cannot collect")
	f.problem(f.ask("GET", "/metrics"), 500, codeInternal)
}

func TestSamplesAreBounded(t *testing.T) {
	f := newFixture(t)
	f.backend.wait, f.backend.entered = make(chan struct{}), make(chan struct{})
	got := make(chan int)
	for range samplesMax {
		go func() { got <- f.ask("POST", "/v1/targets/crm/sample").StatusCode }()
		<-f.backend.entered
	}
	a := f.ask("POST", "/v1/targets/crm/sample")
	f.problem(a, 503, codeOverloaded)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	// Stopping does not wait for them: each ends with its context.
	f.server.end()
	for range samplesMax {
		if status := <-got; status != 500 {
			t.Errorf("status %d", status)
		}
	}
}
