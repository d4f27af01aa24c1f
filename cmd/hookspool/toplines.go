package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rivo/uniseg"

	"github.com/hookspool/hookspool/cmd/hookspool/top"
	"github.com/hookspool/hookspool/relay/admin"
)

const (
	topHead = 6 // lines above the rows of targets: four of words, an empty one, the table's head
	topFoot = 2 // below them
	// topErrors is the least that is shown of an error: "answered 503 Se…".
	topErrors = 16
	// restarted is how long a restart is told of.
	restarted = 30 * time.Second
	inverse   = "\x1b[7m"
)

// listLines is how many targets the screen has room for.
func (w *watching) listLines() int { return max(w.rows-topHead-topFoot, 1) }

// lines is the whole screen.
func (w *watching) lines(now time.Time) []string {
	var lines []string
	var list []*admin.Target
	switch {
	case w.view.Help:
		lines = w.helpLines()
	case w.view.Detail != "":
		lines = append(w.headLines(now)[:1], w.detailLines(now)...)
	default:
		list = w.view.Of(w.news.targets)
		lines = append(w.headLines(now), w.targetLines(list, now)...)
	}
	most := max(w.rows-topFoot, 1)
	if len(lines) > most {
		lines = lines[:most]
	}
	for len(lines) < most {
		lines = append(lines, "")
	}
	lines = append(lines, "", w.footLine(list))
	if w.rows < len(lines) && (w.view.Help || w.view.Typing) {
		lines = lines[len(lines)-1:] // what is typed, and how to go back, more than anything else
	}
	lines = lines[:min(max(w.rows, 1), len(lines))]
	for i := range lines {
		lines[i] = cutPainted(lines[i], w.columns)
	}
	return lines
}

// cutPainted cuts a line, which may have colours, to so many columns: a table has a least width,
// and what is beyond a terminal's last column would be written over that.
func cutPainted(line string, columns int) string {
	if len(line) <= columns {
		return line
	}
	var b strings.Builder
	for room := columns; line != ""; {
		if end := strings.IndexByte(line, 'm'); line[0] == '\x1b' && end > 0 {
			b.WriteString(line[:end+1]) // a colour takes no room, and is to end
			line = line[end+1:]
			continue
		}
		cluster, rest, width, _ := uniseg.FirstGraphemeClusterInString(line, -1)
		line = rest
		if room -= width; room >= 0 {
			b.WriteString(cluster)
		}
	}
	return b.String()
}

// paint colours a text for the screen.
func (w *watching) paint(color, text string) string { return w.c.paint(w.c.out, color, text) }

// fit cuts a plain text to the screen.
func (w *watching) fit(text string) string { return truncate(clean(text), w.columns) }

// headLines is the relay as a whole.
func (w *watching) headLines(now time.Time) []string {
	s := w.news.status
	state, color := "ready", green
	switch {
	case w.news.err != nil:
		state, color = "away", red
	case !s.Ready:
		state, color = "not ready: "+strings.Join(s.Unready, "; "), red
	}
	name := clean("hookspool " + s.Version + " is ")
	at := now.UTC().Format(time.TimeOnly) + " UTC"
	rest := truncate(clean(fmt.Sprintf("%s, up %s, at %s", state, age(&s.StartedAt, now), s.Admin)),
		max(w.columns-len(name)-len(at)-1, 1))
	fill := strings.Repeat(" ", max(w.columns-len(name)-len(at)-uniseg.StringWidth(rest), 1))
	if after, whole := strings.CutPrefix(rest, clean(state)); whole {
		rest = w.paint(color, clean(state)) + after
	}
	spool := bytesText(s.SpoolBytes)
	if s.SpoolLimit > 0 {
		spool += fmt.Sprintf(" of %s (%d %%)", bytesText(s.SpoolLimit), 100*s.SpoolBytes/s.SpoolLimit)
	}
	head := name + rest + fill + w.paint(dim, at)
	if len(name)+len(at)+2 > w.columns {
		head = w.paint(color, w.fit(state+", "+at)) // the rest has no room
	}
	return []string{
		head,
		w.fit(fmt.Sprintf("accepts %s, %d pending, %d exhausted; ticks %s; spool %s",
			rateText(s.AcceptedPerSecond), s.Pending, s.Exhausted, tickText(s, now), spool)),
		w.troubleLine(),
		w.noticeLine(now),
	}
}

