package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/cmd/hookspool/manual"
	"github.com/hookspool/hookspool/relay"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/receiver"
	"github.com/hookspool/hookspool/relay/sample"
	"github.com/hookspool/hookspool/relay/signature"
)

const (
	demoInterval    = 3 * time.Second
	demoIntervalMin = 100 * time.Millisecond
	demoPause       = 300 * time.Millisecond // between two events, for the reader's sake
	// demoFailedJobs is how many jobs of the erp target fail before it is repaired.
	demoFailedJobs = 2
	demoPatience   = 2 * time.Minute // of --once, beside the ticks it takes
)

// demoOptions is what demo is told by flags.
type demoOptions struct {
	interval time.Duration
	once     bool
}

func (c *cli) demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a relay, two targets, one of them broken at first",
		Long: "Run a relay with a spool of its own, in a temporary directory, and two targets: crm is " +
			"well,\n" +
			"erp fails at first. The events of one template message are posted and told as they travel:\n" +
			"accepted, attempted, failed, retried at the tick, recovered. Then it goes on and tells what\n" +
			"you post, until Ctrl-C. Nothing is left behind.",
		Example: "  hookspool demo\n  hookspool demo --interval 1s --once",
		Args:    arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.interval < demoIntervalMin {
				return misuse("write a longer one, such as 2s", "--interval %s is below %s",
					o.interval, demoIntervalMin)
			}
			return c.demo(cmd.Context(), &o)
		},
	}
	cmd.Flags().DurationVar(&o.interval, "interval", demoInterval,
		"the tick, a `DURATION`; 10m in earnest")
	cmd.Flags().BoolVar(&o.once, "once", false, "end when everything is delivered")
	return cmd
}

// stage is everything that runs during a demo.
type stage struct {
	c        *cli
	o        *demoOptions
	dir      string
	secret   string
	story    *story
	crm, erp *receiver.Receiver
	relay    *relay.Relay
	events   string // where events are taken
	admin    string
	ready    chan struct{} // closed by the relay
	relayEnd chan error    // the end of the relay; capacity 1
	closers  []func()      // in the order of opening
	repaired bool          // erp is whole again; owned by the goroutine that tells the story
}

func (c *cli) demo(parent context.Context, o *demoOptions) (err error) {
	ignoreTerminal()
	c.neverWait(missingLines)
	ctx, stop := c.untilStopped(parent, func(os.Signal) { c.say("stopping…") })
	defer stop()
	s := &stage{c: c, o: o, ready: make(chan struct{}), relayEnd: make(chan error, 1)}
	defer func() {
		for i := len(s.closers) - 1; i >= 0; i-- {
			s.closers[i]()
		}
	}()
	if err := s.open(); err != nil {
		return err
	}
	s.intro()
	running, end := context.WithCancel(ctx)
	defer end()
	go func() { s.relayEnd <- s.relay.Run(running) }()
	err = s.play(ctx)
	summary := s.summary()
	s.story.close() // while there is a relay to ask
	end()
	err = errors.Join(err, <-s.relayEnd)
	c.print("%s\n", summary)
	return err
}

// open makes directory, receivers, config and relay; what it made is undone by closers.
func (s *stage) open() error {
	setUmask()
	var err error
	if s.dir, err = os.MkdirTemp("", "hookspool-demo-"); err != nil {
		return fail("set TMPDIR to a directory that can be written", "cannot begin: %w", err)
	}
	s.closers = append(s.closers, func() { _ = os.RemoveAll(s.dir) })
	var key signature.Key
	if s.secret, _, err = signature.Generate(false); err == nil {
		key, err = signature.ParseKey(s.secret)
	}
	if err != nil {
		return err
	}
	s.story = newStory(s.c)
	keys := []signature.Key{key}
	s.crm = receiver.New(receiver.Options{Keys: keys, OnRequest: s.story.request("crm")})
	s.erp = receiver.New(receiver.Options{Status: 503, OnRequest: s.story.request("erp")})
	crmURL, err := s.serveReceiver(s.crm)
	if err != nil {
		return err
	}
	erpURL, err := s.serveReceiver(s.erp)
	if err != nil {
		return err
	}
	return s.openRelay(crmURL, erpURL)
}

// serveReceiver serves on a port of its own until the demo ends.
func (s *stage) serveReceiver(r *receiver.Receiver) (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot listen: %w", err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := r.Serve(ln); err != nil {
			s.c.say("error: %s", err)
		}
	}()
	s.closers = append(s.closers, func() {
		bye, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		_ = r.Shutdown(bye) // the process ends right after it
		<-served
	})
	return "http://" + ln.Addr().String() + "/hook", nil
}

// openRelay opens the relay at the usual addresses if they are free.
func (s *stage) openRelay(crmURL, erpURL string) error {
	err := s.tryRelay(freeAddress("127.0.0.1:8470"), freeAddress("127.0.0.1:8471"), crmURL, erpURL)
	if err != nil && strings.Contains(err.Error(), "in use by another") {
		// Another demo began in the same moment and was faster.
		err = s.tryRelay(anyAddress, anyAddress, crmURL, erpURL)
	}
	if err != nil {
		return startFailure(err)
	}
	listen, admin := s.relay.Addresses()
	s.events, s.admin = "http://"+listen[0], "http://"+admin
	s.relay.OnReady(func() { close(s.ready) })
	s.story.relay, s.story.onFailedJob = s.relay.Admin(), s.repair
	return nil
}

