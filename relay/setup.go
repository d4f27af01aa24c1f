package relay

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"sort"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/alert"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/history"
	"github.com/hookspool/hookspool/relay/jq"
	"github.com/hookspool/hookspool/relay/peers"
	"github.com/hookspool/hookspool/relay/signature"
	"github.com/hookspool/hookspool/relay/token"
	"github.com/hookspool/hookspool/spool"
)

// setup is one configuration at work. It is built whole and never changes.
type setup struct {
	cfg    *config.Config
	rules  accept.Rules
	fanout *fanout
	mailer *alert.Mailer // nil: no mail
	poster *alert.Poster // nil: nothing is posted
}

// judges completes a setup with what it says of accepting. lanes are those of its targets.
func (s *setup) judges(lanes []*spool.Lane) {
	ids := make([]spool.LaneID, len(lanes))
	for i, l := range lanes {
		ids[i] = l.ID()
	}
	s.fanout = newFanout(s.cfg, ids)
	s.rules.Config, s.rules.Judge = s.cfg, s.fanout
}

// close lets go of what only this setup has.
func (s *setup) close() { s.closeBut(new(setup)) }

// closeBut is close for all that another has not taken over.
func (s *setup) closeBut(other *setup) {
	if s.poster != nil && s.poster != other.poster {
		s.poster.Close()
	}
}

// apply puts a configuration to work: everything that can fail is done first, then all is swapped.
// The spool and its lanes stay; a target whose table did not change keeps its connections.
func (r *Relay) apply(cfg *config.Config) (err error) {
	mailer, err := newMailer(cfg)
	if err != nil {
		return fmt.Errorf("cannot use [alert.email]: %w", err)
	}
	poster, err := r.newPoster(cfg)
	if err != nil {
		return fmt.Errorf("cannot use [alert.webhook]: %w", err)
	}
	next := &setup{cfg: cfg, mailer: mailer, poster: poster}
	defer func() {
		if err != nil {
			next.closeBut(r.setup.Load())
		}
	}()
	works := make(map[string]*work, len(cfg.Targets))
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if works[t.Name], err = r.workFor(t); err != nil {
			return err
		}
	}
	lanes := make([]*spool.Lane, len(cfg.Targets))
	for i := range cfg.Targets {
		if lanes[i], err = r.spool.Lane(cfg.Targets[i].Name); err != nil {
			return err
		}
		r.addLane(lanes[i])
	}
	next.judges(lanes)
	next.fanout.complain = func(t *config.Target, d *spool.Draft, err error) {
		if l := r.laneNamed(t.Name); l != nil {
			whereFailed(l, d, err)
		}
	}
	next.rules.Unwanted = func(d *spool.Draft) { noteUnwanted(&r.unwanted, next.fanout, d) }
	r.swap(next, works)
	return nil
}

// whereFailed counts and says that the where of a target failed on an event. The log does not quote
// the payload.
func whereFailed(l *lane, d *spool.Draft, err error) {
	l.m().filterErrors.Inc()
	if n, ok := l.unfiltered.Pass(time.Now(), saySeldom); ok {
		l.r.log.Warn("the where of a target failed; the event counts as wanted", "target", l.name,
			"type", d.Type, "error", jq.Blind(err), "failed", n)
	}
}

