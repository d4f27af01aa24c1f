package relay

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/conversation"
	"github.com/hookspool/hookspool/relay/head"
	"github.com/hookspool/hookspool/relay/hunt"
	"github.com/hookspool/hookspool/relay/sieve"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// This file says where events and deliveries are. Every answer is a bounded look into the spool.

// Event is part of admin.Finder.
func (r desk) Event(id string) (admin.Event, error) {
	e, err := r.eventByID(id)
	if err != nil {
		if gone, is := r.unwanted.Find(id); is {
			return unwantedEvent(&gone), nil
		}
		return admin.Event{}, err
	}
	out := admin.Event{ID: e.ID(), Type: e.Type(), ContentType: e.ContentType(),
		AcceptedAt: e.At.UTC(), Session: e.Session.String(), Bytes: len(e.Payload()),
		Deliveries: []admin.DeliveryState{}, Curl: postAgain(r, e)}
	places, err := look.Places(r.spool, e)
	if err != nil {
		return admin.Event{}, err
	}
	says := newOutlooks(r.Relay)
	own, _ := e.Header(spool.ExpiryHeader)
	for i := range places {
		out.Deliveries = append(out.Deliveries, says.tell(deliveryState(&places[i]),
			placed{Place: &places[i], seq: e.Seq, id: e.ID(), at: e.At, expiry: own, event: e}))
	}
	return out, nil
}

// postAgain is the command that brings an event in again.
func postAgain(r desk, e *spool.Event) string {
	p := head.Post{ID: e.ID(), Type: e.Type(), ContentType: e.ContentType(), Payload: e.Payload(),
		Token: r.setup.Load().cfg.Server.EventToken != ""}
	p.Listen, _ = r.Addresses()
	for _, h := range e.Headers() {
		p.Fields = append(p.Fields, head.Field(h))
	}
	return head.CurlPost(&p)
}

