package testenv

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestFaultDiskFilled lets another program fill the file system of the spool while events come,
// and asserts that the relay refuses with 507 spool_full, says so where it is asked, lives, goes on
// delivering, and accepts again once the space is back.
func TestFaultDiskFilled(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	for _, kind := range []string{"ext4", "tmpfs"}[:effort.Rounds(2, 1)] {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t, kind, 256<<20)
			rng := Seed(t)
			j := faultJourney(t, rng, filepath.Join(d.dir, "spool"))
			gate := make(chan struct{})
			j.RX.Always("good", Held(gate, OK()))
			j.Config.Set("spool.min_free_disk", "64MiB").Set("target.good.timeout", heldTimeout)
			j.Start()
			load := j.StartLoad(rng, 4, "filled")
			Until(t, Patience, "events", func() bool { return j.Ledger.Accepted() > 200 })
			Until(t, Patience, "the relay to be full", func() bool {
				d.fill(60 << 20) // a table that was on its way gives back its log
				return !j.Status().Ready && j.countLogs() == 1
			})
			j.awaitFull()
			load.Stop()
			j.Ledger.Check()
			close(gate)
			Until(t, Patience, "deliveries while it is full", func() bool {
				return j.Target("good").Pending == 0
			})
			if code, _ := j.Admin("GET", "/livez"); code != 200 {
				t.Errorf("/livez says %d while the disk is full", code)
			}
			if j.Metrics().Get("events_refused_total", "reason", "spool_full") == 0 {
				t.Error("events_refused_total{reason=spool_full} is 0")
			}
			d.unfill()
			Until(t, Patience, "the relay to be ready again", func() bool {
				return j.Status().Ready
			})
			j.SendIDs("after", 5)
			j.finishFaults()
		})
	}
}

// awaitFull waits until posts are refused as spool_full and checks what is said about it.
func (j *Journey) awaitFull() {
	j.t.Helper()
	var a Answer
	Until(j.t, Patience, "a post to be refused", func() bool {
		a = j.Post(Post{Body: []byte(`{"eventType":"message"}`)})
		return a.Err != nil || a.Status != 200
	})
	if a.Status != 507 || a.Problem.Code != "spool_full" || a.Header.Get("Retry-After") == "" {
		j.t.Fatalf("refused with %d %q, Retry-After %q, %v; want 507 spool_full\n%s", a.Status,
			a.Problem.Code, a.Header.Get("Retry-After"), a.Err, tail(j.Log()))
	}
	code, body := j.Admin("GET", "/readyz")
	if code != 503 || !strings.Contains(string(body), "the spool is full") {
		j.t.Errorf("/readyz says %d %q; want 503 and that the spool is full", code, body)
	}
}

// TestFaultDiskFullOfEvents lets the events themselves fill the file system to the limit, and
// asserts that a kill at that point is survived, that the backlog drains from the full disk, and
// that the relay makes room by its own sweep.
func TestFaultDiskFullOfEvents(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	d := newDisk(t, "ext4", 224<<20)
	j := fullOfEvents(t, d, "spool.min_free_disk", "64MiB")
	j.awaitFull()
	j.Ledger.Check()
	j.Kill()
	if err := j.StartUnready(); err != nil {
		t.Fatalf("cannot start on the disk that the relay itself filled: %v", err)
	}
	j.fillWithEvents(Seed(t), "again") // it gives back the blocks that its value log had ahead
	j.awaitFull()
	j.Config.Set("target.crm.status", "enabled")
	j.Reload()
	j.Ledger.AwaitDelivered()
	Until(t, 2*Patience, "room made by the sweep", func() bool {
		return j.Post(Post{Body: []byte(`{"eventType":"message","again":1}`)}).Status == 200
	})
	Until(t, Patience, "the relay to be ready again", func() bool { return j.Status().Ready })
	j.Ledger.AwaitDelivered()
}

// TestFaultLargeDiskDrains does the same on a disk so large that the engine has a second level, where
// sweeping while the backlog drains once wrote again all that was still pending: more than there was
// room for. It takes a minute and 3 GiB: HOOKSPOOL_LONG=1.
func TestFaultLargeDiskDrains(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	if !effort.Long() {
		t.Skip("it takes a minute and 3 GiB: HOOKSPOOL_LONG=1")
	}
	d := newDisk(t, "ext4", 3<<30)
	j := fullOfEvents(t, d, "spool.keep_delivered", "1s")
	full := d.free()
	j.Config.Set("target.crm.status", "enabled")
	j.Reload()
	least := full
	Until(t, 20*Patience, "the backlog to drain and its space to come back", func() bool {
		least = min(least, d.free())
		return j.Target("crm").Pending == 0 && d.free() > 2<<30
	})
	if least < 256<<20 {
		t.Errorf("%d MiB were free when it was full, and only %d MiB at one time in the drain", full>>20,
			least>>20)
	}
	j.Ledger.AwaitDelivered()
}

