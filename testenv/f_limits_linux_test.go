package testenv

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hookspool/hookspool/testenv/effort"
)

// inodes is how many files the disk can still hold.
func (d *disk) inodes() int {
	d.t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		d.t.Fatal(err)
	}
	return int(st.Ffree)
}

// fillInodes makes empty files beside the spool, as another program would, until so many inodes are
// left.
func (d *disk) fillInodes(leave int) {
	d.t.Helper()
	dir := filepath.Join(d.dir, "small-files")
	if err := os.MkdirAll(dir, 0o700); err != nil && leave > 0 {
		d.t.Fatal(err)
	}
	for i := 0; d.inodes() > leave; i++ {
		err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600)
		if err != nil && leave > 0 {
			d.t.Fatal(err)
		}
	}
}

func (d *disk) unfillInodes() {
	d.t.Helper()
	if err := os.RemoveAll(filepath.Join(d.dir, "small-files")); err != nil {
		d.t.Fatal(err)
	}
}

// TestFaultNoInodes takes the inodes of the spool's file system, which has bytes enough: the relay
// refuses as on a full disk and says what is missing, goes on delivering, and accepts again without
// a restart; a start on such a disk names inodes, not damage, and loses nothing.
func TestFaultNoInodes(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	d := newDisk(t, "tmpfs", 384<<20)
	d.remount("nr_inodes=1000")
	rng := Seed(t)
	j := faultJourney(t, rng, filepath.Join(d.dir, "spool"))
	j.Start()
	load := j.StartLoad(rng, 4, "inodes")
	Until(t, Patience, "events", func() bool { return j.Ledger.Accepted() > 50 })
	d.fillInodes(8)
	j.awaitFull()
	load.Stop()
	a := j.Post(Post{Body: []byte(`{"eventType":"message"}`)})
	_, ready := j.Admin("GET", "/readyz")
	_, body := j.Admin("GET", "/v1/status")
	var s struct {
		FreeInodes *int `json:"free_inodes"`
	}
	if err := json.Unmarshal(body, &s); err != nil || s.FreeInodes == nil || *s.FreeInodes > 8 {
		t.Errorf("free_inodes is not told: %v in %s", err, body)
	}
	if !strings.Contains(string(a.Body), "inodes") || !strings.Contains(string(ready), "inodes") {
		t.Errorf("inodes are not named: %s, %s", a.Body, ready)
	}
	Until(t, Patience, "deliveries without inodes", func() bool {
		return j.Target("good").Pending == 0
	})
	d.unfillInodes()
	Until(t, Patience, "the relay to be ready again", func() bool { return j.Status().Ready })
	j.SendIDs("after", 5)

	j.Kill()
	d.fillInodes(0)
	before := j.fingerprint()
	j.refusesToStart("hint: the file system of spool.dir has too few free inodes")
	if j.fingerprint() != before {
		t.Error("the start has changed the spool")
	}
	d.unfillInodes()
	j.Start()
	j.finishFaults()
}

// TestFaultLimits starts the relay under limits of its process that its spool does not fit into, and
// wants each called what it is, with what helps, and the spool untouched by it.
func TestFaultLimits(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	needTools(t, "prlimit")
	for _, c := range []struct{ name, limit, words string }{
		{"file size", "--fsize=1048576", "hint: files may not grow as large"},
		{"descriptors", "--nofile=14", "hint: hookspool may not open more files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j := faultJourney(t, Seed(t), "")
			j.Start()
			j.SendIDs("before", 20)
			j.Kill()
			j.keepLog()
			j.Through = []string{"prlimit", c.limit}
			j.refusesToStart(c.words)
			j.Through = nil
			j.Start()
			j.finishFaults()
		})
	}
}

