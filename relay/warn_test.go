package relay

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/testenv/effort"
)

func TestLevelAt(t *testing.T) {
	f := func(levels []int, failed, limit, want int) {
		t.Helper()
		if got := levelAt(levels, failed, limit); got != want {
			t.Errorf("%d of %d failed with %v: got %d, want %d", failed, limit, levels, got, want)
		}
	}
	all := []int{90, 50, 75}
	f(nil, 100, 100, 0)
	f(all, 49, 100, 0)
	f(all, 50, 100, 50)
	f(all, 74, 100, 50)
	f(all, 75, 100, 75)
	f(all, 89, 100, 75)
	f(all, 90, 100, 90)
	f(all, 99, 100, 90)
	f(all, 100, 100, 0)
	// A limit that the percentages do not divide: the first job at or beyond it.
	f(all, 6, 7, 75)
	f(all, 7, 7, 0)
	// One job may reach several levels of a small limit; the highest counts.
	f(all, 1, 2, 50)
	f(all, 2, 2, 0)
	f(all, 1, 1, 0)
}

func TestRoom(t *testing.T) {
	f := func(d spool.DiskUsage, room int64, percent int) {
		t.Helper()
		got := roomOf(d)
		if p := percentOf(d.Bytes, got); got != room || p != percent {
			t.Errorf("%+v: got %d, %d %%; want %d, %d %%", d, got, p, room, percent)
		}
	}
	f(spool.DiskUsage{Bytes: 81, Limit: 100, FreeBytes: 1000}, 100, 81)
	// Beyond the budget, and no budget at all.
	f(spool.DiskUsage{Bytes: 120, Limit: 100, FreeBytes: 1000}, 100, 100)
	f(spool.DiskUsage{Bytes: 500, FreeBytes: 500}, 1000, 50)
	// A large disk that others have nearly filled leaves enough for a small spool.
	f(spool.DiskUsage{Bytes: 10, Limit: 100, FreeBytes: 150, MinFreeBytes: 50}, 100, 10)
	// One that leaves less than the budget is the room.
	f(spool.DiskUsage{Bytes: 40, Limit: 1000, FreeBytes: 60, MinFreeBytes: 50}, 50, 80)
	f(spool.DiskUsage{Bytes: 40, Limit: 1000, FreeBytes: 10, MinFreeBytes: 50}, 40, 100)
	// Nor can it have what the spool itself must leave.
	f(spool.DiskUsage{Bytes: 40, Limit: 1000, FreeBytes: 90, MinFreeBytes: 50, ReserveBytes: 80}, 50, 80)
	f(spool.DiskUsage{}, 0, 100)
}

func TestRemember(t *testing.T) {
	now := time.Unix(1000, 0)
	if got := remember([]int64{900, 1100}, 1050, now); !slices.Equal(got, []int64{1100, 1050}) {
		t.Errorf("got %v", got)
	}
	var many []int64
	for i := range 2 * certificatesMax {
		many = remember(many, int64(5000-i), now)
		if many[len(many)-1] != int64(5000-i) {
			t.Fatalf("the newest of %d is gone", i+1)
		}
	}
	if len(many) != certificatesMax {
		t.Errorf("%d are remembered, want %d", len(many), certificatesMax)
	}
}

// posted lets alerts go to a receiver and returns it.
func (f *fixture) posted(t *testing.T) *receiver {
	to := newReceiver(t, always(200))
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.Alert.Webhook = config.Webhook{URL: u, Timeout: 5 * time.Second}
	return to
}

// kinds are the alerts that came, each with its percentage.
func (r *receiver) kinds() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, body := range r.bodies {
		var n struct {
			Kind    string `json:"kind"`
			Percent int    `json:"percent"`
		}
		if err := json.Unmarshal([]byte(body), &n); err != nil {
			out = append(out, err.Error())
			continue
		}
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%s %d", n.Kind, n.Percent), " 0"))
	}
	return out
}

// settled waits until nothing is owed.
func (f *fixture) settled() {
	f.t.Helper()
	f.wait("the alerts to be paid", func() bool {
		owed, err := f.spool.Notices()
		return err == nil && len(owed) == 0
	})
}

// failing has a target that fails until it is healed, and one delivery pending for it.
func (f *fixture) failing(t *testing.T) (heal func(status int)) {
	status := 500
	bad := newReceiver(t, nil)
	bad.status = func(int) int { return status }
	f.target("dead", bad.URL)
	f.start()
	f.post("/v1/events", "body")
	f.wait("attempt 0", func() bool { return f.laneNamed("dead").spool.Counts().Fresh == 0 })
	return func(s int) {
		bad.mu.Lock()
		defer bad.mu.Unlock()
		status = s
	}
}

