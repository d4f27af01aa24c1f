package jetstream_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/jetstream"
	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

var changes = flag.Int("changes", 4, "relays that come and go in TestFleet")

const (
	fleetTick  = 200 * time.Millisecond
	fleetLanes = 4
)

// Several relays share a spool while they come, die and leave. What was accepted by any of them is
// delivered by one of them, with the right numbers of attempts, and counted once.
func TestFleet(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	f := newFleet(t, "a", "b", "c")
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for n := range *changes {
		f.work(500 * time.Millisecond)
		m := f.members[rng.IntN(len(f.members))]
		if n%2 == 0 {
			m.kill()
		} else {
			m.leave()
		}
		gone := time.Now()
		f.until("the lanes to have an owner", func() bool { return f.shared(m) })
		t.Logf("%s is gone (killed: %v); all lanes are served after %v", m.name, n%2 == 0,
			time.Since(gone).Round(time.Millisecond))
		f.work(500 * time.Millisecond)
		m.open()
		f.until("the lanes to be shared out evenly", func() bool { return f.even() })
	}
	f.stop()
	f.check()
}

// fleet are relays of one spool, and what receivers have seen.
type fleet struct {
	t       *testing.T
	bed     *bed
	members []*member
	next    atomic.Int64

	mu       sync.Mutex // guards below
	answered map[string]bool
	seen     map[string][]int // attempts, by lane and payload
	ended    bool
}

// member is one relay.
type member struct {
	f      *fleet
	name   string
	spool  *spool.Spool
	engine *jetstream.Engine
	ended  chan struct{}
	load   sync.WaitGroup
}

