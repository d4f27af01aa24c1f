package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hookspool/hookspool/spool"
)

// Alone is the tenure of every lane where there is only one relay.
const Alone = 1

// Fellows are the relays that share a spool, this one among them. A spool.Shared has them.
type Fellows interface {
	Name() string
	Relays() []spool.Relay
	Owner(lane spool.LaneID) string
	Say(note []byte)
	Ask(ctx context.Context, relay string, question []byte) ([]byte, error)
	Answer(answer func(ctx context.Context, question []byte) []byte)
	Away() error
	Copies() spool.Copies
}

// Seating says what of the spool is this relay's.
type Seating interface {
	// Leads: this relay does what one of them does for all.
	Leads() bool
	// Changed has a token when that may be otherwise, or others have changed lanes or ticks.
	Changed() <-chan struct{}
	// Tenure is this relay's of a lane, another number each time; 0: another relay may have it.
	Tenure(lane *spool.Lane) uint64
}

// Seats are those of a spool.
type Seats struct{ *spool.Spool }

// Tenure is part of Seating.
func (s Seats) Tenure(lane *spool.Lane) uint64 {
	return lane.Tenure()
}

// Company is what a relay knows of those that share its spool. A nil Company is that of a relay
// whose spool is its own. It is safe for concurrent use.
type Company struct {
	fellows Fellows
	seating Seating
	watch   Watch

	mu   sync.Mutex // guards below
	note Note       // that was said last
	// heard are the instants of the last two ticks. A job that is run by hand stores the instant of
	// the last tick again, and may do so when the next one has begun.
	heard [2]time.Time
	// owners are as of the last Follow. inherited are the lanes that another relay, which lives, had
	// before, by way of alerts: it may be paying one of their notices still.
	owners    map[spool.LaneID]string
	inherited map[account]string
	silent    map[string]silence
	// busy is what the others did at an instant; asking: somebody asks.
	busy   map[string]map[string]Busy
	busyAt time.Time
	asking bool
}

// account is a lane by one way of alerts.
type account struct {
	lane spool.LaneID
	way  uint8
}

// New makes a company. lastTick is the instant of the last tick, which is no news.
func New(f Fellows, s Seating, lastTick time.Time) *Company {
	return &Company{fellows: f, seating: s, heard: [2]time.Time{whole(lastTick)},
		owners: make(map[spool.LaneID]string), inherited: make(map[account]string)}
}

// Leads reports whether this relay does what one of them does for all.
func (c *Company) Leads() bool { return c == nil || c.seating.Leads() }

// Tenure is this relay's of a lane; 0: another relay may have it.
func (c *Company) Tenure(lane *spool.Lane) uint64 {
	if c == nil {
		return Alone
	}
	return c.seating.Tenure(lane)
}

// Changed is that of the Seating; nil, which is never ready, of a relay that is alone.
func (c *Company) Changed() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.seating.Changed()
}

// Name is that of this relay; empty of one that is alone.
func (c *Company) Name() string {
	if c == nil {
		return ""
	}
	return c.fellows.Name()
}

// Owner is the relay that serves a lane; empty: nobody for the moment, or this relay is alone.
func (c *Company) Owner(lane spool.LaneID) string {
	if c == nil {
		return ""
	}
	return c.fellows.Owner(lane)
}

// Relays are those that live, this one among them, by name; none for a relay that is alone.
func (c *Company) Relays() []spool.Relay {
	if c == nil {
		return nil
	}
	return c.fellows.Relays()
}

// Away is why nothing can be written at the moment; nil: as far as is known it can.
func (c *Company) Away() error {
	if c == nil {
		return nil
	}
	return c.fellows.Away()
}

// Copies is what is known of the servers' copies of the spool; none of one that is alone.
func (c *Company) Copies() spool.Copies {
	if c == nil {
		return spool.Copies{}
	}
	return c.fellows.Copies()
}

// Say tells the others what there is to know of this relay.
func (c *Company) Say(n Note) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.note = n
	c.mu.Unlock()
	c.fellows.Say(n.Encode())
}

// whole is an instant as a record can have it.
func whole(at time.Time) time.Time { return at.Truncate(time.Millisecond) }

