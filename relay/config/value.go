package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The setters of this file are the kinds of values that a key may have.

// text takes a plain string that passes the check. "env:" and "file:" are refused: they would be
// taken for the value itself, and a directory of that name would be made without a word.
func text(to *string, check func(string) problem) setter {
	return func(d *decoder, at keyPath, raw any) {
		s, ok := d.text(at, raw)
		if !ok {
			return
		}
		if p := check(s); p != (problem{}) {
			d.fault(at, p)
			return
		}
		*to = s
	}
}

func (d *decoder) text(at keyPath, raw any) (string, bool) {
	s, ok := raw.(string)
	if !ok {
		d.wrongType(at, raw, "a string", "strings stand in quotes")
		return "", false
	}
	if strings.HasPrefix(s, "env:") || strings.HasPrefix(s, "file:") {
		d.fault(at, problem{"cannot come from env: or file:",
			"they work for tokens, keys, passwords, SMTP settings, URLs, secrets and headers"})
		return "", false
	}
	return s, true
}

// choice takes one of a few words.
func choice(to *string, words ...string) setter {
	return text(to, func(s string) problem {
		if slices.Contains(words, s) {
			return problem{}
		}
		hint := ""
		if best, ok := nearest(strings.ToLower(s), words); ok {
			hint = fmt.Sprintf("did you mean %q?", best)
		}
		quoted := `"` + strings.Join(words, `", "`) + `"`
		return problem{fmt.Sprintf("%q is not one of %s", s, quoted), hint}
	})
}

// mapped takes one of a few words that stand for something.
func mapped[T any](to *T, value func(word string) T, words ...string) setter {
	return func(d *decoder, at keyPath, raw any) {
		word := ""
		choice(&word, words...)(d, at, raw)
		if word != "" {
			*to = value(word)
		}
	}
}

// boolean takes true or false.
func boolean(to *bool) setter {
	return func(d *decoder, at keyPath, raw any) {
		b, ok := raw.(bool)
		if !ok {
			d.wrongType(at, raw, "true or false", "without quotes")
			return
		}
		*to = b
	}
}

// integer takes a whole number from low to high; why explains the bounds.
func integer(to *int, low, high int64, why string) setter {
	return func(d *decoder, at keyPath, raw any) {
		n, ok := raw.(int64)
		if !ok {
			d.wrongType(at, raw, "an integer", "a whole number without quotes, such as 8")
			return
		}
		if n < low || n > high {
			d.fault(at, problem{fmt.Sprintf("must be from %d to %d, but is %d", low, high, n), why})
			return
		}
		*to = int(n)
	}
}

// percentMax is the most that one can be warned at: what is above has happened.
const percentMax = 99

// percents takes a list of percentages, without repetitions.
func percents(to *[]int) setter {
	return func(d *decoder, at keyPath, raw any) {
		list, ok := raw.([]any)
		if !ok {
			d.wrongType(at, raw, "a list of percentages", "write [90] or [50, 75, 90]")
			return
		}
		if len(list) > warnAtMax {
			d.fault(at, bound{high: warnAtMax}.problem(len(list)))
			return
		}
		var found []int // nil when the list is empty: no warning
		for i, element := range list {
			n := 0
			integer(&n, 1, percentMax, "percent of defect.after_failed_jobs")(d, at.item(i), element)
			if n > 0 && slices.Contains(found, n) {
				d.note(at.item(i), problem{fmt.Sprintf("%d stands in the list twice", n), "leave one"})
			}
			found = append(found, n)
		}
		if d.sound(at...) {
			*to = found
		}
	}
}

// span bounds a duration. off, when set, says what 0s means: only then is it legal.
type span struct {
	low, high time.Duration
	off       string
	why       string
}

