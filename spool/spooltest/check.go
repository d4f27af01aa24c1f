package spooltest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/look"
)

// check compares the spool with the whole ledger.
func (j *journey) check() {
	j.Helper()
	if err := j.Err(); err != nil {
		j.Fatal(err)
	}
	for _, name := range j.names {
		j.checkLane(name)
	}
	for _, e := range j.ledger.events {
		j.checkEvent(e)
	}
	j.checkWords()
	for conv, n := range j.ledger.turns {
		if got := len(look.SmallState(j.Records(), []byte(conv))); got != n {
			j.Errorf("%d turns of conversation %s are known; want %d", got, conv, n)
		}
	}
	rep, err := care.VerifyLive(context.Background(), j.Spool, nil)
	if err != nil || rep.FaultCount > 0 {
		j.Errorf("the spool does not verify: %v %q", err, rep.Faults)
	}
	if j.TB.Failed() {
		j.FailNow()
	}
}

// checkLane compares a lane's sums: what was accepted is delivered, pending, exhausted, purged or
// set aside, and nothing is both.
func (j *journey) checkLane(name string) {
	j.Helper()
	l, c := j.ledger.lanes[name], j.lane(name).Counts()
	for _, n := range []struct {
		what string
		got  uint64
		want []uint64
	}{
		{"pending", c.Pending, l.in((*delivery).isPending)},
		{"fresh", c.Fresh, append(l.in((*delivery).isFresh), l.in((*delivery).isFlying)...)},
		{"exhausted", c.Exhausted, l.in((*delivery).isExhausted)},
		{"purged", c.Purged, l.in((*delivery).isPurged)},
		{"quarantined", c.Quarantined, nil},
	} {
		if n.got != uint64(len(n.want)) {
			j.Errorf("lane %s has %d %s; the ledger has %v", name, n.got, n.what, n.want)
		}
	}
	if sum := c.Delivered + c.Pending + c.Exhausted + c.Purged + c.Quarantined + l.expired; sum !=
		l.accepted+l.replayed {
		j.Errorf("lane %s: %d accepted and %d replayed are not %d delivered, %d pending, %d exhausted, "+
			"%d purged, %d set aside and %d expired", name, l.accepted, l.replayed, c.Delivered,
			c.Pending, c.Exhausted, c.Purged, c.Quarantined, l.expired)
	}
	if got := j.lane(name).Standing(); got != l.standing {
		j.Errorf("lane %s has standing %+v; want %+v", name, got, l.standing)
	}
}

// checkEvent compares an event, its bytes and where its deliveries are.
func (j *journey) checkEvent(want *event) {
	j.Helper()
	e, err := look.Event(j.Records(), want.seq)
	if errors.Is(err, spool.ErrNotFound) && j.ledger.mayGo(want) {
		return
	}
	if err != nil {
		j.Errorf("event %d cannot be read: %v", want.seq, err)
		return
	}
	if e.ID() != want.id || e.Type() != want.typ || string(e.Payload()) != want.payload ||
		!e.At.Equal(want.at) || e.Session != want.session || len(e.Lanes()) != want.lanes {
		j.Errorf("event %d is %s %s %s at %s for %v; the ledger has %+v", want.seq, e.ID(), e.Type(),
			e.Session, e.At, e.Lanes(), want)
	}
	if j.ledger.mayGo(want) {
		return // any moment now
	}
	places := j.places(e)
	for name, d := range want.owed {
		x := places[name]
		switch {
		case d.expired:
		case x.State != d.state:
			j.Errorf("event %d is %s for lane %s; want %s", want.seq, x.State, name, d.state)
		case x.State == spool.StateDelivered:
			j.checkReceipt(want, name, d, x.Receipt)
		case x.State == spool.StateExhausted || d.isFailed():
			if x.Attempts != d.attempts {
				j.Errorf("event %d has %d attempts for lane %s; want %d", want.seq, x.Attempts, name,
					d.attempts)
			}
		}
	}
	if want.given && !want.at.After(j.now().Add(-dedupeWindow)) {
		return // its id is forgotten
	}
	if byID, err := look.EventByID(j, want.id); err != nil || byID.Seq != want.seq {
		j.Errorf("event %d is not found by its id %s: %v", want.seq, want.id, err)
	}
}

// checkReceipt compares what is told of a delivery that was delivered.
func (j *journey) checkReceipt(e *event, name string, d *delivery, got look.Receipt) {
	j.Helper()
	want := look.Receipt{At: d.lastAt.Truncate(time.Millisecond), Status: d.status, Took: d.took,
		Attempts: d.attempts, Replay: d.replay}
	if same := got.At.Truncate(time.Millisecond).Equal(want.At); same {
		got.At = want.At
	}
	if got != want {
		j.Errorf("event %d was delivered to lane %s as %+v; want %+v", e.seq, name, got, want)
	}
}

// places are where the deliveries of an event are, by the name of the lane.
func (j *journey) places(e *spool.Event) map[string]look.Place {
	j.Helper()
	list, err := look.Places(j, e)
	if err != nil {
		j.Fatal(err)
	}
	places := make(map[string]look.Place)
	for _, p := range list {
		places[p.Target] = p
	}
	return places
}

// checkWords compares what is owed to the operator, what is noted, and the last tick.
func (j *journey) checkWords() {
	j.Helper()
	notices, err := j.Notices()
	if err != nil || len(notices) != len(j.ledger.notices) {
		j.Errorf("%d notices are owed, %v; want %d", len(notices), err, len(j.ledger.notices))
	}
	for _, n := range notices {
		key := noticeKey{n.Lane, n.Episode, n.Way}
		if body, ok := j.ledger.notices[key]; !ok || body != string(n.Body) {
			j.Errorf("notice %+v is owed with body %q; want %q", key, n.Body, body)
		}
	}
	if !slices.IsSortedFunc(notices, func(a, b spool.Notice) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Episode, b.Episode),
			cmp.Compare(a.Way, b.Way))
	}) {
		j.Error("notices are not in their order")
	}
	for id, body := range j.ledger.memos {
		if got, err := j.Memo(id); err != nil || string(got) != body {
			j.Errorf("the memo of lane %d is %q, %v; want %q", id, got, err, body)
		}
	}
	if got := j.LastTick().Number; got != j.ledger.tick {
		j.Errorf("the last tick is %d; want %d", got, j.ledger.tick)
	}
}
