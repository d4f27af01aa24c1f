package relay

import (
	"slices"
	"strings"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/spool"
)

// Attempts is part of admin.Finder.
func (r *Relay) Attempts(id, target string) (admin.Attempts, error) {
	e, err := r.eventByID(id)
	if err != nil {
		return admin.Attempts{}, err
	}
	out := admin.Attempts{ID: e.ID()}
	owed := target == ""
	for _, l := range r.spool.OwedBy(e) {
		if target != "" && l.Name() != target {
			continue
		}
		owed = true
		list, err := l.History(e.Seq)
		if err != nil {
			return out, err
		}
		for i := range list {
			out.Attempts = append(out.Attempts, r.attemptMade(&list[i]))
		}
		out.KeptFrom = max(out.KeptFrom, keptFrom(list))
	}
	if !owed {
		return out, admin.Refuse(404, codeNotFound, "event %q is not owed to a target %q",
			cut(id, 256), cut(target, 100))
	}
	slices.SortStableFunc(out.Attempts, func(a, b admin.Attempt) int { return a.At.Compare(b.At) })
	return out, nil
}

// keptFrom is the number from which on every attempt up to the newest is in a history; 0: nothing
// is left out, or nothing is known.
func keptFrom(list []spool.Attempt) int {
	for i := len(list) - 1; i > 0; i-- {
		// One that was withheld has the number of the next.
		again := attempt.Kind(list[i-1].Outcome) == attempt.Withheld &&
			list[i].Number == list[i-1].Number
		if list[i].Number != list[i-1].Number+1 && list[i].Number > 0 && !again {
			return list[i].Number
		}
	}
	if len(list) == 0 {
		return 0
	}
	return list[0].Number
}

func (r *Relay) attemptMade(a *spool.Attempt) admin.Attempt {
	return admin.Attempt{Target: r.spool.NameOf(a.Lane), Attempt: a.Number, At: a.At.UTC(),
		Outcome: attempt.Kind(a.Outcome).String(), Status: a.Status, Error: a.Error,
		Duration: a.Duration.Seconds(), Remote: a.Remote,
		Snippet: strings.ToValidUTF8(string(a.Snippet), "\uFFFD"), Replay: a.Replay}
}

// RecentAttempts is part of admin.Finder.
func (r *Relay) RecentAttempts(name string, limit int) (admin.RecentAttempts, error) {
	var out admin.RecentAttempts
	l := r.laneNamed(name)
	if l == nil || !r.shown(l) {
		return out, noTarget(name)
	}
	list, _ := l.spool.Recent(0)
	slices.Reverse(list)
	for i := range list[:min(limit, len(list))] {
		out.Attempts = append(out.Attempts, r.recentAttempt(&list[i]))
	}
	return out, nil
}

// recentAttempt adds what the attempt was for.
func (r *Relay) recentAttempt(a *spool.Attempt) admin.RecentAttempt {
	out := admin.RecentAttempt{Attempt: r.attemptMade(a)}
	if f, err := r.spool.Summary(a.Seq); err == nil {
		out.ID, out.Type = f.ID, f.Type
	}
	return out
}

// Follow is part of admin.Backend.
func (r *Relay) Follow() func(most int) ([]admin.RecentAttempt, uint64) {
	told := make(map[*lane]uint64) // how many attempts of each lane, ever
	for _, l := range r.allLanes() {
		told[l] = l.spool.Made()
	}
	return func(most int) ([]admin.RecentAttempt, uint64) {
		var list []spool.Attempt
		made := uint64(0)
		for _, l := range r.allLanes() {
			if n := l.spool.Made(); n != told[l] {
				recent, n := l.spool.Recent(told[l])
				list = append(list, recent...)
				made += n - told[l]
				told[l] = n
			}
		}
		slices.SortFunc(list, func(a, b spool.Attempt) int { return a.At.Compare(b.At) })
		list = list[max(len(list)-most, 0):]
		out := make([]admin.RecentAttempt, len(list))
		for i := range list {
			out[i] = r.recentAttempt(&list[i])
		}
		return out, made - uint64(len(list))
	}
}
