package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// spoolLoad is how many callers append events of how many bytes.
type spoolLoad struct{ callers, bytes int }

func (l spoolLoad) name() string { return fmt.Sprintf("c%d %dKiB", l.callers, l.bytes>>10) }

func spoolLoads() []spoolLoad { return []spoolLoad{{64, 1 << 10}, {256, 1 << 10}, {64, 16 << 10}} }

// spoolGoals are the loads that goals are about.
func spoolGoals() map[spoolLoad]string {
	return map[spoolLoad]string{{256, 1 << 10}: goalAloneCrowd, {64, 16 << 10}: goalAlone16}
}

// spoolCell is a load and who keeps it.
type spoolCell struct {
	load spoolLoad
	way  string
}

// spoolCells are the cells whose load matches. The ways of a load follow each other, so that all of
// them meet the disk in one mood.
func spoolCells(only *regexp.Regexp) (cells []spoolCell) {
	for _, l := range spoolLoads() {
		for _, way := range []string{wayFloor, wayPaused, wayRead} {
			if only.MatchString(l.name()) {
				cells = append(cells, spoolCell{l, way})
			}
		}
	}
	return cells
}

// alone measures package spool by itself, without HTTP, beside a file with a shared fdatasync.
func (b *bench) alone(r *report) ([]sheet, error) {
	only, err := regexp.Compile(b.o.only)
	if err != nil {
		return nil, fmt.Errorf("cannot read -only: %w", err)
	}
	cells := spoolCells(only)
	runs := make(map[spoolCell][]spoolFigures)
	for round := range b.o.rounds {
		for _, c := range cells {
			progress("round %d/%d  %s %s", round+1, b.o.rounds, c.load.name(), c.way)
			f, err := b.runSpool(c, round+1)
			if err != nil {
				return nil, fmt.Errorf("cannot measure %q of %s: %w", c.way, c.load.name(), err)
			}
			runs[c] = append(runs[c], f)
		}
	}
	return reportSpool(r, cells, runs), nil
}

// reportSpool compares medians, and takes what they say about the goals.
func reportSpool(r *report, cells []spoolCell, runs map[spoolCell][]spoolFigures) []sheet {
	t, each := spoolSheet(), sheet{Title: "events/s, round by round", Columns: []string{"load",
		"kept by"}}
	for i, c := range cells {
		f, floor := median(runs[c]), median(runs[spoolCell{c.load, wayFloor}])
		of := over(f.Rate, floor.Rate)
		t.addSpool(c, f, of)
		row := []any{c.load.name(), c.way}
		for round, f := range runs[c] {
			row = append(row, f.Rate)
			if i == 0 {
				each.Columns = append(each.Columns, fmt.Sprint(round+1))
			}
		}
		each.add(row...)
		if goal, ok := spoolGoals()[c.load]; ok && c.way == wayRead {
			r.score(goal, of)
		}
	}
	return []sheet{t, each}
}

// runSpool runs a cell once, in a process of its own.
func (b *bench) runSpool(c spoolCell, round int) (f spoolFigures, err error) {
	dir, err := b.newDir()
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	what := spoolRun{Way: c.way, Callers: c.load.callers, Bytes: c.load.bytes, Window: b.o.window,
		Dir: dir}
	if b.o.profile != "" {
		name := strings.NewReplacer(",", "", " ", "-").Replace(c.load.name() + " " + c.way)
		what.Profile = filepath.Join(b.o.profile, fmt.Sprintf("%s.%d.pprof", name, round))
	}
	text, err := json.Marshal(&what)
	if err != nil {
		return f, err
	}
	cmd := exec.Command(self, "-role", spoolRole, string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(out, &f)
}

func spoolSheet() sheet {
	return sheet{Title: "the spool alone, medians", Columns: []string{"load", "kept by", "events/s",
		"of the floor", "append p50 ms", "p99 ms", "CPU µs/event", "events/sync", "faults/event",
		"switches/event", "disk B/B", "settled/s of a lane", "RSS MiB", "others %"}}
}

func (t *sheet) addSpool(c spoolCell, f spoolFigures, of float64) {
	var settled any
	if c.way == wayRead {
		settled = f.Settled
	}
	t.add(c.load.name(), c.way, f.Rate, of, f.P50, f.P99, f.CPU, f.Group, f.Faults, f.Switches,
		f.Written, settled, f.Resident, 100*f.Others)
}
