package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay"
	"github.com/hookspool/hookspool/relay/alert"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
)

// report is the answer of check. Nothing in it is secret.
type report struct {
	Path       string         `json:"path"`
	OK         bool           `json:"ok"`
	Faults     []config.Fault `json:"faults"`
	Problems   []string       `json:"problems"` // what no line of the file is at fault for
	Warnings   []string       `json:"warnings"`
	Notes      []string       `json:"notes"` // what could not be tried, and why that is no problem
	NotChecked []string       `json:"not_checked"`
	Summary    *summary       `json:"summary"` // null when there are faults
	hints      []string       // one for each problem, may be empty
}

func (r *report) addProblem(text, hint string) {
	r.Problems, r.hints = append(r.Problems, text), append(r.hints, hint)
}

func (c *cli) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Validate a config and say what it would do",
		Long: "Validate a config: every fault with file:line:column, then what is legal but worth a\n" +
			"warning, then a summary of what serve would do. Whether the spool's directory, its lock and\n" +
			"its key, and the listen addresses can be had is tried without a trace; what a relay that\n" +
			"runs with this config holds is no problem. With spool.engine = \"jetstream\" the servers\n" +
			"and the stream are looked at. Nothing else is sent, and no secret is shown. Exit 0 only if\n" +
			"serve would start, as far as that can be known before. Run it as serve's user.",
		Example: "  hookspool check\n  hookspool check /etc/hookspool/hookspool.toml\n" +
			"  hookspool check --json hookspool.toml | jq .faults",
		Args: arguments(0, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				c.config = args[0]
			}
			return c.check(cmd.Context())
		},
	}
}

func (c *cli) check(ctx context.Context) error {
	path, err := c.needConfigPath()
	if err != nil {
		return err
	}
	cfg, err := config.Load(path)
	if err != nil {
		var faults *config.Faults
		if !c.json || !errors.As(err, &faults) {
			return configFailure(path, err)
		}
		return c.reportFaults(faults)
	}
	r := c.inspect(ctx, cfg)
	if c.json {
		err = c.printJSON(r)
	} else {
		c.printReport(&r)
	}
	if err == nil && !r.OK {
		return silentUnless(!c.json, &r)
	}
	return err
}

func (c *cli) reportFaults(faults *config.Faults) error {
	r := report{Path: faults.Path, Faults: faults.List, Problems: []string{},
		Warnings: []string{}, Notes: []string{}, NotChecked: []string{}}
	if err := c.printJSON(r); err != nil {
		return err
	}
	return silent()
}

// silentUnless fails with the number of problems, which the JSON tells already.
func silentUnless(tell bool, r *report) error {
	if !tell {
		return silent()
	}
	return fail("every problem above comes with what to do; then check again",
		"serve would not start: %s", count(len(r.Problems), "problem"))
}

// inspect looks beyond the file: what it names must be usable.
func (c *cli) inspect(ctx context.Context, cfg *config.Config) report {
	r := report{Path: cfg.Path, Faults: []config.Fault{}, Problems: []string{}, Notes: []string{},
		Warnings: append(cfg.Warnings(), c.surroundings(cfg)...), Summary: summarize(cfg),
		NotChecked: []string{
			"whether every record of the spool can be read (hookspool spool verify, at rest)",
			"whether targets, mail server and alert webhook answer (hookspool sample TARGET asks a target)",
		}}
	if r.Warnings == nil {
		r.Warnings = []string{}
	}
	if err := checkMailer(&cfg.Alert.Email); err != nil {
		r.addProblem(fmt.Sprintf("alert.email: %s", err), configExample())
	}
	if w := &cfg.Alert.Webhook; w.URL != nil {
		if err := checkClient(w.Target()); err != nil {
			r.addProblem(err.Error(), configExample())
		}
	}
	for i := range cfg.Targets {
		if err := checkClient(&cfg.Targets[i]); err != nil {
			r.addProblem(err.Error(), configExample())
		}
	}
	c.checkStart(ctx, cfg, &r)
	r.OK = len(r.Problems) == 0
	return r
}

func checkMailer(e *config.Email) error {
	if e.SMTP == "" {
		return nil
	}
	_, err := alert.NewMailer(alert.Options{SMTP: e.SMTP, TLS: e.TLS, Username: e.Username,
		Password: e.Password.Reveal(), From: e.From, To: e.To})
	return err
}

func checkClient(t *config.Target) error {
	options, err := relay.AttemptOptions(t, build().Version)
	if err != nil {
		return err
	}
	client, err := attempt.NewClient(options)
	if err != nil {
		return err
	}
	client.Close()
	return nil
}
