package relay

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/alert"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/signature"
	"github.com/hookspool/hookspool/spool"
)

// setup is one configuration at work. It is built whole and never changes.
type setup struct {
	cfg    *config.Config
	router *router
	mailer *alert.Mailer // nil: no mail
	poster *alert.Poster // nil: nothing is posted
}

// close lets go of what only this setup has.
func (s *setup) close() {
	if s.poster != nil {
		s.poster.Close()
	}
}

// apply puts a configuration to work: everything that can fail is done first, then all is swapped.
// The spool and its lanes stay; a target whose table did not change keeps its connections.
func (r *Relay) apply(cfg *config.Config) error {
	mailer, err := newMailer(cfg)
	if err != nil {
		return fmt.Errorf("cannot use [alert.email]: %w", err)
	}
	poster, err := r.newPoster(cfg)
	if err != nil {
		return fmt.Errorf("cannot use [alert.webhook]: %w", err)
	}
	works := make(map[string]*work, len(cfg.Targets))
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if works[t.Name], err = r.workFor(t); err != nil {
			return err
		}
	}
	var lanes []*lane
	for i := range cfg.Targets {
		s, err := r.spool.Lane(cfg.Targets[i].Name)
		if err != nil {
			return err
		}
		lanes = append(lanes, r.addLane(s))
	}
	r.swap(&setup{cfg: cfg, mailer: mailer, poster: poster}, works, lanes)
	return nil
}

// swap cannot fail. It completes next with the router, which looks at the lanes' new work.
func (r *Relay) swap(next *setup, works map[string]*work, lanes []*lane) {
	cfg, before := next.cfg, r.setup.Load().cfg
	for _, l := range r.allLanes() {
		old := l.work.Load()
		l.work.Store(works[l.name])
		if old != nil && old != works[l.name] {
			old.client.Close()
			l.expires.Store(0) // of another URL, perhaps
		}
	}
	next.router = newRouter(lanes)
	r.setup.Swap(next).close()
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
	if r.level != nil {
		r.level.Set(cfg.Log.Level)
	}
	if before.Retry.Interval != cfg.Retry.Interval {
		select {
		case r.intervalC <- struct{}{}:
		default:
		}
	}
	now := time.Now()
	r.reloadAt.Store(now.UnixNano())
	r.reloadBad.Store(false)
	r.metrics.reloadAt.Set(float64(now.UnixMilli()) / 1000)
	r.metrics.reloadOK.Set(1)
}

// workFor makes a target's client, or keeps the one that does the same.
func (r *Relay) workFor(t *config.Target) (*work, error) {
	if l := r.laneNamed(t.Name); l != nil {
		old := l.work.Load()
		plain := t.CAFile == "" && t.ClientCert == ""
		if old != nil && plain && reflect.DeepEqual(old.target, t) {
			return old, nil
		}
	}
	o, err := AttemptOptions(t, r.version)
	if err != nil {
		return nil, err
	}
	o.OnTLS = func(notAfter time.Time) {
		r.metrics.lane(t.Name).tlsExpiry.Set(float64(notAfter.Unix()))
		if l := r.laneNamed(t.Name); l != nil {
			l.expires.Store(notAfter.Unix())
		}
	}
	client, err := attempt.NewClient(o)
	if err != nil {
		return nil, fmt.Errorf("cannot use target %q: %w", t.Name, err)
	}
	return &work{target: t, client: client}, nil
}

// AttemptOptions are what an attempt.Client of a target is made from. It reads the target's
// certificate files.
func AttemptOptions(t *config.Target, version string) (attempt.Options, error) {
	o := attempt.Options{
		Name: t.Name, URL: t.URL, Success: t.Success.Has, Timeout: t.Timeout,
		Concurrency: t.Concurrency, AllowAddresses: t.AllowAddresses,
		UserAgent: "hookspool/" + version,
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
		pem, err := os.ReadFile(t.CAFile) // #nosec G304 G703 -- the operator's config names it
		if err != nil {
			return o, fmt.Errorf("cannot read ca_file of target %q: %w", t.Name, err)
		}
		o.RootCAs = x509.NewCertPool()
		if !o.RootCAs.AppendCertsFromPEM(pem) {
			return o, fmt.Errorf("cannot use ca_file of target %q: it holds no certificate", t.Name)
		}
	}
	if t.ClientCert != "" {
		cert, err := tls.LoadX509KeyPair(t.ClientCert, t.ClientKey)
		if err != nil {
			return o, fmt.Errorf("cannot use client_cert of target %q: %w", t.Name, err)
		}
		o.Certificates = []tls.Certificate{cert}
	}
	return o, nil
}

