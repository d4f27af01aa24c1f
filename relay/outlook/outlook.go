// Package outlook says of one delivery where it is, why, and what happens next: in one sentence,
// the same in every place that shows it, and in fields for machines. It is pure: the relay gathers
// what is known, and this package judges what of that presses most.
//
// The reasons of a pending delivery, in the order in which they are told:
//
//	held     nothing is sent to its target at all: an orphan, Disabled, Paused
//	expired  it is too old, and is settled when its turn comes
//	busy     its early retry is being made
//	order    it stands in line after another delivery
//	gate     the target asked to be left alone (Retry-After)
//	job      a job runs that will come to it
//	defect   the target is Defective
//	early    an early retry of it waits for its instant
//	turn     it was never tried, and waits for its turn
//	tick     it failed, or could not be sent, or is a replay, and waits for a job
package outlook

import (
	"cmp"
	"time"
)

// Hold is why nothing is sent to a target at all.
type Hold uint8

// The reasons. The zero Hold is none.
const (
	None     Hold = iota
	Orphan        // it is not in the config
	Disabled      // by the config
	ByConfig      // paused there
	ByHand        // paused at run time
	ByGone        // paused because it answered 410
)

// Target is what holds for every delivery to one target at one instant.
type Target struct {
	Name string
	Now  time.Time
	Hold Hold
	// GoneSince goes with ByGone.
	GoneSince time.Time
	// ShutUntil is until when it asked to be left alone; zero: it does not.
	ShutUntil time.Time
	// DefectiveSince is zero if it is not Defective; FailedJobs are those in a row, LastError is of
	// its last failure.
	DefectiveSince time.Time
	FailedJobs     int
	LastError      string
	Jobs           Jobs
	// Retries are the requests after the first one; Early are the waits before those that come before
	// the tick.
	Retries int
	Early   []time.Duration
	// Rate, Order and Batch are as people read them; empty: it has none.
	Rate, Order, Batch string
	// Fresh deliveries were never tried, InFlight are being tried.
	Fresh, InFlight uint64
	// Kept is how long a delivered event, Exhausted how long an exhausted delivery is kept.
	Kept, KeptExhausted time.Duration
}

// Jobs is when a target has its jobs.
type Jobs struct {
	// Next is the next tick at which it has one; zero: none is known. Between lies between two.
	Next    time.Time
	Between time.Duration
	// Running: one runs, of the tick with this number.
	Running bool
	Tick    uint64
}

// Delivery is what is known of one.
type Delivery struct {
	// ID is its event's; empty: that cannot be read.
	ID         string
	State      string // a word of the API
	AcceptedAt time.Time
	// Attempts are the requests made, as far as that is known of one that is delivered.
	Attempts  int
	LastAt    time.Time
	LastError string
	Replay    bool
	// ExpiresAt is when it becomes too old to be sent; zero: never.
	ExpiresAt time.Time
	// Fresh: it is on its way through the log, and was never tried. Due is the first tick that may
	// take one that is not.
	Fresh bool
	Due   uint64
	// Early is its early retry; the zero value: none is planned.
	Early Early
	// Behind is the delivery that it waits for; the zero value: none is known.
	Behind Behind
	// Receipt is of one that was delivered, as far as that is known.
	Receipt Receipt
}

// Early is a retry before the tick.
type Early struct {
	At    time.Time
	Stage int  // from 1
	Busy  bool // it is being made
}

// Behind is the first delivery of an order.
type Behind struct {
	Known    bool
	ID       string // of its event; empty: that cannot be read
	Attempts int
}

// Receipt is how a delivery was acknowledged. Zero fields are not known.
type Receipt struct {
	At     time.Time
	Status int
	Took   time.Duration
}

