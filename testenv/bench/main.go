// Command bench measures hookspool beside the least that a machine must spend on its task, all in
// one run, so that only ratios count:
//
//	F1  a bare fasthttp server that answers 200 and keeps nothing
//	F2  the floor: the same server that appends each body to one file, with one fdatasync shared by
//	    all who wait, before it answers
//	H   the real hookspool binary with real targets
//
// Every cell (a server, a load, a size, a number of targets) is run once per round, the rounds are
// interleaved, and the figure shown is the median over the rounds. Load stays on loopback.
//
//	go run ./testenv/bench           # all cells, below ten minutes
//	go run ./testenv/bench -quick    # the cells that matter most, about half a minute
//	go run ./testenv/bench -json bench.json -only 'c64 1KiB'
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/hookspool/hookspool/testenv"
)

// options are the flags.
type options struct {
	quick  bool
	rounds int
	window time.Duration
	only   string
	json   string
	dir    string
	role   string
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "only the cells that matter most, one second each")
	flag.IntVar(&o.rounds, "rounds", 3, "how often every cell is run")
	flag.DurationVar(&o.window, "window", 3*time.Second, "how long a cell is measured")
	flag.StringVar(&o.only, "only", "", "only cells whose name matches this regular expression")
	flag.StringVar(&o.json, "json", "", "write the figures of every run to this file")
	flag.StringVar(&o.dir, "dir", "", "where spools and the floor's file go (default: a temporary "+
		"directory; a tmpfs there makes every sync free)")
	flag.StringVar(&o.role, "role", "", "used by bench itself: be one of the servers")
	flag.Parse()
	if o.role != "" {
		if err := serveRole(o.role, flag.Args()); err != nil {
			fatal(err)
		}
		return
	}
	if err := run(&o); err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}

func run(o *options) error {
	dir, err := os.MkdirTemp(o.dir, "hookspool-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer func() { _ = testenv.RemoveBinary() }()
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("cannot read -only: %w", err)
	}
	if o.quick {
		o.rounds, o.window = 1, time.Second
	}
	var cells []cell
	for _, c := range plan(o.quick) {
		if only.MatchString(c.name()) {
			cells = append(cells, c)
		}
	}
	fmt.Printf("%s, %d CPUs, %s, %s; %d cells × %d rounds of %s\n", cpuModel(), runtime.NumCPU(),
		runtime.Version(), fileSystem(dir), len(cells), o.rounds, o.window)
	b := &bench{dir: dir, window: o.window}
	results := make([][]figures, len(cells))
	for round := range o.rounds {
		for i, c := range cells {
			f, err := b.measure(c)
			if err != nil {
				return fmt.Errorf("cannot measure %q: %w", c.name(), err)
			}
			results[i] = append(results[i], f)
			progress("round %d/%d  %d/%d  %s", round+1, o.rounds, i+1, len(cells), c.name())
		}
	}
	progress("")
	printTable(cells, results)
	if o.json == "" {
		return nil
	}
	return writeJSON(o.json, cells, results)
}

// progress shows one line on a terminal, over the one before.
func progress(format string, args ...any) {
	info, err := os.Stderr.Stat()
	if err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
	}
}

func writeJSON(path string, cells []cell, results [][]figures) error {
	type row struct {
		Cell   string    `json:"cell"`
		Median figures   `json:"median"`
		Runs   []figures `json:"runs"`
	}
	rows := make([]row, len(cells))
	for i, c := range cells {
		rows[i] = row{Cell: c.name(), Median: median(results[i]), Runs: results[i]}
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func fileSystem(dir string) string {
	out, err := exec.Command("stat", "-f", "-c", "%T", dir).Output()
	if err != nil {
		return "unknown file system"
	}
	return strings.TrimSpace(string(out))
}
