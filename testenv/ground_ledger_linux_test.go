package testenv

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

type groundVerdict int

const (
	groundUnknown groundVerdict = iota // whole or absent
	groundAcked                        // whole, where the answer said
	groundRefused                      // absent
)

// groundBatch is what a publisher sent at once: events, then a link of a chain, then a state.
type groundBatch struct {
	events       int
	chain, state bool
	verdict      groundVerdict
	first        uint64 // its first sequence, if it was answered
	after        uint64 // the last sequence that its publisher was answered before
}

func (b *groundBatch) total() int { return b.events + len(b.expecting("")) }

// expecting are the subjects on which it expects a last sequence.
func (b *groundBatch) expecting(shared string) (subjects []string) {
	if b.chain {
		subjects = append(subjects, groundChain+shared)
	}
	if b.state {
		subjects = append(subjects, groundState+shared)
	}
	return subjects
}

// groundLedger is the oracle: what was sent, and what was answered. A publisher's batches are its
// own while it runs; the rest is read when no load runs.
type groundLedger struct {
	batches [][]*groundBatch // by publisher
	counts  groundCounts
	bytes   atomic.Int64
	last    atomic.Uint64 // the last sequence that anybody was answered
	stored  int           // batches that were not answered, and are there

	mu     sync.Mutex // guards errors
	errors map[string]int
}

func newGroundLedger(publishers int) *groundLedger {
	return &groundLedger{batches: make([][]*groundBatch, publishers), errors: make(map[string]int)}
}

func (l *groundLedger) begin(publisher int, b *groundBatch) (number int) {
	l.batches[publisher] = append(l.batches[publisher], b)
	return len(l.batches[publisher]) - 1
}

// answered is the last sequence that a publisher was answered.
func (l *groundLedger) answered(publisher int) uint64 {
	for _, b := range slices.Backward(l.batches[publisher]) {
		if b.verdict == groundAcked {
			return b.first + uint64(b.total()) - 1
		}
	}
	return 0
}

// ack notes an answer: the sequence of a batch's last message.
func (l *groundLedger) ack(b *groundBatch, seq uint64) {
	b.verdict, b.first = groundAcked, seq-uint64(b.total())+1
	l.counts.acked.Add(1)
	for last := l.last.Load(); seq > last && !l.last.CompareAndSwap(last, seq); {
		last = l.last.Load()
	}
}

func (l *groundLedger) noteError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors[err.Error()]++
}

// groundMsg is a message as one node has it.
type groundMsg struct {
	seq     uint64
	subject string
	head    groundHead
	err     error // it cannot be read
}

// groundFindings is what is wrong with a copy.
type groundFindings struct {
	node     string // whose copy it is; "": nobody's
	lost     int    // batches that were answered, of which something is not there
	messages int    // how many messages of those
	other    int    // torn, moved, doubled, changed, invented
	text     []string
}

func (f *groundFindings) add(format string, args ...any) {
	const shown = 20
	if len(f.text) < shown {
		f.text = append(f.text, fmt.Sprintf(format, args...))
	}
}

func (f *groundFindings) wrong(format string, args ...any) {
	f.other++
	f.add(format, args...)
}

func (f *groundFindings) err() error {
	if f.lost == 0 && f.other == 0 {
		return nil
	}
	return errors.New(f.String())
}

func (f *groundFindings) String() string {
	where := ""
	if f.node != "" {
		where = " on " + f.node
	}
	return fmt.Sprintf("%d answered batches lost (%d messages)%s, %d other findings\n\t%s", f.lost,
		f.messages, where, f.other, strings.Join(f.text, "\n\t"))
}

// groundCopy is what a stream has, sorted by batch.
type groundCopy struct {
	msgs   []groundMsg
	found  map[[2]int]map[int]uint64 // sequence by index, by publisher and batch
	states map[string]uint64         // the last sequence of each state's subject
}

// check compares a copy of the whole stream with what was answered, and says what it found.
func (l *groundLedger) check(msgs []groundMsg) *groundFindings {
	f := &groundFindings{}
	c := &groundCopy{msgs: msgs, found: make(map[[2]int]map[int]uint64),
		states: make(map[string]uint64)}
	l.sortCopy(f, c)
	holes := make(map[uint64]bool) // where a state was that a later one replaced
	for publisher, batches := range l.batches {
		for number, b := range batches {
			l.checkBatch(f, c, [2]int{publisher, number}, b)
			if len(c.found[[2]int{publisher, number}]) > 0 && b.state {
				holes[c.firstOf(publisher, number)+uint64(b.total())-1] = true
			}
		}
	}
	checkHoles(f, msgs, holes)
	return f
}

