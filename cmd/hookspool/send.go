package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/config"
)

const eventTokenEnv = "HOOKSPOOL_EVENT_TOKEN"

// sending is what send is told by flags.
type sending struct {
	file     string
	typ, id  string
	sample   string
	to       string
	ndjson   bool
	single   bool
	again    bool
	retryFor time.Duration
	patient  bool // --retry-for was given: wait for a relay that is not there yet
}

func (c *cli) sendCommand() *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send [FILE|-]",
		Short: "Post events to a running relay",
		Long: "Post events to a running relay, from FILE or stdin (-). An input whose first\n" +
			"line is one JSON value with more after it holds one event a line (NDJSON), and is sent\n" +
			"in batches; any other is one event, byte for byte. A file named .ndjson or .jsonl, or\n" +
			"--ndjson, is taken line by line whatever it holds; --single makes one event of it.\n\n" +
			"Ids are made from type and content, so sending the same again is safe: a run that broke\n" +
			"off is resumed by running it again, and what was accepted is answered as duplicate, as\n" +
			"long as event.dedupe_window. --again makes new ids, so that the same events are accepted\n" +
			"and delivered once more; --id chooses them.\n\n" +
			"An overloaded or full relay and lost connections are retried. Ctrl-C stops between two\n" +
			"batches.",
		Example: "  hookspool send event.json\n" +
			"  hookspool send --type message --id order-17 event.json\n" +
			"  hookspool send --sample templateMessageSent\n" +
			"  hookspool send --again event.json\n" +
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
	flags.BoolVar(&s.single, "single", false, "the input is one event, whatever it looks like")
	flags.BoolVar(&s.again, "again", false, "send as new events what was sent before")
	flags.DurationVar(&s.retryFor, "retry-for", time.Minute, "retry for this `DURATION`")
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
	case s.single && s.ndjson:
		return misuse("choose one", "the input cannot be --single and --ndjson")
	case s.again && s.id != "":
		return misuse("--again makes new ids; another --id does the same", "--again does not go "+
			"with --id")
	case s.retryFor < 0:
		return misuse("write how long, such as 30s; 0s tries once", "--retry-for cannot be negative")
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
	if s.again {
		s.id = "send_" + strings.ToLower(rand.Text())
	}
	ctx, stop := c.untilStopped(parent, func(os.Signal) {})
	defer stop()
	p, err := c.newPoster(ctx, s)
	if err != nil {
		return err
	}
	if source.lines != nil {
		return c.sendBatches(ctx, p, s, source)
	}
	return c.sendOne(ctx, p, s, source.single)
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
		id = contentID(0, s.typ, body)
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
	c.print("%s → %s\n", clean(e.ID), clean(targets))
	return c.printTally(s, &t)
}

// printTally ends what is printed. Somebody who wanted to send something once more would take
// nothing but duplicates for a fault, so it says how.
func (c *cli) printTally(s *sending, t *tally) error {
	if c.json {
		return c.printJSON(t)
	}
	c.print("%s\n", t)
	if t.Duplicates == 0 || t.Accepted+t.Unmatched > 0 {
		return nil
	}
	how := "--again sends them once more"
	if s.id != "" {
		how = "another --id sends them once more"
	}
	c.print("nothing new; %s\n", how)
	return nil
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
