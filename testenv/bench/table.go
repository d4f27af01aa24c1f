package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"text/tabwriter"
)

// median takes the median of every figure on its own. All fields of T are figures.
func median[T any](runs []T) (out T) {
	v := reflect.ValueOf(&out).Elem()
	for i := range v.NumField() {
		var all []float64
		for _, run := range runs {
			all = append(all, reflect.ValueOf(run).Field(i).Float())
		}
		slices.Sort(all)
		if n := len(all); n > 0 {
			v.Field(i).SetFloat((all[(n-1)/2] + all[n/2]) / 2)
		}
	}
	return out
}

// tabulate takes medians and compares every cell with its references.
func tabulate(cells []cell, results [][]figures) []cellReport {
	reference := map[string]figures{}
	for i, c := range cells {
		if c.server != relay {
			reference[c.server+c.load()] = median(results[i])
		}
	}
	rows := make([]cellReport, len(cells))
	for i, c := range cells {
		f := median(results[i])
		f1, f2 := reference[bare+c.load()], reference[floor+c.load()]
		rows[i] = cellReport{Cell: c.name(), Median: f, Runs: results[i],
			Ratios: ratios{AcceptedF1: over(f.Accepted, f1.Accepted),
				AcceptedF2: over(f.Accepted, f2.Accepted), P99F2: over(f.P99, f2.P99)}}
		if f3 := reference[least+c.load()]; c.server != relay || c.targets == 1 {
			rows[i].Ratios.CarriedF3 = over(f.carried(1), f3.carried(1))
		}
	}
	return rows
}

func printTable(rows []cellReport) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "cell\taccepted/s\t/F1\t/F2\tp50 ms\tp99\t/F2\tp99.9\tdelivered/s\t/F3\tp50 ms\t"+
		"p99\tp99.9\tCPU µs/event\tswitches\tdisk B/B\tRSS MiB\tanon\tbacklog\tfailed\tothers %\t")
	for _, row := range rows {
		f, r := row.Median, row.Ratios
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2f\t%.2f\t%s\t%.2f\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.0f\t%.2f\t"+
			"%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", row.Cell, rate(f.Accepted), ratio(r.AcceptedF1),
			ratio(r.AcceptedF2), f.P50, f.P99, ratio(r.P99F2), f.P999, rate(f.Delivered),
			ratio(r.CarriedF3), f.DP50, f.DP99, f.DP999, f.CPU, f.Switches, f.Written, f.Resident,
			f.Anon, f.Backlog, f.Failed, 100*f.Others)
	}
	_ = w.Flush()
	for _, row := range rows {
		if f := row.Median; row.Cell == lifeCell().name() {
			fmt.Printf("%s: %.2f bytes written per payload byte over the whole life; the spool "+
				"takes %.1f MiB after the drain\n", row.Cell, f.Written, f.Left)
		}
	}
}

// over is a ratio; 0 if there is nothing to compare with.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func ratio(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}
