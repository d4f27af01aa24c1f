package relay

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// This file says where events and deliveries are. Every answer is a bounded look into the spool.

// Event is part of admin.Finder.
func (r desk) Event(id string) (admin.Event, error) {
	e, err := r.eventByID(id)
	if err != nil {
		return admin.Event{}, err
	}
	out := admin.Event{ID: e.ID(), Type: e.Type(), ContentType: e.ContentType(),
		AcceptedAt: e.At.UTC(), Session: e.Session.String(), Bytes: len(e.Payload()),
		Deliveries: []admin.DeliveryState{}}
	places, err := look.Places(r.spool, e)
	if err != nil {
		return admin.Event{}, err
	}
	for i := range places {
		out.Deliveries = append(out.Deliveries, deliveryState(&places[i]))
	}
	return out, nil
}

func (r desk) eventByID(id string) (*spool.Event, error) {
	e, err := look.EventByID(r.spool, id)
	if errors.Is(err, spool.ErrNotFound) {
		no := admin.Refuse(404, accept.CodeNotFound, "there is no event %.256q", id)
		no.Hint = "delivered events are kept for spool.keep_delivered; one that no target wanted " +
			"was never spooled"
		return nil, no
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look up an event: %w", err)
	}
	return e, nil
}

// Payload is part of admin.Finder.
func (r desk) Payload(id string) ([]byte, error) {
	e, err := r.eventByID(id)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(e.Payload()), nil
}

// Events is part of admin.Finder.
func (r desk) Events(q admin.EventQuery) (admin.Events, error) {
	s := look.Query{Since: q.Since, Until: q.Until, Match: matcher(q.Type),
		State: stateNamed(q.State), Limit: q.Limit}
	var err error
	if s.Below, err = readCursor(q.After); err != nil {
		return admin.Events{}, err
	}
	if q.Target != "" {
		l := r.laneNamed(q.Target)
		if l == nil {
			return admin.Events{}, noTarget(q.Target)
		}
		s.Lane = l.spool.ID()
	}
	found, next, err := look.Search(r.spool, s)
	if err != nil {
		return admin.Events{}, err
	}
	page := admin.Events{Events: make([]admin.Event, len(found)), Next: cursor(next)}
	for i := range found {
		f := &found[i]
		page.Events[i] = admin.Event{ID: f.ID, Type: f.Type, ContentType: f.ContentType,
			AcceptedAt: f.At.UTC(), Session: f.Session.String(), Bytes: f.Bytes,
			Deliveries: make([]admin.DeliveryState, len(f.Places))}
		for k := range f.Places {
			page.Events[i].Deliveries[k] = deliveryState(&f.Places[k])
		}
	}
	return page, nil
}

// Deliveries is part of admin.Finder. Without a target a cursor names the one to go on with; a page
// holds deliveries of one target, so that it costs one look.
func (r desk) Deliveries(q admin.Query) (admin.Deliveries, error) {
	lanes := r.shownLanes()
	after, name := q.After, q.Target
	if name == "" {
		after, name, _ = strings.Cut(q.After, "@")
	}
	from, err := readCursor(after)
	if err != nil {
		return admin.Deliveries{}, err
	}
	if q.Target != "" {
		l := r.laneNamed(q.Target)
		if l == nil {
			return admin.Deliveries{}, noTarget(q.Target)
		}
		lanes = []*lane{l}
	}
	for i, l := range lanes {
		if l.name < name || !has(l, q.State) {
			continue
		}
		if l.name > name {
			from = 0 // the one that the cursor names is gone
		}
		page, next, err := deliveries(l, &q, from)
		if page.Next = cursor(next); q.Target == "" {
			page.Next = goOn(l, next, lanes[i+1:], q.State)
		}
		return page, err
	}
	return admin.Deliveries{}, nil
}

// goOn is the cursor after a page of a target: in it, or at the next one that has something.
func goOn(l *lane, next uint64, rest []*lane, state string) string {
	if next > 0 {
		return cursor(next) + "@" + l.name
	}
	for _, l := range rest {
		if has(l, state) {
			return "0@" + l.name
		}
	}
	return ""
}

// has reports whether a target may have deliveries in a state.
func has(l *lane, state string) bool {
	c := l.spool.Counts()
	switch stateNamed(state) {
	case spool.StatePending:
		return c.Pending > 0
	case spool.StateExhausted:
		return c.Exhausted > 0
	}
	return c.Delivered > 0
}

// deliveries is one page of a target.
func deliveries(l *lane, q *admin.Query, from uint64) (admin.Deliveries, uint64, error) {
	found, next, err := find(l, q, from)
	page := admin.Deliveries{Deliveries: make([]admin.Delivery, len(found))}
	for i := range found {
		f := &found[i]
		page.Deliveries[i] = admin.Delivery{ID: f.ID, Type: f.Type, AcceptedAt: f.At.UTC(),
			Bytes: f.Bytes, DeliveryState: deliveryState(&f.Places[0])}
	}
	return page, next, err
}

// find is one page of the deliveries of a target in one state, each with its one place.
func find(l *lane, q *admin.Query, from uint64) ([]look.Found, uint64, error) {
	state := stateNamed(q.State)
	if state == spool.StateDelivered {
		return look.Search(l.r.spool, look.Query{Below: from, Since: q.Since, Until: q.Until,
			Match: matcher(q.Type), Lane: l.spool.ID(), LaneOnly: true, State: state, Limit: q.Limit})
	}
	return look.List(l.r.spool, look.Listing{Lane: l.spool.ID(), State: state, From: from,
		Since: q.Since, Until: q.Until, Match: matcher(q.Type), Limit: q.Limit})
}