// TestFaultNextLog lets the opening of files fail in the running relay until its engine must begin
// another log. What may come back, descriptors or a quota, is waited for as for room on the disk;
// what does not is an error of the disk: the process leaves by itself with its name and what helps,
// and the next start has everything. It never panics, which the engine does once a log is missing.
func TestFaultNextLog(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	needTools(t, "strace")
	for _, c := range []struct {
		errno, words string
		waits        bool
	}{
		{"EMFILE", "too many open files", true},
		{"EDQUOT", "disk quota exceeded", true},
		{"EROFS", "hint: the file system of spool.dir is read-only", false},
		{"EACCES", "hint: the user that runs hookspool must own spool.dir", false},
	} {
		t.Run(c.errno, func(t *testing.T) {
			t.Parallel()
			rng := Seed(t)
			j := faultJourney(t, rng, "")
			j.Config.Set("server.drain_timeout", "1s").Set("target.flaky.status", "paused").
				Set("target.good.status", "paused")
			j.Start()
			j.SendIDs("before", 20)
			pad := Payload(rng, "message", 300<<10)
			j.fillLog(pad)
			disk := injectErrors(t, j.Pid(), "openat", c.errno)
			var a Answer
			if c.waits {
				// It tries again and again, and may be ready in between: what is small may still fit.
				what := "/readyz to say " + c.words
				UntilOrStill(t, Patience, what, j.Ledger.Accepted, func() bool {
					var full bool
					a, full = refusedOf(j, pad, func(a *Answer) bool {
						return a.Err == nil && a.Status == 507 && a.Problem.Code == "spool_full" &&
							a.Header.Get("Retry-After") != ""
					})
					code, body := j.Admin("GET", "/readyz")
					return full && code == 503 && strings.Contains(string(body), "the spool is full") &&
						strings.Contains(string(body), c.words)
				})
				disk.heal()
				Until(t, Patience, "the relay to be ready again", func() bool { return j.Status().Ready })
				j.SendIDs("after", 5)
			} else {
				what := "an event to be refused"
				UntilOrStill(t, Patience, what, j.Ledger.Accepted, func() bool {
					var refused bool
					a, refused = refusedOf(j, pad, func(a *Answer) bool {
						return a.Err != nil || a.Status == 507
					})
					return refused
				})
				code := j.WaitExit()
				disk.heal()
				log := j.keepLog()
				if code != 1 || !strings.Contains(log, c.words) || strings.Contains(log, "goroutine ") ||
					strings.Contains(log, "damaged") || a.Err == nil && a.Problem.Code != "disk_error" {
					t.Errorf("it left with %d after %q, want 1 and %q:\n%s", code, a.Problem.Code, c.words,
						tail(log))
				}
				j.crashes++
			}
			j.Config.Set("target.flaky.status", "enabled").Set("target.good.status", "enabled")
			if !c.waits {
				j.Start()
			}
			j.finishFaults()
		})
	}
}

// fillLog posts events until the next few of their size need another log. A tracer stops the relay
// at every call, so that what is posted before it attaches takes a tenth of the time.
func (j *Journey) fillLog(body []byte) {
	j.t.Helper()
	const enough = 58 << 20 // of the 64 MiB of a log
	for range enough / (together * len(body)) {
		a, refused := refusedOf(j, body, func(a *Answer) bool { return a.Status != 200 })
		if refused {
			j.t.Fatalf("an event was refused before the fault: %d %v %s", a.Status, a.Err, a.Body)
		}
	}
}

// together is how many callers refusedOf has. One by one they would take as many syncs as events to
// fill a log, on a slow disk a minute.
const together = 16

// refusedOf posts an event by many callers together and returns an answer that is wanted, if there
// is one.
func refusedOf(j *Journey, body []byte, want func(*Answer) bool) (a Answer, found bool) {
	wanted := make(chan Answer, together)
	var callers sync.WaitGroup
	for range cap(wanted) {
		callers.Go(func() {
			if a := j.Post(Post{Body: body}); want(&a) {
				wanted <- a
			}
		})
	}
	callers.Wait()
	close(wanted)
	a, found = <-wanted
	return a, found
}
