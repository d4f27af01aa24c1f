// Package idpass finds the events whose ids are about to be forgotten although the events are kept:
// they failed, are exhausted, or wait for a paused target. What is remembered of an id that an app
// gave expires by itself, so that a delivered event costs no deletion; whoever looks for an event
// by its id must find it for as long as it is kept.
//
// Once a day a pass goes through the log, up to the events that are too young to have been
// forgotten, and its place is stored with what it remembers again.
package idpass

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

const (
	// Grace is how much longer than its life an id is remembered. An engine's clock has a grain of a
	// second and is not ours, and a pass takes its time.
	Grace = time.Hour
	// Life is how long an id is remembered that a pass has found: until the end of the next one.
	Life = 2*every + Grace
	// every is how often a pass begins.
	every = 24 * time.Hour
	// pause is between two looks that find nothing.
	pause = time.Minute
	// stepsMax bounds the events of one look.
	stepsMax = 4096
)

// Pass is a way through the log. The zero value begins. It is not safe for concurrent use.
type Pass struct {
	record.IDPass
	stored record.IDPass
	// raise is the newest event that was written when ids were remembered for less than they are now;
	// 0: for as long.
	raise uint64
	next  time.Time // nothing is due before
}

// Known is what is remembered of the id Name.
type Known struct {
	Name string
	record.ID
}

// Found is what one look has found. It is to be stored as a whole, and then told with Took.
type Found struct {
	IDs  []Known
	Pass record.IDPass
	// More: the look was not to the end of the pass.
	More bool
}

// Load begins where a pass was when it was stored last.
func (p *Pass) Load(stored record.IDPass) { p.IDPass, p.stored = stored, stored }

// Find looks for the next ids, most of them at most. life is for how long the events that are
// accepted now are remembered, head the newest of them. Nil: nothing is to be stored.
func (p *Pass) Find(look engine.Look, now time.Time, life time.Duration, head uint64, most int) (
	*Found, error) {
	if wait := p.next.Sub(now); wait > 0 && wait <= pause || head == 0 {
		return nil, nil
	}
	f := &Found{Pass: p.begin(now, life, head)}
	if err := f.walk(look, now, most); err != nil {
		return nil, fmt.Errorf("cannot look for ids that are about to be forgotten: %w", err)
	}
	if !f.More {
		p.next = now.Add(pause)
	}
	if len(f.IDs) == 0 && !f.More && f.Pass.Life == p.stored.Life {
		p.IDPass = f.Pass
		return nil, nil
	}
	return f, nil
}

// Took notes that what was found is stored.
func (p *Pass) Took(f *Found) { p.IDPass, p.stored = f.Pass, f.Pass }

// begin is where the next look goes on. A life that has become longer counts once the events are
// passed that were written before.
func (p *Pass) begin(now time.Time, life time.Duration, head uint64) record.IDPass {
	at := p.IDPass
	if number := uint64(max(0, now.Unix())) / uint64(every/time.Second); number != at.Number {
		at.Number, at.To = number, 0
	}
	switch {
	case life <= at.Life || at.Life == 0:
		at.Life, p.raise = life, 0
	case p.raise == 0:
		p.raise = head
	case at.To >= p.raise:
		at.Life, p.raise = life, 0
	}
	return at
}

// walk goes on through the log. An instant ahead of now says nothing of an event's age, so such an
// event counts as old: one that is remembered too early costs a record.
func (f *Found) walk(look engine.Look, now time.Time, most int) error {
	cut := now.Add(-f.Pass.Life - Grace/2)
	w := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}})
	defer w.Close()
	steps := 0
	for w.Seek(record.LogKey(f.Pass.To + 1)); w.Valid(); w.Next() {
		if steps++; steps > stepsMax || len(f.IDs) >= most {
			f.More = true
			return nil
		}
		seq, young := record.KeySeq(w.Key()), false
		err := w.View(func(value []byte) error {
			at := record.AcceptedAt(value)
			if young = at.After(cut) && !at.After(now); young {
				return nil
			}
			if e, err := record.DecodeEvent(value, seq); err == nil && e.Given {
				f.IDs = append(f.IDs, Known{strings.Clone(e.ID()), record.ID{At: e.At, Seq: seq,
					Hash: sha256.Sum256(e.Payload()), Lanes: e.Lanes()}})
			} // verify tells of one that cannot be read
			return nil
		})
		if err != nil || young {
			return err
		}
		f.Pass.To = seq
	}
	return nil
}