func newFleet(t *testing.T, names ...string) *fleet {
	f := &fleet{t: t, bed: newBed(t, nats.StartInProcess(t, nats.Options{}).URL()),
		answered: make(map[string]bool), seen: make(map[string][]int)}
	for _, name := range names {
		m := &member{f: f, name: name}
		f.members = append(f.members, m)
		m.open()
		for i := range fleetLanes {
			if _, err := m.spool.Lane(fmt.Sprint("lane", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.until("every relay to know every lane", func() bool {
		return !slices.ContainsFunc(f.members, func(m *member) bool {
			return len(m.spool.Lanes()) != fleetLanes
		})
	})
	return f
}

func (f *fleet) work(d time.Duration) { <-time.After(d) }

func (f *fleet) until(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); f.work(5 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("waited for %s in vain", what)
		}
	}
}

// owned are the lanes that relays serve, by their names.
func (f *fleet) owned(but *member) map[string]int {
	owned := make(map[string]int)
	for _, m := range f.members {
		for _, l := range m.spool.Lanes() {
			if m != but && l.Ours() {
				owned[m.name]++
			}
		}
	}
	return owned
}

func (f *fleet) shared(but *member) bool {
	n := 0
	for _, lanes := range f.owned(but) {
		n += lanes
	}
	return n == fleetLanes
}

func (f *fleet) even() bool {
	owned, sum, leaders := f.owned(nil), 0, 0
	for _, m := range f.members {
		n := owned[m.name]
		sum += n
		if n < fleetLanes/len(f.members) || n > (fleetLanes+len(f.members)-1)/len(f.members) {
			return false
		}
		if m.spool.Leads() {
			leaders++
		}
	}
	return sum == fleetLanes && leaders == 1
}

// open starts the relay, and everything that it does.
func (m *member) open() {
	f := m.f
	f.t.Helper()
	m.engine = f.bed.engine(m.name, nil)
	o := spool.Options{Log: slog.New(slog.DiscardHandler), Engine: m.engine,
		Dir: filepath.Join(f.bed.root, "spool-"+m.name), Limits: spool.Limits{
			KeepDelivered: time.Hour, KeepExhausted: time.Hour, DedupeWindow: time.Hour},
		Decide: func(v *spool.View, d *spool.Draft) {
			for _, id := range d.Note.([]spool.LaneID) {
				d.Owe(id)
			}
			v.Put([]byte("last"), d.Payload, time.Hour)
		}}
	s, err := spool.Open(o)
	if err != nil {
		f.t.Fatal(err)
	}
	s.Start()
	m.spool, m.ended = s, make(chan struct{})
	ended := m.ended
	for range 4 {
		m.load.Go(func() { m.append(s, ended) })
	}
	m.load.Go(func() { m.beat(s, ended) })
	for i := range fleetLanes {
		m.load.Go(func() { m.serve(s, spool.LaneID(i+1), ended) })
	}
}

func over(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// append appends one event after the other, owed to some lanes.
func (m *member) append(s *spool.Spool, ended chan struct{}) {
	f := m.f
	for !over(ended) {
		f.mu.Lock()
		stop := f.ended
		f.mu.Unlock()
		if stop {
			return
		}
		if len(s.Lanes()) < fleetLanes {
			f.work(time.Millisecond)
			continue
		}
		text := fmt.Sprintf("event %d", f.next.Add(1))
		owe := []spool.LaneID{1, spool.LaneID(2 + rand.IntN(fleetLanes-1))}
		d := &spool.Draft{At: time.Now(), Type: "t", Payload: []byte(text), Note: owe}
		if rand.IntN(2) == 0 {
			d.Given, d.ID = true, text
		}
		err := s.Append(d)
		switch {
		case err == nil:
			f.mu.Lock()
			f.answered[text] = true
			f.mu.Unlock()
		case !errors.Is(err, spool.ErrClosed) && !errors.Is(err, spool.ErrFailed) &&
			!errors.Is(err, spool.ErrUnavailable):
			f.t.Errorf("cannot append: %v", err)
		}
		f.work(2 * time.Millisecond)
	}
}

// beat beats the ticks while this relay leads.
func (m *member) beat(s *spool.Spool, ended chan struct{}) {
	for !over(ended) {
		m.f.work(10 * time.Millisecond)
		if s.Leads() && time.Since(s.LastTick().At) >= fleetTick {
			if _, err := s.Beat(time.Now()); err != nil && s.Err() == nil && !over(ended) &&
				!errors.Is(err, spool.ErrElsewhere) {
				m.f.t.Errorf("cannot beat: %v", err)
			}
		}
	}
}

// fails is how many attempts of a delivery fail before one succeeds.
func fails(lane spool.LaneID, payload []byte) int {
	h := fnv.New32()
	_, _ = fmt.Fprint(h, lane, string(payload))
	return max(0, int(h.Sum32()%8)-5)
}

// attempt is what the receiver of a lane sees and answers.
func (f *fleet) attempt(lane spool.LaneID, e *spool.Event, number int) spool.Settlement {
	f.mu.Lock()
	key := fmt.Sprint(lane, " ", string(e.Payload()))
	f.seen[key] = append(f.seen[key], number)
	f.mu.Unlock()
	st := spool.Settlement{Lane: lane, Seq: e.Seq, AcceptedAt: e.At, At: time.Now(),
		Attempts: number + 1, Verdict: spool.Delivered}
	if number < fails(lane, e.Payload()) {
		st.Verdict, st.Error = spool.Retry, "no"
	}
	return st
}

// serve delivers what a lane has, while it is this relay's.
func (m *member) serve(s *spool.Spool, id spool.LaneID, ended chan struct{}) {
	tick := uint64(0)
	for !over(ended) {
		l := s.LaneByID(id)
		if l == nil || !l.Ours() {
			m.f.work(5 * time.Millisecond)
			continue
		}
		l.Open(true)
		events, err := l.Fetch(50)
		for _, e := range events {
			st := m.f.attempt(id, e, 0)
			st.Fresh, st.Due = true, s.LastTick().Number+1
			s.Settle(st)
		}
		if now := s.LastTick().Number; err == nil && now > tick {
			tick = now
			s.Barrier() // what was settled before can be read
			for due := l.Due(now); err == nil; {
				var page []spool.Delivery
				if page, err = due.Next(50); len(page) == 0 {
					break
				}
				for i := range page {
					st := m.f.attempt(id, page[i].Event, page[i].Attempts)
					st.Due = s.LastTick().Number + 1
					s.Settle(st)
				}
			}
		}
		if err != nil && s.Err() == nil && !over(ended) && !errors.Is(err, spool.ErrClosed) {
			m.f.t.Errorf("cannot read lane %d: %v", id, err)
		}
		if len(events) == 0 {
			m.f.work(5 * time.Millisecond)
		}
	}
}

func (m *member) end() {
	close(m.ended)
	m.load.Wait()
}

// kill ends the relay at once.
func (m *member) kill() {
	m.engine.Kill()
	m.end() // nobody reads what is closed
	_ = m.spool.Close()
}

// leave ends the relay in order.
func (m *member) leave() {
	m.spool.Leave()
	m.end()
	if err := m.spool.Close(); err != nil {
		m.f.t.Errorf("cannot close the spool of relay %s: %v", m.name, err)
	}
}

// stop waits until nothing is pending any more.
func (f *fleet) stop() {
	f.t.Helper()
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.work(100 * time.Millisecond)
	f.until("everything to be delivered", func() bool {
		n := uint64(0)
		for _, m := range f.members {
			for _, l := range m.spool.Lanes() {
				n += l.Counts().Pending
			}
		}
		return n == 0
	})
}

// check compares what was seen with what was answered, and the relays with each other.
func (f *fleet) check() {
	f.t.Helper()
	repeated, lost := 0, 0
	for key, numbers := range f.seen {
		reached := 0
		for _, n := range numbers {
			if n > reached {
				f.t.Errorf("%s: attempts %v leave one out", key, numbers)
				break
			}
			if n < reached {
				repeated++
			}
			reached = max(reached, n+1)
		}
	}
	for text := range f.answered {
		if lane1 := "1 " + text; len(f.seen[lane1]) != 0 &&
			slices.Max(f.seen[lane1]) == fails(1, []byte(text)) {
			continue
		}
		if lost++; lost < 10 {
			f.t.Errorf("%s was answered; lane 1 saw attempts %v", text, f.seen["1 "+text])
		}
	}
	for _, m := range f.members {
		r, err := care.VerifyLive(context.Background(), m.spool, nil)
		if err != nil || r.FaultCount > 0 {
			f.t.Errorf("relay %s: its spool does not verify: %v, %q", m.name, err, r.Faults)
		}
	}
	for id := spool.LaneID(1); id <= fleetLanes; id++ {
		want := 0
		for key := range f.seen {
			if key[:2] == fmt.Sprint(id, " ") {
				want++
			}
		}
		for _, m := range f.members {
			if c := m.spool.LaneByID(id).Counts(); c.Delivered != uint64(want) || c.Pending != 0 {
				f.t.Errorf("relay %s counts %d delivered and %d pending of lane %d; want %d", m.name,
					c.Delivered, c.Pending, id, want)
			}
		}
	}
	f.t.Logf("%d events were answered, %d are lost, %d attempts repeated", len(f.answered), lost,
		repeated)
	for _, m := range f.members {
		m.end()
		if err := m.spool.Close(); err != nil {
			f.t.Error(err)
		}
	}
}
