package main

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/hookspool/hookspool/relay/config"
)

const (
	limitDefault = 100
	pageMax      = 1000 // what one page of the API holds
)

// The states of a delivery, in the words of the API.
const (
	statePending   = "pending"
	stateDelivered = "delivered"
	stateExhausted = "exhausted"
	statePurged    = "purged"
)

// filter is what narrows a listing or a replay down; the zero value narrows nothing.
type filter struct {
	target, state, typ, since, until, id string

	limit int
	all   bool
	after string
}

// addFilter gives a verb the flags that choose events.
func (f *filter) addFilter(flags *pflag.FlagSet, states ...string) {
	flags.StringVar(&f.target, "target", "", "only the target with this `NAME`")
	if len(states) > 0 {
		flags.StringVar(&f.state, "state", "", "only this `STATE`: "+orList(states))
	}
	flags.StringVar(&f.typ, "type", "", "only events of this `TYPE`, which may have a *")
	flags.StringVar(&f.since, "since", "", "only events accepted since this `INSTANT`: RFC 3339, or "+
		"how long ago (15m, 7d)")
	flags.StringVar(&f.until, "until", "", "only events accepted by this `INSTANT`")
}

// addPaging gives a verb the flags that say how much to list.
func (f *filter) addPaging(flags *pflag.FlagSet) {
	flags.IntVar(&f.limit, "limit", limitDefault, "list at most this `MANY`")
	flags.BoolVar(&f.all, "all", false, "list all; with --json one a line (NDJSON)")
	flags.StringVar(&f.after, "after", "", "go on at a `CURSOR`, the \"next\" of an answer")
}

// check refuses what no relay takes, and turns "how long ago" into instants: the pages of one
// listing must all mean the same.
func (f *filter) check(now time.Time, states ...string) error {
	if f.target != "" {
		if err := checkTargetName(f.target); err != nil {
			return err
		}
	}
	if f.state != "" && !slices.Contains(states, f.state) {
		return misuse("leave it out, or choose one of these", "--state is %q; it is %s", f.state,
			orList(states))
	}
	if f.limit < 0 || f.limit == 0 && !f.all {
		return misuse("--all lists all", "--limit is %d; it is a number from 1 on", f.limit)
	}
	var err error
	if f.since, err = instant("--since", f.since, now); err != nil {
		return err
	}
	if f.until, err = instant("--until", f.until, now); err != nil {
		return err
	}
	if f.since != "" && f.until != "" && timeOf(f.until).Before(timeOf(f.since)) {
		return misuse("swap them", "--until %s is before --since %s", f.until, f.since)
	}
	return nil
}

// instant reads RFC 3339 or how long ago; it returns RFC 3339, or nothing for nothing.
func instant(flag, text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if d, ok := config.ParseDuration(text); ok && d >= 0 {
		return now.Add(-d).UTC().Format(time.RFC3339Nano), nil
	}
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return "", misuse("write it like 2006-01-02T15:04:05Z, or 15m, 24h, 7d for that long ago",
			"%s is %q, which is no instant", flag, text)
	}
	return text, nil
}

// timeOf reads what instant returned.
func timeOf(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic("BUG: an instant was not checked: " + err.Error())
	}
	return t
}

// values are the parameters of a call.
func (f *filter) values() url.Values {
	v := url.Values{}
	for _, p := range f.parts() {
		if p[1] != "" {
			v.Set(p[0], p[1])
		}
	}
	return v
}

// parts are the names and values of what narrows; the flags and the API call them the same.
func (f *filter) parts() [][2]string {
	return [][2]string{{"target", f.target}, {"state", f.state}, {"type", f.typ},
		{"since", f.since}, {"until", f.until}, {"id", f.id}}
}

// again is the command line that goes on at a cursor.
func (c *cli) again(f *filter, verb, after string) string {
	words := []string{"hookspool", verb}
	for _, p := range [][2]string{{"--config", c.config}, {"--admin", c.adminURL}} {
		if p[1] != "" {
			words = append(words, p[0], shellQuote(p[1]))
		}
	}
	for _, p := range f.parts() {
		if p[1] != "" && !(verb == stateExhausted && p[0] == "state") {
			words = append(words, "--"+p[0], shellQuote(p[1]))
		}
	}
	if f.limit > 0 && f.limit != limitDefault {
		words = append(words, "--limit", strconv.Itoa(f.limit))
	}
	if f.all {
		words = append(words, "--all")
	}
	if after != "" {
		words = append(words, "--after", shellQuote(after))
	}
	return strings.Join(words, " ")
}

// shellQuote makes one word of a POSIX shell.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_./:,+@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// orList is "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
