package config

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration as the config has it; false: it is none. It may be negative.
func ParseDuration(text string) (time.Duration, bool) { return parseDuration(text) }

// parseDuration reads Go's syntax, preceded by days if wanted: "10m", "1h30m", "7d", "1.5d12h".
func parseDuration(text string) (time.Duration, bool) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		d, err := time.ParseDuration(text)
		return d, err == nil
	}
	n, ok := parseDecimal(days)
	if !ok || n > math.MaxInt64/float64(24*time.Hour)/2 {
		return 0, false
	}
	total := time.Duration(n * float64(24*time.Hour))
	if rest == "" {
		return total, true
	}
	more, err := time.ParseDuration(rest)
	if err != nil || strings.ContainsAny(rest, "+-") || more > math.MaxInt64-total {
		return 0, false
	}
	return total + more, true
}

// Rate is how many requests a target may get, and in what time. The zero Rate: as many as there
// are.
type Rate struct {
	N   int
	Per time.Duration // a second, a minute or an hour
}

// PerSecond is 0 if there is no bound.
func (r Rate) PerSecond() float64 {
	if r.N == 0 {
		return 0
	}
	return float64(r.N) / r.Per.Seconds()
}

// String is the rate as the config has it; empty: no bound.
func (r Rate) String() string {
	if r.N == 0 {
		return ""
	}
	return strconv.Itoa(r.N) + "/" + map[time.Duration]string{time.Second: "s", time.Minute: "m",
		time.Hour: "h"}[r.Per]
}

// parseRate reads "100/s", "600/m" or "1000/h", or nothing.
func parseRate(text string) (Rate, bool) {
	if text == "" {
		return Rate{}, true
	}
	number, unit, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 32)
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	return Rate{int(n), per}, err == nil && n > 0 && n <= rateMax && per > 0
}

// durationText is String without the zero minutes and seconds: "10m", not "10m0s".
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// unit is a power of 1000 or 1024 with its name.
type unit struct {
	name  string
	bytes int64
}

func sizeUnits() []unit {
	return []unit{
		{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
	}
}

// parseSize reads "512KiB", "1.5GiB" or "10GB". A part of a byte is dropped. unknown is the unit
// when it is that which is wrong.
func parseSize(text string) (bytes int64, unknown string, ok bool) {
	end := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(text)
	}
	n, ok := parseDecimal(text[:end])
	if !ok {
		return 0, "", false
	}
	for _, u := range sizeUnits() {
		if u.name != text[end:] {
			continue
		}
		if n *= float64(u.bytes); n >= 1<<62 {
			return 0, "", false
		}
		return int64(n), "", true
	}
	return 0, text[end:], false
}

// sizeText writes a size in the largest unit of 1024 that divides it, else of 1000.
func sizeText(bytes int64) string {
	for _, u := range sizeUnits() {
		if bytes != 0 && bytes%u.bytes == 0 {
			return strconv.FormatInt(bytes/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

// parseDecimal reads digits with at most one dot between them; no sign, exponent, Inf or NaN.
func parseDecimal(text string) (float64, bool) {
	whole, part, dotted := strings.Cut(text, ".")
	if !isDigits(whole) || dotted && !isDigits(part) {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
