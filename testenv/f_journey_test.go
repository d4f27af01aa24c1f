package testenv

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// faultJourney is a journey with a target that is well, one that is flaky, and one that is owed
// everything until finishFaults, so that no loss hides behind a delivery. The spool is in a
// directory of the journey, or where dir says.
func faultJourney(t testing.TB, rng *rand.Rand, dir string) *Journey {
	j := NewJourney(t).Aim("good", "flaky", "owed")
	j.Config.Set("retry.interval", "100ms").
		Set("target.owed.status", "paused").
		Set("spool.min_free_disk", "32MiB").
		Set("log.level", "info")
	if dir != "" {
		j.Config.Set("spool.dir", dir)
	}
	j.RX.On("flaky", flaky(rng))
	return j
}

// finishFaults lets everything arrive.
func (j *Journey) finishFaults() {
	j.t.Helper()
	j.Ledger.Check()
	j.Config.Set("target.owed.status", "enabled")
	j.Reload()
	j.Ledger.AwaitDelivered()
	j.Ledger.CheckArrivals()
	for _, target := range []string{"good", "flaky", "owed"} {
		j.AwaitPending(target, 0)
	}
	if s := j.Status(); s.Quarantined != 0 {
		j.t.Errorf("%d records were set aside", s.Quarantined)
	}
}

// tally is one line of a long run's report.
type tally struct{ faults, accepted, unknown, delivered, repeated, lost int }

func (j *Journey) tally() tally {
	delivered := 0
	for _, times := range j.Ledger.answered() {
		delivered += min(times, 1)
	}
	return tally{faults: j.Crashes(), accepted: j.Ledger.Accepted(), unknown: j.Ledger.Unknown(),
		delivered: delivered, repeated: j.Ledger.Duplicates(), lost: len(j.Ledger.lost())}
}

func (a *tally) add(b tally) {
	a.faults += b.faults
	a.accepted += b.accepted
	a.unknown += b.unknown
	a.delivered += b.delivered
	a.repeated += b.repeated
	a.lost += b.lost
}

// since is what came after before. What is lost is lost in either.
func (a tally) since(before tally) tally {
	return tally{a.faults - before.faults, a.accepted - before.accepted,
		a.unknown - before.unknown, a.delivered - before.delivered, a.repeated - before.repeated,
		a.lost}
}

func (a tally) String() string {
	return fmt.Sprintf("%4d faults, %6d events accepted, %5d answers lost or refused, "+
		"%6d deliveries made, %5d repeated, %d lost", a.faults, a.accepted, a.unknown, a.delivered,
		a.repeated, a.lost)
}

// keepLog puts the log of a process that has ended aside and returns it, so that the next start
// begins a new one. A fault may end a process in ways that are no fault of the relay's.
func (r *Relay) keepLog() string {
	r.t.Helper()
	log := r.Log()
	f, err := os.OpenFile(filepath.Join(r.Dir, "before.log"),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, log); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Truncate(r.LogPath(), 0); err != nil {
		r.t.Fatal(err)
	}
	return log
}