// Hears reports whether the tick of an instant is news; it is once.
func (c *Company) Hears(at time.Time) bool {
	if c == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at = whole(at); at.Equal(c.heard[0]) || at.Equal(c.heard[1]) {
		return false
	}
	c.heard[1], c.heard[0] = c.heard[0], at
	return true
}

// EndedBy reports whether an error of the spool's is its end. One that is shared has others:
// another relay leads by now, or nobody can write for a while.
func (c *Company) EndedBy(err error) bool {
	return err != nil &&
		(c == nil || errors.Is(err, spool.ErrFailed) || errors.Is(err, spool.ErrClosed))
}

// Follow notes who has a lane, and who had it if it is this relay's from now on, for a number of
// ways of alerts.
func (c *Company) Follow(lane spool.LaneID, ours bool, ways uint8) {
	owner := c.Owner(lane)
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.owners[lane]
	if owner != "" {
		c.owners[lane] = owner
	}
	if !ours || before == "" || before == c.Name() {
		return
	}
	if c.lives(before) {
		for w := range ways {
			c.inherited[account{lane, w}] = before
		}
	}
}

// Former is the relay that had a lane before, lives, and may be paying one of its notices still.
func (c *Company) Former(lane spool.LaneID, way uint8) (relay string, is bool) {
	if c == nil {
		return "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if relay, is = c.inherited[account{lane, way}]; is && !c.lives(relay) {
		delete(c.inherited, account{lane, way})
		return "", false
	}
	return relay, is
}

// Settled ends what Former says: that relay has told what it has paid.
func (c *Company) Settled(lane spool.LaneID, way uint8) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.inherited, account{lane, way})
}

func (c *Company) lives(relay string) bool {
	return slices.ContainsFunc(c.Relays(), func(r spool.Relay) bool { return r.Name == relay })
}

// Others are the relays that live, without this one, with what was found at the last Compare.
func (c *Company) Others() []Peer {
	others := c.seen()
	c.watch.Judge(others)
	return others
}

func (c *Company) seen() (others []Peer) {
	ours := time.Duration(0)
	for _, r := range c.Relays() {
		if r.Name == c.Name() {
			ours = r.Ahead
		}
	}
	for _, r := range c.Relays() {
		if r.Name != c.Name() {
			others = append(others, Peer{Name: r.Name, Note: ReadNote(r.Note), SeenAt: r.Seen,
				Ahead: r.Ahead - ours})
		}
	}
	return others
}

// Compare looks at what the others say and returns what has changed since it was called last.
// interval is this relay's tick.
func (c *Company) Compare(now time.Time, interval time.Duration) []Finding {
	c.mu.Lock()
	mine := c.note
	c.mu.Unlock()
	return c.watch.Look(Sight{Now: now, Mine: mine, Interval: interval, Others: c.seen()})
}

// Differs reports whether another relay has another config.
func (c *Company) Differs() bool { return c != nil && c.watch.Differs() }

// Ask puts a question to another relay and returns the JSON of what it found. The error is that of
// its answer, or spool.ErrElsewhere, or a *SilentError.
func (c *Company) Ask(ctx context.Context, relay string, q *Question) (json.RawMessage, error) {
	text, err := c.fellows.Ask(ctx, relay, encode(q))
	if err != nil {
		return nil, &SilentError{Relay: relay, Cause: err}
	}
	result, err := readReply(text)
	if fault, is := errors.AsType[*faultError](err); is {
		return nil, fmt.Errorf("relay %q cannot carry it out: %w", relay, fault)
	}
	return result, err
}

// Answer says who answers the questions of others.
func (c *Company) Answer(answer func(ctx context.Context, q *Question) (any, error)) {
	c.fellows.Answer(func(ctx context.Context, text []byte) []byte {
		var q Question
		if err := json.Unmarshal(text, &q); err != nil {
			return replyTo(nil, err)
		}
		return replyTo(answer(ctx, &q))
	})
}

// Entrance is where events are spooled. A spool that cannot be written at the moment refuses at
// once: whoever sends can wait, or go to another relay.
type Entrance struct {
	*spool.Spool
	Company *Company
}

// Admit is that of the spool.
func (e Entrance) Admit(n int) error {
	if err := e.Company.Away(); err != nil && e.Err() == nil {
		return err
	}
	return e.Spool.Admit(n)
}
