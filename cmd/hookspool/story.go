package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/receiver"
)

const (
	storyEvery = 50 * time.Millisecond
	// storyPatience is how long an attempt waits for the answer about its event to be told first.
	storyPatience = 400 * time.Millisecond
	// storyQuiet ends a job for the story: no attempt for this long.
	storyQuiet     = 200 * time.Millisecond
	storyItemsMax  = 4096 // waiting to be told; what does not fit is not told
	storyKnownMax  = 10_000
	storyTypeWidth = 24
)

// story tells a demo on stdout while it happens. Attempts are heard of from the receivers, jobs
// from counting retries and asking the relay.
type story struct {
	c     *cli
	relay admin.Backend
	// onFailedJob is called from the telling goroutine after a job without a success was told.
	onFailedJob func(target string, failedJobs int)
	began       time.Time
	// items has room, because receivers must not wait for a screen; they and the demo send, nobody
	// closes it.
	items chan any
	over  chan struct{}
	told  chan struct{} // closed when the last line is written; nil before begin
	once  sync.Once

	// What follows belongs to the telling goroutine.
	known    map[string]bool
	early    []arrival // attempts of events that were not told yet
	jobs     map[string]*jobStory
	lastTick time.Time
	ticks    int
	// ticksBefore passed before the first that had a job: the story counts from that one.
	// -1: there was none yet.
	ticksBefore int
}

// arrival is one attempt as a receiver saw it.
type arrival struct {
	target  string
	request receiver.Request
	at      time.Time
}

// acceptance is one answer to the demo's own post.
type acceptance struct {
	typ   string
	event accepted
	took  time.Duration
}

// jobStory gathers the retries of one job.
type jobStory struct {
	attempts, good, status int
	last                   time.Time
}

func newStory(c *cli) *story {
	return &story{c: c, items: make(chan any, storyItemsMax), over: make(chan struct{}),
		known: make(map[string]bool), jobs: make(map[string]*jobStory), ticksBefore: -1}
}

// request returns what a target's receiver calls for every request.
func (s *story) request(target string) func(receiver.Request) {
	return func(r receiver.Request) { s.send(arrival{target, r, time.Now()}) }
}

func (s *story) accepted(typ string, e accepted, took time.Duration) {
	s.send(acceptance{typ, e, took})
}

// text is printed in turn, as it is.
func (s *story) text(text string) { s.send(text) }

func (s *story) send(item any) {
	select {
	case s.items <- item:
	default:
	}
}

// begin starts the telling goroutine.
func (s *story) begin() {
	s.began, s.told = time.Now(), make(chan struct{})
	if at := s.relay.Status().LastTick; at != nil {
		s.lastTick = *at
	}
	go s.tell()
}

// settled is how long after the last attempt everything is told.
func (s *story) settled() <-chan time.Time { return time.After(2 * storyQuiet) }

// close tells what is left and waits for it.
func (s *story) close() {
	s.once.Do(func() { close(s.over) })
	if s.told != nil {
		<-s.told
	}
}

func (s *story) tell() {
	defer close(s.told)
	ticker := time.NewTicker(storyEvery)
	defer ticker.Stop()
	for {
		select {
		case item := <-s.items:
			s.tellItem(item)
		case now := <-ticker.C:
			s.tellEarly(now.Add(-storyPatience))
			s.tellJobs(now)
		case <-s.over:
			s.rest()
			return
		}
	}
}

// rest empties what is waiting.
func (s *story) rest() {
	for {
		select {
		case item := <-s.items:
			s.tellItem(item)
		default:
			now := time.Now()
			s.tellEarly(now)
			s.tellJobs(now.Add(storyQuiet))
			return
		}
	}
}

func (s *story) tellItem(item any) {
	switch item := item.(type) {
	case string:
		s.c.print("%s", item)
	case acceptance:
		s.tellAcceptance(item)
	case arrival:
		s.hear(item)
	}
}

func (s *story) tellAcceptance(a acceptance) {
	s.know(a.event.ID)
	s.line("accepted", fmt.Sprintf("%-*s %s durable after %s", storyTypeWidth, a.typ,
		shortID(a.event.ID), latencyText(a.took)))
	early := s.early
	s.early = nil
	for _, attempt := range early {
		s.hear(attempt)
	}
}

