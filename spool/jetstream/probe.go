package jetstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/jetstream/copies"
)

// Found is what Probe has found.
type Found struct {
	// Version of one of the servers.
	Version string
	// There: the stream is there, with so many Replicas; otherwise Open makes it.
	There    bool
	Replicas int
	// Warnings are what is accepted, or cannot be seen.
	Warnings []string
}

// Probe says whether Open would succeed, as far as that can be known without a trace. It waits for
// servers for o.OpenMax, and compares their copies, which takes a moment unless one seems to lack
// something. Errors are those of Open.
func Probe(ctx context.Context, o Options) (f Found, err error) {
	f, s, end, err := probe(ctx, o)
	defer end()
	if err == nil && f.There {
		o.compare(ctx, s, func(err error) { f.Warnings = append(f.Warnings, err.Error()) })
	}
	return f, err
}

// probe is Probe but for the copies. end closes what the stream needs.
func probe(ctx context.Context, o Options) (f Found, s jetstream.Stream, end func(), err error) {
	end = func() {}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(o.OpenMax, openMax))
	defer cancel()
	ctx, deny := context.WithCancelCause(ctx)
	defer deny(nil)
	defer func() {
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrPermission) {
			err = cause
		}
	}()
	nc, err := connect(ctx, ctx, &o, deny)
	if err != nil {
		return f, nil, end, err
	}
	end = nc.Close
	js, err := jetstream.New(nc)
	if err != nil {
		return f, nil, end, fmt.Errorf("cannot use JetStream: %w", err)
	}
	f.Version = nc.ConnectedServerVersion()
	warn := func(err error) { f.Warnings = append(f.Warnings, err.Error()) }
	if err = checkServer(ctx, nc, js); err == nil && o.MonitorURL != "" {
		err = o.checkMonitor(ctx, warn)
	}
	if err != nil {
		return f, nil, end, fmt.Errorf("cannot use the servers at %s: %w", redact(o.URL), err)
	}
	s, err = again(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		return js.Stream(ctx, o.Name)
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return f, nil, end, nil
	}
	if err == nil {
		is := s.CachedInfo().Config
		f.There, f.Replicas = true, is.Replicas
		err = o.fits(is, warn)
	}
	if err == nil {
		err = o.opens(ctx, s)
	}
	if err != nil {
		return f, nil, end, fmt.Errorf("cannot use stream %q: %w", o.Name, explain(err))
	}
	return f, s, end, nil
}

// compare warns of copies that lack messages.
func (o *Options) compare(ctx context.Context, s jetstream.Stream, warn func(error)) {
	ctx, cancel := context.WithTimeout(ctx, compareMax)
	defer cancel()
	of := &sender{name: o.Name}
	options := copies.Options{Stream: s, Steady: of.steady(), Expiring: -1, Gap: probeGap}
	c, err := copies.Compare(ctx, options)
	for isSilence(err) && pause(ctx) == nil { // busy servers answer in the end
		c, err = copies.Compare(ctx, options)
	}
	if err != nil {
		warn(fmt.Errorf("whether the servers' copies lack messages cannot be seen: %w", explain(err)))
		return
	}
	for _, short := range c.Short {
		what := "it may be the others that keep what was deleted: let all servers run, and check again"
		if short.Clear {
			what = "the relays tell whether that lasts; then empty its store_dir while it is stopped"
		}
		warn(fmt.Errorf("%w: server %q lacks %d messages at least that another one has, and says that "+
			"it is current; %s", ErrHole, short.Node, short.Missing, what))
	}
	if !c.Complete() {
		warn(fmt.Errorf("of %d servers' copies %d could be compared: the others are away, or late",
			c.Replicas, len(c.Nodes)))
	}
}

// steady are the subjects of messages that never expire.
func (s *sender) steady() []string {
	return []string{s.subject(eventSubject), s.subject(deletedSubject)}
}

// opens says whether the key is that of a stream. One that no relay has begun is anybody's.
func (o *Options) opens(ctx context.Context, s jetstream.Stream) error {
	seal, err := newSealer(o.Key)
	if err != nil {
		return err
	}
	data, err := firstMessage(ctx, s, o.Name+"."+checkSubject)
	if err == nil {
		err = seal.checks(data)
	}
	if errors.Is(err, errUnchecked) {
		return nil
	}
	return err
}

const (
	// compareMax is how long comparing may take somebody who waits; mostly it takes a moment.
	compareMax = 30 * time.Second
	// probeGap lies between two rounds of a comparison, for somebody who waits.
	probeGap = 400 * time.Millisecond
	// monitorMax is how long the monitor of a server may take; it answers from memory.
	monitorMax = 2 * time.Second
	// monitorBytesMax bounds its answer, which is a few KiB.
	monitorBytesMax = 1 << 20
)

// monitored is what the monitor of a server tells of it at /varz.
type monitored struct {
	Name      string `json:"server_name"`
	JetStream struct {
		Config *struct {
			Always   bool          `json:"sync_always"`
			Interval time.Duration `json:"sync_interval"`
		} `json:"config"`
	} `json:"jetstream"`
}

// checkMonitor refuses a server that answers before it syncs, if its monitor tells. What is
// accepted, or cannot be seen, is warned of.
func (o *Options) checkMonitor(ctx context.Context, warn func(error)) error {
	m, err := askMonitor(ctx, o.MonitorURL)
	switch {
	case err != nil:
		warn(fmt.Errorf("whether the spool's servers sync before they answer cannot be seen: %w", err))
		return nil
	case m.JetStream.Config == nil:
		return fmt.Errorf("%w: the monitor of server %q has none", ErrNoJetStream, m.Name)
	case m.JetStream.Config.Always:
		return nil
	}
	err = fmt.Errorf("%w: server %q syncs every %s, and answers before (sync_interval: always is "+
		"needed)", ErrUnsafe, m.Name, m.JetStream.Config.Interval)
	if o.AcceptUnsafe {
		warn(err)
		return nil
	}
	return err
}

// askMonitor asks a monitor. No error shows the URL's user-info or query.
func askMonitor(ctx context.Context, monitor string) (m monitored, err error) {
	u, err := url.Parse(monitor)
	if err != nil {
		return m, errors.New("cannot ask the monitor: no URL")
	}
	shown := u.Scheme + "://" + u.Host
	u.Path = strings.TrimSuffix(u.Path, "/") + "/varz"
	ctx, cancel := context.WithTimeout(ctx, monitorMax)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return m, fmt.Errorf("cannot ask the monitor at %s", shown)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	if err != nil {
		return m, fmt.Errorf("cannot ask the monitor at %s: %w", shown, err)
	}
	end := answer.Body.Close
	defer func() { _ = end() }()
	err = json.NewDecoder(io.LimitReader(answer.Body, monitorBytesMax)).Decode(&m)
	if answer.StatusCode != http.StatusOK {
		return m, fmt.Errorf("cannot ask the monitor at %s: it answers %s", shown, answer.Status)
	}
	if err != nil || m.Name == "" {
		return m, fmt.Errorf("cannot ask the monitor at %s: its answer is not that of a NATS server",
			shown)
	}
	return m, nil
}
