package testenv

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

var (
	aimed = flag.Int("aimed", 1, "how many faults TestFaultAimedCuts, on each file system, and "+
		"TestFaultAimedKills aim at each piece of the spool's work; 1: at some of them")
	aimedAt = flag.String("aims", "", "at which pieces: names with commas between; all if empty")
)

const (
	// aimedOfJourney is how many faults one spool lives through.
	aimedOfJourney = 10
	// aimPatience is how long a piece of work is waited for. If it is not seen, the fault falls all
	// the same.
	aimPatience = Patience
	// looseMemory is so little that an engine writes logs out and packs sooner.
	looseMemory = "GOMEMLIMIT=256MiB"
)

// TestFaultAimedCuts takes the power away as TestFaultPowerCuts does, but at the moment at which the
// spool is seen at something that few cuts would meet by chance: files of the value log are
// collected, the next one is begun, a log is made a table, events are packed or swept, a start
// reads what a cut has left, a start repairs a flipped byte. The log of a long run says how many
// fell into what they were aimed at:
//
//	go test ./testenv -run TestFaultAimedCuts -v -aimed 30 -timeout 2h
func TestFaultAimedCuts(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	rng := Seed(t)
	for _, kind := range []string{"ext4", "xfs"} {
		seed := rng.Uint64()
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			aimAll(t, rand.New(rand.NewPCG(seed, 4)), kind)
		})
	}
}

// TestFaultAimedKills kills the relay at the same moments.
func TestFaultAimedKills(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	aimAll(t, Seed(t), kindKills)
}

// aimTally is what the faults of one aim came to.
type aimTally struct {
	tally
	inside int
}

// kindKills is of faults that take the process only; the other kinds are file systems.
const kindKills = "kills"

// aimRun is one run: faults of one kind.
type aimRun struct {
	kind string // ext4, xfs or kindKills
	sums map[string]*aimTally
}

// aimAll lets spools live through all that is aimed.
func aimAll(t *testing.T, rng *rand.Rand, kind string) {
	run := aimRun{kind, map[string]*aimTally{}}
	for group, all := range aims {
		all = slices.DeleteFunc(slices.Clone(all), func(a aim) bool {
			if *aimedAt != "" {
				return !slices.Contains(strings.Split(*aimedAt, ","), a.name)
			}
			return *aimed == 1 && !slices.Contains(strings.Fields(a.short), kind)
		})
		rest := *aimed * len(all)
		for i := 0; rest > 0 && !t.Failed(); rest, i = rest-aimedOfJourney, i+1 {
			seed, n := rng.Uint64(), min(rest, aimedOfJourney)
			t.Run(fmt.Sprintf("%d/%d", group, i), func(t *testing.T) {
				run.journey(newHunt(t, kind, rand.New(rand.NewPCG(seed, 5)), all[0].name), all, n)
			})
		}
	}
	for name, sum := range run.sums {
		t.Logf("%-6s %-10s %3d of them inside, %s", kind, name, sum.inside, sum.tally)
		if sum.inside == 0 && *aimed > 5 {
			t.Errorf("no fault fell into what it was aimed at: %s", name)
		}
	}
}

// hunt is a journey with faults that are aimed. What it has seen is of the process that runs.
type hunt struct {
	*Journey
	rng   *rand.Rand
	disk  *disk         // nil: kills
	took  time.Duration // by the last start
	mends int

	valueLog   string // the newest file of the value log when the load began
	logRead    int64
	collecting bool
	packed     int64
	marks      marks
	sweepAt    time.Time
}

// newHunt readies a spool for the group that begins with an aim.
func newHunt(t *testing.T, kind string, rng *rand.Rand, first string) *hunt {
	h := &hunt{rng: rng}
	dir := ""
	if kind != kindKills {
		h.disk = newDisk(t, kind, 1<<30)
		dir = filepath.Join(h.disk.dir, "spool")
	}
	h.Journey = faultJourney(t, rng, dir)
	h.Ledger.KeepShort() // they are gigabytes
	// A paused target would hold the sweep at the first event that is owed to it.
	h.RX.Always("owed", Code(503))
	h.Config.Set("target.owed.events", []string{"kept"}).
		Set("target.owed.status", "enabled").
		Set("retry.interval", "1s").
		Set("retry.max_attempts", 10_000).
		Set("target.flaky.events", []string{"message", "kept"}).
		Set("spool.keep_delivered", "1s").
		Set("server.drain_timeout", "1s").
		Set("log.level", "debug")
	switch first {
	case "mend":
		// A flipped byte may cost the outcome of an attempt, which is made again with its number then.
		h.Ledger.AllowGaps()
		h.RX.Always("flaky", OK())
		h.Config.Set("spool.max_size", "512MiB") // the originals of what was damaged count
	case "collect", "rotate", "sweep", "start":
		h.Config.Set("spool.max_size", "160MiB") // short of it from 128 on
	default:
		h.Env = append(h.Env, looseMemory)
		h.Config.Set("spool.keep_delivered", "1h")
	}
	return h
}