// fullOfEvents is a journey whose paused target has as many events as the disk takes; a key of its
// config is set.
func fullOfEvents(t *testing.T, d *disk, key, value string) *Journey {
	t.Helper()
	rng := Seed(t)
	j := NewJourney(t).Aim("crm")
	j.Config.Set("spool.dir", filepath.Join(d.dir, "spool")).
		Set(key, value).
		Set("target.crm.status", "paused").
		Set("log.level", "info")
	j.Start()
	j.fillWithEvents(rng, "large")
	return j
}

// fillWithEvents posts large events until they are refused for a while: a compaction under way
// takes room that it gives back.
func (j *Journey) fillWithEvents(rng *rand.Rand, prefix string) {
	j.t.Helper()
	const refusals, pause = 60, 50 * time.Millisecond
	n := 0
	for _, size := range []int{300 << 10, 8 << 10} { // a small one may fit where a large one does not
		pad := Payload(rng, "message", size)
		for refused := 0; refused < refusals; n++ {
			a := j.Post(Post{ID: fmt.Sprintf("%s-%d", prefix, n),
				Body: fmt.Appendf(nil, "[%d,%s]", n, pad)})
			switch {
			case a.Err != nil:
				j.t.Fatalf("%v\n%s", a.Err, tail(j.Log()))
			case a.Status == 200:
				refused = 0
			default:
				refused++
				<-time.After(pause)
			}
		}
	}
}

// TestFaultStartOnFullDisk starts the relay on disks that somebody else has filled: with some room
// it only drains; with too little for the engine it refuses with a hint and touches nothing.
func TestFaultStartOnFullDisk(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	d := newDisk(t, "ext4", 320<<20)
	rng := Seed(t)
	j := faultJourney(t, rng, filepath.Join(d.dir, "spool"))
	j.Config.Set("spool.min_free_disk", "128MiB").Set("target.good.status", "paused")
	j.Start()
	load := j.StartLoad(rng, 4, "before")
	Until(t, Patience, "events", func() bool { return j.Ledger.Accepted() > 300 })
	load.Stop()
	j.Kill()
	j.keepLog()

	for _, leave := range []int64{4 << 20, 0} {
		d.fill(leave)
		before := j.fingerprint()
		if err := j.Launch(); err != nil {
			t.Fatal(err)
		}
		code := j.WaitExit()
		log := j.keepLog()
		if code != 1 || !strings.Contains(log, "error: ") || !strings.Contains(log, "hint: make room") {
			t.Errorf("with %d bytes free it left with %d:\n%s", leave, code, tail(log))
		}
		if after := j.fingerprint(); after != before {
			t.Errorf("with %d bytes free the start changed the spool:\n%s\n%s", leave, before, after)
		}
	}

	d.unfill()
	d.fill(110 << 20)
	j.Config.Set("target.good.status", "enabled")
	if err := j.StartUnready(); err != nil {
		t.Fatalf("with room to drain it did not start: %v", err)
	}
	j.awaitFull()
	Until(t, Patience, "the backlog to drain", func() bool { return j.Target("good").Pending == 0 })
	d.unfill()
	Until(t, Patience, "the relay to be ready again", func() bool { return j.Status().Ready })
	j.finishFaults()
}

// fingerprint is every file of the spool with its content.
func (r *Relay) fingerprint() string {
	r.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(r.SpoolPath(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", filepath.Base(path), sha256.Sum256(content))
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return b.String()
}

// TestFaultDiskFilledToTheLastByte lets another program take every byte while the relay has work in
// hand, and asserts that the process lives on: it refuses with 507 spool_full, says so where it is
// asked, goes on delivering, waits with what it must write, and accepts again once there is room,
// without a restart.
func TestFaultDiskFilledToTheLastByte(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	for _, kind := range []string{"ext4", "tmpfs", "xfs"}[:effort.Rounds(3, 1)] {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t, kind, 384<<20)
			rng := Seed(t)
			j := faultJourney(t, rng, filepath.Join(d.dir, "spool"))
			gate := make(chan struct{})
			j.RX.Always("good", Held(gate, OK()))
			load := j.fillToTheLastByte(rng, d)
			j.stayFull(d, func(long time.Duration) bool {
				return long > 5*time.Second && (kind != "tmpfs" || j.gateClosed())
			})
			load.Stop()
			close(gate)
			Until(t, Patience, "deliveries while it is full", func() bool {
				return j.Target("good").Pending == 0
			})
			j.stayFull(d, func(long time.Duration) bool { return long > time.Second })
			d.unfill()
			Until(t, Patience, "the relay to be ready again", func() bool {
				return j.Status().Ready
			})
			j.SendIDs("after", 5)
			j.RX.On("flaky", flaky(rng))
			j.finishFaults()
		})
	}
}