// Reload reads the config file again and puts it to work. It returns the settings that changed but
// need a restart. A bad file changes nothing; the error is an *admin.Error with all faults.
func (r *Relay) Reload() (restart []string, err error) {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	path := r.setup.Load().cfg.Path
	text, err := os.ReadFile(path)
	r.unread.Store(err != nil)
	var cfg *config.Config
	if err == nil {
		r.seen.Store(&text)
		cfg, err = config.Parse(path, text, os.LookupEnv, os.ReadFile)
	}
	if err == nil {
		err = r.apply(cfg)
	}
	if err != nil {
		r.reloadBad.Store(true)
		r.metrics.reloadOK.Set(0)
		r.log.Error("cannot reload the config; the running one stays", "path", path, "error", err)
		return nil, reloadError(err)
	}
	if restart = r.needRestart(cfg); len(restart) > 0 {
		r.log.Warn("these settings changed but need a restart", "keys", restart)
	}
	r.log.Info("config reloaded", "path", path, "targets", len(cfg.Targets))
	return restart, nil
}

func reloadError(err error) *admin.Error {
	e := admin.Refuse(422, "bad_config", "the config was not reloaded: %v", err)
	e.Hint = "nothing changed; hookspool check shows the faults"
	var faults *config.Faults
	if errors.As(err, &faults) {
		e.Detail = fmt.Sprintf("the config has %d faults and was not reloaded", len(faults.List))
		if len(faults.List) == 1 {
			e.Detail = "the config has a fault and was not reloaded"
		}
		for _, f := range faults.List {
			e.Faults = append(e.Faults, fmt.Sprintf("%s:%d:%d: %s: %s", faults.Path, f.Line,
				f.Column, f.Key, f.Message))
		}
	}
	return e
}

// needRestart are the keys whose value is not the one at work, by name.
func (r *Relay) needRestart(cfg *config.Config) []string {
	bound := r.servers.cfg
	var fixed []string
	for key, same := range map[string]bool{
		"server.listen":        reflect.DeepEqual(bound.Server.Listen, cfg.Server.Listen),
		"server.admin_listen":  bound.Server.AdminListen == cfg.Server.AdminListen,
		"server.read_timeout":  bound.Server.ReadTimeout == cfg.Server.ReadTimeout,
		"spool.dir":            bound.Spool.Dir == cfg.Spool.Dir,
		"spool.encryption_key": bytes.Equal(bound.Spool.Key, cfg.Spool.Key),
		"log.format":           bound.Log.Format == cfg.Log.Format,
	} {
		if !same {
			fixed = append(fixed, key)
		}
	}
	sort.Strings(fixed)
	return fixed
}

// watchLoop compares the file's content every server.reload_check. Config maps and editors replace
// files, so neither inotify nor the time of change can be trusted.
func (r *Relay) watchLoop() {
	for {
		every := r.setup.Load().cfg.Server.ReloadCheck
		wait := every
		if every <= 0 {
			wait = time.Second // a reload by other means may switch it on
		}
		timer := time.NewTimer(wait)
		select {
		case <-r.stopping:
			timer.Stop()
			return
		case <-timer.C:
		}
		path := r.setup.Load().cfg.Path
		if every <= 0 || path == "" {
			continue
		}
		if r.changedFile(path) {
			// Reload says what is wrong with it.
			_, _ = r.Reload()
		}
	}
}

// changedFile reports that the config file is worth a reload: it is another than before, cannot be
// read, which is said once, or can be read again.
func (r *Relay) changedFile(path string) bool {
	text, err := os.ReadFile(path)
	if unread := r.unread.Load(); unread || err != nil {
		return unread != (err != nil)
	}
	return !bytes.Equal(text, *r.seen.Load())
}

// decide settles session and targets of a new event. The spool calls it in commit order.
func (r *Relay) decide(v *spool.View, d *spool.Draft) {
	s := r.setup.Load()
	if t, ok := d.Note.(*talk); ok {
		d.Session = applyTalk(v, t, d.At, s.cfg.Session.Window)
	}
	for _, i := range s.router.match(d.Type) {
		l := s.router.lanes[i]
		t := l.target()
		if t == nil || t.Status == config.StatusDisabled || !wants(t.Session, d.Session) {
			continue
		}
		d.Owe(l.spool)
	}
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
	return c.Pending > 0 || c.Exhausted > 0
}
