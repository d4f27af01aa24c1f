package history

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
)

// How long pages are kept after they were written last: as long as something of them is shown.
const (
	keepHours = 25 * time.Hour
	keepDays  = 31 * 24 * time.Hour
)

// What one commit may hold, below the bounds of every engine.
const (
	pagesAtOnce = 400
	bytesAtOnce = 512 << 10
)

// busyMax is how long a relay that stops, or gives a target away, waits for whoever is keeping.
const busyMax = time.Second

// The slots of pages in the spool.
const (
	slotHour uint8 = 0 // the minutes of an hour
	slotDay  uint8 = 1 // the hours of a day
)

// Store is what keeps pages.
type Store interface {
	Records() engine.Records
	Apply(c spool.Change) error
	// Begin is Apply without the waiting, which is left to whoever calls what it returns.
	Begin(c spool.Change) (wait func() error)
}

// Source is a target whose minutes are to be kept.
type Source struct {
	Lane    spool.LaneID
	Counter *Counter
}

// BusyError: pages are being written.
type BusyError struct{}

func (BusyError) Error() string { return "what happened in the last minute is being written" }

// Keeper keeps what targets and the relay count. Its fields are set before it is used.
type Keeper struct {
	Store Store
	// Relay is this one among several that share a spool; empty: it is alone. Each writes pages of
	// its own, so that it can when a target is another relay's by now.
	Relay string
	// Accepted, Refused and Unmatched are what the relay counts of itself.
	Accepted, Refused, Unmatched Ring

	total Counter
	kept  atomic.Int64 // the minute at which was kept last

	mu    sync.Mutex    // guards below
	ended chan struct{} // closed when whoever keeps is done; nil: nobody does
	// underWay are pages that may not be in the spool yet. What is in them nobody else has.
	underWay map[place]page
	moves    uint64 // how often minutes have become part of pages
}

// place is which page: that of a lane for an hour, or for the hours of a day.
type place struct {
	lane spool.LaneID
	slot uint8
	hour uint64
}

// Due reports whether a minute has ended since Keep.
func (k *Keeper) Due(now time.Time) bool { return minuteOf(now) != k.kept.Load() }

// Keep writes the minutes that have ended, and, if the relay stops, the one under way. It is to be
// called at least every other minute. A BusyError: somebody does it just now; a relay that stops
// waits a second for that, but not for the disk or for servers that may be away: its spool writes
// what was begun before it is closed, if it can.
func (k *Keeper) Keep(now time.Time, sources []Source, stops bool) error {
	patience, before := time.Duration(0), minuteOf(now)
	if stops {
		patience, before = busyMax, math.MaxInt64
	}
	if !k.begin(patience) {
		return BusyError{}
	}
	defer k.end()
	k.kept.Store(minuteOf(now))
	k.TakeIn()
	k.tidy(now)
	b := batch{k: k, hasty: stops}
	for i := range sources {
		if err := b.add(sources[i].Lane, sources[i].Counter, before); err != nil {
			return err
		}
	}
	if err := b.add(spool.SpoolItself, &k.total, before); err != nil {
		return err
	}
	return b.write()
}

// Flush begins to write all of some targets, which another relay serves from now on. It does not
// wait for the disk. A BusyError: somebody has kept for a second; then their minutes are written
// when they have ended.
func (k *Keeper) Flush(sources []Source) error {
	if !k.begin(busyMax) {
		return BusyError{}
	}
	defer k.end()
	b := batch{k: k, hasty: true}
	for i := range sources {
		if err := b.add(sources[i].Lane, sources[i].Counter, math.MaxInt64); err != nil {
			return err
		}
	}
	return b.write()
}

// begin waits so long for its turn to keep; false: somebody else still does.
func (k *Keeper) begin(patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		k.mu.Lock()
		ended := k.ended
		if ended == nil {
			k.ended = make(chan struct{})
		}
		k.mu.Unlock()
		if ended == nil {
			return true
		}
		if patience == 0 {
			return false
		}
		select {
		case <-ended:
		case <-timer.C:
			return false
		}
	}
}

func (k *Keeper) end() {
	k.mu.Lock()
	close(k.ended)
	k.ended = nil
	k.mu.Unlock()
}

// tidy lets go of pages that nobody waited for, and that nothing comes to any more.
func (k *Keeper) tidy(now time.Time) {
	hour := uint64(minuteOf(now) / 60)
	k.mu.Lock()
	defer k.mu.Unlock()
	for at := range k.underWay {
		if hour > at.hour+25 {
			delete(k.underWay, at)
		}
	}
}