// swap cannot fail.
func (r *Relay) swap(next *setup, works map[string]*work) {
	cfg, before := next.cfg, r.setup.Load()
	idle := make(map[*lane]bool)
	for _, l := range r.allLanes() {
		idle[l] = slices.Contains([]Status{Disabled, Paused}, l.status())
		old := l.work.Load()
		l.work.Store(works[l.name])
		if old != nil && old != works[l.name] {
			old.client.Close()
			l.expires.Store(0) // of another URL, perhaps
		}
	}
	r.setup.Store(next)
	before.closeBut(next)
	r.retire(before)
	r.spool.SetLimits(limitsOf(cfg))
	for _, l := range r.allLanes() {
		l.changed()
		l.matchSeries()
	}
	r.lanesMu.Lock()
	for _, l := range r.byName {
		r.startLaneLocked(l)
	}
	r.lanesMu.Unlock()
	for l, was := range idle {
		if was {
			sendReplays(l)
		}
	}
	if r.level != nil {
		r.level.Set(cfg.Log.Level)
	}
	if before.cfg.Retry.Interval != cfg.Retry.Interval {
		r.clock.wake()
	}
	if r.company != nil {
		_, address := r.Addresses()
		r.company.Say(peers.Note{Version: r.version, Admin: address, Started: r.startedAt,
			Config: peers.Fingerprint(r.spool.ID(), cfg)})
	}
	now := time.Now()
	r.reloadAt.Store(now.UnixNano())
	r.reloadBad.Store(false)
	r.metrics.reloadAt.Set(float64(now.UnixMilli()) / 1000)
	r.metrics.reloadOK.Set(1)
}

// retire remembers a setup for as long as events that were judged by it are in hand.
func (r *Relay) retire(old *setup) {
	r.retired = append(slices.DeleteFunc(r.retired, func(s *setup) bool {
		return s.rules.Settled()
	}), old)
}

// settleRetired waits until no event is in hand that was judged by a setup of before. What only
// such a setup refers to is in nobody's way then.
func (r *Relay) settleRetired() {
	for _, s := range r.retired {
		s.rules.Settle()
	}
	r.retired = nil
}

// workFor makes a target's client, or keeps the one that does the same.
func (r *Relay) workFor(t *config.Target) (*work, error) {
	if l := r.laneNamed(t.Name); l != nil {
		old := l.work.Load()
		if old != nil && reflect.DeepEqual(old.target, t) {
			return old, nil
		}
	}
	o, err := AttemptOptions(t, r.version)
	if err != nil {
		return nil, err
	}
	o.Buffers = &r.buffers
	o.OnTLS = func(notAfter time.Time) {
		if l := r.laneNamed(t.Name); l != nil {
			l.m().tlsExpiry.Set(float64(notAfter.Unix()))
			l.expires.Store(notAfter.Unix())
		}
	}
	client, err := attempt.NewClient(o)
	if err != nil {
		return nil, fmt.Errorf("cannot use target %q: %w", t.Name, err)
	}
	w := &work{target: t, client: client, transform: transformOf(t),
		proxy: config.MaskURL(o.Proxy)}
	w.orderOf, err = orderOf(t)
	return w, err
}

// AttemptOptions are what an attempt.Client of a target is made from.
func AttemptOptions(t *config.Target, version string) (attempt.Options, error) {
	o := attempt.Options{
		Name: t.Name, URL: t.URL, Method: t.Method, Success: t.Success.Has, Timeout: t.Timeout,
		Concurrency: t.Concurrency, AllowAddresses: t.AllowAddresses,
		UserAgent: "hookspool/" + version, HTTP: t.HTTP, MaxAge: t.ConnectionMaxAge,
	}
	for _, h := range t.Headers {
		o.Header = append(o.Header, attempt.Header{Name: h.Name, Value: h.Value.Reveal()})
	}
	for _, s := range t.Secrets {
		k, err := signature.ParseKey(s.Reveal())
		if err != nil {
			return o, fmt.Errorf("cannot use the secret of target %q: %w", t.Name, err)
		}
		o.Keys = append(o.Keys, k)
	}
	if t.CAFile != "" {
		o.RootCAs = x509.NewCertPool()
		if !o.RootCAs.AppendCertsFromPEM(t.PEM.CA) {
			return o, fmt.Errorf("cannot use ca_file of target %q: it holds no certificate", t.Name)
		}
	}
	if t.ClientCert != "" {
		cert, err := tls.X509KeyPair(t.PEM.Cert, t.PEM.Key)
		if err != nil {
			return o, fmt.Errorf("cannot use client_cert of target %q: %w", t.Name, err)
		}
		o.Certificates = []tls.Certificate{cert}
	}
	var err error
	if o.Proxy, err = proxyFor(t, t.URL); err != nil {
		return o, err
	}
	if err := addToken(&o, t); err != nil {
		return o, err
	}
	return o, nil
}

