package outlook

import (
	"strconv"
	"strings"
	"time"
)

// instant is a point in time as sentences have it: in UTC, to the second, with the day unless that
// is today.
func instant(at, now time.Time) string { return stamp(at, now, "15:04:05") }

// stamp is instant with another layout of the time of day.
func stamp(at, now time.Time, clock string) string {
	at, now = at.UTC(), now.UTC()
	if at.YearDay() != now.YearDay() || at.Year() != now.Year() {
		clock = time.DateOnly + " " + clock
	}
	return at.Format(clock) + " UTC"
}

func (t *Target) holdText() string {
	switch t.Hold {
	case Orphan:
		return "held: " + t.Name + " is not in the config any more, and nothing is sent until its " +
			"table returns"
	case Disabled:
		return "held: " + t.Name + " is disabled by the config"
	case ByConfig:
		return "held: " + t.Name + " is paused by the config"
	case ByGone:
		return "held: " + t.Name + " is paused since " + instant(t.GoneSince, t.Now) +
			", because it answered 410 Gone"
	}
	return "held: " + t.Name + " is paused"
}

func (t *Target) holdHint() string {
	switch t.Hold {
	case Orphan:
		return "put its table back and reload; or hookspool purge --target " + t.Name
	case Disabled, ByConfig:
		return `set status = "enabled" in its table and reload`
	}
	return "hookspool resume " + t.Name
}

func (t *Target) defectText() string {
	return "waiting: " + t.Name + " is Defective since " + instant(t.DefectiveSince, t.Now) + " (" +
		several(t.FailedJobs, "failed job", "failed jobs") + " in a row" +
		prefixed(", last: ", t.LastError) + ")"
}

// turnText is what a delivery waits for that was never tried, at a target that is sent to.
func (t *Target) turnText() string {
	text := "waiting for its turn"
	if t.Fresh <= t.InFlight {
		text = "sending: its first try is under way"
	} else {
		text += ": " + strconv.FormatUint(t.Fresh, 10) + " not tried yet, " +
			strconv.FormatUint(t.InFlight, 10) + " under way"
	}
	if t.Rate != "" {
		text += ", at most " + t.Rate
	}
	if t.Order != "" {
		text += ", in order (" + t.Order + ")"
	}
	if t.Batch != "" {
		text += ", in batches of " + t.Batch
	}
	return text
}

// tickText is what a delivery waits for that needs a job.
func (d *Delivery) tickText() string {
	switch {
	case d.Attempts == 0 && d.LastError != "":
		return "waiting: no request could be made" + lastText(d.LastError)
	case d.Attempts == 0 && d.Replay:
		return "waiting: it is to be sent again"
	case d.Attempts == 0:
		return "waiting: it was held by its order, and is the first of it now"
	}
	return "waiting: the last try failed" + lastText(d.LastError)
}

// receiptText is how a delivery was acknowledged, as far as that is known.
func receiptText(now time.Time, d *Delivery) string {
	r := &d.Receipt
	text := "delivered"
	if !r.At.IsZero() {
		text += " " + stamp(r.At, now, "15:04:05.000")
	}
	if r.Status != 0 {
		text += ", " + strconv.Itoa(r.Status)
	}
	if r.Took > 0 {
		text += ", " + milliseconds(r.Took)
	}
	if d.Attempts > 1 {
		text += ", after " + strconv.Itoa(d.Attempts) + " tries"
	}
	return text
}

// milliseconds is a duration as receipts have it, 0.1 at least.
func milliseconds(d time.Duration) string {
	d = max(d, time.Millisecond/10)
	if d < 10*time.Millisecond {
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
	}
	return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
}

// lastText is an error in brackets, or nothing.
func lastText(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func several(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// idFlag selects the event of a delivery in a command.
func idFlag(d *Delivery) string {
	if d.ID == "" {
		return ""
	}
	return " --id " + Quote(d.ID)
}

// Quote makes one word of a shell.
func Quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_./:,+@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
