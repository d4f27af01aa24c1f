package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/jq"
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
		lower := make([]string, len(words)) // case is a slip like others
		for i, word := range words {
			lower[i] = strings.ToLower(word)
		}
		if best, ok := nearest(strings.ToLower(s), lower); ok {
			hint = fmt.Sprintf("did you mean %q?", words[slices.Index(lower, best)])
		}
		quoted := `"` + strings.Join(words, `", "`) + `"`
		return problem{fmt.Sprintf("%q is not one of %s", s, quoted), hint}
	})
}

// program takes a jq program, or nothing. A fault of it is placed inside of the string.
func program(to *string) setter {
	return func(d *decoder, at keyPath, raw any) {
		s, ok := d.text(at, raw)
		if !ok || s == "" {
			return
		}
		if strings.TrimSpace(s) == "" {
			d.fault(at, problem{"is blank", `write "" for none`})
			return
		}
		_, err := jq.Compile(s)
		var fault *jq.Fault
		if errors.As(err, &fault) {
			d.faultInside(at, fault.Offset, problem{"is no jq program: " + fault.Message,
				"hookspool help filtering has programs to begin with"})
			return
		}
		*to = s
	}
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

// optionalDuration takes a duration, or nothing.
func optionalDuration(to *time.Duration, bounds span) setter {
	return func(d *decoder, at keyPath, raw any) {
		if raw == "" {
			*to = 0
			return
		}
		duration(to, bounds)(d, at, raw)
	}
}

// durations takes a list of durations.
func durations(to *[]time.Duration, many bound, each span) setter {
	return func(d *decoder, at keyPath, raw any) {
		list, ok := d.items(at, raw, many)
		var values []time.Duration // nil when the list is empty, as in Default
		for _, item := range list {
			var value time.Duration
			duration(&value, each)(d, item.at, item.text)
			ok = ok && d.sound(item.at...)
			values = append(values, value)
		}
		if ok {
			*to = values
		}
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

// rate takes a number of requests in a second, a minute or an hour; empty: no bound.
func rate(to *Rate) setter {
	return func(d *decoder, at keyPath, raw any) {
		text, ok := d.text(at, raw)
		if !ok {
			return
		}
		r, ok := parseRate(text)
		if !ok {
			d.fault(at, problem{fmt.Sprintf("%q is not a rate", text), fmt.Sprintf(
				`write "100/s", "600/m" or "1000/h", a whole number from 1 to %d; "": no bound`, rateMax)})
			return
		}
		*to = r
	}
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

// optionalURL takes an absolute http or https URL, or nothing.
func optionalURL(to **url.URL) setter {
	return func(d *decoder, at keyPath, raw any) {
		var parsed *url.URL
		var written string
		resolved(&written, func(s string) (p problem) {
			parsed, p = parseURL(s)
			return p
		})(d, at, raw)
		*to = parsed
	}
}

// parseURL describes what is wrong instead of wrapping url.Parse's error, which quotes its input:
// user-info and query may be secret.
func parseURL(s string) (*url.URL, problem) {
	const hint = `write "https://host/path"`
	if len(s) > urlBytesMax {
		return nil, problem{fmt.Sprintf("is longer than %d bytes", urlBytesMax), ""}
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, problem{"holds a space or a control character", "write %20 for a space"}
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, problem{"is not a URL",
			`a port is a number, and special characters in user-info are written as %XX`}
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, problem{"is not an absolute http:// or https:// URL with a host", hint}
	}
	if strings.Contains(s, "#") {
		return nil, problem{"has a fragment, which is never sent",
			"remove # and what follows, or write %23"}
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, ok := parsePort(port); !ok || n == 0 {
			return nil, problem{"has no port from 1 to 65535 after the colon", hint}
		}
	}
	return u, problem{}
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

// distinct takes a list of what is secret, or may hold a secret: what is a word for one of them.
func distinct(to *[]Secret, many bound, what string, check func(string) problem) setter {
	return func(d *decoder, at keyPath, raw any) {
		list, ok := d.items(at, raw, many)
		var found []Secret
		for _, item := range list {
			s, read := d.resolve(item.at, item.text)
			if !read {
				continue
			}
			p := check(s)
			if p == (problem{}) && slices.Contains(found, Secret(s)) {
				p = problem{"is the same " + what + " as one before it", "leave one"}
			}
			if p != (problem{}) {
				d.fault(item.at, p)
				continue
			}
			found = append(found, Secret(s))
		}
		if ok && d.sound(at...) {
			*to = found
		}
	}
}

// pairing says what the names and values of a table may be.
type pairing struct {
	most  int
	what  string // they are, for people
	hint  string // an example
	name  func(name string, before []Header) problem
	value func(string) problem
}

// pairs takes a table of names and values. A fault of a name is placed at the name, and one of a
// value as well, and neither quotes the value.
func pairs(to *[]Header, p pairing) setter {
	return func(d *decoder, at keyPath, raw any) {
		table, ok := raw.(map[string]any)
		if !ok {
			d.wrongType(at, raw, "a table", p.hint)
			return
		}
		if len(table) > p.most {
			d.fault(at, problem{fmt.Sprintf("has %d %s, the most is %d", len(table), p.what, p.most), ""})
			return
		}
		var found []Header
		for _, name := range slices.Sorted(maps.Keys(table)) {
			h := Header{Name: name}
			resolved(&h.Value, p.value)(d, at.key(name), table[name])
			if bad := p.name(name, found); bad != (problem{}) {
				d.fault(at.key(name), bad)
			}
			found = append(found, h)
		}
		*to = found
	}
}

// defaultType is a type, so any text is legal, also one that begins with "env:".
func defaultType(to *string) setter {
	return func(d *decoder, at keyPath, raw any) {
		s, ok := raw.(string)
		switch {
		case !ok:
			d.wrongType(at, raw, "a string", "strings stand in quotes")
		case len(s) > typeBytesMax || hasControl(s):
			d.fault(at, problem{fmt.Sprintf("a type is at most %d bytes without control characters",
				typeBytesMax), ""})
		default:
			*to = s
		}
	}
}
