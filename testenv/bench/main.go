// Command bench measures hookspool beside the least that a machine must spend on its task, all in
// one run, so that only ratios count:
//
//	F1  a bare fasthttp server that answers 200 and keeps nothing
//	F2  the floor: the same server that appends each body to one file, with one fdatasync shared by
//	    all who wait, before it answers
//	F3  the least relay: F2, which then sends each body on from memory, and keeps no word of it
//	H   the real hookspool binary with real targets
//
// Every cell (a server, a load, a size, a number of targets) is run once per round, the rounds are
// interleaved, and the figure shown is the median over the rounds. c64 is a closed loop of 64
// connections, 1000/s an open loop at that rate; ×100 means that each request is NDJSON of so many
// events, t3 three healthy targets, tls that they are reached over TLS, +hang a further one that
// never answers. Switches are those of the server's threads, an event, in which they waited. Load
// stays on loopback.
//
//	go run ./testenv/bench           # all cells, below ten minutes
//	go run ./testenv/bench -quick    # the cells that goals are about, about half a minute
//	go run ./testenv/bench -json bench.json -only 'c64 1KiB' -rounds 7
//
// What takes longer than a cell has a scenario of its own, run instead of the cells; several are
// separated by commas. Each measures what it compares with in the same run.
//
//	-scenario sustained   one healthy target at saturation for -long, in slices of 5 seconds; F1 and
//	                      F2 before and after; whether the backlog grows
//	-scenario backlog     -pending events for a paused target: memory, kill -9, time until ready,
//	                      accepting beside the backlog, draining it, what is left on disk
//	-scenario pages       -pending events for a paused target: how long each page of each listing of
//	                      the admin API takes
//	-scenario overload    -conns connections that send without pause for -long: memory, refusals,
//	                      whether what was accepted is delivered, time until full speed again
//	-scenario targets     1, 100 and 1,000 targets: at rest, and the cost of an event that nobody,
//	                      one or all of them want
//	-scenario idle        10,000 idle connections of senders: memory of each, accepting beside them,
//	                      what those beyond the relay's limit are told
//	-scenario spool       the real package spool in a process of its own, without HTTP, beside a file
//	                      with a shared fdatasync: 64 and 256 callers of 1 KiB, 64 of 16 KiB, three
//	                      lanes that owe each event; nobody reads them, or each settles at once; with
//	                      -profile DIR a CPU profile of every run
//	-scenario rest        an empty spool at rest; the size of a static binary
//
// At the end the goals that were measured are listed as met or missed. Missing one is no failure of
// the command: a timed threshold is never a test. Memory is that of the relay alone: RSS counts the
// pages of mapped tables, which the kernel takes back when it needs them; RssAnon leaves them out.
// "others %" is the share of all CPUs that somebody else used while a cell was measured: the larger
// it is the less a figure means.
package main

import (
	"errors"
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
	quick    bool
	rounds   int
	window   time.Duration
	only     string
	scenario string
	long     time.Duration
	pending  int
	drain    time.Duration
	conns    int
	targets  int
	json     string
	dir      string
	profile  string
	role     string
}

func (o *options) define() {
	flag.BoolVar(&o.quick, "quick", false, "only the cells that goals are about, one second each; "+
		"scenarios: one round, one second, -long 5s, -pending 50000")
	flag.IntVar(&o.rounds, "rounds", 3, "how often every cell is run")
	flag.DurationVar(&o.window, "window", 3*time.Second, "how long a cell is measured")
	flag.StringVar(&o.only, "only", "", "only cells, or loads of -scenario spool, whose name matches "+
		"this regular expression")
	flag.StringVar(&o.scenario, "scenario", "", "run these instead of the cells, separated by "+
		"commas: "+strings.Join(scenarioNames(), ", "))
	flag.DurationVar(&o.long, "long", time.Minute, "how long sustained and overload press")
	flag.IntVar(&o.pending, "pending", 1_000_000, "events that wait in backlog")
	flag.DurationVar(&o.drain, "drain", 5*time.Minute, "how long a backlog may take to drain")
	flag.IntVar(&o.conns, "conns", 6000, "connections of overload; the relay takes 4,096 requests "+
		"in hand and 8,192 connections")
	flag.IntVar(&o.targets, "targets", 1, "healthy targets of sustained and overload")
	flag.StringVar(&o.json, "json", "", "write the figures of every run to this file")
	flag.StringVar(&o.dir, "dir", "", "where spools and the floor's file go (default: a temporary "+
		"directory; a tmpfs there makes every sync free)")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of every run of -scenario spool "+
		"to this directory")
	flag.StringVar(&o.role, "role", "", "used by bench itself: be one of the servers")
	flag.Parse()
	if o.quick {
		o.rounds, o.window, o.long, o.pending = 1, time.Second, 5*time.Second, 50_000
	}
}

func main() {
	var o options
	o.define()
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
	chosen, err := chooseScenarios(o.scenario)
	if err != nil {
		return err
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o700); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(o.dir, "hookspool-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer func() { _ = testenv.RemoveBinary() }()
	b := &bench{o: o, dir: dir}
	r := &report{Goals: allGoals(), Machine: fmt.Sprintf("%s, %d CPUs, %s, %s", cpuModel(),
		runtime.NumCPU(), runtime.Version(), fileSystem(dir))}
	fmt.Println(r.Machine)
	others := startCrowding()
	if len(chosen) == 0 {
		err = b.runCells(r)
	}
	for _, s := range chosen {
		began := time.Now()
		out := scenarioReport{Scenario: s.name}
		if out.Sheets, err = s.run(b, r); err != nil {
			err = fmt.Errorf("cannot measure %q: %w", s.name, err)
			break
		}
		progress("")
		fmt.Printf("\nscenario %s, %.0f s\n", s.name, time.Since(began).Seconds())
		for i := range out.Sheets {
			out.Sheets[i].print(os.Stdout)
		}
		r.Scenarios = append(r.Scenarios, out)
	}
	r.Others = others.share()
	r.printGoals(os.Stdout)
	r.printCrowding()
	if o.json != "" {
		err = errors.Join(err, r.write(o.json))
	}
	return err
}

// runCells runs every cell that was asked for, round by round.
func (b *bench) runCells(r *report) error {
	only, err := regexp.Compile(b.o.only)
	if err != nil {
		return fmt.Errorf("cannot read -only: %w", err)
	}
	var cells []cell
	for _, c := range plan(b.o.quick) {
		if only.MatchString(c.name()) {
			cells = append(cells, c)
		}
	}
	fmt.Printf("%d cells × %d rounds of %s\n", len(cells), b.o.rounds, b.o.window)
	results, err := b.rounds(cells)
	if err != nil {
		return err
	}
	r.Cells = tabulate(cells, results)
	printTable(r.Cells)
	r.scoreCells(cells, results)
	return nil
}

// rounds runs the cells one after the other, and that as often as there are rounds.
func (b *bench) rounds(cells []cell) ([][]figures, error) {
	results := make([][]figures, len(cells))
	for round := range b.o.rounds {
		for i, c := range cells {
			progress("round %d/%d  %d/%d  %s", round+1, b.o.rounds, i+1, len(cells), c.name())
			f, err := b.measure(c, b.o.window)
			if err != nil {
				return nil, fmt.Errorf("cannot measure %q: %w", c.name(), err)
			}
			results[i] = append(results[i], f)
		}
	}
	progress("")
	return results, nil
}

// progress shows one line on a terminal, over the one before.
func progress(format string, args ...any) {
	info, err := os.Stderr.Stat()
	if err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
	}
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
