package relay

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/early"
	"github.com/hookspool/hookspool/relay/outlook"
	"github.com/hookspool/hookspool/relay/unwanted"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// This file gathers what package outlook says of a delivery: where it is, why, and what comes next.

// firstsMax bounds the deliveries of one answer of which it is looked up after which other one they
// come in their order.
const firstsMax = 100

// outlooks tells of deliveries what comes next. It is made for one answer, and asks each lane once.
type outlooks struct {
	r     *Relay
	now   time.Time
	cfg   *config.Config
	tick  spool.Tick
	next  time.Time // of the ticks; zero: none is known
	lanes map[string]*laneOutlook
	looks int // at orders, so far
}

// laneOutlook is what holds for the deliveries of one lane.
type laneOutlook struct {
	outlook.Target
	lane   *lane
	work   *work         // nil: it is an orphan
	oldest spool.Pending // of a lane that is one line
	// early and busy are its early retries, asked for when the first delivery needs them.
	early      map[uint64]early.Entry
	busy       map[uint64]struct{}
	askedEarly bool
}

func newOutlooks(r *Relay) *outlooks {
	o := &outlooks{r: r, now: r.now(), cfg: r.setup.Load().cfg, tick: r.spool.LastTick(),
		lanes: make(map[string]*laneOutlook)}
	if !o.tick.At.IsZero() {
		o.next = o.now.Add(r.clock.nextWait(o.now))
	}
	return o
}

// placed is a delivery with what is known of its event; e may be nil.
type placed struct {
	*look.Place
	seq    uint64
	id     string
	at     time.Time
	expiry string
	event  *spool.Event
}

// tell adds to where a delivery is why it is there, and what comes next.
func (o *outlooks) tell(d admin.DeliveryState, p placed) admin.DeliveryState {
	l := o.laneOf(p.Target)
	if l == nil {
		return d // it was forgotten just now
	}
	about := outlook.Delivery{ID: p.id, State: d.State, AcceptedAt: p.at, Attempts: p.Attempts,
		LastAt: p.LastAt, LastError: p.LastError, Replay: p.Replay, Fresh: p.Fresh, Due: p.Due}
	switch p.State {
	case spool.StatePending:
		if l.work != nil && !p.Replay {
			about.ExpiresAt = outlook.Expiry(l.work.target.Expire, p.at, p.expiry)
		}
		about.Early = l.earlyOf(p.seq)
		about.Behind = o.behind(l, &p)
	case spool.StateDelivered:
		if r := &p.Receipt; !r.At.IsZero() {
			at, status, took := r.At.UTC().Truncate(time.Millisecond), r.Status, r.Milliseconds()
			d.DeliveredAt, d.LastAttempt, d.Status, d.Duration = &at, &at, &status, &took
			about.Receipt = outlook.Receipt{At: r.At, Status: r.Status, Took: r.Took}
		}
	}
	says := outlook.Of(&l.Target, &about)
	d.Why, d.Hint, d.AttemptsLeft = says.Why, says.Hint, says.Left
	d.NextAttemptAt, d.ExhaustsAt = outlook.Known(says.NextAt), outlook.Known(says.ExhaustsAt)
	d.KeptUntil = outlook.Known(says.KeptUntil)
	return d
}

// laneOf is what holds for a target; nil: there is none.
func (o *outlooks) laneOf(name string) *laneOutlook {
	if l, ok := o.lanes[name]; ok {
		return l
	}
	lane := o.r.laneNamed(name)
	if lane == nil {
		return nil
	}
	l := &laneOutlook{lane: lane, work: lane.work.Load()}
	lane.mu.Lock()
	standing, status := standingLocked(lane), lane.statusLocked()
	lane.mu.Unlock()
	c := lane.spool.Counts()
	l.Target = outlook.Target{Name: name, Now: o.now, Kept: o.cfg.Spool.KeepDelivered,
		KeptExhausted: o.cfg.Spool.KeepExhausted, FailedJobs: standing.FailedJobs,
		GoneSince: standing.GoneSince, LastError: c.LastError, Fresh: c.Fresh,
		InFlight: uint64(lane.slots.InUse())}
	if status == Defective {
		l.DefectiveSince = standing.DefectiveSince
	}
	if l.work == nil {
		l.Hold = outlook.Orphan
		l.Retries = o.cfg.Retry.MaxAttempts
	} else {
		l.Hold = holdOf(l.work.target, status, standing)
		l.ShutUntil = shutBy(l.work.target, standing, o.now)
		o.describe(l, l.work.target)
	}
	o.lanes[name] = l
	return l
}

// holdOf is why nothing is sent to a target.
func holdOf(t *config.Target, status Status, standing spool.Standing) outlook.Hold {
	switch {
	case status == Disabled:
		return outlook.Disabled
	case status != Paused:
		return outlook.None
	case t.Status == config.StatusPaused:
		return outlook.ByConfig
	case !standing.GoneSince.IsZero():
		return outlook.ByGone
	}
	return outlook.ByHand
}