// proxyFor is the proxy through which a target's requests to a URL go; nil: none. The environment
// is that of the start.
func proxyFor(t *config.Target, to *url.URL) (*url.URL, error) {
	if !t.Proxy.Env {
		return t.Proxy.URL, nil
	}
	// The library takes what it cannot read for nothing, and the request would go direct.
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if p := config.CheckProxyVariable(os.Getenv(name)); p != nil {
			return nil, fmt.Errorf("cannot use the proxy of target %q: %s %w", t.Name, name, p)
		}
	}
	proxy, err := httpproxy.FromEnvironment().ProxyFunc()(to)
	if err != nil {
		return nil, fmt.Errorf("cannot use the proxy of target %q: HTTP_PROXY is not used where "+
			"REQUEST_METHOD is set", t.Name)
	}
	return proxy, nil
}

// addToken makes what gets the tokens that the target wants, if it wants any. Their server is
// mostly known to others than the target, so that ca_file adds to the system's authorities there.
func addToken(o *attempt.Options, t *config.Target) error {
	if t.OAuth2.TokenURL == nil {
		return nil
	}
	beside := attempt.Options{URL: t.OAuth2.TokenURL, AllowAddresses: t.AllowAddresses,
		UserAgent: o.UserAgent}
	var err error
	if beside.Proxy, err = proxyFor(t, beside.URL); err != nil {
		return err
	}
	if t.CAFile != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		roots.AppendCertsFromPEM(t.PEM.CA)
		beside.RootCAs = roots
	}
	client, err := attempt.NewHTTPClient(beside)
	if err != nil {
		return fmt.Errorf("cannot use oauth2.token_url of target %q: %w", t.Name, err)
	}
	params := make(map[string]string, len(t.OAuth2.Params))
	for _, p := range t.OAuth2.Params {
		params[p.Name] = p.Value.Reveal()
	}
	o.Credential = token.New(token.Options{
		URL: t.OAuth2.TokenURL, ClientID: t.OAuth2.ClientID,
		ClientSecret: t.OAuth2.ClientSecret.Reveal(), Scopes: t.OAuth2.Scopes, Params: params,
		Client: client,
	})
	return nil
}

func (r *Relay) allLanes() []*lane {
	r.lanesMu.RLock()
	defer r.lanesMu.RUnlock()
	lanes := make([]*lane, 0, len(r.byName))
	for _, l := range r.byName {
		lanes = append(lanes, l)
	}
	return lanes
}

// sourcesOf are what the targets have counted, with what they were given until now.
func sourcesOf(r *Relay) []history.Source {
	lanes := r.allLanes()
	sources := make([]history.Source, len(lanes))
	for i, l := range lanes {
		sources[i] = countedBy(l)
	}
	return sources
}

// countedBy is what a target has counted.
func countedBy(l *lane) history.Source {
	for _, a := range spool.TakeArrivals(l.spool) {
		l.minutes.Add(a.Minute, history.Accepted, a.Events)
	}
	return history.Source{Lane: l.spool.ID(), Counter: &l.minutes}
}

// shownLanes are the targets of the config and the orphans that still owe something, by name.
func (r *Relay) shownLanes() []*lane {
	var shown []*lane
	for _, l := range r.allLanes() {
		if r.shown(l) {
			shown = append(shown, l)
		}
	}
	sort.Slice(shown, func(i, j int) bool { return shown[i].name < shown[j].name })
	return shown
}

func (r *Relay) shown(l *lane) bool {
	if l.work.Load() != nil {
		return true
	}
	c := l.spool.Counts()
	return c.Pending > 0 || c.Exhausted+c.Expired > 0
}