// journey aims n faults in turn at the pieces of work of a group.
func (run aimRun) journey(h *hunt, group []aim, n int) {
	h.start()
	for i := range n {
		a := group[i%len(group)]
		before := h.tally()
		loads := a.load(h, fmt.Sprintf("%s-%d", strings.ReplaceAll(a.name, " ", "-"), i))
		inside := h.hit(a)
		h.start()
		for _, load := range loads {
			load.Stop()
		}
		h.Ledger.Check()
		sum := run.sums[a.name]
		if sum == nil {
			sum = &aimTally{}
			run.sums[a.name] = sum
		}
		if sum.add(h.tally().since(before)); inside {
			sum.inside++
		}
		if h.t.Failed() {
			h.t.Fatalf("after a fault aimed at %s, inside: %t", a.name, inside)
		}
	}
	h.finish()
}

// start starts the relay, which must succeed whatever was before.
func (h *hunt) start() {
	h.t.Helper()
	began := time.Now()
	h.Start()
	h.took = time.Since(began)
	h.valueLog = h.newest(".vlog")
}

// hit makes the fault, and reports whether it fell into what it was aimed at. The relay is gone
// then.
func (h *hunt) hit(a aim) (inside bool) {
	h.t.Helper()
	switch a.name {
	case "start":
		h.awaitSome()
		h.strike()
		h.start() // which says how long it takes
		h.awaitSome()
		h.strike()
		return h.hitStart(func() bool { return true }, h.took, func() bool {
			return h.LogCount("the spool is open") == 0
		})
	case "mend":
		h.awaitSome()
		h.Kill()
		h.ended()
		// As an operator does one day; it counts as room that is taken.
		if err := os.RemoveAll(filepath.Join(h.SpoolPath(), "aside")); err != nil {
			h.t.Fatal(err)
		}
		flipped := h.flip()
		inside := h.hitStart(h.repairs, aimWithin, h.repairs)
		h.t.Logf("%s was flipped, cut off: %t", flipped, inside)
		h.mends++
		return inside
	}
	seen := eventuallyOften(aimPatience, func() bool { return a.seen(h) })
	h.someTime(a.within)
	if a.asks {
		inside = seen && a.inside(h)
	}
	h.standStill()
	if !a.asks {
		inside = seen && a.inside(h)
	}
	h.strike()
	return inside
}

// hitStart starts the relay, and makes the fault some time after something of it is seen.
func (h *hunt) hitStart(seen func() bool, within time.Duration, inside func() bool) bool {
	h.t.Helper()
	if err := h.Launch(); err != nil {
		h.t.Fatal(err)
	}
	eventuallyOften(aimPatience/10, seen)
	h.someTime(within)
	h.standStill()
	is := inside()
	h.strike()
	return is
}

// awaitSome waits until a start has something to read.
func (h *hunt) awaitSome() {
	h.t.Helper()
	want := h.Ledger.Accepted() + 100 + h.rng.IntN(500)
	Until(h.t, Patience, "more events", func() bool { return h.Ledger.Accepted() >= want })
}

// someTime is a matter of time, not of a condition.
func (h *hunt) someTime(most time.Duration) {
	<-time.After(time.Duration(h.rng.Int64N(int64(most) + 1)))
}

// eventuallyOften looks as often as it can.
func eventuallyOften(d time.Duration, condition func() bool) bool {
	for end := time.Now().Add(d); time.Now().Before(end); <-time.After(time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}

// standStill stops the process where it is.
func (h *hunt) standStill() {
	h.t.Helper()
	h.Signal(syscall.SIGSTOP)
	Until(h.t, Patience, "the relay to stand still", func() bool {
		if h.proc.Ended() {
			h.t.Fatalf("the relay has ended by itself:\n%s", tail(h.Log()))
		}
		return standsStill(h.t, h.Pid())
	})
}

// strike takes the power, or the process only.
func (h *hunt) strike() {
	h.t.Helper()
	if h.disk == nil {
		h.Kill()
		h.ended()
		return
	}
	h.standStill()
	h.takePower(h.disk, cutFlags[h.rng.IntN(len(cutFlags))].flag)
	h.ended()
}

// ended forgets what was seen of the process.
func (h *hunt) ended() {
	h.keepLog()
	h.logRead, h.collecting, h.packed = 0, false, 0
}

// finish lets everything arrive that no flipped byte has cost.
func (h *hunt) finish() {
	h.t.Helper()
	h.RX.Always("owed", OK())
	if h.mends == 0 {
		h.finishFaults()
		return
	}
	h.Reload()
	for _, target := range []string{"good", "flaky", "owed"} {
		h.AwaitPending(target, 0)
	}
	h.Ledger.Check()
	if s := h.Status(); s.Quarantined > int64(h.mends) {
		h.t.Errorf("%d records were set aside after %d flipped bytes", s.Quarantined, h.mends)
	}
}
