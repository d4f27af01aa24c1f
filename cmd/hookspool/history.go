package main

import (
	"context"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

// The spans of the API, and into how many rows and signs of a line each is gathered.
type historySpan struct {
	name  string
	rows  int
	signs int
	clock string // how a row is called by when it begins
}

func historySpans() []historySpan {
	return []historySpan{{"24h", 24, 48, "15:04"}, {"1h", 12, 30, "15:04"},
		{"30d", 30, 30, "2006-01-02 15:04"}}
}

func (c *cli) historyCommand() *cobra.Command {
	span := "24h"
	cmd := &cobra.Command{
		Use:   "history [TARGET]",
		Short: "Show what happened in the last day, hour or month",
		Long: "Show what happened to a target, or without one to the relay: how many deliveries were\n" +
			"accepted, how many attempts succeeded and failed, with which outcomes, and how long they\n" +
			"took. 24h and 1h are kept by minutes, 30d by hours, across restarts; a kill loses the\n" +
			"minute under way. P50 and P99 are the highest of the minutes, or hours, that a row\n" +
			"gathers.",
		Example: "  hookspool history crm\n  hookspool history crm --span 1h\n" +
			"  hookspool history --span 30d\n" +
			"  hookspool history crm --json | jq '.failed | map_values(add)'",
		Args:              arguments(0, "TARGET"),
		ValidArgsFunction: c.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			i := slices.IndexFunc(historySpans(), func(s historySpan) bool { return s.name == span })
			if i < 0 {
				return misuse("hookspool history --help", "--span is %q; it is 24h, 1h or 30d", span)
			}
			target := strings.Join(args, "")
			if target != "" {
				if err := checkTargetName(target); err != nil {
					return err
				}
			}
			return showHistory(cmd.Context(), c, target, historySpans()[i])
		},
	}
	cmd.Flags().StringVar(&span, "span", span, "the last 24h, 1h or 30d; a `SPAN`")
	err := cmd.RegisterFlagCompletionFunc("span", cobra.FixedCompletions([]string{"24h", "1h", "30d"},
		cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic("BUG: a flag is completed twice: " + err.Error())
	}
	return c.addAdminFlag(cmd)
}

func showHistory(ctx context.Context, c *cli, target string, span historySpan) error {
	relay, err := c.admin()
	if err != nil {
		return err
	}
	query := url.Values{"span": {span.name}}
	if target != "" {
		query.Set("target", target)
	}
	var h admin.History
	if err := relay.call(ctx, "GET", "/v1/history?"+query.Encode(), &h); err != nil {
		return c.explain(err)
	}
	if c.json {
		return c.printJSON(h)
	}
	of := "the relay"
	if target != "" {
		of = target
	}
	step := time.Duration(h.StepSeconds) * time.Second
	all := step * time.Duration(len(h.Accepted))
	c.print("%s, the last %s; a sign is %s, a row %s\n", c.paint(c.out, bold, clean(of)), span.name,
		durationText(all/time.Duration(span.signs)), durationText(all/time.Duration(span.rows)))
	if h.UnknownFrom != nil {
		c.print("%s\n", c.paint(c.out, yellow, unknownText(&h)))
	}
	for _, line := range historyLines(&h, span.signs) {
		c.print("%s\n", truncate(line, c.columnsFor(0)))
	}
	c.print("\n")
	c.printTable(historyTable(&h, span))
	return nil
}

// unknownText says from when on a history may lack something.
func unknownText(h *admin.History) string {
	return "since " + h.UnknownFrom.Local().Format("15:04") + " not known: " + clean(h.UnknownWhy)
}

// failedOf is how many attempts failed in each stretch.
func failedOf(h *admin.History) []uint32 {
	sum := make([]uint32, len(h.Accepted))
	for _, values := range h.Failed {
		for i, n := range values {
			sum[i] += n
		}
	}
	return sum
}

// historyLines draws each number as a line of signs, with what it comes to.
func historyLines(h *admin.History, signs int) []string {
	var lines []string
	add := func(name string, values []float64, end string) {
		lines = append(lines, "  "+name+strings.Repeat(" ", 11-len(name))+sparkline(values)+"  "+end)
	}
	counted := func(name string, values []uint32) {
		sums := gathered(values, signs, func(list []uint32) float64 { return float64(sumOf(list)) })
		add(name, sums, strconv.FormatUint(sumOf(values), 10))
	}
	took := func(name string, values []*float64) {
		highest := gathered(values, signs, highestOf)
		add(name, highest, millisecondsText(highestOf(values)))
	}
	counted("accepted", h.Accepted)
	if h.Target == "" {
		counted("unmatched", h.Unmatched)
		counted("refused", h.Refused)
	}
	counted("delivered", h.Delivered)
	counted("failed", failedOf(h))
	took("p50", h.P50)
	took("p99", h.P99)
	return lines
}

// historyTable is the numbers, row by row, the newest last.
func historyTable(h *admin.History, span historySpan) *table {
	t := &table{columns: []column{{name: "FROM"}, {name: "ACCEPTED", right: true},
		{name: "DELIVERED", right: true}, {name: "FAILED", right: true, color: failedColor},
		{name: "P50", right: true, spare: 2}, {name: "P99", right: true, spare: 1},
		{name: "FAILED WITH", flex: true, min: 12}}}
	failed, n := failedOf(h), len(h.Accepted)/span.rows
	for i := 0; i+n <= len(h.Accepted); i += n {
		begins := h.From.Add(time.Duration(i*h.StepSeconds) * time.Second)
		told := countOrDash
		ends := begins.Add(time.Duration(n*h.StepSeconds) * time.Second)
		if h.UnknownFrom != nil && ends.After(*h.UnknownFrom) {
			told = atLeast
		}
		t.add(begins.Local().Format(span.clock), told(h.Accepted[i:i+n]),
			told(h.Delivered[i:i+n]), told(failed[i:i+n]),
			millisecondsText(highestOf(h.P50[i:i+n])), millisecondsText(highestOf(h.P99[i:i+n])),
			outcomesText(h.Failed, i, i+n))
	}
	return t
}

func failedColor(cell string) string {
	if cell == "-" || cell == "?" {
		return ""
	}
	return red
}

// atLeast is a sum of what may be more.
func atLeast(values []uint32) string {
	if sum := sumOf(values); sum > 0 {
		return "≥ " + strconv.FormatUint(sum, 10)
	}
	return "?"
}

// outcomesText is what failed in some stretches, the commonest outcome first.
func outcomesText(failed map[string][]uint32, from, to int) string {
	type outcome struct {
		name string
		n    uint64
	}
	var list []outcome
	for name, values := range failed {
		if n := sumOf(values[from:to]); n > 0 {
			list = append(list, outcome{name, n})
		}
	}
	slices.SortFunc(list, func(a, b outcome) int {
		if a.n != b.n {
			return int(int64(b.n) - int64(a.n))
		}
		return strings.Compare(a.name, b.name)
	})
	var text []string
	for _, o := range list {
		text = append(text, o.name+" "+strconv.FormatUint(o.n, 10))
	}
	return dash(strings.Join(text, ", "))
}

// gathered are as many values as there are signs, each of equally many stretches.
func gathered[T any](values []T, signs int, gather func([]T) float64) []float64 {
	n := max(1, len(values)/signs)
	var out []float64
	for i := 0; i+n <= len(values); i += n {
		out = append(out, gather(values[i:i+n]))
	}
	return out
}

func sumOf(values []uint32) (sum uint64) {
	for _, n := range values {
		sum += uint64(n)
	}
	return sum
}

// highestOf is the highest that there is; 0: there is none.
func highestOf(values []*float64) (highest float64) {
	for _, v := range values {
		if v != nil {
			highest = max(highest, *v)
		}
	}
	return highest
}

func countOrDash(values []uint32) string {
	if sum := sumOf(values); sum > 0 {
		return strconv.FormatUint(sum, 10)
	}
	return "-"
}

func millisecondsText(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return latencyText(time.Duration(ms * float64(time.Millisecond)))
}

// sparkline draws values from 0 to the highest one, and "·" for nothing.
func sparkline(values []float64) string {
	var b strings.Builder
	highest := 0.0
	for _, v := range values {
		highest = max(highest, v)
	}
	for _, v := range values {
		if v <= 0 {
			b.WriteRune('·')
		} else {
			b.WriteRune([]rune("▁▂▃▄▅▆▇█")[int(math.Ceil(v/highest*8))-1])
		}
	}
	return b.String()
}