// troubleLine says how many targets need somebody, and why.
func (w *watching) troubleLine() string {
	counts, need := map[top.Trouble]int{}, 0
	for i := range w.news.targets {
		trouble := top.TroubleOf(&w.news.targets[i])
		if counts[trouble]++; trouble.NeedsYou() {
			need++
		}
	}
	var parts []string
	for _, p := range []struct {
		trouble top.Trouble
		word    string
	}{{top.Defective, "Defective"}, {top.Paused, "Paused"}, {top.Orphan, "orphan"},
		{top.Failing, "failing"}, {top.Behind, "behind"}} {
		if n := counts[p.trouble]; n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+p.word)
		}
	}
	all := count(len(w.news.targets), "target")
	text := all + ", none needs you"
	if need > 0 {
		text = fmt.Sprintf("%d of %s need you", need, all)
	}
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	switch {
	case counts[top.Defective] > 0:
		return w.paint(red, w.fit(text))
	case len(parts) > 0:
		return w.paint(yellow, w.fit(text))
	}
	return w.paint(green, w.fit(text))
}

// noticeLine says what a reader of the rest must know: that it is old, or how it comes.
func (w *watching) noticeLine(now time.Time) string {
	switch {
	case w.news.err != nil:
		return w.paint(red, w.fit(fmt.Sprintf("this is %s old; trying again: %s",
			age(&w.news.at, now), w.news.err)))
	case now.Sub(w.restarted) < restarted:
		return w.paint(yellow, w.fit("the relay was restarted "+ago(&w.restarted, now)))
	case w.news.way == "polling":
		return w.paint(dim, w.fit("asked every "+durationText(watchEvery)+": there is no stream"))
	}
	return ""
}

func (w *watching) footLine(list []*admin.Target) string {
	if w.view.Typing {
		return w.fit("/" + w.view.Filter + "_  Enter keeps it, Esc clears it")
	}
	if w.view.Help {
		return w.paint(dim, w.fit("any key goes back"))
	}
	if w.view.Detail != "" {
		return w.paint(dim, w.fit("Esc back  ↑↓ scroll  ? keys  Ctrl-C leaves"))
	}
	first, _ := w.view.Window(list, w.listLines())
	text := fmt.Sprintf("%d-%d of %d", min(first+1, len(list)),
		min(first+w.listLines(), len(list)), len(list))
	order := top.Orders()[w.view.Order].Name
	if w.view.Reversed {
		order += " reversed"
	}
	text += ", by " + order
	if w.view.Filter != "" {
		text += ", of /" + w.view.Filter
	}
	return w.paint(dim, w.fit(text+"  q leaves  Enter one target  / filter  s sort  ? keys"))
}

func (w *watching) helpLines() []string {
	names := make([]string, 0, len(top.Orders()))
	for _, o := range top.Orders() {
		names = append(names, o.Name)
	}
	lines := []string{"", "  q, Ctrl-C     leave", "  Ctrl-Z        stop; fg goes on",
		"  Up, Down      move (k, j; PgUp, PgDn; Home, End)",
		"  Enter         one target and its latest attempts; Esc goes back",
		"  /             filter by name, status or relay; Esc clears it",
		"  s, S          sort by the next, by the one before, of:",
		"                " + strings.Join(names, ", "),
		"  r             turn the order round", "  Ctrl-L        draw the screen again", "",
		"  OK/S, FAIL/S  attempts a second, means of the last 10 seconds",
		"  P50, P99      latency of the last attempts, 128 at most",
		"  WAITS-FOR     what the pending deliveries wait for, and why"}
	for i := range lines {
		lines[i] = w.fit(lines[i])
	}
	return lines
}

// targetLines is the table, its marked row turned round.
func (w *watching) targetLines(list []*admin.Target, now time.Time) []string {
	first, mark := w.view.Window(list, w.listLines())
	t := topTable()
	for i := first; i < min(first+w.listLines(), len(list)); i++ {
		sign := " "
		if i == mark {
			sign = ">"
		}
		t.add(topCells(sign, list[i], w.news.status, now)...)
	}
	colors := w.c.colored(w.c.out)
	lines := append([]string{""}, tableLines(t, w.columns, colors)...)
	lines[1] = w.paint(bold, lines[1])
	if at := 2 + mark - first; len(list) > 0 && at < len(lines) && colors {
		lines[at] = inverse + strings.ReplaceAll(lines[at], reset, reset+inverse) + reset
	}
	if len(list) == 0 {
		lines = append(lines, "there is no such target")
	}
	return lines
}

// tableLines is a table as lines that fit the screen.
func tableLines(t *table, columns int, colors bool) []string {
	return strings.Split(strings.TrimSuffix(t.render(columns, colors), "\n"), "\n")
}

func topTable() *table {
	return &table{columns: []column{
		{name: " TARGET", flex: true, min: 13},
		{name: "STATUS", flex: true, min: 9, color: statusColor},
		{name: "OK/S", right: true, spare: 3}, {name: "FAIL/S", right: true, color: failColor},
		{name: "P50", right: true, spare: 6}, {name: "P99", right: true, spare: 5},
		{name: "PENDING", right: true}, {name: "OLDEST", right: true, spare: 1},
		{name: "WAITS-FOR", flex: true, min: 8},
		{name: "LAST-ERROR", flex: true, min: topErrors, spare: 2},
	}}
}