// stateNamed is the state of a word of the API; none for no word.
func stateNamed(word string) spool.State {
	for s := spool.StatePending; s <= spool.StateExhausted; s++ {
		if s.String() == word {
			return s
		}
	}
	return spool.StateNone
}

// matcher matches types as the config's patterns do; nil: all.
func matcher(typ string) func(string) bool {
	if typ == "" || typ == "*" {
		return nil
	}
	return config.Pattern(typ).Match
}

// cursor is where a listing goes on, as its callers carry it.
func cursor(next uint64) string {
	if next == 0 {
		return ""
	}
	return strconv.FormatUint(next, 10)
}

func readCursor(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	next, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, admin.Refuse(400, accept.CodeMalformed, "after is not the next of an answer")
	}
	return next, nil
}

func deliveryState(p *look.Place) admin.DeliveryState {
	return admin.DeliveryState{Target: p.Target, State: p.State.String(), Attempts: p.Attempts,
		FirstFailure: instantOrNil(p.FirstFailed), LastAttempt: instantOrNil(p.LastAt),
		LastStatus: p.LastStatus, LastError: p.LastError, Replay: p.Replay}
}

// Attempts is part of admin.Finder.
func (r desk) Attempts(id, target string) (admin.Attempts, error) {
	e, err := r.eventByID(id)
	if err != nil {
		return admin.Attempts{}, err
	}
	out := admin.Attempts{ID: e.ID()}
	owed := target == ""
	for _, l := range r.spool.OwedBy(e) {
		if target != "" && l.Name() != target {
			continue
		}
		owed = true
		recent, _ := l.Recent(0)
		list, err := look.History(r.spool.Records(), spool.Ref{Lane: l.ID(), Seq: e.Seq}, recent)
		if err != nil {
			return out, fmt.Errorf("cannot read the history of target %q: %w", l.Name(), err)
		}
		for i := range list {
			out.Attempts = append(out.Attempts, r.attemptMade(&list[i]))
		}
		out.KeptFrom = max(out.KeptFrom, keptFrom(list))
	}
	if !owed {
		return out, admin.Refuse(404, accept.CodeNotFound,
			"event %.256q is not owed to a target %.100q", id, target)
	}
	slices.SortStableFunc(out.Attempts, func(a, b admin.Attempt) int { return a.At.Compare(b.At) })
	return out, nil
}

// keptFrom is the number from which on every attempt up to the newest is in a history; 0: nothing
// is left out, or nothing is known.
func keptFrom(list []spool.Attempt) int {
	for i := len(list) - 1; i > 0; i-- {
		// One that was withheld has the number of the next.
		was := attempt.Kind(list[i-1].Outcome)
		again := (was == attempt.Withheld || was == attempt.Auth) &&
			list[i].Number == list[i-1].Number
		if list[i].Number != list[i-1].Number+1 && list[i].Number > 0 && !again {
			return list[i].Number
		}
	}
	if len(list) == 0 {
		return 0
	}
	return list[0].Number
}

func (r desk) attemptMade(a *spool.Attempt) admin.Attempt {
	return admin.Attempt{Target: r.spool.NameOf(a.Lane), Attempt: a.Number, At: a.At.UTC(),
		Outcome: attempt.Kind(a.Outcome).String(), Status: a.Status, Error: a.Error,
		Duration: a.Duration.Seconds(), Remote: a.Remote,
		Snippet: strings.ToValidUTF8(string(a.Snippet), "\uFFFD"), Replay: a.Replay}
}

// RecentAttempts is part of admin.Finder.
func (r desk) RecentAttempts(name string, limit int) (admin.RecentAttempts, error) {
	var out admin.RecentAttempts
	l := r.laneNamed(name)
	if l == nil || !r.shown(l) {
		return out, noTarget(name)
	}
	list, _ := l.spool.Recent(0)
	slices.Reverse(list)
	for i := range list[:min(limit, len(list))] {
		out.Attempts = append(out.Attempts, r.recentAttempt(&list[i]))
	}
	return out, nil
}

// recentAttempt adds what the attempt was for.
func (r desk) recentAttempt(a *spool.Attempt) admin.RecentAttempt {
	out := admin.RecentAttempt{Attempt: r.attemptMade(a)}
	if f, err := look.Summary(r.spool.Records(), a.Seq); err == nil {
		out.ID, out.Type = f.ID, f.Type
	}
	return out
}

// Follow is part of admin.Backend.
func (r desk) Follow() func(most int) ([]admin.RecentAttempt, uint64) {
	told := make(map[*lane]uint64) // how many attempts of each lane, ever
	for _, l := range r.allLanes() {
		told[l] = l.spool.Noted()
	}
	return func(most int) ([]admin.RecentAttempt, uint64) {
		var list []spool.Attempt
		made := uint64(0)
		for _, l := range r.allLanes() {
			if n := l.spool.Noted(); n != told[l] {
				recent, n := l.spool.Recent(told[l])
				list = append(list, recent...)
				made += n - told[l]
				told[l] = n
			}
		}
		slices.SortFunc(list, func(a, b spool.Attempt) int { return a.At.Compare(b.At) })
		list = list[max(len(list)-most, 0):]
		out := make([]admin.RecentAttempt, len(list))
		for i := range list {
			out[i] = r.recentAttempt(&list[i])
		}
		return out, made - uint64(len(list))
	}
}
