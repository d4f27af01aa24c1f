package main

import (
	"fmt"
	"strings"
)

// scenario is a measurement of its own, with its references in the same run.
type scenario struct {
	name string
	run  func(b *bench, r *report) ([]sheet, error)
}

func scenarios() []scenario {
	return []scenario{
		{"sustained", (*bench).sustained},
		{"backlog", (*bench).backlog},
		{"pages", (*bench).pages},
		{"overload", (*bench).overload},
		{"targets", (*bench).targets},
		{"idle", (*bench).idle},
		{"spool", (*bench).alone},
		{"rest", (*bench).rest},
	}
}

func scenarioNames() (names []string) {
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

func chooseScenarios(names string) (chosen []scenario, err error) {
	for name := range strings.SplitSeq(names, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		n := len(chosen)
		for _, s := range scenarios() {
			if s.name == name {
				chosen = append(chosen, s)
			}
		}
		if len(chosen) == n {
			return nil, fmt.Errorf("there is no scenario %q; there are %s", name,
				strings.Join(scenarioNames(), ", "))
		}
	}
	return chosen, nil
}

// pair is a reference measured before and after what is compared with it, because a shared machine
// does not stay as fast as it was.
type pair struct {
	cell          cell
	before, after figures
}

func pairsOf(cells ...cell) []pair {
	pairs := make([]pair, len(cells))
	for i, c := range cells {
		pairs[i].cell = c
	}
	return pairs
}

func (b *bench) measureBefore(pairs []pair) (err error) {
	for i := range pairs {
		progress("reference %s", pairs[i].cell.name())
		if pairs[i].before, err = b.measure(pairs[i].cell, b.o.window); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measureAfter(pairs []pair) (err error) {
	for i := range pairs {
		progress("reference %s", pairs[i].cell.name())
		if pairs[i].after, err = b.measure(pairs[i].cell, b.o.window); err != nil {
			return err
		}
	}
	return nil
}

// mean is the mean of a figure before and after.
func (p *pair) mean(figure func(f *figures) float64) float64 {
	return (figure(&p.before) + figure(&p.after)) / 2
}

func acceptRate(f *figures) float64 { return f.Accepted }
func liveRate(f *figures) float64   { return f.carried(1) }

func pairSheet(pairs []pair) sheet {
	t := sheet{Title: "references of this run", Columns: []string{"cell", "accepted/s before",
		"after", "delivered/s before", "after", "accept p99 ms before", "after"}}
	for i := range pairs {
		p := &pairs[i]
		t.add(p.cell.name(), p.before.Accepted, p.after.Accepted, p.before.Delivered,
			p.after.Delivered, p.before.P99, p.after.P99)
	}
	return t
}
