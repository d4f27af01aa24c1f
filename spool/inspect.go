package spool

// State is where a delivery is.
type State uint8

// The states of a delivery (HOUSE: pending, delivered or exhausted), and the one of a delivery that
// was never owed.
const (
	StateNone State = iota
	StatePending
	StateDelivered
	StateExhausted
	// StatePurged: it was deleted by hand.
	StatePurged
)

// String is the word of the API.
func (s State) String() string {
	return [...]string{"none", "pending", "delivered", "exhausted", "purged"}[s]
}

// OwedBy are the lanes that the event was accepted for.
func (s *Spool) OwedBy(e *Event) []*Lane {
	var lanes []*Lane
	e.laneIDs(func(id uint32) {
		if l := s.laneByID(id); l != nil {
			lanes = append(lanes, l)
		}
	})
	return lanes
}

// Find says where one delivery of an event is. Its Delivery holds what was tried, as far as that
// is kept: nothing for a delivery that succeeded at once.
func (l *Lane) Find(e *Event) (State, Delivery) {
	d := Delivery{Event: e}
	if !e.owedTo(l.id) {
		return StateNone, d
	}
	// The log before the exceptions: a delivery moves only in that direction.
	fresh := l.unsettled(e.Seq)
	for prefix, state := range map[byte]State{
		prefixException: StatePending, prefixExhausted: StateExhausted,
	} {
		value, err := l.s.get(laneSeqKey(prefix, l.id, e.Seq))
		if err != nil {
			continue
		}
		x, err := decodeException(value)
		if err != nil {
			return state, d
		}
		d.Attempts, d.FirstFailed, d.LastAt = x.attempts, x.firstFailed, x.lastAt
		d.LastStatus, d.LastError, d.Replay = x.lastStatus, x.lastError, x.replay
		return state, d
	}
	if l.markMax.Load() >= e.Seq {
		if _, err := l.s.get(laneSeqKey(prefixPurged, l.id, e.Seq)); err == nil {
			return StatePurged, d
		}
	}
	if fresh {
		return StatePending, d
	}
	return StateDelivered, d
}

// FreshDeliveries lists deliveries still on their way through the log, oldest first, from a
// sequence on. It reads at most one page of the log a call; next is where to go on, 0 at the end.
func (l *Lane) FreshDeliveries(from uint64, most int) (out []Listed, next uint64, err error) {
	l.mu.Lock()
	head := l.s.head.Load()
	from = max(from, l.positionLocked(head)+1)
	l.mu.Unlock()
	if from > head {
		return nil, 0, nil
	}
	p, err := l.s.readPage(from, l, most)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range p.events {
		if l.unsettled(e.Seq) {
			out = append(out, Listed{Ref: Ref{l, e.Seq}, Delivery: Delivery{Event: e}})
		}
	}
	if p.next <= head {
		next = p.next
	}
	return out, next, nil
}

// PendingDeliveries lists what is pending, oldest event first, from a sequence on; next is where to
// go on, 0 at the end. A page may be short of most and not the last. Nothing that is pending
// throughout is missed, whatever moves meanwhile: a delivery keeps its sequence and moves only from
// the log to the exceptions, which are read in that order, with the committer's groups between.
func (l *Lane) PendingDeliveries(from uint64, most int) (out []Listed, next uint64, err error) {
	fresh, horizon, err := l.FreshDeliveries(from, most)
	if err != nil {
		return nil, 0, err
	}
	// A spool that failed lists what is on its disk.
	_ = l.s.Apply(Change{empty: true})
	failed, err := l.Exceptions(from, most)
	if err != nil {
		return nil, 0, err
	}
	if n := len(failed); n == most && (horizon == 0 || failed[n-1].Seq < horizon) {
		horizon = failed[n-1].Seq + 1
	}
	out = mergeListed(failed, fresh, horizon)
	if len(out) > most {
		return out[:most], out[most].Seq, nil
	}
	return out, horizon, nil
}

// mergeListed merges two ascending lists below horizon (0: no bound); of two entries for one
// delivery it keeps the first list's.
func mergeListed(a, b []Listed, horizon uint64) []Listed {
	out := make([]Listed, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		var d Listed
		if len(b) == 0 || len(a) > 0 && a[0].Seq <= b[0].Seq {
			if len(b) > 0 && a[0].Seq == b[0].Seq {
				b = b[1:]
			}
			d, a = a[0], a[1:]
		} else {
			d, b = b[0], b[1:]
		}
		if horizon > 0 && d.Seq >= horizon {
			break
		}
		out = append(out, d)
	}
	return out
}
