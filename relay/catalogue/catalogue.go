// Package catalogue says what there is to know of an event type of Wati's before one has come: when
// it is sent, what its fields are, by the sample (package sample), and what it does to the session
// of its conversation, by the rules of the config in use. It is pure.
package catalogue

import (
	"slices"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/sample"
	"github.com/hookspool/hookspool/relay/session"
)

// Entry is one event type.
type Entry struct {
	Type string
	When string // it is sent, in words
	Side string // user, business or none
	// Effect is what it does to the session, in one sentence.
	Effect string
}

// List is the catalogue, sorted by type.
func List(rules *config.Session) []Entry {
	types := sample.Types()
	list := make([]Entry, len(types))
	for i, typ := range types {
		list[i], _ = Find(rules, typ)
	}
	return list
}

// Find is the entry of one type; false: it is not in the catalogue.
func Find(rules *config.Session, typ string) (Entry, bool) {
	payload, ok := sample.Payload(typ)
	if !ok {
		return Entry{}, false
	}
	v, err := fastjson.ParseBytes(payload)
	if err != nil {
		panic("BUG: a sample is not JSON: " + typ)
	}
	t := session.Read(rules, typ, inside{v})
	e := Entry{Type: typ, When: when(typ), Side: sideText(t.Side)}
	e.Effect = effect(rules, &t)
	return e, true
}

// inside is a session.Payload.
type inside struct{ v *fastjson.Value }

// At is part of session.Payload.
func (in inside) At(path string) *fastjson.Value { return in.v.Get(strings.Split(path, ".")...) }

func sideText(s session.Side) string {
	switch s {
	case session.SideUser:
		return "user"
	case session.SideBusiness:
		return "business"
	}
	return "none"
}

// effect is what an event does to its session (CONTRACT §7).
func effect(rules *config.Session, t *session.Talk) string {
	window := spanText(rules.Window)
	switch {
	case !rules.Enabled:
		return "sessions are off ([session] enabled)"
	case len(t.Keys) == 0:
		return "belongs to no conversation: no webhook-session, passes every session filter"
	case t.Side == session.SideUser:
		return "the user writes: active if a business message has opened a session, else inactive"
	case t.Side == session.SideBusiness:
		return "the business writes: opens a session of " + window + " unless one is open; active if " +
			"the user wrote in it, or less than " + window + " before it"
	}
	return "takes no side: carries the state that there is, and changes nothing"
}

// spanText is a duration without the zeros at its end.
func spanText(d time.Duration) string {
	text := d.String()
	if s, ok := strings.CutSuffix(text, "m0s"); ok {
		text = s + "m"
	}
	if s, ok := strings.CutSuffix(text, "h0m"); ok {
		text = s + "h"
	}
	return text
}

// Near is the type of the catalogue that was probably meant; empty: none is near.
func Near(typ string) string {
	types := sample.Types()
	for _, known := range types {
		if strings.EqualFold(known, typ) {
			return known
		}
	}
	best, least := "", min(len(typ)/3, 3)+1
	for _, known := range types {
		if d := distance(strings.ToLower(typ), strings.ToLower(known)); d < least {
			best, least = known, d
		}
	}
	return best
}

// distance is how many letters have to be put in, left out, changed or swapped with the next.
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := range len(a) {
		before2, before, row := rows[(i+2)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(before[j]+cost, before[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before2[j-1]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}

// Matches reports whether a pattern of a target's events matches a type.
func Matches(patterns []config.Pattern, typ string) bool {
	return slices.ContainsFunc(patterns, func(p config.Pattern) bool { return p.Match(typ) })
}
