// Command hookspool is a durable webhook relay that runs beside an app: it takes the app's events
// over HTTP, spools each before it says yes, and delivers them to every target, for as long as that
// takes. One file here is one verb; what they share is in cli.go and the files it names.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	// The binary runs in images without certificates of their own (FROM scratch). The system's are
	// preferred where there are any.
	_ "golang.org/x/crypto/x509roots/fallback"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ignorePipes()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// ignorePipes makes a pipe or socket without a reader an error of the write. Otherwise the runtime
// ends the process at the first line into a stdout or stderr that is gone, by a signal that a
// service manager takes for a clean end.
func ignorePipes() { signal.Ignore(syscall.SIGPIPE) }

// run is the whole program with its streams and without its process.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, broken := context.WithCancel(context.Background())
	defer broken()
	c := &cli{in: in, out: &stream{to: out, broken: broken}, errOut: errOut, getenv: os.Getenv}
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(c.out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	if !c.began {
		c.json = asksJSON(args)
	}
	return c.finish(c.failureOf(cmd, err))
}

// failureOf is why a verb failed, with a hint; nil: it did not.
func (c *cli) failureOf(cmd *cobra.Command, err error) *failure {
	if err == nil {
		return nil
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{code: exitFailed, err: err}
		if !c.began {
			// What cobra refuses before the verb began is the way it was called.
			f.code, f.hint = exitUsage, "hookspool --help lists the verbs; every verb has --help"
		}
	}
	if f.hint == "" {
		f.hint = cmd.CommandPath() + " --help" // every error comes with a way on
	}
	return f
}

// finish tells what failed, the verb or its output, and returns the exit code.
func (c *cli) finish(f *failure) int {
	stopped := false // by its output: what the verb fails with is a consequence of that
	if out, ok := c.out.(*stream); ok {
		stopped = out.failed() != nil
	}
	if f != nil && !(stopped && f.code == exitFailed) {
		c.printFailure(f)
	}
	lost := c.leave()
	if lost != nil {
		c.printFailure(lost)
		if f == nil {
			f = lost
		}
	}
	if log, ok := c.errOut.(*sink); ok {
		log.close()
	}
	if f == nil {
		return exitDone
	}
	return f.code
}

func (c *cli) rootCommand() *cobra.Command {
	version := false
	root := &cobra.Command{
		Use:   "hookspool VERB",
		Short: "A durable webhook relay that runs beside your app",
		Long: "hookspool takes events over HTTP, writes each to a durable spool before it says yes,\n" +
			"calls every configured webhook URL, and keeps retrying from the spool on a 10-minute\n" +
			"tick, so that an accepted event is never lost.\n\n" +
			"The manual is in the binary: hookspool help lists its pages.\n\n" +
			"Exit codes: 0 done, 1 failed, 2 wrong usage.",
		Example: "  hookspool demo                     # see it work; nothing to configure\n" +
			"  hookspool check hookspool.toml     # what a config would do\n" +
			"  hookspool serve                    # run the relay",
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              c.unknownVerb,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return c.printVersion()
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			c.began = true
			return checkNarrowing(cmd)
		},
	}
	root.SetFlagErrorFunc(misusedFlag)
	// SuggestionsFor finds nothing unless it is told how far to look.
	root.SuggestionsMinimumDistance = 2
	layOutHelp(root, func() int { return c.width(c.out) })
	root.SetHelpCommand(c.helpCommand())
	flags := root.PersistentFlags()
	flags.StringVar(&c.config, "config", "", "the config `FILE` (default $HOOKSPOOL_CONFIG, "+
		"./hookspool.toml, /etc/hookspool/hookspool.toml)")
	flags.BoolVar(&c.json, "json", false, "print JSON for machines")
	root.Flags().BoolVar(&version, "version", false, "print the version, as the verb does")
	for _, verb := range []func() *cobra.Command{
		c.serveCommand, c.demoCommand, c.checkCommand, c.sendCommand, c.listenCommand,
		c.sampleCommand, c.explainCommand, c.typesCommand, c.statusCommand, c.targetsCommand,
		c.topCommand, c.eventsCommand, c.deliveriesCommand, c.attemptsCommand, c.failuresCommand,
		c.historyCommand, c.exhaustedCommand, c.replayCommand,
		c.enableCommand, c.pauseCommand, c.resumeCommand, c.retryCommand, c.reloadCommand,
		c.actionsCommand, c.spoolCommand, c.purgeCommand,
		c.healthcheckCommand, c.keygenCommand, c.signCommand, c.verifyCommand, c.versionCommand,
		c.completionCommand,
	} {
		root.AddCommand(verb())
	}
	return root
}

// unknownVerb is asked when the first word is no verb.
func (c *cli) unknownVerb(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "hookspool --help lists the verbs"
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + near[0] + "? " + hint
	}
	return misuse(hint, "there is no verb %s", strconv.Quote(args[0]))
}
