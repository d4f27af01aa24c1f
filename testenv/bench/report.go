package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"text/tabwriter"
)

// report is all that one invocation measured, and the JSON file.
type report struct {
	Machine   string           `json:"machine"`
	Others    float64          `json:"cpu_share_of_others"` // over the whole run
	Cells     []cellReport     `json:"cells,omitempty"`
	Scenarios []scenarioReport `json:"scenarios,omitempty"`
	Goals     []goal           `json:"goals"`
}

type cellReport struct {
	Cell   string    `json:"cell"`
	Median figures   `json:"median"`
	Ratios ratios    `json:"ratios"`
	Runs   []figures `json:"runs"`
}

// ratios compare a cell with its references of the same load; 0: there are none.
type ratios struct {
	AcceptedF1 float64 `json:"accepted_f1"`
	AcceptedF2 float64 `json:"accepted_f2"`
	CarriedF3  float64 `json:"carried_f3"` // accepted and delivered; with one target
	P99F2      float64 `json:"accept_p99_f2"`
}

// scenarioReport is what one scenario gave, as tables.
type scenarioReport struct {
	Scenario string  `json:"scenario"`
	Sheets   []sheet `json:"tables"`
}

// sheet is a table. A cell of it is a string or a number; NaN is no number.
type sheet struct {
	Title   string   `json:"title"`
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

func (t *sheet) add(row ...any) {
	for i, v := range row {
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			row[i] = nil // JSON has no word for it
		}
	}
	t.Rows = append(t.Rows, row)
}

// newFacts is a table of single figures.
func newFacts(title string) sheet {
	return sheet{Title: title, Columns: []string{"figure", "value", "unit"}}
}

func (t *sheet) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s\n", t.Title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range t.Columns {
		fmt.Fprintf(w, "%s\t", c)
	}
	fmt.Fprintln(w)
	for _, row := range t.Rows {
		for _, v := range row {
			fmt.Fprintf(w, "%s\t", shown(v))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
}

// shown is a value with about three digits that mean something.
func shown(v any) string {
	f, ok := v.(float64)
	switch {
	case v == nil:
		return "-"
	case !ok:
		return fmt.Sprint(v)
	case f == math.Trunc(f) || math.Abs(f) >= 100:
		return fmt.Sprintf("%.0f", f)
	case math.Abs(f) >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.3g", f)
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}
