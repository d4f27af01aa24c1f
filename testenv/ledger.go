package testenv

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// Ledger is the oracle: what was sent, what the answer was, and therefore what must be true of the
// relay and of the receivers.
type Ledger struct {
	t        testing.TB
	relay    *Relay
	receiver *Receiver

	mu       sync.Mutex // guards below
	accepted map[string]*entry
	// unknown are events whose answer was lost: they may have been accepted, or not.
	unknown map[string]*entry
	// nameless are the bodies of those among them that had no id of their own.
	nameless map[[32]byte]bool
	refused  int
	gaps     bool
	foreign  bool
	short    bool
	// transformed are the targets that get other bytes than were sent.
	transformed map[string]bool
}

// entry is one event that was accepted, or may have been.
type entry struct {
	body        []byte
	sum         [32]byte // of a body that is too long to be kept
	contentType string
	targets     []string
	fresh       bool // an answer said that it is no duplicate
}

// NewLedger makes the oracle of a relay and the receiver of its targets. The name of a target is
// the first segment of its URL's path.
func NewLedger(t testing.TB, relay *Relay, receiver *Receiver) *Ledger {
	return &Ledger{t: t, relay: relay, receiver: receiver, accepted: map[string]*entry{},
		unknown: map[string]*entry{}, nameless: map[[32]byte]bool{}}
}

// AllowGaps says that attempts are made which the receiver cannot see (it was down, or the URL led
// elsewhere), so that their numbers may jump.
func (l *Ledger) AllowGaps() { l.gaps = true }

// AllowForeign says that events are sent which the ledger is not told of.
func (l *Ledger) AllowForeign() { l.foreign = true }

// Transforms says that a target has a transform: what it gets is not compared with what was sent.
func (l *Ledger) Transforms(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.transformed == nil {
		l.transformed = map[string]bool{}
	}
	l.transformed[target] = true
}

// KeepShort has the ledger and the receiver keep only the sums of long bodies.
func (l *Ledger) KeepShort() {
	l.short = true
	l.receiver.KeepShort()
}

// Note enters one post and its answer.
func (l *Ledger) Note(p Post, a Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	contentType := p.ContentType
	switch contentType {
	case "":
		contentType = "application/json"
	case "-":
		contentType = ""
	}
	e := &entry{body: p.Body, contentType: contentType, targets: a.Targets}
	if l.short && len(p.Body) > shortBytes {
		e.sum, e.body = sha256.Sum256(p.Body), nil
	}
	// A commit that failed may have reached the disk all the same: nobody can know before the next
	// start has read it.
	unknown := a.Err != nil || a.Problem.Code == "disk_error"
	if unknown && a.Err == nil {
		l.refused++
	}
	switch {
	case unknown && p.ID != "":
		if l.accepted[p.ID] == nil {
			l.unknown[p.ID] = e
		}
	case unknown:
		l.nameless[sha256.Sum256(p.Body)] = true
	case a.Status != 200:
		l.refused++
	default:
		l.acceptLocked(a.Accepted, e)
	}
}

// NoteBatch enters the events of one NDJSON batch without an id of its own.
func (l *Ledger) NoteBatch(lines [][]byte, a Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	unknown := a.Err != nil || a.Problem.Code == "disk_error" // as of one event
	if unknown && a.Err == nil {
		l.refused++
	}
	switch {
	case unknown:
		for _, line := range lines {
			l.nameless[sha256.Sum256(line)] = true
		}
	case a.Status != 200:
		l.refused++
	case len(a.Events) != len(lines):
		l.t.Errorf("a batch of %d events was answered with %d", len(lines), len(a.Events))
	default:
		for i, event := range a.Events {
			l.acceptLocked(event, &entry{body: lines[i], contentType: "application/json",
				targets: event.Targets})
		}
	}
}

func (l *Ledger) acceptLocked(a Accepted, e *entry) {
	if before := l.accepted[a.ID]; before != nil {
		// Answers to posts made at once come in any order.
		if !a.Duplicate && before.fresh {
			l.t.Errorf("event %q was accepted twice, not as a duplicate", a.ID)
		}
		before.fresh = before.fresh || !a.Duplicate
		if !slices.Equal(before.targets, a.Targets) {
			l.t.Errorf("event %q had targets %v, as a duplicate %v", a.ID, before.targets,
				a.Targets)
		}
		return
	}
	e.fresh = !a.Duplicate
	if l.unknown[a.ID] != nil {
		delete(l.unknown, a.ID)
		e.fresh = true
	}
	l.accepted[a.ID] = e
}

// Accepted counts the events that were accepted, Refused those that were not, Unknown those whose
// answer was lost.
func (l *Ledger) Accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

// Refused counts the posts that were refused.
func (l *Ledger) Refused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// Unknown counts the events whose answer was lost.
func (l *Ledger) Unknown() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.unknown) + len(l.nameless)
}

// delivery is an event and a target.
type delivery struct{ id, target string }

// Check proves, now, that every accepted event is delivered, pending, exhausted or expired at each
// of its targets, and that nothing arrived that was not sent. Deliveries move while it looks, so it
// looks again until all are seen.
func (l *Ledger) Check() {
	l.t.Helper()
	l.CheckArrivals()
	var lost []delivery
	if !Eventually(Patience/2, func() bool {
		lost = l.lost()
		return len(lost) == 0
	}) {
		l.t.Errorf("LOST: %d deliveries are neither delivered nor pending nor exhausted: %v",
			len(lost), lost[:min(len(lost), 10)])
	}
}

