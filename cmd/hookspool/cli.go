package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// cli is what every verb works with: the streams, the environment and the flags that all have.
type cli struct {
	in io.Reader
	// out is a *stream, errOut the process's own; of a verb that serves both are *sink.
	out, errOut io.Writer
	getenv      func(string) string
	config      string // --config
	json        bool   // --json
	adminURL    string // --admin, on the verbs that have it
	began       bool   // the words of the command line were understood
}

// failure is an error with what to do about it and the exit code.
type failure struct {
	code   int
	err    error
	hint   string   // one line; may be empty
	reason string   // the code of a relay's refusal; empty: there is none
	detail []string // printed before the error: the faults of a config, the lines of a batch
	status int      // of the answer that refused it; 0: nobody did
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// fail is a failure of what was asked for, exit code 1.
func fail(hint, format string, args ...any) *failure {
	return &failure{code: exitFailed, hint: hint, err: fmt.Errorf(format, args...)}
}

// misuse is a failure of how it was asked for, exit code 2.
func misuse(hint, format string, args ...any) *failure {
	return &failure{code: exitUsage, hint: hint, err: fmt.Errorf(format, args...)}
}

// silent is a failure that the verb's own output tells already.
func silent() *failure { return &failure{code: exitFailed} }

// printFailure writes "error: …" and "hint: …", under --json one object. A stream that is gone
// leaves nobody to tell.
func (c *cli) printFailure(f *failure) {
	if f.err == nil {
		return
	}
	if c.json {
		c.say("%s", failureLine(f))
		return
	}
	for _, line := range f.detail {
		c.say("%s", line)
	}
	c.say("%s %s", c.paint(c.errOut, red, "error:"), clean(f.err.Error()))
	if f.hint != "" {
		c.say("%s %s", c.paint(c.errOut, yellow, "hint:"), clean(f.hint))
	}
}

// say talks to the user on stderr; data goes to stdout.
func (c *cli) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.errOut, format+"\n", args...)
}

// print writes data to stdout, which remembers a failure for run.
func (c *cli) print(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format, args...)
}

// printJSON writes one value, indented, as people read these answers too.
func (c *cli) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the answer: %w", err)
	}
	c.print("%s\n", text)
	return nil
}

// The ANSI colours.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	dim    = "\x1b[2m"
	bold   = "\x1b[1m"
	reset  = "\x1b[0m"
)

// colored reports whether a stream takes colours: a terminal that is not dumb, unless NO_COLOR is
// set (https://no-color.org).
func (c *cli) colored(stream any) bool {
	return isTerminal(stream) && c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb"
}

func (c *cli) paint(stream any, color, text string) string {
	if !c.colored(stream) {
		return text
	}
	return color + text + reset
}

func isTerminal(stream any) bool {
	f, ok := fileOf(stream)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is how many columns a stream shows: those of the terminal, else $COLUMNS. 0: any number.
func (c *cli) width(stream any) int {
	if f, ok := fileOf(stream); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	columns, err := strconv.Atoi(c.getenv("COLUMNS"))
	if err != nil {
		return 0
	}
	return max(columns, 0)
}

// printTable writes a table that fits the screen.
func (c *cli) printTable(t *table) {
	c.print("%s", t.render(c.width(c.out), c.colored(c.out)))
}

// printRows writes labels and values, one a line that fits the screen; rows without a value are
// left out.
func (c *cli) printRows(rows [][2]string) {
	label := 0
	for _, row := range rows {
		label = max(label, len(row[0]))
	}
	for _, row := range rows {
		if row[1] != "" {
			c.print("  %-*s  %s\n", label, row[0], truncate(clean(row[1]), c.columnsFor(label+4)))
		}
	}
}

// columnsFor is what a terminal leaves beside a label; without one any number.
func (c *cli) columnsFor(label int) int {
	if screen := c.width(c.out); screen > 0 {
		return max(screen-label, flexMin)
	}
	return math.MaxInt
}

// arguments wants these, the first low of them at least.
func arguments(low int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		help := cmd.CommandPath() + " --help"
		switch {
		case len(args) < low:
			return misuse(help, "%s is missing", names[len(args)])
		case len(args) > len(names) && len(names) == 0:
			return misuse(help, "%s takes no arguments", cmd.CommandPath())
		case len(args) > len(names):
			return misuse(help, "there are more arguments than %s", strings.Join(names, " and "))
		}
		return nil
	}
}

// readInput reads a file, or stdin for "-" and no name at all, up to a bound.
func (c *cli) readInput(name string, bytesMax int64) ([]byte, error) {
	from := c.in
	if name != "" && name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fail(inputHint, "cannot read %q: %w", name, cause(err))
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, bytesMax+1))
	if err != nil {
		return nil, fail(inputHint, "cannot read %q: %w", name, cause(err))
	}
	if int64(len(text)) > bytesMax {
		return nil, fail("no relay delivers a larger body", "cannot read %q: it has more than %s",
			name, bytesText(bytesMax))
	}
	return text, nil
}

// cause drops the path and the operation that package os puts before an error: ours name them.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