func (s *stage) tryRelay(events, admin, crmURL, erpURL string) error {
	path := filepath.Join(s.dir, "hookspool.toml")
	text := fmt.Sprintf(demoConfig, events, admin, filepath.Join(s.dir, "spool"), s.o.interval,
		crmURL, s.secret, erpURL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("cannot write the config: %w", err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		return fmt.Errorf("BUG: the demo's config: %w", err)
	}
	log := slog.New(slog.NewTextHandler(s.c.errOut, &slog.HandlerOptions{Level: slog.LevelError}))
	s.relay, err = relay.New(relay.Options{Config: cfg, Version: build().Version, Log: log,
		LogDropped: s.c.errOut.(*sink).dropped, Manual: manual.HTML})
	return err
}

const demoConfig = `[server]
listen = ["%s"]
admin_listen = "%s"
drain_timeout = "2s"
reload_check = "1s"

[spool]
dir = %q
min_free_disk = "64MiB"

[retry]
interval = "%s"

[target.crm]
url = "%s"
events = ["*"]
secret = "%s"

[target.erp]
url = "%s"
events = ["message", "templateMessage*"]
`

// anyAddress has a port that the system chooses.
const anyAddress = "127.0.0.1:0"

// freeAddress is the usual address if nobody has it, else one with a port that the system chooses.
func freeAddress(usual string) string {
	ln, err := net.Listen("tcp", usual)
	if err != nil || ln.Close() != nil {
		return anyAddress
	}
	return usual
}

// repair lets the broken target recover once enough of its jobs have failed. On a slow machine the
// story tells several jobs as one, so the number may be passed over (seen: it was never repaired).
func (s *stage) repair(target string, failedJobs int) {
	if target == "erp" && failedJobs >= demoFailedJobs && !s.repaired {
		s.repaired = true
		s.erp.SetStatus(200)
		s.story.note("erp is repaired now; nobody tells the relay, the next tick finds out")
	}
}

func (s *stage) intro() {
	s.c.print("%s\n", s.c.paint(s.c.out, bold, "hookspool demo: one template message and its events"))
	s.c.print("  crm takes every event and verifies its signature\n")
	s.c.print("  erp takes message and templateMessage*, and is broken at first: it answers 503\n")
	s.c.print("  the tick is every %s; in earnest it is every 10m, 144 times\n",
		durationText(s.o.interval))
	s.c.print("  the console is at %s/\n\n", s.admin)
}

// play posts the events and then waits for the end.
func (s *stage) play(ctx context.Context) error {
	select {
	case <-s.ready:
	case err := <-s.relayEnd:
		return s.ended(err)
	}
	s.story.begin()
	if err := s.post(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if err := s.awaitDelivered(ctx); err != nil || s.o.once {
		return err
	}
	s.outro()
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.relayEnd:
		return s.ended(err)
	}
}

// ended keeps the end of the relay for whoever waits for it last.
func (s *stage) ended(err error) error {
	s.relayEnd <- nil
	if err == nil {
		err = errors.New("the relay ended")
	}
	return err
}

func (s *stage) post(ctx context.Context) error {
	to, err := newPeer(s.events, "")
	if err != nil {
		return err
	}
	p := &poster{peer: to, path: "/v1/events", retryFor: demoPatience}
	for _, e := range sample.LifeCycle() {
		began := time.Now()
		text, err := p.post(ctx, request{contentType: "application/json", body: e.Payload})
		if err != nil {
			return err
		}
		var a accepted
		if err := json.Unmarshal(text, &a); err != nil {
			return fmt.Errorf("cannot read the relay's answer: %w", err)
		}
		s.story.accepted(e.Type, a, time.Since(began))
		select {
		case <-time.After(demoPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// awaitDelivered waits until nothing is pending any more: erp is well again, and all is told.
func (s *stage) awaitDelivered(ctx context.Context) error {
	patience := time.NewTimer(demoPatience + 10*s.o.interval)
	defer patience.Stop()
	check := time.NewTicker(storyEvery)
	defer check.Stop()
	for {
		delivered, pending := s.deliveries()
		if pending == 0 && delivered > 0 {
			<-s.story.settled()
			return nil
		}
		select {
		case <-check.C:
		case <-ctx.Done():
			return nil
		case err := <-s.relayEnd:
			return s.ended(err)
		case <-patience.C:
			return fail("run it again with a longer --interval", "%s still pending",
				count(int(pending), "delivery"))
		}
	}
}

func (s *stage) deliveries() (delivered, pending uint64) {
	for _, t := range s.relay.Admin().Targets() {
		delivered += t.Delivered
		pending += t.Pending
	}
	return delivered, pending
}

func (s *stage) summary() string {
	delivered, pending := s.deliveries()
	return fmt.Sprintf("accepted %d, delivered %d, pending %d; the demo's spool is removed",
		s.relay.Admin().Status().Accepted, delivered, pending)
}

func (s *stage) outro() {
	s.story.text(fmt.Sprintf(`
It goes on. Try, in another terminal:

  hookspool targets --admin %[2]s
  hookspool sample erp --admin %[2]s
  curl -H 'Content-Type: application/json' \
    -d '{"eventType":"message","text":"hello"}' %[1]s/v1/events

console  %[2]s/
metrics  %[2]s/metrics
config   %[3]s/hookspool.toml   (edit it: it is reloaded)

Ctrl-C stops.

`, s.events, s.admin, s.dir))
}