// describe adds what the config says of a target, and when it has its jobs.
func (o *outlooks) describe(l *laneOutlook, t *config.Target) {
	l.Retries, l.Early, l.Rate = t.Retries(&o.cfg.Retry), t.EarlyRetries, t.Rate.String()
	l.Jobs = outlook.Jobs{Between: t.Between(&o.cfg.Retry), Running: l.lane.jobRunning.Load(),
		Tick: l.lane.jobTick.Load()}
	if !o.next.IsZero() {
		beats := uint64(1)
		for !t.Joins(o.tick.Beat + beats) {
			beats++
		}
		l.Jobs.Next = o.next.Add(time.Duration(beats-1) * o.cfg.Retry.Interval)
	}
	if b := l.work.batches(); b != nil {
		l.Batch = strconv.Itoa(b.MaxEvents) + " or " + b.MaxWait.String()
	}
	if t.Order == (config.Order{}) {
		return
	}
	if l.Order = t.Order.String(); t.Order.All {
		l.oldest, _ = l.lane.spool.OldestPending()
	}
}

// earlyOf is the early retry of a delivery.
func (l *laneOutlook) earlyOf(seq uint64) outlook.Early {
	if !l.askedEarly && len(l.Early) > 0 {
		l.early, l.busy, l.askedEarly = l.lane.early.Waiting(), l.lane.early.Busy(), true
	}
	_, busy := l.busy[seq]
	e := l.Early
	entry, waits := l.early[seq]
	if !waits || entry.Stage > len(e) {
		return outlook.Early{Busy: busy}
	}
	return outlook.Early{At: entry.At, Stage: entry.Stage, Busy: busy}
}

// behind is the delivery that one comes after in its order, as far as that can be looked up.
func (o *outlooks) behind(l *laneOutlook, p *placed) (out outlook.Behind) {
	if l.work == nil || l.work.orderOf == nil || o.looks >= firstsMax {
		return out
	}
	first := look.Foremost{Seq: l.oldest.Seq, Attempts: l.oldest.Attempts}
	if !l.work.target.Order.All {
		o.looks++
		order := p.Order
		if p.Fresh {
			order = o.orderOfFresh(l, p)
		}
		if order == 0 {
			return out
		}
		var err error
		if first, _, err = look.FirstOf(o.r.spool.Records(), p.Lane, order); err != nil {
			o.r.log.Error("cannot tell which delivery another one comes after", "target", l.Name,
				"error", err)
		}
	}
	if first.Seq == 0 || first.Seq >= p.seq {
		return out
	}
	out.Known, out.Attempts = true, first.Attempts
	if f, err := look.Summary(o.r.spool.Records(), first.Seq); err == nil {
		out.ID = f.ID
	}
	return out
}

// orderOfFresh is the order of a delivery that was never tried, which only its payload tells.
func (o *outlooks) orderOfFresh(l *laneOutlook, p *placed) uint64 {
	e := p.event
	if e == nil {
		var err error
		if e, err = look.Event(o.r.spool.Records(), p.seq); err != nil {
			return 0
		}
	}
	return l.work.orderOf(e)
}

// unwantedShown bounds the targets in a sentence; the list beside it has all.
const unwantedShown = 10

// unwantedEvent is what is remembered of an event that no target wanted.
func unwantedEvent(e *unwanted.Event) admin.Event {
	out := admin.Event{ID: e.ID, Type: e.Type, ContentType: e.ContentType, AcceptedAt: e.At.UTC(),
		Session: e.Session.String(), Bytes: e.Bytes, Deliveries: []admin.DeliveryState{}}
	var parts []string
	for _, v := range unwantedBy(e) {
		note := v.refusal(e)
		out.Unwanted = append(out.Unwanted, admin.NotWanted{Target: v.target.Name,
			RefusedBy: string(v.refusedBy), Note: note})
		if len(parts) < unwantedShown {
			parts = append(parts, v.target.Name+": "+note)
		}
	}
	out.Why = "no target wanted it: " + strings.Join(parts, "; ")
	switch more := len(out.Unwanted) - len(parts); {
	case len(parts) == 0:
		out.Why = "no target wanted it: there was none in the config"
	case more > 0:
		out.Why += fmt.Sprintf("; and %d more targets", more)
	}
	return out
}

// refusal is why a target did not want an event.
func (v verdict) refusal(e *unwanted.Event) string {
	switch v.refusedBy {
	case byEvents:
		if e.Type == "" {
			return "its events do not match an event without a type"
		}
		return "its events do not match " + e.Type
	case byStatus:
		return "it was disabled by the config"
	case bySession:
		return "session was " + e.Session.String() + ", it wants " + v.target.Session
	case byWhere:
		return "its where did not hold"
	}
	return "it wanted it" // and its lane was forgotten by then
}

// noEvent is the refusal of a question about an event that is not there.
func (r desk) noEvent(id string) error {
	if _, is := r.unwanted.Find(id); is {
		no := admin.Refuse(404, accept.CodeNotFound, "no target wanted event %.256q, so nothing of it "+
			"is kept", id)
		no.Hint = "hookspool events " + outlook.Quote(id) + " says why"
		return no
	}
	no := admin.Refuse(404, accept.CodeNotFound, "there is no event %.256q", id)
	no.Hint = fmt.Sprintf("delivered events are kept for spool.keep_delivered (%s), and of those "+
		"that no target wanted the newest %d since the start are remembered; one that was refused "+
		"was never here", r.setup.Load().cfg.Spool.KeepDelivered, unwanted.Most)
	return no
}
