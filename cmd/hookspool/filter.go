package main

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hookspool/hookspool/relay/moment"
	"github.com/hookspool/hookspool/relay/sieve"
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
	stateExpired   = "expired"
)

// filter is what narrows a listing or a replay down; the zero value narrows nothing.
type filter struct {
	target, state, typ, since, until, id string
	where                                []string
	conversation, session, status, err   string
	failure                              string

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
	flags.StringVar(&f.since, "since", "", "only events accepted since this `INSTANT`: how long ago "+
		"(15m, 7d), 22:00 for the last time it was that, '2026-11-27 22:00', or RFC 3339")
	flags.StringVar(&f.until, "until", "", "only events accepted by this `INSTANT`")
	f.addChoice(flags)
}

// addChoice gives a verb the flags that look into events and at what came back.
func (f *filter) addChoice(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.where, "where", nil, "only events of which this `CONDITION` holds: "+
		"PATH=VALUE such as waId=491701234567, PATH!=VALUE, or a jq program; several must all hold")
	flags.StringVar(&f.conversation, "conversation", "", "only events of the conversation with this "+
		"`KEY`: a waId, conversationId …, or FIELD=KEY")
	flags.StringVar(&f.session, "session", "", "only events whose `SESSION` was active or inactive; "+
		"none: without a conversation")
	flags.StringVar(&f.status, "status", "", "only deliveries whose last answer had this `STATUS`: "+
		"503, or 5xx")
	flags.StringVar(&f.err, "error", "", "only deliveries whose last error has this `TEXT` in it, or "+
		"is an outcome of this name (timeout, tls)")
	flags.StringVar(&f.failure, "failure", "", "only deliveries that failed like this `GROUP` of "+
		"hookspool failures")
	flags.StringVar(&f.id, "id", "", "only the event with this `ID`, or those whose id begins so: "+
		"'order-17*'")
}

// checkNarrowing refuses a flag that narrows a listing, a replay or a purge down to nothing at all:
// of a shell's variable that is not set, everything would be listed, replayed or purged.
func checkNarrowing(cmd *cobra.Command) (err error) {
	if !slices.Contains([]string{"events", "deliveries", "exhausted", "replay", "purge", "actions",
		"export"}, cmd.Name()) {
		return nil
	}
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if flag.Value.Type() == "string" && flag.Value.String() == "" && err == nil &&
			!slices.Contains([]string{"config", "admin", "dir", "out"}, flag.Name) {
			err = misuse("leave it out, or say which", "--%s is empty", flag.Name)
		}
	})
	return err
}

// choice is what is asked for by the flags of addChoice.
func (f *filter) choice() *sieve.Choice {
	c := &sieve.Choice{Where: f.where, Conversation: f.conversation, Session: f.session,
		Status: f.status, Error: f.err, Failure: f.failure}
	c.IDPrefix, _ = strings.CutSuffix(f.id, "*")
	return c
}

// checkChoice refuses what no relay takes.
func (f *filter) checkChoice() error {
	err := sieve.Check(f.choice())
	fault, is := errors.AsType[*sieve.Fault](err)
	switch {
	case !is:
		return err
	case fault.Param == "where":
		return misuse(sieve.WhereHint, "--%s", fault)
	}
	return misuse("leave it out, or mend it", "--%s", fault)
}

// addPaging gives a verb the flags that say how much to list.
func (f *filter) addPaging(flags *pflag.FlagSet) {
	flags.IntVar(&f.limit, "limit", limitDefault, "list `N` at most")
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
	if err := f.checkWindow(now); err != nil {
		return err
	}
	return f.checkChoice()
}

// checkWindow reads --since and --until in the time zone of now, and leaves RFC 3339.
func (f *filter) checkWindow(now time.Time) error {
	from, to, err := moment.Window(f.since, f.until, now)
	if wrong, is := errors.AsType[*moment.Error](err); is {
		return misuse(moment.Forms, "--%s is %q, which is no instant", wrong.What, wrong.Text)
	}
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		return misuse("swap them", "--until %s is before --since %s", f.until, f.since)
	}
	f.since, f.until = instantText(from), instantText(to)
	return nil
}

func instantText(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}

// values are the parameters of a call.
func (f *filter) values() url.Values {
	v := url.Values{}
	for _, p := range f.parts() {
		if p[1] != "" {
			v.Add(p[0], p[1])
		}
	}
	return v
}

// parts are the names and values of what narrows; the flags and the API call them the same.
func (f *filter) parts() [][2]string {
	list := [][2]string{{"target", f.target}, {"state", f.state}, {"type", f.typ}}
	for _, where := range f.where {
		list = append(list, [2]string{"where", where})
	}
	return append(list, [][2]string{{"conversation", f.conversation}, {"session", f.session},
		{"status", f.status}, {"error", f.err}, {"failure", f.failure}, {"since", f.since},
		{"until", f.until}, {"id", f.id}}...)
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
