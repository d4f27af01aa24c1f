package history

import (
	"time"

	"github.com/hookspool/hookspool/spool"
)

// pagesFresh are the newest pages of a span that a Part has: what was written in the last minutes
// may not have come to another relay yet.
const pagesFresh = 2

// Part is what one relay knows of a span of a target, or of itself, better than anybody who reads
// the spool: what it has counted and not kept, and the newest of its own pages. It is what one
// relay tells another, as JSON.
type Part struct {
	Relay string `json:"relay,omitempty"`
	// Fresh are minutes, each in a page of its hour.
	Pages []Stored `json:"pages,omitempty"`
	Fresh []Stored `json:"fresh,omitempty"`
}

// Stored is a page as the spool has it; Number is the hour from which on it is.
type Stored struct {
	Number uint64 `json:"number"`
	Body   []byte `json:"body"`
}

// Part is what this relay knows of a target.
func (k *Keeper) Part(of Source, span Span, now time.Time) Part {
	return k.part(of.Lane, span, now, func() []Minute { return of.Counter.Look() })
}

// WholePart is what this relay knows of itself; sources are all that is counted here.
func (k *Keeper) WholePart(span Span, now time.Time, sources []Source) Part {
	k.TakeIn()
	return k.part(spool.SpoolItself, span, now, func() []Minute {
		var sum Counter
		for i := range sources {
			sum.attempts(sources[i].Counter.Look())
		}
		return append(sum.Look(), k.total.Look()...)
	})
}

// part looks again if minutes have become part of pages meanwhile, so that each is in it once.
func (k *Keeper) part(lane spool.LaneID, span Span, now time.Time, counted func() []Minute) Part {
	newest := span.number(minuteOf(now))
	for {
		p := Part{Relay: k.Relay}
		k.mu.Lock()
		moves := k.moves
		for _, m := range counted() {
			if m.At >= 0 && !m.Empty() {
				one := page{{place: int(m.At % 60), tally: m.Tally}}
				p.Fresh = append(p.Fresh, Stored{uint64(m.At / 60), one.encode()})
			}
		}
		k.mu.Unlock()
		slot, hour := span.pages(newest)
		for range pagesFresh {
			at := place{lane, slot, hour}
			k.mu.Lock()
			body, known := k.underWay[at]
			k.mu.Unlock()
			if !known {
				body = k.read(at)
			}
			p.Pages = append(p.Pages, Stored{hour, body.encode()})
			hour -= span.pageHours()
		}
		k.mu.Lock()
		same := k.moves == moves
		k.mu.Unlock()
		if same {
			return p
		}
	}
}

// pageHours is how many hours a page of a span has.
func (s *Span) pageHours() uint64 {
	if s.Step == time.Hour {
		return 24
	}
	return 1
}