// TestWarnLevels asserts that each level of a run of failed jobs is warned of once, at the first job
// that reaches it, also across a restart and a reload that moves the limit; that a success begins
// again; and that the defect is told after its warnings.
func TestWarnLevels(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Alert.WarnAt, f.cfg.Defect.AfterFailedJobs = []int{90, 50, 75}, 20
	to := f.posted(t)
	heal := f.failing(t)
	want := func(jobs int, kinds ...string) {
		t.Helper()
		for range jobs {
			f.runTick()
		}
		f.settled()
		if got := to.kinds(); !slices.Equal(got, kinds) {
			t.Fatalf("after %d failed jobs: %q, want %q", f.laneNamed("dead").failedJobs(), got, kinds)
		}
	}
	want(9)
	want(1, "failing 50")
	f.restart()
	want(4, "failing 50")
	want(1, "failing 50", "failing 75")
	// A higher limit: 15 of 100 is little, but what was said is not said again.
	cfg := f.cfg
	cfg.Defect.AfterFailedJobs = 40
	if err := f.apply(&cfg); err != nil {
		t.Fatal(err)
	}
	want(16, "failing 50", "failing 75") // 31 of 40
	if err := f.apply(&f.cfg); err != nil {
		t.Fatal(err)
	}
	want(1, "failing 50", "failing 75", "defect") // 90 is passed by
	heal(200)
	want(1, "failing 50", "failing 75", "defect", "recovery")
	f.post("/v1/events", "the backlog is empty")
	f.wait("the ramp to end", func() bool { return f.laneNamed("dead").spool.Counts().Pending == 0 })
	heal(500)
	f.post("/v1/events", "another run")
	f.wait("attempt 0", func() bool {
		c := f.laneNamed("dead").spool.Counts()
		return c.Pending == 1 && c.Fresh == 0
	})
	want(10, "failing 50", "failing 75", "defect", "recovery", "failing 50")
}

// TestWarnSpace asserts that a spool above the percentage is warned of once, also across a restart,
// and again when it was below 7/8 of it in between.
func TestWarnSpace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	to := f.posted(t)
	f.start()
	// The limits of a running spool follow a reload; here they alone move.
	fill := func(percent int64) {
		lim := limitsOf(&f.cfg)
		lim.MaxBytes = max(1, f.spool.Disk().Bytes*100/percent)
		f.spool.SetLimits(lim)
	}
	full := func(want bool) {
		t.Helper()
		f.wait(fmt.Sprint("full to be ", want), func() bool { return f.memoOf(nil).Full == want })
		f.settled()
	}
	f.wait("a measurement", func() bool { return f.spool.Disk().Bytes > 0 })
	fill(90)
	full(true)
	if got := to.kinds(); len(got) != 1 || !strings.HasPrefix(got[0], "space ") {
		t.Fatalf("the alerts are %q", got)
	}
	f.restart()
	fill(50)
	full(false)
	fill(90)
	full(true)
	if got := to.kinds(); len(got) != 2 {
		t.Errorf("the alerts are %q, want two", got)
	}
}

// TestWarnCopies asserts that a server whose copy lacks messages is told of once, by the relay that
// leads, also across a restart, and again when its copy was whole in between; and what the relay
// says of itself.
func TestWarnCopies(t *testing.T) {
	effort.OnlyLong(t, "it waits for a watch of the copies")
	t.Parallel()
	f, o := inCompany(t)
	to := f.posted(t)
	f.start()
	found := func(servers ...string) {
		now := spool.Copies{Looked: time.Now(), Compared: time.Now()}
		for _, server := range servers {
			name, doubtful := strings.CutSuffix(server, "?")
			now.Short = append(now.Short, spool.ShortCopy{Node: name, Missing: 7, Since: now.Looked,
				Doubtful: doubtful})
		}
		o.change(func() { o.copies = now })
	}
	warned := func(want int, servers ...string) {
		t.Helper()
		f.wait(fmt.Sprint("what was warned of to be ", servers), func() bool {
			m := f.memoOf(nil)
			both := slices.Clone(m.Servers)
			for _, server := range m.Doubtful {
				both = append(both, server+"?")
			}
			return slices.Equal(both, servers)
		})
		f.settled()
		got := to.kinds()
		if len(got) != want {
			t.Fatalf("the alerts are %q, want %d", got, want)
		}
		for _, kind := range got {
			if kind != "copy" {
				t.Errorf("an alert of the kind %q", kind)
			}
		}
		s := f.Admin().Status()
		if len(s.CopiesShort) != len(servers) || s.CopiesComparedAt == nil {
			t.Errorf("the status says %+v, compared at %v", s.CopiesShort, s.CopiesComparedAt)
		}
		for i, server := range servers {
			one := s.CopiesShort[i]
			name, doubtful := strings.CutSuffix(server, "?")
			if one.Server != name || one.Missing != 7 || one.Since.IsZero() || one.Doubtful != doubtful {
				t.Errorf("the status says %+v", one)
			}
		}
	}
	looked := func() { time.Sleep(2 * warnEvery) } // what it sees then would be warned of
	found("n1")
	looked() // it does not lead
	if got := to.kinds(); len(got) > 0 || len(f.memoOf(nil).Servers) > 0 {
		t.Errorf("a relay that does not lead warns: %q", got)
	}
	o.change(func() { o.leads = true })
	warned(1, "n1")
	f.restart()
	found("n1", "n2")
	warned(2, "n1", "n2")
	found("n2")
	warned(2, "n2")
	found("n1", "n2")
	warned(3, "n1", "n2")
	o.change(func() { o.copies = spool.Copies{} }) // not compared: nothing is known
	looked()
	if got := f.memoOf(nil).Servers; len(got) != 2 {
		t.Errorf("what was warned of is %q", got)
	}
	found()
	warned(3)
	found("n1?")
	warned(4, "n1?")
	found("n1")
	warned(5, "n1")
	found("n1?") // it was clear
	warned(5, "n1?")
}
