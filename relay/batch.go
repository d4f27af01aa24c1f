package relay

import (
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/envelope"
	"github.com/hookspool/hookspool/spool"
)

// A target with `batch` gets many events in one request. One task stands for them all, the first,
// with the batch beside it: it has one slot, one turn where the target has a rate, one worker, one
// request and one outcome, which is settled for each delivery by itself, with its own number of
// attempts.
//
// Fresh deliveries are gathered by whoever hands them out (sendBatches), those that are due by the
// job, and those that are to be retried early by their loop. What the target's program makes of an
// event is what goes in; one on which it fails, or that is too old, has a place in the batch but
// none in the request. What no batch can carry goes alone, as it would without batches. After each
// failure a delivery goes with half as many, so that one event that the target refuses does not
// take others with it to the end of their attempts.

const (
	// batchBytesMax bounds the body of a request beside the largest event. All slots of a target may
	// hold one.
	batchBytesMax = 1 << 20
	// packedMore is about what an event takes in a batch beside its payload.
	packedMore = 400
	// batchShares is how many times the largest event a relay takes in one request.
	batchShares = 16
)

// batches is how a target wants its events; nil: each alone, or there is no target.
func (w *work) batches() *config.Batch {
	if w != nil && w.target.Batch.Format != "" {
		return &w.target.Batch
	}
	return nil
}

// batch is what goes to a target in one request.
type batch struct {
	// work is what it was made for. After a reload it is made again.
	work   *work
	format envelope.Format
	parts  []part // at least one; the first stands for all
}

// part is a delivery's share in a batch.
type part struct {
	task
	packed envelope.Event
	// untransformed is why it is not in the request; the zero Outcome: it is.
	untransformed attempt.Outcome
	result        result
}

// idle reports a batch with nothing to send, which needs no turn.
func (b *batch) idle(now time.Time) bool {
	for i := range b.parts {
		p := &b.parts[i]
		if _, old := tooOld(b.work.target, &p.task, now); !old && p.untransformed.Kind == 0 {
			return false
		}
	}
	return true
}

// outdated reports a batch that was made before a reload, and is none for what the target is now.
func (t *task) outdated(l *lane) bool { return t.with != nil && t.with.work != l.work.Load() }

// gathering is a batch that is being made. It belongs to one goroutine.
type gathering struct {
	l     *lane
	batch batch
	bytes int
	limit int // of events: the least that any of them allows
	// alone: the one that is there cannot be carried by a batch. full: nothing more goes in.
	alone, full bool
}

func (g *gathering) empty() bool { return len(g.batch.parts) == 0 }

// add takes a delivery in; false: it does not go with those that are there.
func (g *gathering) add(t *task, w *work) bool {
	b := w.batches()
	n := len(g.batch.parts)
	limit := max(b.MaxEvents>>min(t.attempts, 16), 1)
	if n > 0 {
		limit = min(limit, g.limit)
		if g.full || n+1 > limit || g.batch.work != w || t.replay != g.batch.parts[0].replay {
			return false
		}
	}
	p := part{task: *t}
	p.packed, p.untransformed = w.pack(g.l, t)
	largest := g.l.r.setup.Load().cfg.Server.MaxBodySize
	format, size, ok := envelope.Format(b.Format), 0, true
	if p.untransformed.Kind == 0 {
		size, ok = format.Weigh(&p.packed)
		ok = ok && int64(size) <= largest
	}
	if n > 0 && (!ok || int64(g.bytes+size) > min(batchBytesMax, batchShares*largest)) {
		return false
	}
	g.batch.work, g.batch.format = w, format
	g.batch.parts, g.bytes, g.limit = append(g.batch.parts, p), g.bytes+size, limit
	g.alone = !ok
	g.full = !ok || n+1 >= limit
	return true
}

