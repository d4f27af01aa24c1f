package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay"
	"github.com/hookspool/hookspool/relay/admin"
)

// requestLinesMax and requestBytesMax bound what a person is shown of a request.
const (
	requestLinesMax = 60
	requestBytesMax = 8 << 10
)

// explaining is the event that is asked about.
type explaining struct {
	typ, file, id, contentType string
	sample                     string // a type of the catalogue, in place of file
	payload                    []byte
}

func (c *cli) explainCommand() *cobra.Command {
	var e explaining
	cmd := &cobra.Command{
		Use:   "explain (--sample TYPE | --file FILE)",
		Short: "Show which targets would get an event, and the exact request; sends nothing",
		Long: "Show what would become of an event: its type and what names it, the session of its\n" +
			"conversation and what makes it active or not, which targets would get it and what refuses\n" +
			"it elsewhere, and the exact request that each would get, secrets redacted. Nothing is\n" +
			"sent, nothing changes. --sample takes the sample of a type for the event.\n\n" +
			"A running relay is asked. When none runs the config alone answers; the session of a\n" +
			"conversation is unknown then.",
		Example: "  hookspool explain --sample templateMessageSent\n" +
			"  hookspool explain --type message --file event.json\n" +
			"  echo '{\"eventType\":\"message\"}' | hookspool explain --file -\n" +
			"  hookspool explain --file event.json --json | jq '.targets[] | {target, refused_by}'",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.explainEvent(cmd.Context(), &e)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&e.typ, "type", "", "the event's `TYPE` (default: the relay looks into the body)")
	flags.StringVar(&e.file, "file", "", "the `FILE` with the payload, - for stdin")
	flags.StringVar(&e.sample, "sample", "", "explain the sample of this `TYPE`, without a file")
	flags.StringVar(&e.id, "id", "", "the event's `ID` (default: one is made)")
	flags.StringVar(&e.contentType, "content-type", "", "the media `TYPE` of the payload (default: "+
		"application/json, if it is JSON)")
	return c.addAdminFlag(cmd)
}

func (c *cli) explainEvent(ctx context.Context, e *explaining) error {
	switch {
	case e.file == "" && e.sample == "":
		return misuse("hookspool explain --sample TYPE, or --file FILE, or --file - for stdin",
			"--file is missing")
	case e.file != "" && e.sample != "", e.contentType != "" && e.sample != "":
		return misuse("leave out one of them", "--sample has a payload of its own")
	case e.sample == "":
		var err error
		if e.payload, err = c.readInput(e.file, eventBytesMax); err != nil {
			return err
		}
		if e.contentType == "" {
			e.contentType = contentTypeOf(e.payload)
		}
	}
	out, err := c.explainByRelay(ctx, e)
	var absent *unreachable
	if errors.As(err, &absent) && absent.absent && c.adminURL == "" && c.configPath() != "" {
		c.say("no relay runs at %s; %s alone answers, and knows no sessions", absent.shown,
			c.configPath())
		out, err = c.explainByConfig(e)
	}
	if err != nil {
		return c.explain(err)
	}
	if c.json {
		return c.printJSON(out)
	}
	c.printExplanation(e, out)
	return nil
}

func (c *cli) explainByRelay(ctx context.Context, e *explaining) (*admin.Explanation, error) {
	peer, err := c.admin()
	if err != nil {
		return nil, err
	}
	values := url.Values{}
	for name, value := range map[string]string{"content_type": e.contentType, "sample": e.sample} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if e.typ != "" {
		values.Set("type", e.typ)
	}
	if e.id != "" {
		values.Set("id", e.id)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost,
		peer.base+"/v1/explain?"+values.Encode(), bytes.NewReader(e.payload))
	if err != nil {
		return nil, fmt.Errorf("cannot make a request: %w", err)
	}
	if e.contentType != "" {
		r.Header.Set("Content-Type", e.contentType)
	}
	out := new(admin.Explanation)
	return out, peer.answer(ctx, r, out)
}

// explainByConfig answers from the config, as a relay would that has just begun.
func (c *cli) explainByConfig(e *explaining) (*admin.Explanation, error) {
	cfg, err := c.loadConfig()
	if err != nil {
		return nil, err
	}
	out, err := relay.ExplainByConfig(cfg, build().Version, admin.ExplainQuery{Type: e.typ, ID: e.id,
		ContentType: e.contentType, Payload: e.payload, Sample: e.sample})
	return &out, plainRefusal(err)
}

func (c *cli) printExplanation(e *explaining, out *admin.Explanation) {
	id := "made when it is accepted"
	switch {
	case e.id != "":
		id = e.id
	case out.IDGiven:
		id = "given by the payload"
	}
	session := "no conversation"
	if s := out.Session; s != nil {
		session = s.Key + " is " + s.StateAfter
		if s.StateBefore != s.StateAfter {
			session += " by this event, " + s.StateBefore + " before"
		}
	}
	typ := dash(out.Type) + typeSourceText(out.TypeSource)
	rows := [][2]string{{"type", typ}, {"id", id}, {"session", session}}
	if out.Session != nil && out.Session.Why != "" {
		rows = append(rows, [2]string{"because", out.Session.Why})
	}
	c.printRows(rows)
	if len(out.Targets) == 0 {
		c.print("\nthere is no target: the event would not be spooled\n")
		return
	}
	c.print("\n")
	c.printTable(explainTable(out))
	for i := range out.Targets {
		if t := &out.Targets[i]; t.Request != "" {
			heading := clean(t.Target) + " would get"
			if t.Transformed {
				heading += ", transformed"
			}
			c.print("\n%s\n", c.paint(c.out, bold, heading))
			c.printRequest(t.Request)
		}
	}
}

func typeSourceText(source string) string {
	switch source {
	case "field":
		return ", named by the payload"
	case "default":
		return ", by event.default_type"
	case "header":
		return ", named by a header"
	}
	return ""
}

func explainTable(out *admin.Explanation) *table {
	t := &table{columns: []column{
		{name: "TARGET", flex: true}, {name: "STATUS", color: statusColor},
		{name: "GETS-IT", color: getsColor}, {name: "BECAUSE", flex: true, min: 20},
	}}
	for i := range out.Targets {
		target := &out.Targets[i]
		gets := "yes"
		if target.RefusedBy != "" {
			gets = "no"
		}
		t.add(target.Target, target.Status, gets, becauseText(target))
	}
	return t
}

func getsColor(gets string) string {
	if gets == "yes" {
		return green
	}
	return yellow
}

// becauseText is why a target gets an event or not.
func becauseText(t *admin.ExplainedTarget) string {
	switch {
	case t.RefusedBy != "":
		return t.Note
	case t.Note != "":
		return t.Pattern + " matches; " + t.Note
	}
	return t.Pattern + " matches"
}

// printRequest shows head and payload, a large payload in part. Its lines are not cut: it is what
// is sent, to the letter.
func (c *cli) printRequest(request string) {
	text := strings.ReplaceAll(request, "\r\n", "\n")
	cut := ""
	if len(text) > requestBytesMax {
		end := requestBytesMax
		for !utf8.RuneStart(text[end]) {
			end--
		}
		cut = fmt.Sprintf("    … %s more; --json has all\n", bytesText(int64(len(text)-end)))
		text = text[:end]
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		if i == requestLinesMax {
			c.print("    … %s more; --json has all\n", count(len(lines)-i, "line"))
			return
		}
		c.print("    %s\n", clean(line))
	}
	c.print("%s", cut)
}
