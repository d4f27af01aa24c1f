// Verdict reads what `go test -json` has told, through gotestsum or not, and says what counts.
//
//	go run ./testenv/verdict [-ceiling DURATION] FILE...
//
// A test that failed and passed when it ran again is named under FLAKY with its first failure: it
// is mended in the next commit. Some failures are never forgiven, however often the test passes
// later: an event that was lost or invented, a data race, a panic, a goroutine that was left
// behind, a packet that left loopback, and a package that failed although none of its tests did,
// which gotestsum takes for passed because no test is left to run again. Exit 1: there is such a
// failure, or a test that never passed, or the tests took longer than the ceiling.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// promises are what a failure must not say.
const promises = `LOST|INVENTED|DATA RACE|BUG:|panic:|fatal error:|` +
	`left loopback|found unexpected goroutines`

// slowestMost is how many of the slowest tests are named.
const slowestMost = 10

// saidMost bounds what is kept of a failure's words.
const saidMost = 4 << 10

// event is one of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// test is what became of one test, or with an empty name of its package as a whole.
type test struct {
	name    string
	last    string // action of its newest run that ended it
	whole   bool   // it stands for a package
	failed  bool
	first   string // what it said when it first failed
	said    strings.Builder
	took    time.Duration
	failing bool // of a package: one of its tests failed in the run under way
}

type verdict struct {
	promises   *regexp.Regexp
	tests      map[[2]string]*test
	order      []*test
	unforgiven []string
}

func main() {
	ceiling := flag.Duration("ceiling", 0, "how long the packages may take together; 0: any time")
	flag.Parse()
	v := newVerdict()
	for _, name := range flag.Args() {
		if err := v.readFile(name); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(2)
		}
	}
	if !v.tell(os.Stdout, *ceiling) {
		os.Exit(1)
	}
}

func newVerdict() *verdict {
	return &verdict{promises: regexp.MustCompile(promises), tests: make(map[[2]string]*test)}
}

func (v *verdict) readFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return v.read(f)
}

// read takes lines that are no events for what a compiler says.
func (v *verdict) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil && e.Package != "" {
			v.hear(e)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read what the tests told: %w", err)
		}
	}
}

func (v *verdict) of(e event) *test {
	key := [2]string{e.Package, e.Test}
	t, ok := v.tests[key]
	if !ok {
		t = &test{name: strings.TrimSpace(e.Package + " " + e.Test), whole: e.Test == ""}
		v.tests[key] = t
		v.order = append(v.order, t)
	}
	return t
}

func (v *verdict) hear(e event) {
	t := v.of(e)
	switch e.Action {
	case "start", "run":
		t.said.Reset()
		t.failing = false
	case "output":
		if t.said.Len() < saidMost || v.promises.MatchString(e.Output) {
			t.said.WriteString(e.Output)
		}
	case "pass", "skip", "fail":
		t.last = e.Action
		t.took = max(t.took, time.Duration(e.Elapsed*float64(time.Second)))
		if e.Action == "fail" {
			v.failed(t, e)
		}
	}
}

func (v *verdict) failed(t *test, e event) {
	said := t.said.String()
	if !t.failed {
		t.failed, t.first = true, said
	}
	if promise := v.promises.FindString(said); promise != "" {
		v.unforgiven = append(v.unforgiven, fmt.Sprintf("%s: %s", t.name, promise))
	}
	if e.Test != "" {
		v.of(event{Package: e.Package}).failing = true
	} else if !t.failing {
		v.unforgiven = append(v.unforgiven, t.name+" failed without a failing test")
	}
}

// tell reports whether all is well.
func (v *verdict) tell(w io.Writer, ceiling time.Duration) bool {
	v.tellSlowest(w)
	well := v.tellTotal(w, ceiling)
	for _, t := range v.order {
		switch {
		case t.whole || !t.failed:
		case t.last == "fail":
			fmt.Fprintf(w, "\nFAILED %s\n%s", t.name, t.first)
			well = false
		default:
			fmt.Fprintf(w, "\nFLAKY %s\n%s", t.name, t.first)
		}
	}
	for _, what := range v.unforgiven {
		fmt.Fprintf(w, "\nNOT FORGIVEN %s\n", what)
		well = false
	}
	return well
}

func (v *verdict) tellSlowest(w io.Writer) {
	var all []*test
	for key, t := range v.tests {
		if key[1] != "" && !strings.Contains(key[1], "/") {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *test) int {
		return cmp.Or(cmp.Compare(b.took, a.took), cmp.Compare(a.name, b.name))
	})
	for _, t := range all[:min(len(all), slowestMost)] {
		fmt.Fprintf(w, "%7.1f s  %s\n", t.took.Seconds(), t.name)
	}
}

func (v *verdict) tellTotal(w io.Writer, ceiling time.Duration) bool {
	var total time.Duration
	for key, t := range v.tests {
		if key[1] == "" {
			total += t.took
		}
	}
	fmt.Fprintf(w, "%7.1f s  all packages together\n", total.Seconds())
	if ceiling > 0 && total > ceiling {
		fmt.Fprintf(w, "TOO LONG: at most %s\n", ceiling)
		return false
	}
	return true
}
