package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/sample"
)

// bodyLinesMax bounds the lines shown of an answer.
const bodyLinesMax = 30

func (c *cli) sampleCommand() *cobra.Command {
	return c.addAdminFlag(&cobra.Command{
		Use:   "sample TARGET [TYPE]",
		Short: "Send a sample event to a target and show its answer",
		Long: "Send a sample event to a target, whatever its status, and show what it answers. It " +
			"touches\n" +
			"no counter, no standing and no spool. When no relay runs it is sent from here, by the\n" +
			"config. Exit 1 if the target would not acknowledge an event.\n\n" +
			"Any TYPE will do; these have the payload of Wati's catalogue, others a small JSON object:\n\n" +
			sampleTypes() + "\n" +
			"Without a TYPE it is the first of these that the target's events match, else the first type\n" +
			"that they name.",
		Example: "  hookspool sample crm\n  hookspool sample crm templateMessageSent",
		Args:    arguments(1, "TARGET", "TYPE"),

		ValidArgsFunction: c.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			typ := ""
			if len(args) > 1 {
				typ = args[1]
			}
			return c.sample(cmd.Context(), args[0], typ)
		},
	})
}

func (c *cli) sample(ctx context.Context, target, typ string) error {
	if err := checkTargetName(target); err != nil {
		return err
	}
	answer, err := c.sampleByRelay(ctx, target, typ)
	var absent *unreachable
	if errors.As(err, &absent) && absent.absent && c.adminURL == "" {
		if c.configPath() == "" {
			return c.explain(err)
		}
		c.say("no relay runs at %s; the sample is sent from here, by %s", absent.shown, c.configPath())
		answer, err = c.sampleDirectly(ctx, target, typ)
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
	if answer.Outcome == attempt.Withheld.String() {
		return fail(sampleHint(answer), "no sample was sent to %s: %s", target, answer.Error)
	}
	return fail(sampleHint(answer), "%s would not acknowledge an event: %s", target,
		sampleReason(answer))
}

func (c *cli) sampleByRelay(ctx context.Context, target, typ string) (*admin.Sample, error) {
	relay, err := c.admin()
	if err != nil {
		return nil, err
	}
	path := "/v1/targets/" + url.PathEscape(target) + "/sample"
	if typ != "" {
		path += "?type=" + url.QueryEscape(typ)
	}
	var answer admin.Sample
	// The target's own timeout is the bound.
	return &answer, relay.callLong(ctx, "POST", path, &answer)
}

// sampleDirectly sends the sample from this process, as the relay would.
func (c *cli) sampleDirectly(ctx context.Context, name, typ string) (*admin.Sample, error) {
	cfg, err := c.loadConfig()
	if err != nil {
		return nil, err
	}
	var target *config.Target
	var names []string
	for i := range cfg.Targets {
		names = append(names, cfg.Targets[i].Name)
		if cfg.Targets[i].Name == name {
			target = &cfg.Targets[i]
		}
	}
	if target == nil {
		return nil, fail("the targets are: "+strings.Join(names, ", "), "%s has no target %q", cfg.Path,
			name)
	}
	if typ == "" {
		typ = relay.FirstSample(target)
	}
	payload, err := relay.SamplePayload(typ, time.Now())
	if err != nil {
		return nil, err
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
	answer := relay.SendSample(ctx, client, name, typ, payload, time.Now())
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

func noSample(typ string) error {
	return fail("the types are "+strings.Join(sample.Types(), ", "), "there is no sample of type %q",
		typ)
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
		{"latency", latencyText(seconds(a.Latency))},
		{"remote", a.Remote}, {"tls", a.TLS}, {"error", a.Error},
	} {
		if row[1] != "" {
			c.print("  %-8s %s\n", row[0], clean(row[1]))
		}
	}
	if a.Body == "" {
		return
	}
	c.print("  answer\n")
	lines := strings.Split(strings.TrimRight(a.Body, "\r\n"), "\n")
	for i, text := range lines {
		if i == bodyLinesMax {
			c.print("    … %s more\n", count(len(lines)-i, "line"))
			break
		}
		c.print("    %s\n", clean(strings.TrimRight(text, "\r")))
	}
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