// sortCopy reads a copy message by message: each is one that was sent, once, and each link of a
// chain follows the one that it names.
func (l *groundLedger) sortCopy(f *groundFindings, c *groundCopy) {
	chains := make(map[string]uint64)
	for _, m := range c.msgs {
		h := m.head
		if m.err != nil {
			f.wrong("message %d on %s was changed: %v", m.seq, m.subject, m.err)
			continue
		}
		if h.publisher >= len(l.batches) || h.batch >= len(l.batches[h.publisher]) ||
			h.total != l.batches[h.publisher][h.batch].total() {
			f.wrong("message %d was never sent: %+v", m.seq, h)
			continue
		}
		key := [2]int{h.publisher, h.batch}
		if c.found[key] == nil {
			c.found[key] = make(map[int]uint64)
		}
		if at, twice := c.found[key][h.index]; twice {
			f.wrong("message %+v is there twice: %d and %d", h, at, m.seq)
		}
		c.found[key][h.index] = m.seq
		switch {
		case strings.HasPrefix(m.subject, groundChain):
			if chains[m.subject] != h.before {
				f.wrong("message %d on %s expected %d before it, which is %d", m.seq, m.subject,
					h.before, chains[m.subject])
			}
			chains[m.subject] = m.seq
		case strings.HasPrefix(m.subject, groundState):
			c.states[m.subject] = m.seq
		}
	}
}

func (l *groundLedger) checkBatch(f *groundFindings, c *groundCopy, key [2]int, b *groundBatch) {
	found := c.found[key]
	first, missing := c.firstOf(key[0], key[1]), 0
	for i := range b.total() {
		at, there := found[i]
		replaced := b.state && i == b.total()-1 && len(found) > 0 &&
			c.states[fmt.Sprint(groundState, key[0]/2)] > first+uint64(i)
		switch {
		case !there && !replaced:
			missing++
		case there && at != first+uint64(i):
			f.wrong("batch %v: message %d is at %d, its first at %d", key, i, at, first)
		}
	}
	switch {
	case b.verdict == groundAcked && missing > 0:
		f.lost++
		f.messages += missing
		f.add("batch %v, answered as %d to %d: %d of %d messages are not there", key, b.first,
			b.first+uint64(b.total())-1, missing, b.total())
	case b.verdict == groundAcked && first != b.first:
		f.wrong("batch %v was answered as %d and is at %d", key, b.first, first)
	case b.verdict == groundRefused && len(found) > 0:
		f.wrong("batch %v was refused and is at %d", key, first)
	case missing > 0 && len(found) > 0:
		f.wrong("batch %v is torn: %d of %d messages are not there", key, missing, b.total())
	case len(found) > 0 && first <= b.after:
		f.wrong("batch %v is at %d, before %d that its publisher was answered earlier", key, first,
			b.after)
	}
}

// firstOf is where a batch begins; 0 if nothing of it is there.
func (c *groundCopy) firstOf(publisher, batch int) uint64 {
	found := c.found[[2]int{publisher, batch}]
	if len(found) == 0 {
		return 0
	}
	index := slices.Min(slices.Collect(maps.Keys(found)))
	return found[index] - uint64(index)
}

// checkHoles asserts that no sequence is missing but those of replaced states.
func checkHoles(f *groundFindings, msgs []groundMsg, known map[uint64]bool) {
	next := uint64(1)
	for _, m := range msgs {
		if m.seq < next {
			f.wrong("message %d comes after %d", m.seq, next-1)
		}
		for ; next < m.seq; next++ {
			if !known[next] {
				f.wrong("sequence %d is missing, and no state was there", next)
			}
		}
		next = m.seq + 1
	}
}

// settle takes a copy that was found right for the truth about what was not answered: whoever has
// read it may rely on it.
func (l *groundLedger) settle(msgs []groundMsg) {
	found := make(map[[2]int]uint64)
	for _, m := range msgs {
		key := [2]int{m.head.publisher, m.head.batch}
		if _, twice := found[key]; !twice {
			found[key] = m.seq - uint64(m.head.index)
		}
	}
	for publisher, batches := range l.batches {
		for number, b := range batches {
			if b.verdict != groundUnknown {
				continue
			}
			b.verdict = groundRefused
			if first := found[[2]int{publisher, number}]; first > 0 {
				b.verdict, b.first = groundAcked, first
				l.stored++
			}
		}
	}
}
