package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/book"
	"github.com/hookspool/hookspool/relay/peers"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// An order to a target is carried out by the relay that serves it, whichever relay it was given to,
// and answered with that relay's words. What is only looked at is answered where it is asked: each
// relay has all records.

const (
	// orderPatience is how long a relay waits for the answer of another; an order is a commit or two.
	orderPatience = 10 * time.Second
	// lookPatience is the same for what is only more exact there.
	lookPatience = time.Second
	// movedPause lies between two tries of an order whose lane has moved meanwhile.
	movedPause = 250 * time.Millisecond
	// purgeAtOnce is how many deliveries another relay is asked to purge at once.
	purgeAtOnce = 1000
	// silentRetryAfter, in seconds, is told to whoever gave an order that nobody carries out now.
	silentRetryAfter = 5
)

// front is the desk of a relay that may share its spool with others: it takes orders for all.
type front struct{ desk }

var _ admin.Backend = front{}

// Enable is part of admin.Backend.
func (f front) Enable(o admin.Order) (uint64, error) { return f.runs(peers.Enable, o) }

// Retry is part of admin.Backend.
func (f front) Retry(o admin.Order) (uint64, error) { return f.runs(peers.Retry, o) }

// Pause is part of admin.Backend.
func (f front) Pause(o admin.Order) error { return f.steer(peers.Pause, o) }

// Resume is part of admin.Backend.
func (f front) Resume(o admin.Order) error { return f.steer(peers.Resume, o) }

func (f front) steer(verb peers.Verb, o admin.Order) error {
	_, err := f.pass(context.Background(), &peers.Question{Verb: verb, Target: o.Target, Order: &o})
	if err == nil {
		f.book.End(f.signed(&o.Action), "done")
	}
	return err
}

// runs gives an order for a job. It is noted before, because the relay that runs the job notes what
// that came to, which may be at once.
func (f front) runs(verb peers.Verb, o admin.Order) (uint64, error) {
	o.Action.Result = "a job was asked for"
	f.book.Begin(f.signed(&o.Action))
	v, err := f.pass(context.Background(), &peers.Question{Verb: verb, Target: o.Target, Order: &o})
	job, err := peers.ResultOf[uint64](v, err)
	refusal, refused := errors.AsType[*admin.Error](err)
	switch {
	case refused && refusal.Status < http.StatusInternalServerError:
		f.book.Drop(&o.Action)
	case err != nil:
		f.book.End(&o.Action, err.Error())
	case job == 0 && o.Force:
		f.book.End(&o.Action, "lifted by force; nothing is pending")
	case job == 0:
		f.book.End(&o.Action, "nothing is pending")
	}
	return job, err
}

// signed names the relay that took an order, if there are several.
func (f front) signed(a *action.Action) *action.Action {
	a.Relay = f.company.Name()
	return a
}

// Act is part of admin.Clerk.
func (f front) Act(a action.Action, more bool) string {
	f.book.Join(f.signed(&a), more)
	return a.Run
}

// CutShort is part of admin.Clerk.
func (f front) CutShort(run string, who action.Who) *action.Action { return f.book.Stop(run, who) }

// Actions is part of admin.Clerk.
func (f front) Actions(q admin.ActionQuery) (admin.Actions, error) {
	list, next, err := f.book.List(&book.Query{Target: q.Target, Verb: q.Verb, Since: q.Since,
		Until: q.Until, Limit: q.Limit, After: q.After})
	return admin.Actions{Actions: list, Next: next}, err
}

