package peers

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hookspool/hookspool/relay/tally"
)

const (
	// silentPause is how long a relay that did not answer in time is not asked again by AskEach: a
	// page that asks every second would wait for it every time.
	silentPause = 2 * time.Second
	// busyPause lies between two looks at what others are doing, and busyMost bounds each.
	busyPause = 500 * time.Millisecond
	busyMost  = time.Second
)

// Heard is what some relays have answered, by name, and why the others did not.
type Heard struct {
	Answers map[string]json.RawMessage
	Silent  map[string]error
}

// AskEach puts a question to several relays, one after the other, each of which has its share of
// the time that is left. One that was silent just now is not asked.
func (c *Company) AskEach(ctx context.Context, relays []string, q *Question) Heard {
	h := Heard{Answers: make(map[string]json.RawMessage), Silent: make(map[string]error)}
	end, _ := ctx.Deadline()
	for i, relay := range relays {
		if err := c.silentSince(relay); err != nil {
			h.Silent[relay] = err
			continue
		}
		share := time.Until(end) / time.Duration(len(relays)-i)
		one, cancel := context.WithTimeout(ctx, share)
		answer, err := c.Ask(one, relay, q)
		late := one.Err() != nil
		cancel()
		if err != nil {
			h.Silent[relay] = err
		} else {
			h.Answers[relay] = answer
		}
		if late {
			c.noteSilent(relay, err)
		}
	}
	return h
}

// silence is that of a relay which did not answer in time.
type silence struct {
	at  time.Time
	err error
}

func (c *Company) silentSince(relay string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, is := c.silent[relay]; is && time.Since(s.at) < silentPause {
		return s.err
	}
	delete(c.silent, relay)
	return nil
}

func (c *Company) noteSilent(relay string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent == nil {
		c.silent = make(map[string]silence)
	}
	if err != nil {
		c.silent[relay] = silence{time.Now(), err}
	}
}

// Busy is what a relay does for a target that only it knows. The zero value: nothing.
type Busy struct {
	InFlight       int        `json:"in_flight,omitempty"`
	JobRunning     bool       `json:"job_running,omitempty"`
	TicksOutlasted int64      `json:"ticks_outlasted,omitempty"`
	LastJob        *tally.Job `json:"last_job,omitempty"`
}

// Busy is what each of the other relays does, by its name and by target; those that did not answer
// are not there. What was heard half a second ago is not asked for again, and who asks while others
// do gets what they had.
func (c *Company) Busy() map[string]map[string]Busy {
	c.mu.Lock()
	if c.asking || time.Since(c.busyAt) < busyPause {
		defer c.mu.Unlock()
		return c.busy
	}
	c.asking = true
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), busyMost)
	defer cancel()
	heard := c.AskEach(ctx, c.Names(), &Question{Verb: Doing})
	busy := make(map[string]map[string]Busy)
	for relay, text := range heard.Answers {
		if of, err := ResultOf[map[string]Busy](text, nil); err == nil {
			busy[relay] = of
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy, c.busyAt, c.asking = busy, time.Now(), false
	return busy
}

// Names are those of the other relays that live.
func (c *Company) Names() (names []string) {
	if c == nil {
		return nil
	}
	for _, p := range c.seen() {
		names = append(names, p.Name)
	}
	return names
}