// Outlook is what is to be said. Zero instants: there is none, or nobody can know it.
type Outlook struct {
	// Why is the sentence; Hint is what helps, a command mostly, or empty.
	Why, Hint string
	// NextAt is when it is tried next at the earliest; zero: at once when its turn comes, or not
	// before something else happens.
	NextAt time.Time
	// Left are the requests that follow if all of them fail.
	Left int
	// ExhaustsAt is an estimate of when the last of them is made.
	ExhaustsAt time.Time
	// KeptUntil is when the sweep may take it, unless another delivery of the event holds that.
	KeptUntil time.Time
}

// Of is the outlook of a delivery to a target.
func Of(t *Target, d *Delivery) Outlook {
	switch d.State {
	case "pending":
		return t.pending(d)
	case "delivered":
		return t.delivered(d)
	case "exhausted", "expired":
		return t.kept(d)
	case "purged":
		return Outlook{Why: "purged by hand: it is not sent any more", KeptUntil: t.keptUntil(d)}
	}
	return Outlook{}
}

// delivered is the outlook of what was acknowledged.
func (t *Target) delivered(d *Delivery) Outlook {
	return Outlook{Why: receiptText(t.Now, d), KeptUntil: t.keptUntil(d)}
}

// keptUntil is when an event may go of which nothing else is owed. What was delivered after its
// event had its time is kept as long again.
func (t *Target) keptUntil(d *Delivery) time.Time {
	until := d.AcceptedAt.Add(t.Kept)
	if d.Receipt.At.After(until) {
		until = d.Receipt.At.Add(t.Kept)
	}
	return until
}

// kept is the outlook of what is not sent any more by itself.
func (t *Target) kept(d *Delivery) Outlook {
	o := Outlook{KeptUntil: d.LastAt.Add(t.KeptExhausted)}
	until := "; kept until " + instant(o.KeptUntil, t.Now)
	if d.State == "expired" {
		o.Why = cmp.Or(d.LastError, "expired") + until
		o.Hint = "hookspool replay --state expired --target " + t.Name + idFlag(d)
		return o
	}
	o.Why = "exhausted: " + several(d.Attempts, "try", "tries") + " failed, the last at " +
		instant(d.LastAt, t.Now) + lastText(d.LastError) + until
	o.Hint = "hookspool replay --target " + t.Name + idFlag(d)
	return o
}

// pending is the outlook of what is to be sent.
func (t *Target) pending(d *Delivery) Outlook {
	o := Outlook{Left: max(t.Retries+1-d.Attempts, 1)}
	if t.Hold != None {
		o.Why, o.Hint = t.holdText(), t.holdHint()
		return t.end(d, o)
	}
	if !d.ExpiresAt.IsZero() && !t.Now.Before(d.ExpiresAt) {
		o.Left = 0
		o.Why = "too old since " + instant(d.ExpiresAt, t.Now) +
			": it is not sent any more, and expires when its turn comes"
		return o
	}
	r := t.reason(d)
	o.Why, o.Hint = r.why, r.hint
	if r.open {
		return t.end(d, o)
	}
	o.NextAt = r.next
	if o.ExhaustsAt = t.exhausts(d, r.next, o.Left); !d.ExpiresAt.IsZero() &&
		!o.ExhaustsAt.Before(d.ExpiresAt) {
		o.ExhaustsAt = time.Time{}
	}
	return t.end(d, o)
}

// reason is why a delivery waits although its target may be sent to.
type reason struct {
	why, hint string
	// next is when it is tried; zero: when its turn comes. open: nobody can say.
	next time.Time
	open bool
}