// TakeIn empties the rings. Keep does as well.
func (k *Keeper) TakeIn() {
	k.Accepted.EmptyInto(&k.total, Accepted)
	k.Refused.EmptyInto(&k.total, Refused)
	k.Unmatched.EmptyInto(&k.total, Unmatched)
}

// attempts adds the attempts of a target's minutes.
func (c *Counter) attempts(minutes []Minute) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range minutes {
		c.inLocked(minutes[i].At).MergeAttempts(&minutes[i].Tally)
	}
}

// batch gathers pages for one commit.
type batch struct {
	k      *Keeper
	change spool.Change
	places []place // of the change
	bytes  int
	hasty  bool // nobody waits for it
}

// add adds the minutes before one to the pages of a lane. They leave the counter as they become
// part of pages, so that whoever asks at any instant finds them once.
func (b *batch) add(lane spool.LaneID, c *Counter, before int64) error {
	k, there := b.k, c.Look()
	if len(there) == 0 {
		return nil
	}
	stored := k.stored(lane, there) // from the disk, so before the lock
	k.mu.Lock()
	minutes := c.Take(before)
	if lane != spool.SpoolItself {
		k.total.attempts(minutes)
	}
	pages := make(map[place]page)
	var order []place
	put := func(at place, number int64, t *Tally) {
		p, known := pages[at]
		if !known {
			order = append(order, at)
			if p, known = k.underWay[at]; !known {
				if p, known = stored[at]; !known { // a minute, and with it an hour, began just now
					p = k.read(at)
				}
			}
			p = slices.Clone(p)
		}
		p.add(int(number), t)
		pages[at] = p
	}
	for i := range minutes {
		if m := &minutes[i]; m.At >= 0 && !m.Empty() {
			hour := m.At / 60
			put(place{lane, slotHour, uint64(hour)}, m.At%60, &m.Tally)
			put(place{lane, slotDay, uint64(hour - hour%24)}, hour%24, &m.Tally)
		}
	}
	if k.underWay == nil {
		k.underWay = make(map[place]page)
	}
	for at, p := range pages {
		k.underWay[at] = p
	}
	if len(minutes) > 0 {
		k.moves++
	}
	k.mu.Unlock()
	return b.put(order, pages)
}

// put adds pages to the change, and writes it if it is large enough.
func (b *batch) put(order []place, pages map[place]page) error {
	for _, at := range order {
		body, keep := pages[at].encode(), keepHours
		if at.slot == slotDay {
			keep = keepDays
		}
		b.bytes += len(body)
		b.places = append(b.places, at)
		b.change.Tallies = append(b.change.Tallies, spool.Tally{Lane: at.lane, Slot: at.slot,
			Hour: at.hour, By: b.k.Relay, Body: body, Keep: keep})
	}
	if len(b.change.Tallies) >= pagesAtOnce || b.bytes >= bytesAtOnce {
		return b.write()
	}
	return nil
}

// stored are the pages that the spool has for some minutes of a lane, each where there may be one.
// One that cannot be read is written again.
func (k *Keeper) stored(lane spool.LaneID, minutes []Minute) map[place]page {
	pages := make(map[place]page)
	for i := range minutes {
		hour := max(minutes[i].At, 0) / 60
		for _, at := range []place{{lane, slotHour, uint64(hour)},
			{lane, slotDay, uint64(hour - hour%24)}} {
			if _, read := pages[at]; !read {
				pages[at] = k.read(at)
			}
		}
	}
	return pages
}

// read is this relay's page as the spool has it.
func (k *Keeper) read(at place) page {
	p, err := decode(look.Tally(k.Store.Records(), at.lane, at.slot, at.hour, k.Relay))
	if err != nil {
		return nil
	}
	return p
}

func (b *batch) write() error {
	if len(b.change.Tallies) == 0 {
		return nil
	}
	var err error
	if b.hasty {
		b.k.Store.Begin(b.change)
	} else if err = b.k.Store.Apply(b.change); err == nil {
		b.k.mu.Lock()
		for _, at := range b.places {
			delete(b.k.underWay, at)
		}
		b.k.mu.Unlock()
	}
	b.change, b.places, b.bytes = spool.Change{}, nil, 0
	if err != nil {
		return fmt.Errorf("cannot keep what happened in the last minute: %w", err)
	}
	return nil
}