// hear tells an attempt at once, unless its event has to be told first or it is one of a job.
func (s *story) hear(a arrival) {
	r := &a.request
	switch {
	case r.Sample:
		s.line("sample", fmt.Sprintf("%-*s → %s %s", storyTypeWidth, r.Type, a.target,
			s.answer(r.Status)))
	case r.Attempt > 0:
		job := s.jobs[a.target]
		if job == nil {
			job = &jobStory{}
			s.jobs[a.target] = job
		}
		job.attempts++
		job.last = a.at
		if r.Status == 200 {
			job.good++
		} else {
			job.status = r.Status
		}
	case !s.known[r.ID]:
		s.early = append(s.early, a)
	default:
		s.tellAttempt(a)
	}
}

func (s *story) tellAttempt(a arrival) {
	r := &a.request
	text := fmt.Sprintf("→ %s  attempt %d  %s", a.target, r.Attempt, s.answer(r.Status))
	switch {
	case r.Status != 200:
		text += "  kept in the spool until the tick"
	case r.Verified == receiver.Valid:
		text += "  signature valid"
	}
	if r.Status == 200 && r.Session != "" {
		text += ", session " + r.Session
	}
	s.line("", text)
}

// tellEarly tells attempts whose event the demo did not post: somebody else did.
func (s *story) tellEarly(before time.Time) {
	var rest []arrival
	for _, a := range s.early {
		switch {
		case s.known[a.request.ID]:
			s.tellAttempt(a)
		case a.at.After(before):
			rest = append(rest, a)
		default:
			s.know(a.request.ID)
			s.line("accepted", fmt.Sprintf("%-*s %s posted by you", storyTypeWidth,
				clean(a.request.Type), shortID(a.request.ID)))
			s.tellAttempt(a)
		}
	}
	s.early = rest
}

// know remembers an event; the set is emptied when it is large, at the price of a line told twice.
func (s *story) know(id string) {
	if len(s.known) >= storyKnownMax {
		clear(s.known)
	}
	s.known[id] = true
}

func (s *story) tellJobs(now time.Time) {
	if at := s.relay.Status().LastTick; at != nil && at.After(s.lastTick) {
		s.lastTick = *at
		s.ticks++
	}
	for _, name := range []string{"crm", "erp"} {
		job := s.jobs[name]
		if job == nil || now.Sub(job.last) < storyQuiet {
			continue
		}
		target, _ := s.relay.Target(name)
		if target.JobRunning {
			continue
		}
		delete(s.jobs, name)
		s.tellJob(name, job, target)
	}
}

func (s *story) tellJob(name string, job *jobStory, target admin.Target) {
	if s.ticksBefore < 0 {
		s.ticksBefore = s.ticks - 1
	}
	tick := fmt.Sprintf("tick %d", s.ticks-s.ticksBefore)
	text := fmt.Sprintf("retry job for %s: %s, ", name, count(job.attempts, "attempt"))
	if job.good > 0 {
		s.line(tick, text+s.paintGood(fmt.Sprintf("%d acknowledged", job.good))+
			fmt.Sprintf(", %d pending", target.Pending))
		return
	}
	s.line(tick, text+s.answer(job.status)+fmt.Sprintf(" to all, failed jobs %d/%d",
		target.FailedJobs, target.FailedJobsMax))
	s.onFailedJob(name, target.FailedJobs)
}

// note is a line about the demo itself. Only the telling goroutine calls it.
func (s *story) note(text string) { s.line("", s.c.paint(s.c.out, cyan, text)) }

func (s *story) line(what, text string) {
	at := fmt.Sprintf("%6.1fs", time.Since(s.began).Seconds())
	s.c.print("%s  %-8s  %s\n", s.c.paint(s.c.out, dim, at), what, text)
}

func (s *story) answer(status int) string {
	if status == 200 {
		return s.paintGood("200")
	}
	return s.c.paint(s.c.out, red, fmt.Sprint(status))
}

func (s *story) paintGood(text string) string { return s.c.paint(s.c.out, green, text) }

// shortID keeps the end of an id, which differs between neighbours.
func shortID(id string) string {
	const kept = 8
	if len(id) <= kept+5 {
		return clean(id)
	}
	return clean(id[:4] + "…" + id[len(id)-kept:])
}