// TestFaultStopOnFilledDisk stops a relay whose outcomes wait for room on a disk that others have
// filled, and asserts that it leaves in time, and that the next start delivers everything.
func TestFaultStopOnFilledDisk(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	d := newDisk(t, "tmpfs", 384<<20)
	rng := Seed(t)
	j := faultJourney(t, rng, filepath.Join(d.dir, "spool"))
	j.Config.Set("server.drain_timeout", "20s")
	load := j.fillToTheLastByte(rng, d)
	j.stayFull(d, func(time.Duration) bool { return j.gateClosed() })
	load.Stop()
	began := time.Now()
	if code := j.Terminate(); code != 0 {
		t.Errorf("it left with %d\n%s", code, tail(j.Log()))
	}
	if took := time.Since(began); took > 20*time.Second+Patience {
		t.Errorf("it took %v to leave", took)
	}
	j.keepLog()
	d.unfill()
	j.RX.On("flaky", flaky(rng))
	j.Start()
	j.finishFaults()
}

// fillToTheLastByte starts the relay with a target whose failures are written at every tick, and
// fills its disk under load.
func (j *Journey) fillToTheLastByte(rng *rand.Rand, d *disk) *Load {
	j.t.Helper()
	j.RX.Always("flaky", Code(503))
	j.Config.Set("spool.min_free_disk", "64MiB").Set("retry.interval", "20ms").
		Set("target.good.timeout", heldTimeout)
	j.Start()
	load := j.StartLoad(rng, 4, "byte")
	Until(j.t, Patience, "events", func() bool { return j.Ledger.Accepted() > 200 })
	j.anywhereInLog(rng)
	Until(j.t, Patience, "the disk to be full to the last byte", func() bool { return j.takeRest(d) })
	j.awaitFull()
	return load
}

const (
	// rotateRoom: with less free the engine does not begin a table, nor, with what a table takes less
	// than tableRoom, does one that has begun run out of blocks.
	rotateRoom, tableRoom = 28 << 20, 26 << 20
	// settled is how long a commit may take that had found more than rotateRoom.
	settled = 5 * time.Second
	// givenBack is more than what others do to a file system by the way.
	givenBack = 1 << 20
)

// takeRest takes a step towards a disk without a byte. Who takes the last blocks while the engine
// writes a table ends the process (manual, limits we know), which is not what these tests are about.
// So it leaves the room of a table until none can have begun, and then takes no more than was free
// at that time: the ballast may be thrown off meanwhile. What the relay has given back it may have
// given to a table. False: there is still a step to take.
func (j *Journey) takeRest(d *disk) (taken bool) {
	j.t.Helper()
	free := d.free()
	if free > d.left+givenBack {
		d.filled = time.Now()
	}
	d.left = free
	if free >= rotateRoom {
		d.fill(tableRoom)
		d.filled = time.Now()
	}
	if j.countLogs() != 1 {
		d.filled = time.Now()
	}
	if free >= rotateRoom || time.Since(d.filled) < settled {
		return false
	}
	d.take(free)
	d.left = 0
	return true
}

// countLogs is how many logs the engine has: one, and those whose tables are not written yet.
func (j *Journey) countLogs() int {
	j.t.Helper()
	logs, err := filepath.Glob(filepath.Join(j.SpoolPath(), "db", "*.mem"))
	if err != nil {
		j.t.Fatal(err)
	}
	return len(logs)
}

// anywhereInLog posts events until the engine's log is somewhere between new and full, so that the
// disk fills with any part of it left. They are so small that they lie in the log.
func (j *Journey) anywhereInLog(rng *rand.Rand) {
	j.t.Helper()
	const size, memtable, senders = 3 << 10, 16 << 20, 8
	pad := Payload(rng, "message", size)
	n := rng.IntN(memtable / size)
	if part := memtable / size; effort.LessRace() {
		n = part*3/4 + n/4 // the rest is filled by outcomes, which takes the longest
	}
	j.t.Logf("%d events before the disk fills", n)
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := s; i < n; i += senders {
				j.Post(Post{ID: fmt.Sprintf("pad-%d", i), Body: fmt.Appendf(nil, "[%d,%s]", i, pad)})
			}
		})
	}
	all.Wait()
}

// gateClosed reports whether the blocks that the log had are used up.
func (j *Journey) gateClosed() bool {
	return strings.Contains(j.Log(), "nothing is accepted or written until there is room")
}

// heldTimeout is longer than any held answer of these tests waits, however slow the machine: an
// attempt that ended before would leave a failure to write, which waits for room.
const heldTimeout = "5m"

// stayFull keeps a disk full to the last byte, also of what the relay gives back, and asserts that
// the relay lives and refuses all the while.
func (j *Journey) stayFull(d *disk, enough func(long time.Duration) bool) {
	j.t.Helper()
	began := time.Now()
	Until(j.t, 4*Patience, "the end of a time on a full disk", func() bool {
		if j.proc.Ended() {
			j.t.Fatalf("the relay died of a full disk\n%s", tail(j.keepLog()))
		}
		if code, _ := j.Admin("GET", "/livez"); code != 200 {
			j.t.Fatalf("/livez says %d while the disk is full", code)
		}
		a := j.Post(Post{Body: []byte(`{"eventType":"message"}`)})
		if a.Status != 507 || a.Problem.Code != "spool_full" {
			j.t.Fatalf("answered %d %q, %v; want 507 spool_full\n%s", a.Status, a.Problem.Code, a.Err,
				tail(j.Log()))
		}
		j.takeRest(d)
		return enough(time.Since(began))
	})
}
