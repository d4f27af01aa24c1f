package book

import (
	"encoding/json"
	"fmt"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// bringAtOnce bounds what is written in one change.
const bringAtOnce = actionsSlack

// Bring takes what operators did elsewhere, synced when it returns, and counts what was new. What
// the book has already stays as it is, so that to bring something twice is to bring it once. The
// rest that is skipped is older than the spool tells.
func (b *Book) Bring(list []*action.Action) (taken, skipped int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	oldest := b.Now().Add(-action.Kept)
	var fresh []spool.Action
	for i, a := range list {
		at, run, _ := action.ReadRun(a.Run)
		held, err := look.Action(b.Spool.Records(), look.ActionKey{At: at, Run: run})
		if err != nil {
			return taken, skipped, fmt.Errorf("cannot import what an operator did: %w", err)
		}
		if held != nil || at.Before(oldest) || named(fresh, at.UnixNano(), run) {
			skipped++
		} else {
			body, err := json.Marshal(a)
			if err != nil {
				panic("BUG: an action cannot be encoded: " + err.Error())
			}
			fresh = append(fresh, spool.Action{At: at, Run: run, Body: body})
		}
		if len(fresh) == bringAtOnce || i == len(list)-1 {
			if err := b.bring(fresh); err != nil {
				return taken, skipped, err
			}
			taken, fresh = taken+len(fresh), nil
		}
	}
	return taken, skipped, nil
}

// named reports whether one of those that are about to be written has this name.
func named(list []spool.Action, at int64, run uint64) bool {
	for i := range list {
		if list[i].At.UnixNano() == at && list[i].Run == run {
			return true
		}
	}
	return false
}

// bring writes some, and drops the oldest that are too many then.
func (b *Book) bring(list []spool.Action) error {
	if len(list) == 0 {
		return nil
	}
	drop := b.beyond(len(list))
	if err := b.Spool.Apply(spool.Change{Actions: append(drop, list...)}); err != nil {
		return fmt.Errorf("cannot import what operators did: %w", err)
	}
	b.kept += len(list) - len(drop)
	return nil
}
