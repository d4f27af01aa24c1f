package badger

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/volume"
)

// testPatience is how long tests wait for what takes milliseconds on a quiet machine: only a failure
// waits that long.
const testPatience = 2 * time.Minute

// opened is a store that a test has opened.
type opened struct {
	*Store
	options StoreOptions
}

// openStore opens one, in a directory of its own if no other is asked for. Nothing fails in it.
func openStore(t *testing.T, o StoreOptions) *opened {
	t.Helper()
	if o.Files.Dir == "" {
		o.Files.Dir = filepath.Join(t.TempDir(), "spool")
	}
	o.Files.Log, o.Repairs = slog.New(slog.DiscardHandler), true
	o.Fail = func(err error) error {
		t.Errorf("it failed: %v", err)
		return err
	}
	s := NewStore(o)
	err := volume.PrepareDir(s.Dir)
	if err == nil {
		err = s.Open()
	}
	if err == nil {
		err = s.Settle(Tenant{ID: "abcd"})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &opened{s, o}
}

// A commit is on the disk before anybody hears of it, with little memory and much; but for a copy
// of what others keep, which need not be.
func TestSyncs(t *testing.T) {
	for _, memory := range []int64{0, 32 << 20} {
		for _, unsynced := range []bool{false, true} {
			s := openStore(t, StoreOptions{Memory: memory, Unsynced: unsynced})
			if synced := s.DB.Opts().SyncWrites; synced == unsynced {
				t.Errorf("with %d bytes of memory, unsynced %v, commits are synced: %v", memory, unsynced,
					synced)
			}
		}
	}
}

// Whoever wants to know hears that the engine compacts, and that it has ended.
func TestOnCompaction(t *testing.T) {
	told := make(chan bool, 100)
	s := openStore(t, StoreOptions{OnCompaction: func(begins bool) { told <- begins }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	next := func(want bool) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Errorf("told %v; want %v", got, want)
			}
		case <-time.After(testPatience):
			t.Fatalf("not told %v", want)
		}
	}
	set := func(to bool) {
		s.reclaiming.Store(to)
		s.stir()
	}
	set(true)
	next(true)
	set(false)
	next(false)
	// one that closing interrupts has ended as well
	set(true)
	next(true)
	cancel()
	<-ended
	next(false)
	if len(told) > 0 {
		t.Errorf("told %d times more", len(told))
	}
}

// A spool that was restored from one that is away is welcome in its place.
func TestWelcomeFormer(t *testing.T) {
	s := openStore(t, StoreOptions{})
	if err := volume.LeaveWord(volume.Absolute(s.Dir), "cdef", errors.New("moved")); err != nil {
		t.Fatal(err)
	}
	if err := s.welcome(Tenant{ID: "abcd", Empty: true}); !errors.Is(err, engine.ErrAway) {
		t.Errorf("a stranger: %v; want ErrAway", err)
	}
	if err := s.welcome(Tenant{ID: "abcd", Empty: true, Former: []string{"1234", "cdef"}}); err != nil {
		t.Errorf("one that was restored from it: %v", err)
	}
	if a, err := volume.Away(s.Dir); a != nil || err != nil {
		t.Errorf("the file stays: %v, %v", a, err)
	}
}

// The heap is given back once after every burst, and never in one.
func TestRestDue(t *testing.T) {
	var r rest
	at := time.Unix(1000, 0)
	f := func(after time.Duration, head uint64, want bool) {
		t.Helper()
		at = at.Add(after)
		if got := r.due(at, head); got != want {
			t.Errorf("at %s with head %d: %v", at, head, got)
		}
	}
	// nothing has happened yet
	f(0, 0, false)
	f(time.Minute, 0, false)
	// a burst, its end, and the rest after it
	f(0, 5, false)
	f(restAfter-1, 6, false)
	f(restAfter-1, 6, false)
	f(1, 6, true)
	f(time.Minute, 6, false)
	// the next one
	f(time.Second, 7, false)
	f(restAfter, 7, true)
}

// Space is short and ample by what must stay free, which grows with what is stored.
func TestJudgeDisk(t *testing.T) {
	const work = 100
	f := func(total, free, most, must int64, short, ample bool) {
		t.Helper()
		var d Figures
		d.Bytes.Store(total)
		d.Free.Store(free)
		d.judge(most, work, must)
		if d.pressure.Load() != short || d.Ample.Load() != ample {
			t.Errorf("with %d of %d bytes stored, %d free and %d to stay: short %v, ample %v; want %v, %v",
				total, most, free, must, d.pressure.Load(), d.Ample.Load(), short, ample)
		}
	}
	f(0, 401, 0, 100, false, true)
	f(0, 400, 0, 100, false, false)
	f(0, 200, 0, 100, false, false)
	f(0, 199, 0, 100, true, false)
	f(0, 1001, 0, 500, false, true) // half of the deep levels must stay
	f(0, 1000, 0, 500, false, false)
	f(0, 625, 0, 500, false, false)
	f(0, 624, 0, 500, true, false)
	f(599, 1001, 1000, 100, false, true)
	f(600, 1001, 1000, 100, false, false)
	f(800, 1001, 1000, 100, false, false)
	f(801, 1001, 1000, 100, true, false)
}

// The engine has its usual shape unless it may take little.
func TestShapeFor(t *testing.T) {
	t.Parallel()
	for memory, want := range map[int64]Shape{
		0:                {MappedBytesMax: mappedBytesMax},
		roomyMemoryBytes: {MappedBytesMax: mappedBytesMax},
		104 << 20:        {Small: true, MappedBytesMax: 52 << 20},
		48 << 20:         {Small: true, MappedBytesMax: 24 << 20},
	} {
		if got := ShapeFor(memory); got != want {
			t.Errorf("for %d bytes: %+v; want %+v", memory, got, want)
		}
	}
}

// atOnce runs what belongs between two groups.
func atOnce(run func() error) error { return run() }