func failColor(cell string) string {
	if cell == "-" {
		return ""
	}
	return red
}

func topCells(sign string, t *admin.Target, s *admin.Status, now time.Time) []string {
	lastError := ""
	if t.LastError != nil && top.TroubleOf(t) >= top.Failing {
		lastError = *t.LastError
	}
	return []string{sign + t.Name, statusText(t, now), perSecond(t.RateSuccess),
		perSecond(t.RateFailed), latencyOf(t.LatencyP50), latencyOf(t.LatencyP99),
		strconv.FormatUint(t.Pending, 10), age(t.OldestPending, now), waitsFor(t, s, now),
		dash(lastError)}
}

// perSecond is a rate in a table.
func perSecond(rate float64) string {
	switch {
	case rate == 0:
		return "-"
	case rate < 0.1:
		return "<0.1"
	case rate < 99.95:
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return strconv.FormatFloat(math.Round(rate), 'f', 0, 64)
}

// latencyOf is a latency in a table: three digits tell enough.
func latencyOf(s *float64) string {
	if s == nil {
		return "-"
	}
	switch d := seconds(*s); {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(100 * time.Millisecond).String()
	}
}

// waitsFor is what the pending deliveries of a target wait for, the shortest first, and why.
func waitsFor(t *admin.Target, s *admin.Status, now time.Time) string {
	tick := "the tick"
	if s.NextTick != nil {
		tick = "tick " + age(&now, *s.NextTick)
	}
	if t.EveryTicks > 1 {
		tick = fmt.Sprintf("one of %d ticks", t.EveryTicks)
	}
	failed := fmt.Sprintf("%s, %s in a row", tick, count(t.FailedJobs, "failed job"))
	switch {
	case t.Orphan:
		return "its table in the config"
	case t.Status == "Paused" && t.GoneSince != nil:
		return "resume, as it answered 410"
	case t.Status == "Paused":
		return "resume"
	case t.Status == "Disabled" && t.Pending > 0:
		return "the config, where it is Disabled"
	case t.Pending == 0:
		return "-"
	case t.HeldUntil != nil:
		return "Retry-After, " + age(&now, *t.HeldUntil)
	case t.InFlight == nil:
		return "not known: relay " + clean(t.Relay) + " does not answer"
	case t.JobRunning:
		return fmt.Sprintf("its job, %d in flight", *t.InFlight)
	case t.Status == "Defective", t.FailedJobs > 0:
		return failed
	case t.RateFailed > 0 && t.RateSuccess == 0:
		return tick + ", as it fails"
	case *t.InFlight > 0:
		return fmt.Sprintf("answers, %d in flight%s", *t.InFlight, turnText(t))
	case t.Rate != "" || t.Order != "" && t.Order != "none":
		return "its turn" + turnText(t)
	}
	return tick
}

// turnText says by what a target's deliveries take turns, if that is not by the room there is.
func turnText(t *admin.Target) string {
	text := ""
	if t.Order != "" && t.Order != "none" {
		text = ", after those before it in its order (" + t.Order + ")"
	}
	if t.Rate != "" {
		text += ", at " + t.Rate
	}
	return text
}

// detailLines is one target: what there is to know of it, and its latest attempts.
func (w *watching) detailLines(now time.Time) []string {
	var t *admin.Target
	for i := range w.news.targets {
		if w.news.targets[i].Name == w.view.Detail {
			t = &w.news.targets[i]
		}
	}
	lines := []string{w.noticeLine(now)}
	if t == nil {
		return append(lines, w.fit(w.view.Detail+" is not there any more"))
	}
	status := statusText(t, now)
	lines = append(lines, w.fit(t.Name)+" is "+w.paint(statusColor(status), status))
	waits := waitsFor(t, w.news.status, now)
	if waits == "-" {
		waits = ""
	}
	rows := append([][2]string{{"waits for", waits}}, targetRows(t, now)...)
	label := 0
	for _, row := range rows {
		label = max(label, len(row[0]))
	}
	for _, row := range rows {
		if row[1] != "" && len(lines) < w.rows/2 {
			lines = append(lines, w.fit(fmt.Sprintf("  %-*s  %s", label, row[0], row[1])))
		}
	}
	lines = append(lines, "")
	switch {
	case w.news.of != t.Name:
		return append(lines, "asking for its attempts …")
	case w.news.attemptsErr != nil:
		return append(lines, w.paint(red, w.fit("no attempts: "+w.news.attemptsErr.Error())))
	case len(w.news.attempts) == 0:
		return append(lines, "no attempt at it is kept")
	}
	all := tableLines(recentTable(w.news.attempts, now), w.columns, w.c.colored(w.c.out))
	lines = append(lines, w.paint(bold, all[0]))
	w.view.First = min(w.view.First, max(len(all)-2, 0))
	return append(lines, all[1+w.view.First:]...)
}
