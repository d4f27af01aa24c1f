// Package trouble tells how badly a target needs somebody, and puts the worst first. The rule is
// the same for hookspool targets and the console:
//
//	defective   Defective: jobs try it, nothing gets through
//	gone        paused by the relay, because it answered 410 Gone
//	paused      paused by hand or in the config
//	orphan      not in the config, and deliveries are pending for it
//	held        it asked to be left alone for a while (Retry-After), which ends by itself
//	failing     its last jobs failed, and nothing has got through since
//	(none)      it is well, or it is Disabled on purpose
//
// Among equals the one whose oldest pending delivery is older comes first, counted in whole
// minutes, so that a list of busy targets does not move all the time; then they go by name.
package trouble

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

// The troubles, as Target.Trouble has them.
const (
	Defective = "defective"
	Gone      = "gone"
	Paused    = "paused"
	Orphan    = "orphan"
	Held      = "held"
	Failing   = "failing"
)

// Words are all troubles, worst first.
func Words() []string { return []string{Defective, Gone, Paused, Orphan, Held, Failing} }

// Of is the worst trouble that a target is in; empty: it is well. Of an orphan neither the defect
// nor the failed jobs count, as nothing is tried any more.
func Of(t *admin.Target, now time.Time) string {
	switch {
	case t.Orphan && t.Pending > 0:
		return Orphan
	case t.Orphan:
		return ""
	case t.Status == "Defective":
		return Defective
	case t.Status == "Paused" && t.GoneSince != nil:
		return Gone
	case t.Status == "Paused":
		return Paused
	case t.Status == "Disabled":
		return ""
	case t.HeldUntil != nil && t.HeldUntil.After(now):
		return Held
	case t.FailedJobs > 0:
		return Failing
	}
	return ""
}

// NeedsSomebody reports whether a trouble is more than a wait that ends by itself.
func NeedsSomebody(word string) bool { return word != "" && word != Held }

// Sort puts the worst first.
func Sort(targets []admin.Target, now time.Time) {
	slices.SortStableFunc(targets, func(a, b admin.Target) int {
		return cmp.Or(cmp.Compare(rank(&a, now), rank(&b, now)),
			cmp.Compare(minutes(&b, now), minutes(&a, now)), strings.Compare(a.Name, b.Name))
	})
}

// rank is a target's place among the troubles; the well come last.
func rank(t *admin.Target, now time.Time) int {
	words := Words()
	if i := slices.Index(words, Of(t, now)); i >= 0 {
		return i
	}
	return len(words)
}

// minutes is the age of the oldest pending delivery; 0 without one.
func minutes(t *admin.Target, now time.Time) int64 {
	if t.OldestPending == nil {
		return 0
	}
	return int64(max(0, now.Sub(*t.OldestPending)) / time.Minute)
}
