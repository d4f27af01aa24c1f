package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// goal is a number that hookspool wants to reach. Missing one fails nothing: a timed threshold is
// no test. Ratios are of one run on one machine.
type goal struct {
	Name  string  `json:"goal"`
	Text  string  `json:"text"`
	Least bool    `json:"at_least"` // else Limit is the most
	Limit float64 `json:"limit"`
	From  string  `json:"from"` // which run measures it
	// Value is nil until it is measured.
	Value *float64 `json:"value"`
}

func (g *goal) met() bool {
	if g.Least {
		return *g.Value >= g.Limit
	}
	return *g.Value <= g.Limit
}

// The names of the goals.
const (
	goalPaused       = "paused"
	goalLone         = "lone"
	goalHealthy      = "healthy"
	goalOfLeast      = "of the least relay"
	goalPaused16     = "paused, 16 KiB"
	goalPausedCrowd  = "paused, crowd"
	goalCrowdP99     = "p99 of a crowd"
	goalLarge        = "large"
	goalLargeMemory  = "large memory"
	goalCPU          = "CPU"
	goalP999         = "p99.9"
	goalCalmWritten  = "written at 1,000/s"
	goalSlowest      = "sustained slowest"
	goalLongWritten  = "sustained written"
	goalLongMemory   = "sustained memory"
	goalThree        = "three"
	goalThreeP99     = "p99 to three"
	goalTen          = "p50 to ten"
	goalCrowd        = "p50 of a crowd"
	goalBatched      = "batched"
	goalGathered     = "gathered"
	goalSecure       = "secure"
	goalP99          = "p99"
	goalDelivered    = "delivered"
	goalSickRate     = "rate beside " // and the sickness
	goalSickP99      = "p99 beside "
	goalWritten      = "written"
	goalLeft         = "left"
	goalSustained    = "sustained"
	goalGrowth       = "growth"
	goalMemory       = "backlog memory"
	goalReady        = "backlog ready"
	goalAccept       = "backlog accept"
	goalDrain        = "backlog drain"
	goalBacklogLeft  = "backlog left"
	goalRestMemory   = "rest memory"
	goalRestCPU      = "rest CPU"
	goalBinary       = "binary"
	goalLost         = "overload lost"
	goalRecovery     = "overload recovery"
	goalUnwantedCost = "unwanted"
	goalAlone16      = "spool alone, 16 KiB"
	goalAloneCrowd   = "spool alone, crowd"
)

// spoolLeftMiB is three memtables and a file of the value log of the spool's engine.
const spoolLeftMiB = 3*16 + 64