func (t *Target) reason(d *Delivery) reason {
	retry := "hookspool sample " + t.Name + ", then hookspool retry " + t.Name
	switch {
	case d.Early.Busy:
		return reason{why: "sending: an early retry is under way"}
	case d.Behind.Known:
		return t.behind(d)
	case !t.ShutUntil.IsZero():
		next := t.ShutUntil
		switch {
		case d.Early.At.After(next):
			next = d.Early.At
		case !d.Fresh && d.Early.At.IsZero():
			next = t.jobAt(next)
		}
		return reason{next: next, hint: "hookspool resume " + t.Name + " goes on now",
			why: "held: " + t.Name + " asked to be left alone until " + instant(t.ShutUntil, t.Now) +
				" (Retry-After)"}
	case t.Jobs.Running && (!d.Fresh || !t.DefectiveSince.IsZero()) && d.Due <= t.Jobs.Tick:
		return reason{why: "waiting for its turn in the job that runs now, oldest first" +
			lastText(d.LastError)}
	case !t.DefectiveSince.IsZero():
		return t.byJob(reason{why: t.defectText(), hint: retry})
	case !d.Early.At.IsZero():
		return reason{why: "waiting for an early retry" + lastText(d.LastError), next: d.Early.At}
	case d.Fresh:
		return reason{why: t.turnText()}
	}
	return t.byJob(reason{why: d.tickText(), hint: retry})
}

// byJob completes the reason of what waits for a job.
func (t *Target) byJob(r reason) reason {
	r.next = t.jobAt(t.Now)
	r.open = r.next.IsZero()
	return r
}

// behind is the reason of what stands in line.
func (t *Target) behind(d *Delivery) reason {
	r := reason{open: true, why: "waiting: it comes after " + cmp.Or(d.Behind.ID, "another event") +
		" in its order (" + t.Order + ")"}
	if d.Behind.Attempts > 0 {
		r.why += ", which failed " + several(d.Behind.Attempts, "time", "times")
	}
	if d.Behind.ID != "" {
		r.hint = "hookspool events " + Quote(d.Behind.ID)
	}
	return r
}

// end ends a sentence with when it is tried next, how often still, and until when.
func (t *Target) end(d *Delivery, o Outlook) Outlook {
	if !o.NextAt.IsZero() {
		o.Why += "; next try " + instant(o.NextAt, t.Now)
	}
	o.Why += "; " + several(o.Left, "try", "tries") + " left"
	if !d.ExpiresAt.IsZero() {
		o.Why += "; expires " + instant(d.ExpiresAt, t.Now)
	}
	return o
}

// jobAt is the target's first job that is not before an instant; zero: nobody knows.
func (t *Target) jobAt(at time.Time) time.Time {
	next := t.Jobs.Next
	if next.IsZero() || t.Jobs.Between <= 0 || !next.Before(at) {
		return next
	}
	late := at.Sub(next)
	n := late / t.Jobs.Between
	if late%t.Jobs.Between > 0 {
		n++
	}
	return next.Add(n * t.Jobs.Between)
}

// exhausts is when the last of so many requests is made if all fail, the first of them at next,
// or now if that is zero.
func (t *Target) exhausts(d *Delivery, next time.Time, left int) time.Time {
	last := next
	if last.IsZero() {
		last = t.Now
	}
	early := 0 // of the early retries, how many were begun
	switch {
	case d.Fresh && t.DefectiveSince.IsZero():
	case d.Early.Stage > 0:
		early = d.Early.Stage
	default: // by jobs only
		early = len(t.Early)
	}
	for left--; left > 0 && early < len(t.Early); left-- {
		last = last.Add(t.Early[early])
		early++
	}
	if left == 0 {
		return last
	}
	job := t.jobAt(last)
	if job.IsZero() {
		return job
	}
	if !job.After(last) {
		job = job.Add(t.Jobs.Between)
	}
	return job.Add(time.Duration(left-1) * t.Jobs.Between)
}

// Expiry is when an event that was accepted at an instant becomes too old for a target that gives
// up after a while, 0 if it does not; own is what the event says of itself, as RFC 3339 has it, or
// empty. What is no instant says nothing. Zero: never.
func Expiry(after time.Duration, accepted time.Time, own string) (at time.Time) {
	if after > 0 {
		at = accepted.Add(after)
	}
	if own != "" {
		until, err := time.Parse(time.RFC3339, own)
		if err == nil && !until.IsZero() && (at.IsZero() || until.Before(at)) {
			at = until
		}
	}
	return at
}

// Known is an instant as the API has it: nil for the zero one.
func Known(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}
