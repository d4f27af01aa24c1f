package spool

import (
	"time"

	"github.com/hookspool/hookspool/spool/record"
)

// The history answers what was tried and what came back. It decides nothing: a record that is gone
// or unreadable is a gap in a listing. Three parts, so that a healthy delivery costs no write:
//
//   - An attempt that writes anyway (it failed, or it was a retry) leaves a record beside its
//     exception: the first one of a delivery and the last historyMax-1. They expire like exhausted
//     deliveries, but the one that succeeded stays as long as its event. One that was withheld has
//     the number of the attempt that it was to be, and its record makes way for that. The heads of
//     request and answer are kept of the first and the last failure. That is 1.4 KiB for each
//     attempt at most and 4 KiB for each pair of heads, 16 KiB a delivery; with an error page and
//     the heads of a usual proxy it is a third of that.
//   - One that succeeded at once leaves a receipt (package receipt) in the lane's record, which is
//     written for it anyway, and later in a record with many others.
//   - The last recentMax attempts of every lane are in memory, whatever became of them, and are
//     written at most every recentPause and at the end. They have no heads, and of an answer
//     recentSnippet, so that a lane's take 80 KiB at most: 80 MiB for 1,000 targets that all fail.
const (
	recentMax       = 128
	recentSnippet   = 256
	recentStoredMax = 32
	recentPause     = 5 * time.Second
	recentTTL       = 7 * 24 * time.Hour
)

// attemptOf is what is kept of an attempt; its number is negative if there was none.
func attemptOf(st *Settlement) record.Attempt {
	n := st.Attempts - 1
	if st.Verdict == Withheld {
		n = st.Attempts
	}
	return record.Attempt{Ref: record.Ref{Lane: st.Lane, Seq: st.Seq}, Made: st.Made, Number: n,
		At:     st.At,
		Status: st.Status, Error: st.Error, Replay: st.Replay}
}

// putHistory writes the attempt that is being settled, unless it succeeded at once.
func (g *group) putHistory(st *Settlement) {
	a := attemptOf(st)
	if a.Number < 0 || st.Verdict == Expired || st.Fresh && st.Verdict == Delivered {
		return
	}
	kept := max(g.s.limits.Load().KeepExhausted, time.Hour)
	own, heads, two := a.Split()
	if two {
		g.put(record.HeadsKey(a.Ref), heads.Encode(), kept)
	}
	if st.Verdict == Delivered {
		kept = 0 // it says when, for as long as there is the event; see sweepRemains
	}
	g.put(record.HistoryKey(a.Ref, a.Number), own.Encode(), kept)
}

// arrivalsKept are the minutes whose arrivals wait to be asked for, the one under way among them.
// What was accepted longer ago than arrivalSlack was imported, and did not arrive now.
const (
	arrivalsKept = 4
	arrivalSlack = 2 * time.Minute
)

// Arrivals are how many events a lane was given that were accepted in a minute.
type Arrivals struct {
	Minute int64 // since 1970
	Events uint64
}

// arrivals counts what a lane is given, by the minute of acceptance, until somebody asks.
type arrivals [arrivalsKept]Arrivals

// note counts an event, unless it was accepted before the first minute that counts.
func (a *arrivals) note(minute, first int64) {
	at := &a[uint64(minute)%arrivalsKept]
	switch {
	case minute < first || minute < at.Minute:
		return
	case minute > at.Minute:
		*at = Arrivals{Minute: minute}
	}
	at.Events++
}

// add counts what another one has.
func (a *arrivals) add(more *arrivals) {
	for _, m := range more {
		at := &a[uint64(m.Minute)%arrivalsKept]
		if m.Minute > at.Minute {
			*at = Arrivals{Minute: m.Minute}
		}
		if m.Minute == at.Minute {
			at.Events += m.Events
		}
	}
}

// TakeArrivals is what a lane was given since it was asked last: of each minute what came, as long
// as somebody asks within three minutes. It costs no disk access.
func TakeArrivals(l *Lane) (out []Arrivals) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.arrivals {
		if at := &l.arrivals[i]; at.Events > 0 {
			out = append(out, *at)
			at.Events = 0
		}
	}
	return out
}

// recent is a ring of a lane's last attempts; it grows to recentMax as it is needed.
type recent struct {
	ring   []record.Attempt
	n      uint64 // attempts ever
	stored uint64 // n as of the last write
	at     time.Time
}

func (r *recent) add(a record.Attempt) {
	if len(r.ring) < recentMax {
		r.ring = append(r.ring, a)
	} else {
		r.ring[r.n%recentMax] = a
	}
	r.n++
}

// note remembers an attempt that is being settled.
func (r *recent) note(st *Settlement) {
	a := attemptOf(st)
	if a.Number < 0 {
		return
	}
	a.Request, a.Response = nil, nil
	if len(a.Snippet) > 0 { // most have none; the rest of the answer must not stay in memory
		a.Snippet = record.Beginning(a.Snippet, recentSnippet)
	}
	r.add(a)
}

// since returns the attempts after number n, oldest first, as far as they are kept.
func (r *recent) since(n uint64) []record.Attempt {
	n = max(n, r.n-uint64(len(r.ring)))
	out := make([]record.Attempt, 0, r.n-min(n, r.n))
	for ; n < r.n; n++ {
		out = append(out, r.ring[n%recentMax])
	}
	return out
}

// Recent returns the lane's last attempts after number n, oldest first, and the number to go on
// from. It costs no disk access.
func (l *Lane) Recent(n uint64) ([]record.Attempt, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent.since(n), l.recent.n
}

// Noted is how many attempts of the lane were noted, ever: what Recent goes on from.
func (l *Lane) Noted() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent.n
}

// Durations appends what the lane's last requests took, and tells the status of the newest.
func (l *Lane) Durations(to []time.Duration) (_ []time.Duration, lastStatus int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.recent
	for n := r.n - uint64(len(r.ring)); n < r.n; n++ {
		if a := &r.ring[n%recentMax]; a.Duration > 0 {
			to, lastStatus = append(to, a.Duration), a.Status
		}
	}
	return to, lastStatus
}

// putRecent writes the newest attempts of a lane, if there are some and it is time.
func (g *group) putRecent(l *Lane, now time.Time, last bool) {
	l.mu.Lock()
	r := &l.recent
	if l.gone.Load() || r.n == r.stored || !last && now.Sub(r.at) < recentPause {
		l.mu.Unlock()
		return
	}
	list := r.since(r.n - min(r.n, recentStoredMax))
	r.stored, r.at = r.n, now
	l.mu.Unlock()
	if !g.guards.hold(l) {
		return
	}
	g.put(record.LaneKey(record.PrefixRecent, l.id), record.EncodeRecent(list), recentTTL)
}

// putAllRecent writes the last attempts of all lanes, as a spool does that is closed.
func (g *group) putAllRecent() {
	for _, l := range g.s.Lanes() {
		if g.crowded() {
			return // a lane knows less, and that is all
		}
		g.putRecent(l, time.Now(), true)
	}
}

// loadRecent reads what putRecent wrote. Without it the lane only knows less.
func (l *Lane) loadRecent() {
	value, err := l.s.get(record.LaneKey(record.PrefixRecent, l.id))
	if err != nil {
		return
	}
	list, err := record.DecodeRecent(value)
	if err != nil {
		l.s.log.Warn("cannot read the last attempts of a target; they are forgotten", "target", l.name,
			"error", err)
		return
	}
	for _, a := range list {
		a.Lane = l.id
		l.recent.add(a)
	}
	l.recent.stored = l.recent.n
}