// allGoals lists them. From is "cells" or the name of a scenario.
func allGoals() []goal {
	const cells = "cells"
	goals := []goal{
		{goalPaused, "accepted/s with a paused target, of F2", true, 0.75, cells, nil},
		{goalPaused16, "accepted/s of 16 KiB, paused target, of F2", true, 0.55, cells, nil},
		{goalPausedCrowd, "accepted/s of 256 callers, paused target, of F2", true, 0.6, cells, nil},
		{goalCrowdP99, "accept p99 of 256 callers, paused target, of F2's", false, 2, cells, nil},
		{goalLone, "accepted/s of a lone caller, paused target, of F2", true, 0.8, cells, nil},
		{goalHealthy, "accepted and delivered/s, one target, of F1", true, 0.35, cells, nil},
		{goalOfLeast, "accepted and delivered/s, one target, of F3", true, 0.9, cells, nil},
		{goalCPU, "CPU of an event to one target, kept, µs", false, 50, cells, nil},
		{goalLarge, "accepted and delivered/s of 256 KiB, of F2", true, 0.6, cells, nil},
		{goalLargeMemory, "RSS with those, peak MiB", false, 256, cells, nil},
		{goalThree, "events/s to three targets, of those to one", true, 0.7, cells, nil},
		{goalThreeP99, "delivered p99 to three targets, of accept p99", false, 2, cells, nil},
		{goalTen, "delivered p50 to ten targets, ms", false, 100, cells, nil},
		{goalCrowd, "delivered p50 with 256 callers, of accept p50", false, 2, cells, nil},
		{goalBatched, "delivered/s of NDJSON of 100, 8 callers, of single posts", true, 1.5, cells, nil},
		{goalGathered, "delivered/s in requests of 100, NDJSON of 100 in, of F1", true, 1, cells, nil},
		{goalSecure, "accepted and delivered/s over TLS, of plain", true, 0.95, cells, nil},
		{goalP99, "accept p99 at 1,000/s, of F2's", false, 3, cells, nil},
		{goalP999, "accept p99.9 at 1,000/s, of F2's", false, 1.5, cells, nil},
		{goalCalmWritten, "bytes written per payload byte at 1,000/s, of F2's", false, 1.5, cells, nil},
		{goalDelivered, "delivered p50 − accept p50 at 1,000/s, ms", false, 2, cells, nil},
	}
	for _, sick := range sicknesses() {
		goals = append(goals,
			goal{goalSickRate + sick, "healthy target's rate beside one with " + sick + ", of alone",
				true, 0.8, cells, nil},
			goal{goalSickP99 + sick, "healthy target's p99 beside one with " + sick + ", of alone",
				false, 1.2, cells, nil})
	}
	return append(goals, []goal{
		{goalWritten, "bytes written per payload byte, whole life, 3 targets", false, 3, cells, nil},
		{goalLeft, "spool after the drain, MiB", false, spoolLeftMiB, cells, nil},
		{goalSustained, "accepted and delivered/s for long, one target, of F1", true, 0.35,
			"sustained", nil},
		{goalGrowth, "growth of the backlog, of what is accepted", false, 0.01, "sustained", nil},
		{goalSlowest, "slowest 5 s, accepted, of the mean", true, 0.6, "sustained", nil},
		{goalLongWritten, "bytes written per payload byte for long", false, 1.8, "sustained", nil},
		{goalLongMemory, "RssAnon for long, peak MiB", false, 256, "sustained", nil},
		{goalMemory, "RSS with the backlog, peak MiB", false, 256, "backlog", nil},
		{goalReady, "ready after kill -9, s", false, 2, "backlog", nil},
		{goalAccept, "accepted/s with the backlog, of without", true, 0.8, "backlog", nil},
		{goalDrain, "drain rate, of the live rate", true, 0.8, "backlog", nil},
		{goalBacklogLeft, "spool after the drain, MiB", false, spoolLeftMiB, "backlog", nil},
		{goalLost, "accepted but not delivered", false, 0, "overload", nil},
		{goalRecovery, "full speed again after, s", false, 5, "overload", nil},
		{goalUnwantedCost, "CPU of an event nobody wants, most of 1,000 targets to 1", false, 1.2,
			"targets", nil},
		{goalAlone16, "spool alone, 64 callers of 16 KiB, of append + shared fdatasync", true, 0.55,
			"spool", nil},
		{goalAloneCrowd, "spool alone, 256 callers of 1 KiB, of append + shared fdatasync", true, 0.38,
			"spool", nil},
		{goalRestMemory, "RSS at rest, MiB", false, 24, "rest", nil},
		{goalRestCPU, "CPU at rest, % of a core", false, 0.2, "rest", nil},
		{goalBinary, "static binary, MiB", false, 30, "rest", nil},
	}...)
}

// score notes a measured value.
func (r *report) score(name string, value float64) {
	for i := range r.Goals {
		if r.Goals[i].Name == name {
			r.Goals[i].Value = &value
		}
	}
}

// printGoals shows the goals that were measured, and which runs measure the others.
func (r *report) printGoals(out io.Writer) {
	fmt.Fprintln(out, "\ngoals (ratios of this run; missing one fails nothing)")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	other := map[string]int{}
	for i := range r.Goals {
		g := &r.Goals[i]
		if g.Value == nil {
			other[g.From]++
			continue
		}
		sign, verdict := "≤", "MISSED"
		if g.Least {
			sign = "≥"
		}
		if g.met() {
			verdict = "met"
		}
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\n", g.Text, shown(*g.Value), sign, shown(g.Limit), verdict)
	}
	_ = w.Flush()
	for _, from := range append([]string{"cells"}, scenarioNames()...) {
		switch n := other[from]; {
		case n > 0 && from == "cells":
			fmt.Fprintf(out, "not measured in this run: %d of the cells (run without -scenario)\n", n)
		case n > 0:
			fmt.Fprintf(out, "not measured in this run: %d of -scenario %s\n", n, from)
		}
	}
}