// Target is part of admin.Backend. What a target is doing now is known to the relay that serves it;
// if that does not answer at once, the rest is.
func (f front) Target(name string) (admin.Target, bool) {
	here, ok := f.desk.Target(name)
	if _, mine := f.servedBy(name); !ok || mine {
		return here, ok
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	v, err := f.passOnce(ctx, &peers.Question{Verb: peers.Target, Target: name})
	if there, err := peers.ResultOf[admin.Target](v, err); err == nil {
		return there, true
	}
	return here, true
}

// Targets is part of admin.Backend. What only the relay knows that serves a target is asked of
// that.
func (f front) Targets() []admin.Target {
	list := f.desk.Targets()
	if f.company == nil {
		return list
	}
	busy := f.company.Busy()
	for i := range list {
		t := &list[i]
		if t.InFlight != nil {
			continue
		}
		if of, known := busy[t.Relay]; known {
			b := of[t.Name]
			t.InFlight, t.JobRunning, t.LastJob = &b.InFlight, b.JobRunning, b.LastJob
			t.TicksOutlasted = b.TicksOutlasted
		}
	}
	return list
}

// doing is what this relay does for its targets, as far as it does anything.
func (f front) doing() map[string]peers.Busy {
	busy := make(map[string]peers.Busy)
	for _, l := range f.allLanes() {
		b := peers.Busy{InFlight: l.slots.InUse(), JobRunning: l.jobRunning.Load(),
			TicksOutlasted: l.outlasted.Load(), LastJob: l.board.Last()}
		if l.tenure.ours() && b != (peers.Busy{}) {
			busy[l.name] = b
		}
	}
	return busy
}

// Event is part of admin.Finder. What a delivery waits for is known to the relay that serves its
// target, and why nobody wanted an event to the one that accepted it; if they do not answer at
// once, the rest is told.
func (f front) Event(id string) (admin.Event, error) {
	here, err := f.desk.Event(id)
	if f.company == nil {
		return here, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	if no, is := errors.AsType[*admin.Error](err); is && no.Status == http.StatusNotFound {
		for _, p := range f.company.Others() {
			v, err := f.company.Ask(ctx, p.Name, &peers.Question{Verb: peers.Event, ID: id})
			if there, err := peers.ResultOf[admin.Event](v, err); err == nil {
				return there, nil
			}
		}
		return here, err
	}
	for i := range here.Deliveries {
		d := &here.Deliveries[i]
		if _, mine := f.servedBy(d.Target); mine || d.State != spool.StatePending.String() {
			continue
		}
		v, err := f.passOnce(ctx, &peers.Question{Verb: peers.Event, Target: d.Target, ID: id})
		there, err := peers.ResultOf[admin.Event](v, err)
		for k := range there.Deliveries {
			if err == nil && there.Deliveries[k].Target == d.Target {
				*d = there.Deliveries[k]
			}
		}
	}
	return here, err
}

// Purge is part of admin.Care. Another relay is asked page by page, so that no answer takes long.
func (f front) Purge(ctx context.Context, name string, q admin.PurgeQuery) (admin.Purged, error) {
	_, mine := f.servedBy(name)
	if mine || q.Forget || q.Limit > 0 || q.After != "" {
		v, err := f.pass(ctx, &peers.Question{Verb: peers.Purge, Target: name, Purge: &q})
		return peers.ResultOf[admin.Purged](v, err)
	}
	out := admin.Purged{Target: name, State: q.State, DryRun: q.DryRun}
	for q.Limit = purgeAtOnce; ; {
		v, err := f.pass(ctx, &peers.Question{Verb: peers.Purge, Target: name, Purge: &q})
		page, err := peers.ResultOf[admin.Purged](v, err)
		out.Count += page.Count
		out.LookedAt += page.LookedAt
		out.WhereErrors += page.WhereErrors
		out.WhereError = cmp.Or(out.WhereError, page.WhereError)
		if err != nil || page.Next == "" {
			return out, err
		}
		q.After = page.Next
	}
}

// Replay is part of admin.Replayer. Without a target the relays that serve those which the event is
// owed to do a part each; whoever asks again after an error replays nothing twice. What is only
// counted is counted by them too: the records here may be some milliseconds old.
func (f front) Replay(ctx context.Context, q admin.ReplayQuery) (admin.Replayed, error) {
	if f.company == nil {
		return f.desk.Replay(ctx, q)
	}
	if q.Target != "" {
		return f.replayAt(ctx, q)
	}
	out := admin.Replayed{DryRun: q.DryRun, Sends: true}
	e, err := f.eventByID(q.ID)
	if err != nil {
		return out, err
	}
	places, err := look.Places(f.spool, e)
	for i := range places {
		if err != nil {
			return out, err
		}
		part := q
		part.Target = places[i].Target
		var done admin.Replayed
		done, err = f.replayAt(ctx, part)
		if out.Count += done.Count; done.Count == 0 {
			continue // what it would be sent to does not matter
		}
		out.Sends = out.Sends && done.Sends
		if done.WhyNot != "" {
			out.WhyNot = strings.TrimPrefix(out.WhyNot+"; "+done.WhyNot, "; ")
		}
	}
	return out, err
}

func (f front) replayAt(ctx context.Context, q admin.ReplayQuery) (admin.Replayed, error) {
	v, err := f.pass(ctx, &peers.Question{Verb: peers.Replay, Target: q.Target, Replay: &q})
	return peers.ResultOf[admin.Replayed](v, err)
}

// pass lets the relay that serves the target carry an order out. If that is another one by then, it
// is asked, once.
func (f front) pass(ctx context.Context, q *peers.Question) (any, error) {
	v, err := f.passOnce(ctx, q)
	if f.company == nil || !errors.Is(err, spool.ErrElsewhere) {
		return v, err
	}
	if !f.waits(movedPause) {
		return nil, orderError(spool.ErrClosed)
	}
	if v, err = f.passOnce(ctx, q); errors.Is(err, spool.ErrElsewhere) {
		return nil, unanswered(q.Target)
	}
	return v, err
}

// passOnce is pass for one relay. spool.ErrElsewhere: it does not serve the target, or none does.
func (f front) passOnce(ctx context.Context, q *peers.Question) (any, error) {
	owner, mine := f.servedBy(q.Target)
	switch {
	case mine:
		return f.carryOut(ctx, q)
	case owner == "" || owner == f.company.Name():
		return nil, spool.ErrElsewhere
	}
	ctx, cancel := context.WithTimeout(ctx, orderPatience)
	defer cancel()
	v, err := f.company.Ask(ctx, owner, q)
	if _, is := errors.AsType[*peers.SilentError](err); is {
		f.log.Warn("an order was not carried out", "target", q.Target, "order", string(q.Verb),
			"error", err)
		return nil, unanswered(q.Target)
	}
	return v, err
}

// servedBy is the relay that serves a target. A name that there is no lane of is everybody's, who
// all say the same.
func (f front) servedBy(name string) (relay string, mine bool) {
	if f.company == nil {
		return "", true
	}
	l := f.laneNamed(name)
	if l == nil || f.company.Tenure(l.spool) != 0 {
		return "", true
	}
	return f.company.Owner(l.spool.ID()), false
}

// unanswered is the refusal of an order that nobody carries out now.
func unanswered(target string) *admin.Error {
	e := admin.Refuse(503, "unavailable", "the relay that serves target %.100q does not answer; "+
		"another one takes over within seconds", target)
	e.RetryAfter = silentRetryAfter
	e.Hint = "hookspool status shows the relays"
	return e
}

// answer is what another relay hears that has asked.
func (f front) answer(ctx context.Context, q *peers.Question) (any, error) {
	if _, mine := f.servedBy(q.Target); !mine {
		return nil, spool.ErrElsewhere
	}
	return f.carryOut(ctx, q)
}

// carryOut does here what a question asks for.
func (f front) carryOut(ctx context.Context, q *peers.Question) (any, error) {
	switch q.Verb {
	case peers.Target:
		if t, ok := f.desk.Target(q.Target); ok {
			return t, nil
		}
		return nil, noTarget(q.Target)
	case peers.Event:
		return f.desk.Event(q.ID)
	case peers.Past:
		if span, known := spanNamed(q.Span); known {
			return f.partOf(q.Target, span), nil
		}
	case peers.Doing:
		return f.doing(), nil
	case peers.Enable:
		if q.Order != nil {
			return f.desk.Enable(*q.Order)
		}
	case peers.Retry:
		if q.Order != nil {
			return f.desk.Retry(*q.Order)
		}
	case peers.Pause:
		if q.Order != nil {
			return nil, f.desk.Pause(*q.Order)
		}
	case peers.Resume:
		if q.Order != nil {
			return nil, f.desk.Resume(*q.Order)
		}
	case peers.Accounts:
		if q.Way < uint8(ways) {
			return f.payers[q.Way].accounts(ctx, q.Lane), nil
		}
	case peers.Purge:
		if q.Purge != nil {
			return f.desk.Purge(ctx, q.Target, *q.Purge)
		}
	case peers.Replay:
		if q.Replay != nil {
			return f.desk.Replay(ctx, *q.Replay)
		}
	}
	return nil, fmt.Errorf("cannot carry out %q: this relay does not know it", q.Verb)
}
