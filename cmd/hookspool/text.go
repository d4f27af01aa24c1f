package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// clean makes a text safe for a terminal, which would obey control characters: what is not
// printable becomes an escape. Line breaks and tabs stay where text may have lines.
func clean(text string) string {
	ok := func(r rune) bool { return strconv.IsPrint(r) || r == '\n' || r == '\t' }
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !ok(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if ok(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x%02x`, r)
		}
	}
	return b.String()
}

// truncate cuts a text to so many columns of a screen, the last one then "…".
func truncate(text string, columns int) string {
	if uniseg.StringWidth(text) <= columns {
		return text
	}
	if columns < 1 {
		return ""
	}
	end, width, g := 0, 0, uniseg.NewGraphemes(text)
	for g.Next() {
		if width += g.Width(); width > columns-1 {
			break
		}
		_, end = g.Positions()
	}
	return text[:end] + "…"
}

// durationText writes a duration without zero parts: "10m", not "10m0s"; whole days as "7d".
func durationText(d time.Duration) string {
	if d >= 48*time.Hour && d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// age is how long ago an instant was, in one unit; "-" for none.
func age(at *time.Time, now time.Time) string {
	if at == nil || at.IsZero() {
		return "-"
	}
	d := max(now.Sub(*at), 0)
	switch {
	case d < 2*time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + "d"
}

// ago is age in a sentence; "never" for none.
func ago(at *time.Time, now time.Time) string {
	if at == nil || at.IsZero() {
		return "never"
	}
	return age(at, now) + " ago"
}

// seconds are those of the API as a duration.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// latencyText rounds to what a person compares.
func latencyText(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// bytesText writes a size in the largest binary unit, with one decimal where it needs one.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, i := float64(n), 0
	for value >= 1024 && i < len(units)-1 {
		value /= 1024
		i++
	}
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', 1, 64), ".0") + units[i]
}

// count writes a number with its noun: "1 event", "2 events".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok {
		return strconv.Itoa(n) + " " + stem + "ies"
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
