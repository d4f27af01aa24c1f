package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const requestTimeout = 20 * time.Second

// Client speaks to a relay's two listeners.
type Client struct {
	http       *http.Client
	admin      *http.Client
	adminURL   string
	adminToken string
}

func newClient() *Client {
	return &Client{
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256},
			Timeout: requestTimeout},
	}
}

// adminAt points the client at an admin listener, host:port or unix:/path.
func (c *Client) adminAt(address, token string) {
	if c.admin != nil {
		c.admin.CloseIdleConnections()
	}
	c.adminToken, c.adminURL = token, "http://"+address
	transport := &http.Transport{}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		c.adminURL = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	c.admin = &http.Client{Transport: transport, Timeout: requestTimeout}
}

func (c *Client) close() {
	c.http.CloseIdleConnections()
	if c.admin != nil {
		c.admin.CloseIdleConnections()
	}
}

// call makes a request of the admin API with its token.
func (c *Client) call(method, path string) (int, []byte, error) {
	req, err := http.NewRequest(method, c.adminURL+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if c.adminToken != "" {
		req.Header.Set("Authorization", "Bearer "+c.adminToken)
	}
	resp, err := c.admin.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func (c *Client) get(path string, into any) error {
	code, body, err := c.call("GET", path)
	if err != nil {
		return err
	}
	if code != 200 {
		return fmt.Errorf("GET %s answered %d: %s", path, code, body)
	}
	return json.Unmarshal(body, into)
}

// Status is what GET /v1/status says.
type Status struct {
	Version      string     `json:"version"`
	Ready        bool       `json:"ready"`
	Unready      []string   `json:"unready"`
	Listen       []string   `json:"listen"`
	Admin        string     `json:"admin"`
	LastTick     *time.Time `json:"last_tick"`
	NextTick     *time.Time `json:"next_tick"`
	Accepted     uint64     `json:"accepted"`
	Pending      uint64     `json:"pending"`
	Exhausted    uint64     `json:"exhausted"`
	Quarantined  int64      `json:"quarantined"`
	ReloadedAt   time.Time  `json:"reloaded_at"`
	ReloadFailed bool       `json:"reload_failed"`
}

// Target is one target of GET /v1/targets.
type Target struct {
	Name           string     `json:"name"`
	Status         string     `json:"status"`
	Events         []string   `json:"events"`
	FailedJobs     int        `json:"failed_jobs"`
	Pending        int        `json:"pending"`
	Exhausted      int        `json:"exhausted"`
	OldestPending  *time.Time `json:"oldest_pending"`
	LastSuccess    *time.Time `json:"last_success"`
	LastError      *string    `json:"last_error"`
	URL            string     `json:"url"`
	Orphan         bool       `json:"orphan"`
	DefectiveSince *time.Time `json:"defective_since"`
	InFlight       int        `json:"in_flight"`
	Delivered      int        `json:"delivered"`
	Quarantined    int        `json:"quarantined"`
	HeldUntil      *time.Time `json:"held_until"`
	GoneSince      *time.Time `json:"gone_since"`
	Expired        int        `json:"expired"`
	// Relay serves the target, where several relays share the spool.
	Relay string `json:"relay"`
}

// Delivery is one delivery of GET /v1/deliveries.
type Delivery struct {
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	AcceptedAt time.Time `json:"accepted_at"`
	Bytes      int       `json:"bytes"`
	Target     string    `json:"target"`
	State      string    `json:"state"`
	Attempts   int       `json:"attempts"`
	LastStatus int       `json:"last_status"`
	LastError  string    `json:"last_error"`
	// Why is where it is, why, and what comes next; Hint is what helps.
	Why           string     `json:"why"`
	Hint          string     `json:"hint"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	AttemptsLeft  int        `json:"attempts_left"`
	ExhaustsAt    *time.Time `json:"exhausts_at"`
	KeptUntil     *time.Time `json:"kept_until"`
	// What is told of the attempt that delivered it.
	DeliveredAt *time.Time `json:"delivered_at"`
	Status      *int       `json:"status"`
	Duration    *float64   `json:"duration_ms"`
}

// Event is what GET /v1/events/{id} says.
type Event struct {
	ID          string     `json:"id"`
	Type        string     `json:"type"`
	ContentType string     `json:"content_type"`
	AcceptedAt  time.Time  `json:"accepted_at"`
	Session     string     `json:"session"`
	Bytes       int        `json:"bytes"`
	Deliveries  []Delivery `json:"deliveries"`
	// Why and Unwanted are of an event that no target wanted.
	Why      string     `json:"why"`
	Unwanted []Unwanted `json:"unwanted"`
}

// Unwanted is a target that did not want an event.
type Unwanted struct {
	Target    string `json:"target"`
	RefusedBy string `json:"refused_by"`
	Note      string `json:"note"`
}

// Sample is what a sample callback says.
type Sample struct {
	Target       string  `json:"target"`
	Type         string  `json:"type"`
	ID           string  `json:"id"`
	Acknowledged bool    `json:"acknowledged"`
	Outcome      string  `json:"outcome"`
	Status       int     `json:"status"`
	StatusLine   string  `json:"status_line"`
	Error        string  `json:"error"`
	Latency      float64 `json:"latency_seconds"`
	Remote       string  `json:"remote"`
	Body         string  `json:"body"`
}

// Status asks for /v1/status.
func (r *Relay) Status() Status {
	r.t.Helper()
	var s Status
	r.mustGet("/v1/status", &s)
	return s
}

// Target asks for one target.
func (r *Relay) Target(name string) Target {
	r.t.Helper()
	var target Target
	r.mustGet("/v1/targets/"+name, &target)
	return target
}

// Targets asks for all targets, by name.
func (r *Relay) Targets() map[string]Target {
	r.t.Helper()
	var list struct{ Targets []Target }
	r.mustGet("/v1/targets", &list)
	byName := map[string]Target{}
	for _, target := range list.Targets {
		byName[target.Name] = target
	}
	return byName
}

// Event asks where an event is.
func (r *Relay) Event(id string) Event {
	r.t.Helper()
	var e Event
	r.mustGet("/v1/events/"+url.PathEscape(id), &e)
	return e
}

// Why is what the API says of a delivery.
func (r *Relay) Why(id, target string) Delivery {
	r.t.Helper()
	for _, d := range r.Event(id).Deliveries {
		if d.Target == target {
			return d
		}
	}
	r.t.Errorf("%s is not owed to %s", id, target)
	return Delivery{}
}

// Deliveries lists all deliveries of a target in a state, page by page.
func (r *Relay) Deliveries(target, state string) []Delivery {
	r.t.Helper()
	var all []Delivery
	after := ""
	for {
		var page struct {
			Deliveries []Delivery
			Next       string
		}
		q := url.Values{"target": {target}, "state": {state}, "limit": {"500"}}
		if after != "" {
			q.Set("after", after)
		}
		r.mustGet("/v1/deliveries?"+q.Encode(), &page)
		all = append(all, page.Deliveries...)
		if page.Next == "" {
			return all
		}
		if page.Next == after {
			r.t.Fatalf("GET /v1/deliveries repeats the page after %q", after)
		}
		after = page.Next
	}
}

// Sample triggers a sample callback.
func (r *Relay) Sample(target, typ string) Sample {
	r.t.Helper()
	path := "/v1/targets/" + target + "/sample"
	if typ != "" {
		path += "?type=" + url.QueryEscape(typ)
	}
	code, body := r.Admin("POST", path)
	var s Sample
	if code != 200 {
		r.t.Fatalf("POST %s answered %d: %s", path, code, body)
	}
	if err := json.Unmarshal(body, &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// Verb changes a target by the API: enable, pause or resume.
func (r *Relay) Verb(verb, target string) {
	r.t.Helper()
	path := "/v1/targets/" + target + "/" + verb
	if code, body := r.Admin("POST", path); code/100 != 2 {
		r.t.Fatalf("POST %s answered %d: %s", path, code, body)
	}
}

// Admin makes any request of the admin API and returns status and body.
func (r *Relay) Admin(method, path string) (int, []byte) {
	r.t.Helper()
	code, body, err := r.client.call(method, path)
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", method, path, err, tail(r.Log()))
	}
	return code, body
}

func (r *Relay) mustGet(path string, into any) {
	r.t.Helper()
	if err := r.client.get(path, into); err != nil {
		r.t.Fatalf("%v\n%s", err, tail(r.Log()))
	}
}

// AwaitTicks waits until n more ticks have passed.
func (r *Relay) AwaitTicks(n int) {
	r.t.Helper()
	last := r.lastTick()
	for range n {
		var now time.Time
		Until(r.t, Patience, "a tick", func() bool {
			now = r.lastTick()
			return now.After(last)
		})
		last = now
	}
}

func (r *Relay) lastTick() time.Time {
	r.t.Helper()
	if s := r.Status(); s.LastTick != nil {
		return *s.LastTick
	}
	return time.Time{}
}

// Metrics scrapes /metrics: series, as printed, to value.
func (r *Relay) Metrics() Metrics {
	r.t.Helper()
	code, body := r.Admin("GET", "/metrics")
	if code != 200 {
		r.t.Fatalf("GET /metrics answered %d: %s", code, body)
	}
	m, err := parseMetrics(bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}
