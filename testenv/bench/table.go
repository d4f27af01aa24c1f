package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"text/tabwriter"
)

// median takes the median of every figure on its own.
func median(runs []figures) (out figures) {
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

func printTable(cells []cell, results [][]figures) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "cell\taccepted/s\t/F1\t/F2\tp50 ms\tp99\tp99.9\tdelivered/s\tp50 ms\tp99\t"+
		"p99.9\tCPU µs/event\tdisk B/B\tRSS MiB\tbacklog\tfailed\t")
	reference := map[string]figures{}
	for i, c := range cells {
		if c.server != relay {
			reference[c.server+c.load()] = median(results[i])
		}
	}
	for i, c := range cells {
		f := median(results[i])
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%s\t%.2f\t%.2f\t%.2f\t%.0f\t%.2f\t%.0f\t"+
			"%.0f\t%.0f\t\n", c.name(), rate(f.Accepted),
			ratio(f.Accepted, reference[bare+c.load()].Accepted),
			ratio(f.Accepted, reference[floor+c.load()].Accepted), f.P50, f.P99, f.P999,
			rate(f.Delivered), f.DP50, f.DP99, f.DP999, f.CPU, f.Written, f.Resident, f.Backlog,
			f.Failed)
	}
	_ = w.Flush()
	for i, c := range cells {
		if c.life {
			f := median(results[i])
			fmt.Printf("%s: %.2f bytes written per payload byte over the whole life; the spool "+
				"takes %.1f MiB after the drain\n", c.name(), f.Written, f.Left)
		}
	}
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}
