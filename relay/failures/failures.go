// Package failures gathers deliveries that fail alike: by the outcome of the last attempt, the
// status, the error and the first line of the answer. What it holds is bounded, and so is a look.
//
// Two errors or lines are alike when they differ only in what is an id, an instant or an address:
// a run of letters, digits and any of -_.: that is at least 8 bytes long and has at least 4 digits.
// Shorter numbers, such as codes of errors, tell failures apart.
package failures

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
)

// ShownMax bounds the groups that are listed, the largest ones; keptMax those that are held.
const (
	ShownMax = 64
	keptMax  = 1024
)

// Group is a number of deliveries whose last attempts failed alike.
type Group struct {
	Outcome string
	Status  int // 0: there was no answer
	// Error and Line, the first one of the answer, are those of the newest.
	Error, Line string
	// Pending wait for another attempt, Exhausted and Expired are kept.
	Pending, Exhausted, Expired int
	// First is when the first of them failed first, Last when the last of them failed last.
	First, Last time.Time
	// Seq is the event of the newest, Example its id as far as the caller knows it.
	Seq     uint64
	Example string
}

// Name is the one name of the group, the same for whatever is alike: it selects exactly them.
func (g *Group) Name() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{g.Outcome, strconv.Itoa(g.Status),
		alike(g.Error), alike(g.Line)}, "\x00")))
	return hex.EncodeToString(sum[:nameBytes])
}

// nameBytes are enough for the groups of a target: keptMax of them meet once in 500 million times.
const nameBytes = 6

// IsName reports whether a text can be the name of a group.
func IsName(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == nameBytes && strings.ToLower(text) == text
}

// Count is how many there are.
func (g *Group) Count() int { return g.Pending + g.Exhausted + g.Expired }

// Filter is what selects them in a listing, with others that are like them in that: the status, or,
// for those without an answer, a part of the error.
func (g *Group) Filter() (status, text string) {
	if g.Outcome == attempt.Status.String() {
		return strconv.Itoa(g.Status), ""
	}
	return "", Literal(g.Error)
}

// Groups are gathered by Add. The zero value is ready. It is not safe for concurrent use.
type Groups struct {
	groups map[key]*Group
	others int
}

type key struct {
	outcome     string
	status      int
	error, line string
}

// Add takes in a group, of one delivery or of many.
func (s *Groups) Add(g Group) {
	if s.groups == nil {
		s.groups = make(map[key]*Group)
	}
	k := key{g.Outcome, g.Status, alike(g.Error), alike(g.Line)}
	known := s.groups[k]
	switch {
	case known == nil && len(s.groups) >= keptMax:
		s.others += g.Count()
		return
	case known == nil:
		s.groups[k] = &g
		return
	}
	known.Pending += g.Pending
	known.Exhausted += g.Exhausted
	known.Expired += g.Expired
	if g.First.Before(known.First) {
		known.First = g.First
	}
	if !g.Last.Before(known.Last) {
		known.Last, known.Seq, known.Example = g.Last, g.Seq, g.Example
		known.Error, known.Line = g.Error, g.Line
	}
}

// AddOthers adds deliveries that another one has left out.
func (s *Groups) AddOthers(n int) { s.others += n }

// List are the groups, the largest first, and how many deliveries are in none of them.
func (s *Groups) List() (list []Group, others int) {
	others = s.others
	for _, g := range s.groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Group) int {
		return cmp.Or(b.Count()-a.Count(), b.Last.Compare(a.Last), strings.Compare(a.Error, b.Error),
			strings.Compare(a.Line, b.Line))
	})
	for len(list) > ShownMax {
		others += list[len(list)-1].Count()
		list = list[:len(list)-1]
	}
	return list, others
}
