package spool

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// The history answers what was tried and what came back. It decides nothing: a record that is gone
// or unreadable is a gap in a listing. Two parts, so that a healthy delivery costs no write:
//
//   - An attempt that writes anyway (it failed, or it was a retry) leaves a record beside its
//     exception: the first one of a delivery and the last historyMax-1. They expire like exhausted
//     deliveries. One that was withheld has the number of the attempt that it was to be, and its
//     record makes way for that.
//   - The last recentMax attempts of every lane are in memory, whatever became of them, and are
//     written at most every recentPause and at the end.
const (
	historyMax       = 5
	historySnippet   = 256 // bytes of an answer in a record
	recentMax        = 128
	recentStoredMax  = 32
	recentPause      = 5 * time.Second
	recentTTL        = 7 * 24 * time.Hour
	recentEntryBytes = 96
)

// Made is what one request was like. The zero value is nothing known.
type Made struct {
	// Outcome is the caller's own number of what the attempt learned.
	Outcome uint8
	// Duration of the request; 0: none was made.
	Duration time.Duration
	// Remote is "ip:port"; empty when there was no connection.
	Remote string
	// Snippet is the beginning of a failure's answer.
	Snippet []byte
}

// Attempt is one request that was made, as far as the history keeps it.
type Attempt struct {
	Ref
	Made
	// Number is 0 for the live one, then 1, 2, …; a replay starts over.
	Number int
	At     time.Time
	Status int
	Error  string
	Replay bool
}

// attemptOf is what is kept of an attempt; its number is negative if there was none.
func attemptOf(st *Settlement) Attempt {
	n := st.Attempts - 1
	if st.Verdict == Withheld {
		n = st.Attempts
	}
	return Attempt{Ref: Ref{st.Lane, st.Seq}, Made: st.Made, Number: n, At: st.At,
		Status: st.Status, Error: st.Error, Replay: st.Replay}
}

func (a *Attempt) encode(e *encoder) {
	e.uint(uint64(max(a.Number, 0)))
	e.time(a.At)
	e.uint(uint64(a.Outcome))
	e.uint(uint64(a.Status))
	e.uint(uint64(max(a.Duration, 0)))
	e.string(a.Error)
	e.string(a.Remote)
	e.bytes(a.Snippet[:min(len(a.Snippet), historySnippet)])
	e.bool(a.Replay)
}

func decodeAttempt(d *decoder) (a Attempt) {
	a.Number, a.At, a.Outcome = int(d.uint()), d.time(), uint8(d.uint())
	a.Status, a.Duration = int(d.uint()), time.Duration(d.uint())
	a.Error, a.Remote, a.Snippet, a.Replay = d.string(), d.string(), d.bytes(), d.bool()
	return a
}

// historyKey puts attempt n of a delivery where it replaces the one that has to go.
func historyKey(r Ref, n int) []byte {
	slot := byte(0)
	if n > 0 {
		slot = byte(1 + (n-1)%(historyMax-1))
	}
	return append(laneSeqKey(prefixHistory, r.Lane, r.Seq), slot)
}

// putHistory writes the attempt that is being settled, unless it succeeded at once.
func (g *group) putHistory(st *Settlement) {
	a := attemptOf(st)
	if a.Number < 0 || st.Fresh && st.Verdict == Delivered {
		return
	}
	e := newEncoder(64 + len(a.Error) + len(a.Snippet))
	a.encode(e)
	g.put(badger.NewEntry(historyKey(a.Ref, a.Number), e.seal()).
		WithTTL(max(g.s.limits.Load().KeepExhausted, time.Hour)))
}

// History is what is known of the attempts of one delivery, oldest first.
func (l *Lane) History(seq uint64) ([]Attempt, error) {
	var out []Attempt
	err := l.s.scan(laneSeqKey(prefixHistory, l.id, seq), nil, func(_, value []byte) (bool, error) {
		d, err := openValue(value)
		if err != nil {
			return true, nil // a gap
		}
		if a := decodeAttempt(d); d.err == nil {
			a.Ref = Ref{l.id, seq}
			out = append(out, a)
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the history of target %q: %w", l.name, err)
	}
	recent, _ := l.Recent(0)
	for _, a := range recent {
		same := func(b Attempt) bool { return b.Number == a.Number && b.At.Equal(a.At) }
		if a.Seq == seq && !slices.ContainsFunc(out, same) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b Attempt) int { return a.At.Compare(b.At) })
	return out, nil
}

// recent is a ring of a lane's last attempts; it grows to recentMax as it is needed.
type recent struct {
	ring   []Attempt
	n      uint64 // attempts ever
	stored uint64 // n as of the last write
	at     time.Time
}

func (r *recent) add(a Attempt) {
	if len(r.ring) < recentMax {
		r.ring = append(r.ring, a)
	} else {
		r.ring[r.n%recentMax] = a
	}
	r.n++
}

// since returns the attempts after number n, oldest first, as far as they are kept.
func (r *recent) since(n uint64) []Attempt {
	n = max(n, r.n-uint64(len(r.ring)))
	out := make([]Attempt, 0, r.n-min(n, r.n))
	for ; n < r.n; n++ {
		out = append(out, r.ring[n%recentMax])
	}
	return out
}

// Recent returns the lane's last attempts after number n, oldest first, and the number to go on
// from. It costs no disk access.
func (l *Lane) Recent(n uint64) ([]Attempt, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent.since(n), l.recent.n
}

// Made is how many attempts of the lane were noted, ever: what Recent goes on from.
func (l *Lane) Made() uint64 {
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

// noteLocked remembers an attempt that is being settled.
func (l *Lane) noteLocked(st *Settlement) {
	a := attemptOf(st)
	if a.Number < 0 {
		return
	}
	if len(a.Snippet) > 0 { // most have none; the rest of the answer must not stay in memory
		a.Snippet = bytes.Clone(a.Snippet[:min(len(a.Snippet), historySnippet)])
	}
	l.recent.add(a)
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
	e := newEncoder(recentEntryBytes * len(list))
	e.uint(uint64(len(list)))
	for i := range list {
		e.uint(list[i].Seq)
		list[i].Snippet = nil
		list[i].encode(e)
	}
	g.put(badger.NewEntry(laneKey(prefixRecent, l.id), e.seal()).WithTTL(recentTTL))
}

// loadRecent reads what putRecent wrote. Without it the lane only knows less.
func (l *Lane) loadRecent() {
	value, err := l.s.get(laneKey(prefixRecent, l.id))
	if err != nil {
		return
	}
	list, err := decodeRecent(value)
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

func decodeRecent(value []byte) ([]Attempt, error) {
	d, err := openValue(value)
	if err != nil {
		return nil, fmt.Errorf("cannot read last attempts: %w", err)
	}
	var list []Attempt
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		seq := d.uint()
		a := decodeAttempt(d)
		a.Seq = seq
		list = append(list, a)
	}
	return list, d.err
}