// scoreCells takes what the cells say about the goals.
func (r *report) scoreCells(cells []cell, results [][]figures) {
	of := map[string]figures{}
	for i, c := range cells {
		of[c.name()] = median(results[i])
	}
	compare := func(name string, a, b cell, value func(a, b figures) float64) {
		fa, okA := of[a.name()]
		fb, okB := of[b.name()]
		if okA && okB {
			r.score(name, value(fa, fb))
		}
	}
	accepted := func(a, b figures) float64 { return a.Accepted / max(b.Accepted, 1) }
	lone := usual()
	lone.conns = 1
	compare(goalPaused, usual().pausedTarget(), usual().on(floor), accepted)
	compare(goalLone, lone.pausedTarget(), lone.on(floor), accepted)
	compare(goalHealthy, usual(), usual().on(bare), func(a, b figures) float64 {
		return a.carried(1) / max(b.Accepted, 1)
	})
	r.scoreKept(compare)
	compare(goalThree, withTargets(3), usual(), func(a, b figures) float64 {
		return a.carried(3) / max(b.carried(1), 1)
	})
	compare(goalThreeP99, withTargets(3), withTargets(3), func(a, _ figures) float64 {
		return a.DP99 / a.P99
	})
	compare(goalTen, withTargets(10), withTargets(10), func(a, _ figures) float64 { return a.DP50 })
	compare(goalCrowd, manyCallers(), manyCallers(), func(a, _ figures) float64 {
		return a.DP50 / a.P50
	})
	compare(goalBatched, batched(), usual(), func(a, b figures) float64 {
		return a.Delivered / max(b.Delivered, 1)
	})
	compare(goalGathered, gathered(), usual().on(bare), func(a, b figures) float64 {
		return a.Delivered / max(b.Accepted, 1)
	})
	compare(goalSecure, usual().overTLS(), usual(), func(a, b figures) float64 {
		return a.carried(1) / max(b.carried(1), 1)
	})
	compare(goalP99, calm(), calm().on(floor), func(a, b figures) float64 { return a.P99 / b.P99 })
	compare(goalP999, calm(), calm().on(floor),
		func(a, b figures) float64 { return a.P999 / b.P999 })
	compare(goalCalmWritten, calm(), calm().on(floor),
		func(a, b figures) float64 { return a.Written / b.Written })
	compare(goalDelivered, calm(), calm(), func(a, _ figures) float64 { return a.DP50 - a.P50 })
	for _, c := range sickCells() {
		compare(goalSickRate+c.sick, c, calm(), func(a, b figures) float64 {
			return a.Delivered / max(b.Delivered, 1)
		})
		compare(goalSickP99+c.sick, c, calm(), func(a, b figures) float64 { return a.DP99 / b.DP99 })
	}
	compare(goalWritten, lifeCell(), lifeCell(), func(a, _ figures) float64 { return a.Written })
	compare(goalLeft, lifeCell(), lifeCell(), func(a, _ figures) float64 { return a.Left })
}

// scoreKept takes what is said of the way into the spool.
func (r *report) scoreKept(compare func(name string, a, b cell, value func(a, b figures) float64)) {
	accepted := func(a, b figures) float64 { return a.Accepted / max(b.Accepted, 1) }
	carried := func(a, b figures) float64 { return a.carried(1) / max(b.Accepted, 1) }
	compare(goalPaused16, large(16<<10).pausedTarget(), large(16<<10).on(floor), accepted)
	compare(goalPausedCrowd, manyCallers().pausedTarget(), manyCallers().on(floor), accepted)
	compare(goalCrowdP99, manyCallers().pausedTarget(), manyCallers().on(floor),
		func(a, b figures) float64 { return a.P99 / b.P99 })
	compare(goalOfLeast, usual(), usual().on(least), func(a, b figures) float64 {
		return a.carried(1) / max(b.carried(1), 1)
	})
	compare(goalCPU, usual(), usual(), func(a, _ figures) float64 { return a.CPU })
	compare(goalLarge, large(256<<10), large(256<<10).on(floor), carried)
	compare(goalLargeMemory, large(256<<10), large(256<<10),
		func(a, _ figures) float64 { return a.Resident })
}
