// Package walk lets few at a time walk through what is kept, for a short while each, so that
// whoever sends events hardly feels it. A walk looks into payloads, which costs a processor; a
// page has its time, and while events come in it is paid for with a pause.
package walk

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

const (
	// atOnce is how many pages are made at a time; the rest wait, for patience at most.
	atOnce   = 1
	patience = 5 * time.Second
	// pageTime is how long a page looks; while events come in, busyTime, and then the next page of
	// anybody waits for pauses times as long, so that walks have one part in 30 of one processor.
	pageTime = 25 * time.Millisecond
	busyTime = 5 * time.Millisecond
	pauses   = 29
	// yieldEvery is how long a page looks before it lets others have the processor.
	yieldEvery = 500 * time.Microsecond
	// quietRate is up to how many events accepted in a second, and quietMax more, still count as
	// quiet. They are counted for span to twice of it: a page may take a millisecond, in which few
	// events come however many there are.
	quietRate = 200
	quietMax  = 5
	span      = 500 * time.Millisecond
)

// ErrBusy: others walk, and have not let anybody in for a while.
var ErrBusy = errors.New("other searches are under way")

// Gate lets walks in. It is safe for concurrent use.
type Gate struct {
	// turns holds a token for every page under way. Whoever enters sends, and receives when the
	// page has been made and paid for.
	turns chan struct{}
	// accepted counts the events that were accepted, ever.
	accepted func() uint64
	// mu guards older and newer, how many there were when.
	mu           sync.Mutex
	older, newer count
}

// count is how many events had been accepted at an instant.
type count struct {
	at time.Time
	n  uint64
}

// New makes a gate; accepted counts the events that were accepted, ever.
func New(accepted func() uint64) *Gate {
	return &Gate{turns: make(chan struct{}, atOnce), accepted: accepted}
}

// Page is the making of one page. It is not safe for concurrent use.
type Page struct {
	gate  *Gate
	begin time.Time
	// yielded is when it let others have the processor.
	yielded time.Time
	busy    bool // events came in
}

// Enter waits for a turn; ErrBusy: there was none for a while. Leave ends it.
func (g *Gate) Enter(ctx context.Context) (*Page, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case g.turns <- struct{}{}:
	case <-timer.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := time.Now()
	return &Page{gate: g, begin: now, yielded: now, busy: g.busy(now)}, nil
}

// busy reports that events come in.
func (g *Gate) busy(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := count{now, g.accepted()}
	switch past := now.Sub(g.newer.at); {
	case past > 2*span:
		g.older, g.newer = n, n // nobody has walked for a while
	case past > span:
		g.older, g.newer = g.newer, n
	}
	quiet := quietMax + quietRate*now.Sub(g.older.at).Seconds()
	return float64(n.n-g.older.n) > quiet
}

// Enough reports that the page has had its time. It is called often, and lets others have the
// processor now and then.
func (p *Page) Enough() bool {
	now := time.Now()
	if now.Sub(p.yielded) > yieldEvery {
		runtime.Gosched()
		p.yielded = now
		p.busy = p.gate.busy(now)
	}
	return now.Sub(p.begin) > pageTime || p.busy && now.Sub(p.begin) > busyTime
}

// Leave waits, if events came in meanwhile, for as long as the page is to be paid for, and lets the
// next one in.
func (p *Page) Leave(ctx context.Context) {
	defer func() { <-p.gate.turns }()
	now := time.Now()
	if !p.gate.busy(now) {
		return
	}
	timer := time.NewTimer(pauses * now.Sub(p.begin))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
