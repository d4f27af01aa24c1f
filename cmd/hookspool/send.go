package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/sample"
)

const eventTokenEnv = "HOOKSPOOL_EVENT_TOKEN"

// sending is what send is told by flags.
type sending struct {
	file     string
	typ, id  string
	sample   string
	to       string
	ndjson   bool
	retryFor time.Duration
	patient  bool // --retry-for was given: wait for a relay that is not there yet
}

func (c *cli) sendCommand() *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send [FILE|-]",
		Short: "Post events to a running relay",
		Long: "Post events to a running relay: a FILE is one event, byte for byte. A file named " +
			".ndjson or\n" +
			".jsonl, or --ndjson, holds one event a line and is sent in batches; so is stdin (-) when it\n" +
			"holds several lines of JSON.\n\n" +
			"The events of such a file have ids made from its content, so that a run that broke off is\n" +
			"resumed by running it again: what was accepted is answered as duplicate, as long as\n" +
			"event.dedupe_window. A single event has an id of its own each time, unless --id is given.\n\n" +
			"An overloaded or full relay and lost connections are retried. Ctrl-C stops between two\n" +
			"batches.",
		Example: "  hookspool send event.json\n" +
			"  hookspool send --type message --id order-17 event.json\n" +
			"  hookspool send --sample templateMessageSent\n" +
			"  hookspool send backlog.ndjson\n" +
			"  echo '{\"eventType\":\"message\"}' | hookspool send -",
		Args: arguments(0, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.file, s.patient = first(args), cmd.Flags().Changed("retry-for")
			return c.send(cmd.Context(), &s)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.typ, "type", "", "the events' `TYPE` (default: the relay looks into the body)")
	flags.StringVar(&s.id, "id", "", "the event's `ID`; with NDJSON the beginning of all ids")
	flags.StringVar(&s.sample, "sample", "",
		"send the sample payload of this `TYPE` instead of a file")
	flags.StringVar(&s.to, "to", "",
		"the `URL` where events are taken, or unix:/path (default: listen "+
			"of the config)")
	flags.BoolVar(&s.ndjson, "ndjson", false, "the input holds one event a line")
	flags.DurationVar(&s.retryFor, "retry-for", time.Minute, "how `long` to retry")
	return c.addAdminFlag(cmd)
}

func (s *sending) check() error {
	switch {
	case s.file == "" && s.sample == "":
		return misuse("hookspool send FILE, hookspool send - for stdin, or --sample TYPE",
			"there is nothing to send")
	case s.file != "" && s.sample != "":
		return misuse("choose one", "cannot send a file and a sample")
	case s.sample != "" && s.ndjson:
		return misuse("leave out --ndjson", "a sample is one event")
	case s.retryFor < 0:
		return misuse("", "--retry-for cannot be negative")
	}
	return nil
}

func (c *cli) send(parent context.Context, s *sending) error {
	if err := s.check(); err != nil {
		return err
	}
	source, err := c.openSource(s)
	if err != nil {
		return err
	}
	defer source.close()
	ctx, stop := c.untilSignal(parent, func(os.Signal) {})
	defer stop()
	p, err := c.newPoster(ctx, s)
	if err != nil {
		return err
	}
	if source.single != nil {
		return c.sendOne(ctx, p, s, source.single)
	}
	return c.sendBatches(ctx, p, s, source)
}

// tally counts the answers.
type tally struct {
	Accepted   int `json:"accepted"` // new, and wanted by a target
	Duplicates int `json:"duplicates"`
	Unmatched  int `json:"unmatched"` // new, but no target wants it
}

// accepted is the relay's answer about one event.
type accepted struct {
	ID        string   `json:"id"`
	Duplicate bool     `json:"duplicate"`
	Targets   []string `json:"targets"`
}

func (t *tally) add(events ...accepted) {
	for _, e := range events {
		switch {
		case e.Duplicate:
			t.Duplicates++
		case len(e.Targets) == 0:
			t.Unmatched++
		default:
			t.Accepted++
		}
	}
}

func (t *tally) String() string {
	return fmt.Sprintf("accepted %d, duplicates %d, unmatched %d", t.Accepted, t.Duplicates,
		t.Unmatched)
}

