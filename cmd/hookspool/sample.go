package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/catalogue"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/sample"
)

// bodyLinesMax bounds the lines shown of an answer.
const bodyLinesMax = 30

// sampling is what the sample verb is told.
type sampling struct {
	target, typ string
	file        string
	contentType string
	print       bool
	payload     []byte // of file
}

func (c *cli) sampleCommand() *cobra.Command {
	var s sampling
	cmd := &cobra.Command{
		Use:   "sample TARGET [TYPE]",
		Short: "Send a sample event to a target and show its answer",
		Long: "Send a sample event to a target, whatever its status, and show what it answers. It " +
			"touches\n" +
			"no counter, no standing and no spool. When no relay runs it is sent from here, by the\n" +
			"config. Exit 1 if the target would not acknowledge an event.\n\n" +
			"These types have the payload of Wati's catalogue:\n\n" +
			sampleTypes() + "\n" +
			"Any other type that the target's events match has a payload that is made up, a small JSON\n" +
			"object. Without a TYPE it is the first of these that the target's events match, else the\n" +
			"first type that they name. With --file the payload is yours, and so is the type: TYPE, or\n" +
			"what the payload names. --print TYPE writes the payload, to be edited, and sends nothing.",
		Example: "  hookspool sample crm\n  hookspool sample crm templateMessageSent\n" +
			"  hookspool sample --print message >edited.json\n" +
			"  hookspool sample crm --file edited.json",
		Args: func(cmd *cobra.Command, args []string) error {
			if s.print {
				return arguments(0, "TYPE")(cmd, args)
			}
			return arguments(1, "TARGET", "TYPE")(cmd, args)
		},
		ValidArgsFunction: c.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.print {
				return printSamplePayload(c, &s, args)
			}
			if s.target = args[0]; len(args) > 1 {
				s.typ = args[1]
			}
			return c.sample(cmd.Context(), &s)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.file, "file", "", "send the payload of `FILE`, - for stdin")
	flags.StringVar(&s.contentType, "content-type", "", "the media `TYPE` of --file (default: "+
		"application/json, if it is JSON)")
	flags.BoolVar(&s.print, "print", false, "write the payload of a TYPE (default: message), send "+
		"nothing")
	return c.addAdminFlag(cmd)
}

func printSamplePayload(c *cli, s *sampling, args []string) error {
	switch {
	case s.file != "":
		return misuse("leave out one of the two", "--print writes a payload, and --file has one")
	case len(args) == 0:
		return printPayload(c, "message")
	}
	return printPayload(c, args[0])
}

// readPayload reads what --file names.
func readPayload(c *cli, s *sampling) (err error) {
	switch {
	case s.file == "" && s.contentType != "":
		return misuse("leave it out, or name a --file", "--content-type goes with --file")
	case s.file == "":
		return nil
	}
	if s.payload, err = c.readInput(s.file, eventBytesMax); err != nil {
		return err
	}
	if len(s.payload) == 0 {
		return fail("hookspool sample --print TYPE writes one to begin with", "%q is empty", s.file)
	}
	if s.contentType == "" {
		s.contentType = contentTypeOf(s.payload)
	}
	return nil
}

// contentTypeOf is what a payload is taken for, of which nobody says what it is.
func contentTypeOf(payload []byte) string {
	if json.Valid(payload) {
		return "application/json"
	}
	return "application/octet-stream"
}

func (c *cli) sample(ctx context.Context, s *sampling) error {
	target := s.target
	if err := checkTargetName(target); err != nil {
		return err
	}
	if err := readPayload(c, s); err != nil {
		return err
	}
	answer, err := c.sampleByRelay(ctx, s)
	var absent *unreachable
	if errors.As(err, &absent) && absent.absent && c.adminURL == "" {
		if c.configPath() == "" {
			return c.explain(err)
		}
		c.say("no relay runs at %s; the sample is sent from here, by %s", absent.shown, c.configPath())
		answer, err = c.sampleDirectly(ctx, s)
	}
	if err != nil {
		return c.explain(err)
	}
	if c.json {
		err = c.printJSON(answer)
	} else {
		c.printSample(answer)
	}
	switch {
	case err != nil || answer.Acknowledged:
		return err
	case c.json:
		return silent()
	}
	if answer.Outcome == attempt.Withheld.String() || answer.Outcome == attempt.Transform.String() {
		return fail(sampleHint(answer), "no sample was sent to %s: %s", target, answer.Error)
	}
	return fail(sampleHint(answer), "%s would not acknowledge an event: %s", target,
		sampleReason(answer))
}

func (c *cli) sampleByRelay(ctx context.Context, s *sampling) (*admin.Sample, error) {
	relay, err := c.admin()
	if err != nil {
		return nil, err
	}
	path := "/v1/targets/" + url.PathEscape(s.target) + "/sample"
	if s.typ != "" {
		path += "?type=" + url.QueryEscape(s.typ)
	}
	r, err := http.NewRequest(http.MethodPost, relay.base+path, bytes.NewReader(s.payload))
	if err != nil {
		return nil, fmt.Errorf("cannot make a request: %w", err)
	}
	if s.contentType != "" {
		r.Header.Set("Content-Type", s.contentType)
	}
	var answer admin.Sample
	// The target's own timeout is the bound.
	return &answer, relay.answer(ctx, r, &answer)
}

