package top

import (
	"cmp"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

// Order is one way to sort targets; what it puts first is what somebody looks for.
type Order struct {
	Name    string
	compare func(a, b *admin.Target) int
}

// Orders are all there are; the first one is the usual one.
func Orders() []Order {
	return []Order{
		{"trouble", byTrouble},
		{"name", func(*admin.Target, *admin.Target) int { return 0 }}, // names settle every tie
		{"pending", func(a, b *admin.Target) int { return cmp.Compare(b.Pending, a.Pending) }},
		{"oldest", byOldest},
		{"ok/s", func(a, b *admin.Target) int { return cmp.Compare(b.RateSuccess, a.RateSuccess) }},
		{"fail/s", func(a, b *admin.Target) int { return cmp.Compare(b.RateFailed, a.RateFailed) }},
		{"p99", func(a, b *admin.Target) int {
			return cmp.Compare(valueOr0(b.LatencyP99), valueOr0(a.LatencyP99))
		}},
		{"exhausted", func(a, b *admin.Target) int { return cmp.Compare(b.Exhausted, a.Exhausted) }},
	}
}

// Trouble is how much a target needs somebody, from 0 for not at all.
type Trouble int

// The troubles, the worst last.
const (
	Well    Trouble = iota
	Off             // Disabled by the config
	Behind          // well, but deliveries wait
	Failing         // attempts or jobs fail, or it asked to be left alone
	Orphan          // not in the config, and deliveries are kept for it
	Paused
	Defective
)

// inFlight is how many are being sent; none where its relay does not answer.
func inFlight(t *admin.Target) uint64 {
	if t.InFlight == nil {
		return 0
	}
	return uint64(max(*t.InFlight, 0))
}

// TroubleOf is that of a target as it is told.
func TroubleOf(t *admin.Target) Trouble {
	switch {
	case t.Orphan:
		return Orphan
	case t.Status == "Defective":
		return Defective
	case t.Status == "Paused":
		return Paused
	case t.Status == "Disabled":
		return Off
	case t.FailedJobs > 0 || t.RateFailed > 0 || t.HeldUntil != nil:
		return Failing
	case t.Pending > inFlight(t):
		return Behind
	}
	return Well
}

// NeedsYou reports whether the trouble of a target does not end by itself.
func (t Trouble) NeedsYou() bool { return t >= Orphan }

func byTrouble(a, b *admin.Target) int {
	if way := cmp.Compare(TroubleOf(b), TroubleOf(a)); way != 0 {
		return way
	}
	return byOldest(a, b)
}

// byOldest puts what has waited longest first, and what does not wait last.
func byOldest(a, b *admin.Target) int {
	return instantOrNever(a.OldestPending).Compare(instantOrNever(b.OldestPending))
}

func instantOrNever(at *time.Time) time.Time {
	if at == nil {
		return time.Unix(1<<40, 0)
	}
	return *at
}

func valueOr0(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}
