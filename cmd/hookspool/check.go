package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	NotChecked []string       `json:"not_checked"`
	Summary    *summary       `json:"summary"` // null when there are faults
}

func (c *cli) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Validate a config and say what it would do",
		Long: "Validate a config: every fault with file:line:column, then what is legal but worth a\n" +
			"warning, then a summary of what serve would do. Nothing is sent, listened on or made, and\n" +
			"no secret is shown. Exit 0 only if serve would start, as far as that can be known before.",
		Example: "  hookspool check\n  hookspool check /etc/hookspool/hookspool.toml\n" +
			"  hookspool check --json hookspool.toml | jq .faults",
		Args: arguments(0, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				c.config = args[0]
			}
			return c.check()
		},
	}
}

func (c *cli) check() error {
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
	r := inspect(cfg)
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
		Warnings: []string{}, NotChecked: []string{}}
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
	return fail("", "serve would not start: %s", count(len(r.Problems), "problem"))
}

// inspect looks beyond the file: what it names must be usable.
func inspect(cfg *config.Config) report {
	r := report{Path: cfg.Path, Faults: []config.Fault{}, Problems: []string{},
		Warnings: cfg.Warnings(), Summary: summarize(cfg), NotChecked: []string{
			"whether the listen addresses are free",
			"whether the spool is in use, opens with its key, and is whole",
			"whether targets and mail server answer (hookspool sample TARGET asks a target)",
		}}
	if r.Warnings == nil {
		r.Warnings = []string{}
	}
	if err := checkMailer(&cfg.Alert.Email); err != nil {
		r.Problems = append(r.Problems, fmt.Sprintf("alert.email: %s", err))
	}
	for i := range cfg.Targets {
		if err := checkClient(&cfg.Targets[i]); err != nil {
			r.Problems = append(r.Problems, err.Error())
		}
	}
	if err := checkDir(cfg.Spool.Dir); err != nil {
		r.Problems = append(r.Problems, fmt.Sprintf("spool.dir: %s", err))
	}
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

// checkDir finds out whether a directory can be written, or made where it is missing, without
// leaving a trace.
func checkDir(dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("%q is not a directory", path)
		case err == nil:
			if err := writable(path); err != nil {
				return fmt.Errorf("cannot write into %q: %w", path, err)
			}
			return nil
		case !errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("cannot look at %q: %w", path, cause(err))
		}
		parent := filepath.Dir(path)
		if parent == path {
			return fmt.Errorf("cannot make %q: %w", dir, cause(err))
		}
		path = parent
	}
}
