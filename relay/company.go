package relay

import (
	"slices"
	"time"

	"github.com/hookspool/hookspool/relay/history"
)

// Several relays may share a spool. Each accepts; each lane is served by one of them at a time,
// which alone writes its standing, memo and notices, and one of them leads: it beats the ticks and
// cares for what is everybody's. Who has what the spool decides. This file follows it.

const (
	// followEvery is how often a relay looks at the others although nobody told it to.
	followEvery = time.Second
	// takeOverMost is how long a lane may have been nobody's when this relay gets it. A tick that
	// began in that time found nobody to run the lane's job.
	takeOverMost = 10 * time.Second
	// lanesTold bounds the names in a line of the log.
	lanesTold = 10
)

// follower keeps a relay in line with those that share its spool. It belongs to its loop.
type follower struct {
	r *Relay
	// led: this relay led at the last look.
	led bool
}

// loop follows what others change until the relay stops.
func (f *follower) loop() {
	beat := time.NewTicker(followEvery)
	defer beat.Stop()
	for {
		f.look()
		select {
		case <-f.r.stopping:
			return
		case <-f.r.company.Changed():
		case <-beat.C:
			f.compare()
		}
	}
}

// look brings this relay in line with what is its own and what others did.
func (f *follower) look() {
	f.meet()
	c := f.r.company
	var got, lost []string
	var counted []history.Source // that whoever serves them now does not know of
	for _, l := range f.r.allLanes() {
		before, now := l.tenure.Load(), c.Tenure(l.spool)
		c.Follow(l.spool.ID(), now != 0 && now != before, uint8(ways))
		switch {
		case now == before:
			continue
		case now != 0:
			got = append(got, l.name)
		default:
			lost = append(lost, l.name)
		}
		f.follow(l, now)
		if before != 0 {
			counted = append(counted, countedBy(l))
		}
	}
	if len(counted) > 0 {
		_ = f.r.metrics.history.Flush(counted) // or it is kept with the minute
	}
	f.tell("targets are served by this relay from now on", got)
	f.tell("targets are served by other relays from now on", lost)
	leads := c.Leads()
	if leads && !f.led {
		f.r.log.Info("this relay leads: it beats the ticks and cares for the spool")
		f.r.clock.wake()
	}
	if len(got) > 0 || leads && !f.led {
		f.r.wakePayers()
	}
	f.led = leads
	if tick := f.r.spool.LastTick(); c.Hears(tick.At) {
		f.r.clock.order(tick.Number)
	}
}

func (f *follower) tell(words string, names []string) {
	if len(names) > 0 {
		slices.Sort(names)
		f.r.log.Info(words, "targets", len(names), "first", names[:min(len(names), lanesTold)])
	}
}

// meet takes in the lanes that others have made, and lets go of those that they forgot. A target of
// the config whose lane somebody forgot gets another: its name has returned.
func (f *follower) meet() {
	r := f.r
	if !f.strangers() || !r.reloads.mu.TryLock() {
		return // a reload is under way; the next look is soon
	}
	defer r.reloads.mu.Unlock()
	if closed(r.stopping) {
		return
	}
	missed := false
	for _, l := range r.allLanes() {
		if r.spool.LaneByID(l.spool.ID()) == l.spool {
			continue
		}
		missed = missed || l.target() != nil
		f.letGo(l)
		dropLane(r, l)
		r.log.Warn("a target was forgotten by hand, at another relay", "target", l.name)
	}
	for _, s := range r.spool.Lanes() {
		r.addLane(s)
	}
	if missed {
		if err := r.apply(r.setup.Load().cfg); err != nil {
			r.log.Error("cannot make the lane of a target that was forgotten at another relay; a reload "+
				"tries it again", "error", err)
		}
	}
}

// strangers reports whether the spool's lanes are other ones than the relay's.
func (f *follower) strangers() bool {
	lanes := f.r.spool.Lanes()
	for _, s := range lanes {
		if l := f.r.laneNamed(s.Name()); l == nil || l.spool != s {
			return true
		}
	}
	return len(lanes) != len(f.r.allLanes())
}

// follow begins another tenure of a lane, or ends the one that there was.
func (f *follower) follow(l *lane, tenure uint64) {
	f.letGo(l)
	if tenure != 0 {
		f.takeOver(l, tenure)
	}
	l.changed()
	l.matchSeries()
	tick := f.r.spool.LastTick()
	if late := f.r.now().Sub(tick.At); late >= 0 && late < takeOverMost && l.status() == Enabled &&
		l.target().Joins(tick.Beat) {
		// What was tried at that tick is not due at it any more, so this is the rest of the job, or all.
		l.order(jobOrder{tick: tick.Number, head: f.r.spool.Head()})
	}
}

// letGo ends what this relay does for a lane: what is in flight finishes, and counts for nothing.
func (f *follower) letGo(l *lane) {
	l.mu.Lock()
	l.tenure.Store(0)
	if !l.halted {
		close(l.halt)
		l.halted = true
	}
	l.mu.Unlock()
	l.another.Store(false)
	l.troubled.Store(false)
	l.ramping.Store(false)
}

// takeOver goes on where another relay was, as a start does.
func (f *follower) takeOver(l *lane, tenure uint64) {
	warned := f.r.memoOf(l.spool) // from the disk, so before the lock
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing, l.memo = l.spool.Standing(), warned
	l.troubled.Store(l.standing.FailedJobs > 0)
	l.tenure.Store(tenure)
}

// compare says what is wrong with the others, as far as this relay can see it.
func (f *follower) compare() {
	for _, found := range f.r.company.Compare(time.Now(), f.r.clock.interval()) {
		p := &found.Peer
		log := f.r.log.With("relay", p.Name, "admin", p.Note.Admin)
		switch {
		case found.Config && p.Differs:
			log.Warn("another relay of this spool has another config; each target is served as the relay " +
				"that has it was configured")
		case found.Config:
			log.Info("another relay of this spool has the same config again")
		}
		switch {
		case found.Clock && p.Strays:
			log.Warn("the clock of another relay differs from this one's by more than a tick",
				"ahead", p.Ahead)
		case found.Clock:
			log.Info("the clock of another relay is right again")
		}
	}
}