func (r desk) eventByID(id string) (*spool.Event, error) {
	e, err := look.EventByID(r.spool, id)
	if errors.Is(err, spool.ErrNotFound) {
		return nil, r.noEvent(id)
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
	h, err := r.begin(&q.Choice, q.ID)
	if err != nil || h.Nothing {
		return admin.Events{}, err
	}
	defer h.End()
	s := look.Query{Since: q.Since, Until: q.Until, Match: matcher(q.Type),
		State: stateNamed(q.State), Limit: q.Limit, Picking: h.Picking()}
	if s.Below, err = readCursor(q.After); err != nil {
		return admin.Events{}, err
	}
	if h.Only > 0 {
		s.Below = h.Only + 1
	}
	if q.Target != "" {
		l := r.laneNamed(q.Target)
		if l == nil {
			return admin.Events{}, noTarget(q.Target)
		}
		s.Lane = l.spool.ID()
	}
	if q.State != "" && !anyHas(r.allLanes(), q.Target, q.State) {
		return admin.Events{}, nil
	}
	found, next, err := look.Search(r.spool, s)
	if err != nil {
		return admin.Events{}, err
	}
	next = h.GoOn(next)
	page := admin.Events{Events: make([]admin.Event, len(found)), Next: cursor(next),
		Looked: h.LookedDown(next, q.Since)}
	says := newOutlooks(r.Relay)
	for i := range found {
		f := &found[i]
		page.Events[i] = admin.Event{ID: f.ID, Type: f.Type, ContentType: f.ContentType,
			AcceptedAt: f.At.UTC(), Session: f.Session.String(), Bytes: f.Bytes,
			Deliveries: make([]admin.DeliveryState, len(f.Places))}
		for k := range f.Places {
			page.Events[i].Deliveries[k] = says.tell(deliveryState(&f.Places[k]), placedIn(f, k))
		}
	}
	return page, nil
}

// begin begins a page of a walk.
func (r desk) begin(of *sieve.Choice, id string) (*hunt.Page, error) {
	return hunt.Begin(&hunt.Ground{Spool: r.spool, Gate: r.walks, Life: r.attempts,
		Session: &r.setup.Load().cfg.Session,
		Memory:  &stateView{spool: r.spool, puts: make(map[string][]byte)}}, of, id)
}

// Deliveries is part of admin.Finder. Without a target a cursor names the one to go on with; a page
// holds deliveries of one target, so that it costs one look.
func (r desk) Deliveries(q admin.Query) (admin.Deliveries, error) {
	h, err := r.begin(&q.Choice, q.ID)
	if err != nil || h.Nothing {
		return admin.Deliveries{}, err
	}
	defer h.End()
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
		// The sums of a lane of another relay's may be late. One that is asked for by name is read.
		if l.name < name || !has(l, q.State) && (q.Target == "" || l.tenure.ours()) {
			continue
		}
		if l.name > name {
			from = 0 // the one that the cursor names is gone
		}
		page, next, err := deliveries(l, &q, from, h)
		if page.Next = cursor(next); q.Target == "" {
			page.Next = goOn(l, next, lanes[i+1:], q.State)
			page.Left += sumOf(lanes[i+1:], q.State)
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

// anyHas reports whether a target, or any if none is named, may have deliveries in a state: a
// search for what nobody has would look at the whole log.
func anyHas(lanes []*lane, target, state string) bool {
	for _, l := range lanes {
		// The sums of a lane of another relay's may be late.
		if (target == "" || l.name == target) && (has(l, state) || !l.tenure.ours()) {
			return true
		}
	}
	return false
}

// has reports whether a target may have deliveries in a state.
func has(l *lane, state string) bool { return countOf(l, stateNamed(state)) > 0 }

// countOf is how many deliveries of a target are in a state; of delivered ones, ever.
func countOf(l *lane, state spool.State) uint64 {
	c := l.spool.Counts()
	switch state {
	case spool.StatePending:
		return uint64(c.Pending)
	case spool.StateExhausted:
		return uint64(c.Exhausted)
	case spool.StateExpired:
		return uint64(c.Expired)
	}
	return uint64(c.Delivered)
}

// sumOf is how many deliveries of some targets are in a state.
func sumOf(lanes []*lane, state string) (n int) {
	for _, l := range lanes {
		n += int(min(countOf(l, stateNamed(state)), math.MaxInt32))
	}
	return n
}

// deliveries is one page of a target.
func deliveries(l *lane, q *admin.Query, from uint64, h *hunt.Page) (admin.Deliveries, uint64,
	error) {
	found, next, err := find(l, q, from, h)
	page := admin.Deliveries{Deliveries: make([]admin.Delivery, len(found)),
		Looked: lookedIn(h, l, q, next)}
	says := newOutlooks(l.r)
	for i := range found {
		f := &found[i]
		page.Deliveries[i] = admin.Delivery{ID: f.ID, Type: f.Type, Session: f.Session.String(),
			AcceptedAt: f.At.UTC(), Bytes: f.Bytes,
			DeliveryState: says.tell(deliveryState(&f.Places[0]), placedIn(f, 0))}
	}
	return page, next, err
}

// find is one page of the deliveries of a target in one state, each with its one place.
func find(l *lane, q *admin.Query, from uint64, h *hunt.Page) (found []look.Found, next uint64,
	err error) {
	state := stateNamed(q.State)
	if state == spool.StateDelivered {
		if h.Only > 0 {
			from = h.Only + 1
		}
		found, next, err = look.Search(l.r.spool, look.Query{Below: from, Since: q.Since,
			Until: q.Until, Match: matcher(q.Type), Lane: l.spool.ID(), LaneOnly: true, State: state,
			Limit: q.Limit, Picking: h.Picking()})
		return found, h.GoOn(next), err
	}
	found, next, err = look.List(l.r.spool, look.Listing{Lane: l.spool.ID(), State: state,
		From: max(from, h.Only), Since: q.Since, Until: q.Until, Match: matcher(q.Type),
		Limit: q.Limit, Picking: h.Picking()})
	return found, h.GoOn(next), err
}

// lookedIn is looked for a walk through the deliveries of a target.
func lookedIn(h *hunt.Page, l *lane, q *admin.Query, next uint64) admin.Looked {
	state := stateNamed(q.State)
	if state == spool.StateDelivered {
		return h.LookedDown(next, q.Since)
	}
	head := l.r.spool.Head()
	if next == 0 || next > head {
		return h.Looked(0)
	}
	out := h.Looked(head - next + 1)
	out.Left = int(min(uint64(out.Left), countOf(l, state)))
	return out
}

// stateNamed is the state of a word of the API; none for no word.
func stateNamed(word string) spool.State {
	for _, s := range []spool.State{spool.StatePending, spool.StateDelivered, spool.StateExhausted,
		spool.StateExpired} {
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

// placedIn is one delivery of what was found.
func placedIn(f *look.Found, i int) placed {
	return placed{Place: &f.Places[i], seq: f.Seq, id: f.ID, at: f.At, expiry: f.Expiry}
}

// Conversation is part of admin.Finder.
func (r desk) Conversation(q admin.ConversationQuery) (admin.Conversation, error) {
	cfg := &r.setup.Load().cfg.Session
	if !cfg.Enabled {
		no := admin.Refuse(404, accept.CodeNotFound, "there are no conversations")
		no.Hint = "session.enabled is false in the config"
		return admin.Conversation{}, no
	}
	h, err := r.begin(&sieve.Choice{Conversation: q.Key}, "")
	if err != nil {
		return admin.Conversation{}, err
	}
	defer h.End()
	out, next, err := conversation.Tell(&conversation.Source{Spool: r.spool, Config: cfg,
		Memory: &stateView{spool: r.spool, puts: make(map[string][]byte)}, Now: r.now(),
		Picking: h.Bounds()}, q)
	if errors.Is(err, conversation.ErrCursor) {
		_, err = readCursor("-")
	}
	if out.Looked = h.Looked(0); next > 0 {
		out.Looked = h.Looked(r.spool.Head() + 1 - min(next, r.spool.Head()+1))
	}
	return out, err
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
			a := r.attemptMade(&list[i])
			addHeads(r, &a, &list[i], l, e)
			out.Attempts = append(out.Attempts, a)
		}
		out.KeptFrom = max(out.KeptFrom, keptFrom(list))
	}
	if !owed {
		return out, admin.Refuse(404, accept.CodeNotFound,
			"event %.256q is not owed to a target %.100q", id, target)
	}
	inTurn(out.Attempts)
	return out, nil
}

// inTurn sorts attempts, which are in the order of the event's targets, by the instants at which
// they were made. Those within a millisecond stay as they are: a relay knows more than that of its
// own attempts only, while they are young, and all relays are to answer alike.
func inTurn(list []admin.Attempt) {
	slices.SortStableFunc(list, func(a, b admin.Attempt) int {
		return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli())
	})
}

// keptFrom is the number from which on every attempt up to the newest is in a history; 0: nothing
// is left out, or nothing is known.
func keptFrom(list []spool.Attempt) int {
	for i := len(list) - 1; i > 0; i-- {
		// One that was withheld has the number of the next.
		was := attempt.Kind(list[i-1].Outcome)
		again := (was == attempt.Withheld || was == attempt.Auth || was == attempt.Transform) &&
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
	outcome := attempt.Kind(a.Outcome)
	if outcome == 0 && a.Error == "" {
		outcome = attempt.Success // all that is kept of it is a receipt
	}
	return admin.Attempt{Target: r.spool.NameOf(a.Lane), Attempt: a.Number, At: a.At.UTC(),
		Outcome: outcome.String(), Status: a.Status, Error: a.Error,
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