// duration takes a string such as "10m".
func duration(to *time.Duration, bounds span) setter {
	const hint = `write a number with ms, s, m, h or d in quotes, such as "10m"`
	return func(d *decoder, at keyPath, raw any) {
		s, ok := raw.(string)
		if !ok {
			d.wrongType(at, raw, "a duration in quotes", hint)
			return
		}
		value, ok := parseDuration(s)
		if !ok {
			d.fault(at, problem{fmt.Sprintf("%q is not a duration", s), hint})
			return
		}
		if value == 0 && bounds.off != "" {
			*to = 0
			return
		}
		if value < bounds.low || value > bounds.high {
			d.fault(at, bounds.problem(value))
			return
		}
		*to = value
	}
}

func (b span) problem(value time.Duration) problem {
	zero, why := "", b.why
	if b.off != "" {
		zero, why = ", or 0s", why+"; 0s: "+b.off
	}
	return problem{fmt.Sprintf("must be from %s to %s%s, but is %s", durationText(b.low),
		durationText(b.high), zero, durationText(value)), why}
}

// size takes a string such as "512KiB"; why explains the bounds.
func size(to *int64, low, high int64, why string) setter {
	const hint = `write a number with B, KiB, MiB, GiB, TiB (or KB, MB, GB, TB) in quotes, ` +
		`such as "512KiB"`
	return func(d *decoder, at keyPath, raw any) {
		s, ok := raw.(string)
		if !ok {
			d.wrongType(at, raw, "a size in quotes", hint)
			return
		}
		value, unknown, ok := parseSize(s)
		switch {
		case !ok && unknown != "":
			d.fault(at, problem{fmt.Sprintf("%q is not a size: no unit %q", s, unknown), hint})
		case !ok:
			d.fault(at, problem{fmt.Sprintf("%q is not a size", s), hint})
		case value < low || value > high:
			d.fault(at, problem{fmt.Sprintf("must be from %s to %s, but is %s",
				sizeText(low), sizeText(high), sizeText(value)), why})
		default:
			*to = value
		}
	}
}

// item is one string of a list and where it stands.
type item struct {
	at   keyPath
	text string
}

// bound says how many items a list has, and whether one string may stand for a list of one.
type bound struct {
	low, high int
	single    bool
	hint      string // why the bound, or an example
}

// items takes a list of strings. It returns those that are strings, and whether all were.
func (d *decoder) items(at keyPath, raw any, b bound) ([]item, bool) {
	if s, ok := raw.(string); ok && b.single {
		return []item{{at, s}}, true
	}
	list, ok := raw.([]any)
	if !ok {
		d.wrongType(at, raw, "a list of strings", b.hint)
		return nil, false
	}
	if len(list) < b.low || len(list) > b.high {
		d.fault(at, b.problem(len(list)))
		return nil, false
	}
	var found []item
	for i, element := range list {
		s, ok := element.(string)
		if !ok {
			d.wrongType(at.item(i), element, "a string", "strings stand in quotes")
			continue
		}
		found = append(found, item{at.item(i), s})
	}
	return found, len(found) == len(list)
}

func (b bound) problem(n int) problem {
	if n == 0 {
		return problem{"cannot be empty", b.hint}
	}
	return problem{fmt.Sprintf("has %d items, the most is %d", n, b.high), b.hint}
}

// texts takes a list of strings that all pass the check, without repetitions. A repetition is a
// fault, but the list is stored and sound: what is said is clear, and checked on.
func texts[T ~string](to *[]T, b bound, check func(string) problem) setter {
	return func(d *decoder, at keyPath, raw any) {
		list, ok := d.items(at, raw, b)
		var values []T // nil when the list is empty, as in Default
		for _, item := range list {
			if p := check(item.text); p != (problem{}) {
				d.fault(item.at, p)
				ok = false
				continue
			}
			if slices.Contains(values, T(item.text)) {
				d.note(item.at, problem{fmt.Sprintf("%q stands in the list twice", item.text),
					"leave one"})
			}
			values = append(values, T(item.text))
		}
		if ok {
			*to = values
		}
	}
}
