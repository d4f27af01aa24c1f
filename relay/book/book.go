// Package book keeps what operators did in the spool, so that it survives a restart and all relays
// of a spool tell the same.
package book

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

const (
	// actionsMax bounds what is kept; the oldest go first. The spool drops each after 90 days.
	actionsMax = 10_000
	// actionsSlack go at once, so that not every action of a full book counts all of them.
	actionsSlack = 64
	// dropMost bounds what one action drops; the next goes on.
	dropMost = 1000
)

// Book is the log of actions of a spool. It is safe for concurrent use.
type Book struct {
	Spool *spool.Spool
	Log   *slog.Logger
	Now   func() time.Time
	// Most is actionsMax, but for tests; 0: that.
	Most int

	// mu is held across the disk: calls of one action that come at once are counted one by one.
	mu sync.Mutex
	// kept is how many there are at most; 0: it was not counted yet.
	kept int
}

// Begin writes an action that goes on, and names it. It is nothing to the log before it ends.
func (b *Book) Begin(a *action.Action) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.name(a)
	b.put(a)
}

// End writes the result of an action that has a name, and says it in the log.
func (b *Book) End(a *action.Action, result string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.name(a)
	now := b.Now().UTC()
	a.EndedAt, a.Result = &now, result
	b.put(a)
	b.say(a)
}

// Drop takes back an action that was refused.
func (b *Book) Drop(a *action.Action) {
	at, run, ok := action.ReadRun(a.Run)
	if !ok {
		return
	}
	err := b.Spool.Apply(spool.Change{Actions: []spool.Action{{At: at, Run: run}}})
	if err != nil {
		b.Log.Error("cannot take back an order that was refused; it is listed", "verb", a.Verb,
			"target", a.Target, "error", err)
	}
}

// Join writes one call of an action: what it counts is added to what the calls before it did, if
// it names the action that they were. more: others will come.
func (b *Book) Join(a *action.Action, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := true
	if before := b.read(a.Run); before != nil && before.Verb == a.Verb &&
		before.Target == a.Target && before.By == a.By {
		first = false
		a.At, a.Count, a.Filter = before.At, a.Count+before.Count, before.Filter
	} else {
		a.Run = ""
		b.name(a)
	}
	if a.EndedAt = nil; !more {
		now := b.Now().UTC()
		a.EndedAt = &now
	}
	b.put(a)
	if first || !more {
		b.say(a)
	}
}

// Stop ends an action of several calls whose others will not come, and returns it; nil: there is no
// such action of this caller that goes on.
func (b *Book) Stop(run string, who action.Who) *action.Action {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.read(run)
	if a == nil || a.EndedAt != nil || a.By != who.By {
		return nil
	}
	now := b.Now().UTC()
	a.EndedAt, a.Result = &now, "stopped"
	b.put(a)
	b.say(a)
	return a
}

// name gives an action a name that has none.
func (b *Book) name(a *action.Action) {
	if a.Run == "" {
		a.At = b.Now().UTC()
		a.Run = action.NewRun(a.At)
	}
}

// put writes an action. The order itself stands whether that can be or not; the log has it too.
func (b *Book) put(a *action.Action) {
	a.Bound()
	body, err := json.Marshal(a)
	if err != nil {
		panic("BUG: an action cannot be encoded: " + err.Error())
	}
	at, run, _ := action.ReadRun(a.Run)
	change := spool.Change{Actions: append(b.beyond(1), spool.Action{At: at, Run: run, Body: body})}
	if err := b.Spool.Apply(change); err != nil {
		b.Log.Error("cannot note what an operator did; it was done all the same", "verb", a.Verb,
			"target", a.Target, "by", a.Who.String(), "error", err)
		return
	}
	b.kept = b.kept + 1 - (len(change.Actions) - 1)
}

// beyond are the oldest actions, where there are too many for so many more. They are counted at the
// first one after a start, and whenever the book seems full.
func (b *Book) beyond(more int) (drop []spool.Action) {
	most := b.Most
	if most == 0 {
		most = actionsMax
	}
	if b.kept > 0 && b.kept+more <= most {
		return nil
	}
	keep := most - min(max(actionsSlack, more), most/2)
	old, all := look.ActionsBeyond(b.Spool.Records(), keep)
	b.kept = all
	if all+more <= most {
		return nil
	}
	for i := len(old) - 1; i >= 0 && len(drop) < dropMost; i-- {
		drop = append(drop, spool.Action{At: old[i].At, Run: old[i].Run})
	}
	return drop
}

// say is the one line that the log has of an action.
func (b *Book) say(a *action.Action) {
	args := []any{"verb", a.Verb}
	for _, p := range [][2]string{{"target", a.Target}, {"filter", a.Filter}} {
		if p[1] != "" {
			args = append(args, p[0], p[1])
		}
	}
	if a.Count > 0 {
		args = append(args, "count", a.Count)
	}
	args = append(args, "result", a.Result, "by", a.Who.String(), "remote", a.Remote, "token",
		a.Token)
	b.Log.Info("an operator acted", args...)
}

// read is the action of a name; nil: there is none that can be read.
func (b *Book) read(run string) *action.Action {
	at, number, ok := action.ReadRun(run)
	if !ok {
		return nil
	}
	body, err := look.Action(b.Spool.Records(), look.ActionKey{At: at, Run: number})
	if err != nil || body == nil {
		return nil
	}
	return decode(body)
}

func decode(body []byte) *action.Action {
	var a action.Action
	if json.Unmarshal(body, &a) != nil {
		return nil // a newer hookspool's, or damaged
	}
	return &a
}

// Query selects actions; empty fields select all.
type Query struct {
	Target, Verb string
	Since, Until time.Time
	Limit        int
	After        string // the name of the last one of the page before
}

// List returns a page, newest first, and where the next one goes on; empty after the last.
func (b *Book) List(q *Query) (list []action.Action, next string, err error) {
	below := look.Newest()
	if q.After != "" {
		at, run, ok := action.ReadRun(q.After)
		if !ok {
			return nil, "", fmt.Errorf("%q is no name of an action", q.After)
		}
		below = look.ActionKey{At: at, Run: run}
	}
	err = look.Actions(b.Spool.Records(), below, func(at look.ActionKey, body []byte) bool {
		if at.At.Before(q.Since) {
			return false
		}
		a := decode(body)
		if a == nil || q.Target != "" && a.Target != q.Target || q.Verb != "" && a.Verb != q.Verb ||
			!q.Until.IsZero() && a.At.After(q.Until) {
			return true
		}
		if len(list) == q.Limit {
			next = list[len(list)-1].Run
			return false
		}
		list = append(list, *a)
		return true
	})
	return list, next, err
}