// sampleDirectly sends the sample from this process, as the relay would.
func (c *cli) sampleDirectly(ctx context.Context, s *sampling) (*admin.Sample, error) {
	cfg, err := c.loadConfig()
	if err != nil {
		return nil, err
	}
	var target *config.Target
	var names []string
	for i := range cfg.Targets {
		names = append(names, cfg.Targets[i].Name)
		if cfg.Targets[i].Name == s.target {
			target = &cfg.Targets[i]
		}
	}
	if target == nil {
		return nil, fail("the targets are: "+strings.Join(names, ", "), "%s has no target %q", cfg.Path,
			s.target)
	}
	order, err := relay.NewSample(cfg, target, admin.SampleQuery{Type: s.typ,
		ContentType: s.contentType, Payload: s.payload}, time.Now())
	if err != nil {
		return nil, plainRefusal(err)
	}
	options, err := relay.AttemptOptions(target, build().Version)
	if err != nil {
		return nil, err
	}
	client, err := attempt.NewClient(options)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	answer := relay.SendSample(ctx, client, order)
	return &answer, nil
}

// sampleTypes lists the catalogue, indented and a few a line.
func sampleTypes() string {
	const indent, columns = "  ", 90
	var b strings.Builder
	line := indent
	for _, typ := range sample.Types() {
		if len(line)+len(typ) > columns {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		line += typ + "  "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	return b.String()
}

func (c *cli) printSample(a *admin.Sample) {
	line := a.StatusLine
	if line == "" {
		line = "no answer"
	}
	color := red
	if a.Acknowledged {
		color = green
	}
	c.print("%s\n", c.paint(c.out, color, clean(line)))
	for _, row := range [][2]string{
		{"target", a.Target}, {"type", a.Type}, {"id", a.ID},
		{"payload", madeUpText(a)},
		{"latency", latencyText(seconds(a.Latency))},
		{"remote", a.Remote}, {"tls", a.TLS}, {"error", a.Error},
	} {
		if row[1] != "" {
			c.print("  %-8s %s\n", row[0], clean(row[1]))
		}
	}
	c.print("%s%s%s", samplePart("before", a.Payload), samplePart("sent", a.Sent),
		samplePart("answer", a.Body))
}

// madeUpText says of a payload that it is none of the catalogue's; empty: it is, or the caller's.
func madeUpText(a *admin.Sample) string {
	if !a.MadeUp {
		return ""
	}
	text := "made up: there is no sample of this type"
	if near := catalogue.Near(a.Type); near != "" {
		text += "; did you mean " + near + "?"
	}
	return text
}

// samplePart is a text of several lines below its name; empty: there is no text.
func samplePart(name, text string) string {
	if text == "" {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %s\n", name)
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	for i, line := range lines {
		if i == bodyLinesMax {
			fmt.Fprintf(&b, "    … %s more\n", count(len(lines)-i, "line"))
			break
		}
		fmt.Fprintf(&b, "    %s\n", clean(strings.TrimRight(line, "\r")))
	}
	return b.String()
}

func sampleReason(a *admin.Sample) string {
	if a.Outcome == attempt.Status.String() {
		return fmt.Sprintf("it answered %d", a.Status)
	}
	return a.Outcome + ": " + a.Error
}

// sampleHint says what usually helps.
func sampleHint(a *admin.Sample) string {
	switch a.Outcome {
	case attempt.Status.String():
		return statusHint(a.Status)
	case attempt.Timeout.String():
		return "the head of the answer must come within the target's timeout; answer first, work later"
	case attempt.Connect.String():
		if strings.Contains(a.Error, "address") && !strings.Contains(a.Error, "refused") {
			return "if the target may be at that address, name it in its allow_addresses"
		}
		return "is the target running, and reachable from here?"
	case attempt.DNS.String():
		return "is the host in the target's url spelled right, and known from here?"
	case attempt.TLS.String():
		return "for a certificate of your own set the target's ca_file; for mutual TLS client_cert and " +
			"client_key"
	case attempt.Protocol.String():
		return "is it an HTTP/1.1 server, and https:// or http:// right?"
	case attempt.Transform.String():
		return "mend the target's transform; hookspool help filtering says what a program may do"
	case attempt.Withheld.String():
		return "this is no fault of the target's: give hookspool more, or see what uses this machine up"
	}
	return ""
}

func statusHint(status int) string {
	switch {
	case status >= 200 && status < 300:
		return fmt.Sprintf("only 200 acknowledges; to take %d too set success = [\"2xx\"] in the "+
			"target's table", status)
	case status >= 300 && status < 400:
		return "redirects are never followed: put the final URL into the target's url"
	case status == 401, status == 403:
		return "the target wants credentials or a signature: see its headers, its secret, or the " +
			"user-info of its url"
	case status == 404, status == 405, status == 410:
		return "is the path in the target's url right? events are POSTed"
	case status >= 500:
		return "the target itself failed; its log says why"
	}
	return "the target refused the request; its answer above may say why"
}