// AwaitDelivered waits until every accepted event is delivered to all of its targets, as long as
// some arrive: how many a busy machine delivers in a time is no matter of these tests.
func (l *Ledger) AwaitDelivered() {
	l.t.Helper()
	l.AwaitDeliveredBut("")
}

// AwaitDeliveredBut is AwaitDelivered for all targets but one.
func (l *Ledger) AwaitDeliveredBut(target string) {
	l.t.Helper()
	last, since := -1, time.Now()
	for {
		began := time.Now()
		open := slices.DeleteFunc(l.open(nil), func(d delivery) bool { return d.target == target })
		switch {
		case len(open) == 0:
			return
		case last < 0 || len(open) < last:
			last, since = len(open), time.Now()
		case time.Since(since) > 2*Patience:
			l.t.Fatalf("%d deliveries did not arrive: %v", len(open), open[:min(len(open), 10)])
		}
		<-time.After(pauseAfter(time.Since(began)))
	}
}

// lost are deliveries that are nowhere. What is pending is read before what has arrived is looked
// at for the last time: a delivery only moves in that direction. Targets to which all has arrived
// are not asked about: there may be a thousand with a million deliveries that nobody here sent.
func (l *Ledger) lost() []delivery {
	owed, excused := map[delivery]bool{}, map[string]int{}
	missing, asked := map[delivery]bool{}, map[string]bool{}
	for _, d := range l.open(nil) {
		missing[d], asked[d.target] = true, true
	}
	for name, target := range l.relay.Targets() {
		if !asked[name] {
			continue
		}
		for _, state := range []string{"pending", "exhausted", "expired"} {
			for _, d := range l.relay.Deliveries(name, state) {
				owed[delivery{d.ID, name}] = true
			}
		}
		excused[name] = target.Quarantined
	}
	return slices.DeleteFunc(l.open(owed), func(d delivery) bool {
		if !missing[d] {
			return true // accepted since
		}
		excused[d.target]--
		return excused[d.target] >= 0
	})
}

// open are deliveries that did not arrive, without those in but.
func (l *Ledger) open(but map[delivery]bool) []delivery {
	arrived := l.answered()
	l.mu.Lock()
	defer l.mu.Unlock()
	var open []delivery
	for id, e := range l.accepted {
		for _, target := range e.targets {
			d := delivery{id, target}
			if arrived[d] == 0 && !but[d] {
				open = append(open, d)
			}
		}
	}
	return open
}

// answered counts the requests that were answered 200.
func (l *Ledger) answered() map[delivery]int {
	n := map[delivery]int{}
	for _, r := range l.receiver.Requests("") {
		if r.Answered == 200 && !r.Sample {
			n[delivery{r.ID, r.Target}]++
		}
	}
	return n
}

// Duplicates counts the deliveries that were answered 200 more than once.
func (l *Ledger) Duplicates() int {
	n := 0
	for _, times := range l.answered() {
		n += times - 1
	}
	return n
}

// CheckArrivals proves that whatever arrived was sent: same bytes, same content type, a target that
// the answer named; and that attempt numbers begin at 0 and never skip.
func (l *Ledger) CheckArrivals() {
	l.t.Helper()
	last := map[delivery]int{}
	faults := 0
	for _, r := range l.receiver.Requests("") {
		if r.Sample {
			continue
		}
		fault := l.judge(&r)
		d := delivery{r.ID, r.Target}
		before, seen := last[d]
		if !seen {
			before = -1
		}
		switch {
		case fault != "" || r.Replay || l.gaps:
		case r.Attempt > before+1:
			fault = fmt.Sprintf("attempt %d follows attempt %d", r.Attempt, before)
		case r.Attempt < before:
			fault = fmt.Sprintf("attempt %d comes after attempt %d", r.Attempt, before)
		}
		last[d] = r.Attempt
		if fault != "" {
			if faults++; faults < 10 {
				l.t.Errorf("event %q at target %q: %s", r.ID, r.Target, fault)
			}
		}
	}
}

// judge compares one request with what was sent.
func (l *Ledger) judge(r *Request) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, accepted := l.accepted[r.ID]
	if !accepted {
		e = l.unknown[r.ID]
	}
	switch {
	case e == nil && (l.foreign || l.nameless[sha256.Sum256(r.Body)]):
		return ""
	case e == nil:
		return fmt.Sprintf("INVENTED: nothing of this id was accepted; body %.80q", r.Body)
	case accepted && !slices.Contains(e.targets, r.Target):
		return fmt.Sprintf("it arrived, but its targets are %v", e.targets)
	case l.transformed[r.Target]:
		return ""
	case !bytes.Equal(e.body, r.Body) || e.sum != r.Sum:
		return fmt.Sprintf("CHANGED: sent %d bytes, %d arrived", len(e.body), len(r.Body))
	case r.Header.Get("Content-Type") != e.contentType:
		return fmt.Sprintf("CHANGED: content type was %q, is %q", e.contentType,
			r.Header.Get("Content-Type"))
	}
	return ""
}