// pack is an event as it is written into a batch, or why it is not.
func (w *work) pack(l *lane, t *task) (envelope.Event, attempt.Outcome) {
	e := packedOf(t.event)
	if w.transform == nil {
		return e, attempt.Outcome{}
	}
	req := t.request(time.Time{})
	out := w.transformed(l, t, &req)
	e.Payload, e.ContentType = req.Payload, req.ContentType
	return e, out
}

// take returns the first task with the batch beside it, and begins again.
func (g *gathering) take() task {
	t := g.batch.parts[0].task
	if !g.alone {
		b := g.batch
		t.with = &b
	}
	*g = gathering{l: g.l}
	return t
}

// sendBatches is sendPortions for a target that gets batches. It ends when there is nothing to do,
// or the target is not what it was.
func sendBatches(l *lane, halt <-chan struct{}) error {
	l.fetching.Lock()
	defer l.fetching.Unlock()
	g := gathering{l: l}
	tenure := l.tenure.Load()
	more, err := true, error(nil)
	for more && err == nil && l.work.Load().batches() != nil {
		more, err = g.send(halt)
	}
	seq, left := l.portion.drop()
	if !g.empty() {
		seq, left = g.batch.parts[0].event.Seq, true
	}
	if left && !l.tenure.stale(tenure) {
		l.spool.Release(seq)
		l.spool.Wake() // after a reload there is something to do
	}
	return err
}

// send gathers and hands out one batch. Where the target has a rate, the batch waits for its turn
// before the slot, so that a job has the next one (sendInTurn).
func (g *gathering) send(halt <-chan struct{}) (more bool, err error) {
	l := g.l
	inTurn := l.pace.On()
	if !inTurn && !l.acquireForPortion(halt) {
		return false, nil
	}
	err = g.fill(halt)
	goes := func() bool { return !closed(halt) && g.batch.work == l.work.Load() }
	ready := !g.empty() && goes()
	if inTurn {
		ready = ready && (g.batch.idle(l.r.now()) || l.pace.Take(l.r.stopping, goes)) &&
			l.slots.Acquire(halt)
		if !ready {
			return false, err
		}
	}
	if !ready || !goes() || closed(l.r.stopping) {
		l.slots.Release()
		return false, err
	}
	l.hire(g.take())
	return true, err
}

// fill gathers fresh deliveries until the batch is full, or its first has waited for as long
// as it may.
func (g *gathering) fill(halt <-chan struct{}) error {
	l := g.l
	var timer *time.Timer
	for !g.full {
		t, ok, err := l.takeOrFetch(halt)
		w := l.work.Load()
		switch {
		case err != nil || !ok && g.empty():
			return err
		case ok && w.batches() == nil: // a reload just now
			l.portion.back(t.event)
			return nil
		case ok && !g.add(&t, w):
			l.portion.back(t.event)
			return nil
		case ok:
			continue
		case timer == nil && w.batches() != nil:
			timer = time.NewTimer(w.batches().MaxWait)
			defer timer.Stop()
		}
		if w.batches() == nil || !g.wait(timer, halt) {
			return nil
		}
	}
	return nil
}

// wait waits until there may be more to gather; false: there was no more in time.
func (g *gathering) wait(timer *time.Timer, halt <-chan struct{}) bool {
	select {
	case <-g.l.spool.Ready():
		return true
	case <-timer.C:
	case <-halt:
	case <-g.l.r.stopping:
	case <-g.l.forgotten:
	}
	return false
}

// send dispatches a delivery of the job, or gathers it; false: the job is over. What could not be
// dispatched stays gathered.
func (j *job) send(t task) bool {
	w := j.l.work.Load()
	if w.batches() == nil || t.order != 0 {
		if !j.flush() {
			return false
		}
		if !j.dispatch(t) {
			j.gathered.batch.parts = []part{{task: t}}
			return false
		}
		return true
	}
	if !j.gathered.add(&t, w) {
		if !j.flush() {
			return false
		}
		j.gathered.add(&t, w)
	}
	return !j.gathered.full || j.flush()
}

