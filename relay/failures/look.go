package failures

import (
	"strconv"
	"strings"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// lookedMax bounds the records that one page looks at.
const lookedMax = 20000

// Page is what one look has found.
type Page struct {
	// LookedAt are deliveries; Next is where the next page goes on, empty after the last.
	LookedAt int
	Next     string
	// Groups are listed as by Groups.List, without an Example. Others are in none of them.
	Groups []Group
	Others int
}

// CursorError: what to go on after is not the Next of a page.
type CursorError struct{}

func (CursorError) Error() string { return "after is not the next of an answer" }

// Look groups a page of what failed of a lane, oldest event first: what waits for another attempt,
// then what is kept. after is the Next of the page before; enough ends the page.
func Look(s look.Source, lane spool.LaneID, after string, enough func() bool) (Page, error) {
	var p Page
	q := look.Failing{Lane: lane, State: spool.StatePending, Most: lookedMax, Enough: enough}
	if err := readCursor(after, &q); err != nil {
		return p, err
	}
	var groups Groups
	for {
		looked, next, err := look.Failures(s, q, func(f look.Failed) { groups.Add(groupOf(&f)) })
		if err != nil {
			return p, err
		}
		if p.LookedAt += looked; next > 0 {
			p.Next = q.State.String() + "-" + strconv.FormatUint(next, 10)
			break
		}
		if q.State == spool.StateExhausted {
			break
		}
		q.State, q.From, q.Most = spool.StateExhausted, 0, max(1, lookedMax-p.LookedAt)
	}
	p.Groups, p.Others = groups.List()
	return p, nil
}

func readCursor(after string, q *look.Failing) (err error) {
	if after == "" {
		return nil
	}
	stage, seq, _ := strings.Cut(after, "-")
	if stage == spool.StateExhausted.String() {
		q.State = spool.StateExhausted
	} else if stage != q.State.String() {
		return CursorError{}
	}
	if q.From, err = strconv.ParseUint(seq, 10, 64); err != nil {
		return CursorError{}
	}
	return nil
}

// NameOf is the name of the group that a delivery is in; empty: it is in none, because it did not
// fail.
func NameOf(f *look.Failed) string {
	switch f.State {
	case spool.StatePending, spool.StateExhausted, spool.StateExpired:
	default:
		return ""
	}
	if f.LastError == "" && f.LastStatus == 0 {
		return ""
	}
	g := groupOf(f)
	return g.Name()
}

// groupOf is a group of one.
func groupOf(f *look.Failed) Group {
	g := Group{Outcome: "unknown", Status: f.LastStatus, Error: f.LastError, First: f.FirstFailed,
		Last: f.LastAt, Seq: f.Seq}
	if f.LastStatus > 0 {
		g.Outcome = attempt.Status.String()
	}
	if a := f.Last; a != nil && a.Error == f.LastError {
		g.Outcome, g.Line = attempt.Kind(a.Outcome).String(), FirstLine(string(a.Snippet))
		if g.Last.Before(a.At) { // no request was made then, for the reason that is told
			g.Last = a.At
		}
	}
	if g.First.IsZero() {
		g.First = g.Last
	}
	switch f.State {
	case spool.StatePending:
		g.Pending = 1
	case spool.StateExpired:
		g.Outcome, g.Expired = f.State.String(), 1
		if _, why, ok := strings.Cut(g.Error, "; before that: "); ok {
			g.Error = why // every one expired at another instant
		}
	default:
		g.Exhausted = 1
	}
	return g
}
