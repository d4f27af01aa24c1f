package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv"
)

// TestSpoolRun asserts that each way keeps events, and that lanes settle them only where somebody
// reads.
func TestSpoolRun(t *testing.T) {
	t.Parallel()
	f := func(way string) {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			r := spoolRun{Way: way, Callers: 4, Bytes: 1 << 10, Window: 100 * time.Millisecond,
				Profile: filepath.Join(t.TempDir(), "pprof")}
			if way != wayFloor {
				r.Profile = "" // there is one at a time in a process
			}
			var got spoolFigures
			// On a busy machine the disk may answer nobody within a short window.
			for whole := false; !whole; r.Window *= 4 {
				r.Dir = t.TempDir()
				var err error
				if got, err = r.run(); err != nil {
					t.Fatal(err)
				}
				whole = got.Rate > 0 && got.P50 > 0 && got.P99 >= got.P50 && got.CPU > 0 &&
					got.Group > 0 && (got.Settled > 0 || way != wayRead)
				if !whole && r.Window > testenv.Patience {
					t.Fatalf("there are figures missing: %+v", got)
				}
			}
			if got.Settled > 0 && way != wayRead {
				t.Errorf("%.0f deliveries/s are settled", got.Settled)
			}
			if info, err := os.Stat(r.Profile); r.Profile != "" && (err != nil || info.Size() == 0) {
				t.Errorf("there is no profile: %v", err)
			}
		})
	}
	f(wayFloor)
	f(wayPaused)
	f(wayRead)
}

// TestSpoolSettlesAll asserts that each lane gets each event, and settles it.
func TestSpoolSettlesAll(t *testing.T) {
	t.Parallel()
	const events = 100
	k, err := openSpool(filepath.Join(t.TempDir(), "spool"), true)
	if err != nil {
		t.Fatal(err)
	}
	for range events {
		if err := k.append(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Until(t, testenv.Patience, "the lanes to settle all", func() bool {
		return k.settled() == events*spoolLanes
	})
	for _, l := range k.lanes {
		if c := l.Counts(); c.Delivered != events || c.Pending != 0 {
			t.Errorf("lane %s: %+v", l.Name(), c)
		}
	}
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
}

// fullKeeper keeps so many events.
type fullKeeper struct {
	floorKeeper
	left int
}

func (k *fullKeeper) append([]byte) error {
	if k.left--; k.left < 0 {
		return errors.New("full")
	}
	return nil
}

// TestSpoolRefused asserts that a refusal is no figure.
func TestSpoolRefused(t *testing.T) {
	t.Parallel()
	a := startAppends(&fullKeeper{left: 3}, 1, 1<<10)
	a.done.Wait()
	if err := a.end(); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("%v", err)
	}
	if _, err := (&spoolRun{Way: "cloud", Dir: t.TempDir()}).run(); err == nil {
		t.Error("there is an unknown way")
	}
}

// TestSpoolGoals asserts that the goals are about the spool whose lanes are read, and about medians.
func TestSpoolGoals(t *testing.T) {
	t.Parallel()
	r := &report{Goals: allGoals()}
	runs := make(map[spoolCell][]spoolFigures)
	cells := spoolCells(regexp.MustCompile(""))
	for _, c := range cells {
		rates := map[string][]float64{wayFloor: {1, 1000, 4000}, wayPaused: {900, 900, 900},
			wayRead: {400, 500, 600}}[c.way]
		for _, rate := range rates {
			runs[c] = append(runs[c], spoolFigures{Rate: rate})
		}
	}
	sheets := reportSpool(r, cells, runs)
	n := 0
	for _, g := range r.Goals {
		if g.From == "spool" {
			n++
			if g.Value == nil {
				t.Errorf("%s is not measured", g.Name)
			} else if *g.Value != 0.5 {
				t.Errorf("%s: %v, want 0.5", g.Name, *g.Value)
			}
		}
	}
	if n != len(spoolGoals()) {
		t.Errorf("there are %d goals, want %d", n, len(spoolGoals()))
	}
	for _, s := range sheets {
		for _, row := range s.Rows {
			if len(s.Rows) != len(cells) || len(row) != len(s.Columns) {
				t.Errorf("%s: %v has not the columns %v", s.Title, row, s.Columns)
			}
		}
	}
	if got := spoolCells(regexp.MustCompile("16KiB")); len(got) != 3 || got[0].way != wayFloor {
		t.Errorf("-only 16KiB has the cells %v", got)
	}
}

// TestScenariosAreTold asserts that what can be asked for is in the manual and in the command's
// documentation, and that every goal says truly what measures it.
func TestScenariosAreTold(t *testing.T) {
	t.Parallel()
	root, err := testenv.Root()
	if err != nil {
		t.Fatal(err)
	}
	for path, mark := range map[string]string{"cmd/hookspool/manual/benchmarks.md": "| `-scenario ",
		"testenv/bench/main.go": "//	-scenario "} {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range scenarioNames() {
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(mark+name) + `\b`).Match(text) {
				t.Errorf("%s does not tell of -scenario %s", path, name)
			}
		}
	}
	for _, g := range allGoals() {
		if g.From != "cells" && !slices.Contains(scenarioNames(), g.From) {
			t.Errorf("%s is of %q, which there is not", g.Name, g.From)
		}
	}
}