// flush dispatches what was gathered, if anything was.
func (j *job) flush() bool {
	if j.gathered.empty() {
		return true
	}
	kept := j.gathered
	t := j.gathered.take()
	if j.dispatch(t) {
		return true
	}
	if !t.outdated(j.l) || j.over() {
		j.gathered = kept
		return false
	}
	for i := range kept.batch.parts { // a reload: they go as it wants them to
		if !j.send(kept.batch.parts[i].task) {
			return false
		}
	}
	return j.flush()
}

// together makes the one request for a batch, and notes what that means for each delivery.
func (w *worker) together(t *task) {
	l, b := w.l, t.with
	t.work = b.work
	in := batch{work: b.work, format: b.format}
	var sent []*part
	for i := range b.parts {
		p := &b.parts[i]
		p.work = b.work
		st, old := expired(l, &p.task)
		switch {
		case old:
			p.result = result{settlement: st}
		case p.untransformed.Kind != 0:
			w.withheld(&p.task, &p.untransformed)
			p.result = w.judge(&p.task, p.untransformed)
		default:
			p.beside = len(in.parts) > 0
			in.parts, sent = append(in.parts, *p), append(sent, p)
		}
	}
	if len(in.parts) == 0 {
		return
	}
	whole := in.parts[0].task
	whole.with = &in
	out := w.insist(&whole)
	for _, p := range sent {
		p.result = w.judge(&p.task, out)
	}
}

// settle settles each delivery of a batch. Those that may be retried early wait for the disk
// together.
func (b *batch) settle(w *worker) {
	var change spool.Change
	for i := range b.parts {
		if p := &b.parts[i]; !p.result.settled && p.result.settlesEarly(&p.task) {
			change.Settle = append(change.Settle, p.result.settlement)
		}
	}
	var err error
	if len(change.Settle) > 0 {
		err = w.l.r.spool.Apply(change)
	}
	for i := range b.parts {
		switch p := &b.parts[i]; {
		case p.result.settled:
		case p.result.settlesEarly(&p.task):
			goOnEarly(w.l, &p.task, &p.result, err)
		default:
			w.settle(&p.task, &p.result)
		}
	}
}

// request is the request for what is packed.
func (b *batch) request(at time.Time) attempt.Request {
	events := make([]envelope.Event, len(b.parts))
	size := 0
	for i := range b.parts {
		events[i] = b.parts[i].packed
		size += len(events[i].Payload)
	}
	req := attempt.Request{ID: envelope.ID(events), ContentType: b.format.ContentType(), Batch: true,
		Replay: b.parts[0].replay, At: at, Payload: b.format.Append(
			make([]byte, 0, size+size/4+packedMore*len(events)), events)}
	for i := range b.parts {
		req.Attempt = max(req.Attempt, b.parts[i].attempts)
	}
	if b.format == envelope.NDJSON {
		req.Type = envelope.TypeOf(events)
	}
	return req
}

// packedOf is an event as it is written into a batch.
func packedOf(e *spool.Event) envelope.Event {
	return envelope.Event{ID: e.ID(), Type: e.Type(), Session: e.Session.String(),
		ContentType: e.ContentType(), Headers: e.Headers(), Payload: e.Payload(), At: e.At}
}

// packOne puts a request for one event into a batch, if the target gets batches and one can carry
// it: a sample, or a preview.
func packOne(t *config.Target, req *attempt.Request, at time.Time, largest int64) attempt.Request {
	e := envelope.Event{ID: req.ID, Type: req.Type, Session: req.Session,
		ContentType: req.ContentType, Payload: req.Payload, At: at}
	for _, h := range req.Header {
		e.Headers = append(e.Headers, spool.Header(h))
	}
	format := envelope.Format(t.Batch.Format)
	if format == "" {
		return *req
	}
	size, ok := format.Weigh(&e)
	if !ok || int64(size) > largest {
		return *req
	}
	b := batch{format: format, parts: []part{{packed: e}}}
	out := b.request(at)
	out.Sample = req.Sample
	return out
}