func (c *cli) sendOne(ctx context.Context, p *poster, s *sending, body []byte) error {
	id := s.id
	if id == "" {
		// An answer may be lost, and the event is then sent again: it needs a name before.
		id = "send_" + strings.ToLower(rand.Text())
	}
	contentType := "application/json"
	if !json.Valid(body) {
		contentType = "application/octet-stream"
		c.say("note: this is not JSON; it is sent as %s", contentType)
	}
	text, err := p.post(ctx, request{id: id, contentType: contentType, body: body})
	if err != nil {
		return c.explainSend(err)
	}
	var e accepted
	if err := json.Unmarshal(text, &e); err != nil || e.ID == "" {
		return fail("is that where a hookspool takes events?", "cannot read the answer of %s",
			p.peer.shown)
	}
	var t tally
	t.add(e)
	if c.json {
		return c.printJSON(struct {
			tally
			Event accepted `json:"event"`
		}{t, e})
	}
	targets := strings.Join(e.Targets, ", ")
	if targets == "" {
		targets = "no target wants it"
	}
	c.print("%s → %s\n%s\n", clean(e.ID), clean(targets), &t)
	return nil
}

// source is what is sent: one event, or lines.
type source struct {
	single []byte
	lines  *lineReader
	size   int64 // bytes, -1: not known
	file   *os.File
}

func (s *source) close() {
	if s.file != nil {
		_ = s.file.Close() // it was only read
	}
}

// openSource finds out whether the input is one event or many.
func (c *cli) openSource(s *sending) (*source, error) {
	if s.sample != "" {
		payload, ok := sample.Payload(s.sample)
		if !ok {
			return nil, noSample(s.sample)
		}
		if s.typ == "" {
			s.typ = s.sample
		}
		return &source{single: payload}, nil
	}
	if s.file == "-" {
		return openStream(c.in, s.ndjson)
	}
	suffix := strings.ToLower(filepath.Ext(s.file))
	if !s.ndjson && suffix != ".ndjson" && suffix != ".jsonl" {
		body, err := c.readInput(s.file, eventBytesMax)
		return &source{single: body}, err
	}
	f, err := os.Open(s.file)
	if err != nil {
		return nil, fail("", "cannot read %q: %w", s.file, cause(err))
	}
	size := int64(-1)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return &source{lines: newLineReader(f), size: size, file: f}, nil
}

// newPoster finds the events listener.
func (c *cli) newPoster(ctx context.Context, s *sending) (*poster, error) {
	p := &poster{typ: s.typ, retryFor: s.retryFor, patient: s.patient,
		batchBytesMax: config.Default().Server.MaxBodySize}
	token := c.getenv(eventTokenEnv)
	address := s.to
	if address == "" || token == "" && (c.config != "" || c.getenv(configEnv) != "") {
		server, err := c.loadServer()
		if err != nil {
			return nil, err
		}
		if token == "" {
			token = server.EventToken.Reveal()
		}
		p.batchBytesMax = server.MaxBodySize
		if address == "" {
			if address, err = c.eventsAddress(ctx, server); err != nil {
				return nil, err
			}
		}
	}
	var err error
	if p.peer, err = newPeer(address, token); err != nil {
		return nil, err
	}
	p.path = "/v1/events"
	if u, err := url.Parse(p.peer.base); err == nil && u.Path != "" {
		p.path = "" // --to names the whole path
	}
	if s.typ != "" {
		p.path += "/" + url.PathEscape(s.typ)
	}
	return p, nil
}

// eventsAddress is the first of server.listen; one with port 0 is asked of the relay itself.
func (c *cli) eventsAddress(ctx context.Context, server *config.Server) (string, error) {
	address, err := reachable(server.Listen[0])
	if err == nil {
		return address, nil
	}
	const hint = "the log of serve says it; name it with --to URL"
	relay, adminErr := c.admin()
	if adminErr != nil {
		return "", fail(hint, "cannot use server.listen %q: %w", server.Listen[0], err)
	}
	listen, err := relay.listen(ctx)
	if err != nil {
		return "", fail(hint, "cannot learn where the relay takes events: %w", err)
	}
	return reachable(listen)
}

func (c *cli) explainSend(err error) error {
	var u *unreachable
	if errors.As(err, &u) {
		return fail(c.startHint("--to"), "%w", u)
	}
	return err
}
