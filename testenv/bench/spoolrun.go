package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hookspool/hookspool/spool"
)

// The ways to keep events that -scenario spool compares.
const (
	wayFloor  = "floor"
	wayPaused = "spool, nobody reads"
	wayRead   = "spool, 3 lanes"
)

const (
	spoolRole  = "spool"
	spoolLanes = 3
	// spoolPortion is what a lane takes at once, as one of three targets does.
	spoolPortion = 256
	spoolKept    = 24 * time.Hour // the default of keep_delivered
)

// spoolRun is a process of -scenario spool: callers append events as fast as they are kept.
type spoolRun struct {
	Way     string
	Callers int
	Bytes   int
	Window  time.Duration
	Dir     string
	Profile string // the file for a CPU profile of the window; empty: none
}

// spoolFigures are what it gave. Durations are in milliseconds.
type spoolFigures struct {
	Rate     float64 // events/s
	P50, P99 float64 // of an append
	CPU      float64 // µs an event, callers and lanes included
	Group    float64 // events of a sync
	Faults   float64 // of pages, an event
	Switches float64 // threads gave the CPU up to wait, an event
	Written  float64 // bytes to disk for each payload byte
	Settled  float64 // deliveries/s of one lane
	Resident float64 // MiB, at most: VmHWM
	Others   float64 // see crowding
}

// keeper keeps events, each until its append returns.
type keeper interface {
	append(payload []byte) error
	groups() uint64
	settled() uint64 // of all lanes
	close() error
}

// serveSpool is one run in a process of its own, so that memory, collector and profile are of it
// alone. It prints the figures.
func serveSpool(args []string) error {
	if len(args) != 1 {
		return errors.New("the spool needs to be told what to do")
	}
	var r spoolRun
	if err := json.Unmarshal([]byte(args[0]), &r); err != nil {
		return err
	}
	f, err := r.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

func (r *spoolRun) open() (keeper, error) {
	switch r.Way {
	case wayFloor:
		f, err := newFloorFile(filepath.Join(r.Dir, "floor"))
		if err != nil {
			return nil, err
		}
		return floorKeeper{f}, nil
	case wayPaused, wayRead:
		return openSpool(filepath.Join(r.Dir, "spool"), r.Way == wayRead)
	}
	return nil, fmt.Errorf("there is no way %q", r.Way)
}

// run measures a window, after a warm-up.
func (r *spoolRun) run() (f spoolFigures, err error) {
	k, err := r.open()
	if err != nil {
		return f, err
	}
	a := startAppends(k, r.Callers, r.Bytes)
	defer func() { err = errors.Join(err, a.end(), k.close()) }()
	time.Sleep(warmUp)
	endProfile, err := startProfile(r.Profile)
	if err != nil {
		return f, err
	}
	others, before := startCrowding(), spoolLookAt(k)
	a.measured.Store(true)
	time.Sleep(r.Window)
	a.measured.Store(false)
	after := spoolLookAt(k)
	f.Others = others.share()
	if err := endProfile(); err != nil {
		return f, err
	}
	f.fill(before, after, a, r.Bytes)
	f.Resident = memoryOf(os.Getpid()).Peak
	return f, nil
}

// appends are the callers at work.
type appends struct {
	latency  histogram
	measured atomic.Bool // latency counts only while set
	stop     atomic.Bool
	done     sync.WaitGroup
	errs     []error // each a caller's until done
}

func startAppends(k keeper, callers, size int) *appends {
	a := &appends{errs: make([]error, callers)}
	for i := range callers {
		a.done.Go(func() { // ends with stop, or an error
			payload := newBody(rand.New(rand.NewPCG(uint64(i), 0)), size)
			var err error
			for !a.stop.Load() && err == nil {
				began := time.Now()
				err = k.append(payload)
				if a.measured.Load() {
					a.latency.add(time.Since(began))
				}
			}
			a.errs[i] = err
		})
	}
	return a
}

// end returns what a caller died of.
func (a *appends) end() error {
	a.stop.Store(true)
	a.done.Wait()
	for _, err := range a.errs {
		if err != nil {
			return fmt.Errorf("cannot append an event: %w", err)
		}
	}
	return nil
}

// spoolLook is what a process has used and done until an instant.
type spoolLook struct {
	at              time.Time
	used            usage
	cpu             time.Duration // finer than used says it
	faults          int64
	groups, settled uint64
}

func spoolLookAt(k keeper) spoolLook {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return spoolLook{at: time.Now(), used: usageOf(os.Getpid()),
		cpu:    time.Duration(u.Utime.Nano() + u.Stime.Nano()),
		faults: int64(u.Minflt) + int64(u.Majflt), groups: k.groups(), settled: k.settled()}
}

func (f *spoolFigures) fill(before, after spoolLook, a *appends, size int) {
	seconds := after.at.Sub(before.at).Seconds()
	events := float64(max(a.latency.Count.Load(), 1))
	used := after.used.since(before.used)
	f.Rate = events / seconds
	f.P50 = milliseconds(a.latency.quantile(0.5))
	f.P99 = milliseconds(a.latency.quantile(0.99))
	f.CPU = float64((after.cpu - before.cpu).Nanoseconds()) / 1000 / events
	f.Group = events / float64(max(after.groups-before.groups, 1))
	f.Faults = float64(after.faults-before.faults) / events
	f.Switches = float64(used.switches) / events
	f.Written = float64(used.written) / events / float64(size)
	f.Settled = float64(after.settled-before.settled) / spoolLanes / seconds
}

// startProfile begins a CPU profile, and returns what ends it.
func startProfile(path string) (end func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

// floorKeeper is the floor, which has no lanes.
type floorKeeper struct{ *floorFile }

func (k floorKeeper) groups() uint64  { return k.syncs.Load() }
func (k floorKeeper) settled() uint64 { return 0 }

// spoolKeeper is the real spool, called as the relay calls it.
type spoolKeeper struct {
	spool   *spool.Spool
	lanes   []*spool.Lane
	commits atomic.Uint64
	passed  atomic.Uint64 // deliveries that the lanes have settled
	failure atomic.Pointer[error]
	stop    chan struct{}
	reading sync.WaitGroup
}

// openSpool makes a spool with lanes that owe every event, which nobody reads or which settle what
// they get at once.
func openSpool(dir string, read bool) (*spoolKeeper, error) {
	k := &spoolKeeper{stop: make(chan struct{})}
	warn := &slog.HandlerOptions{Level: slog.LevelWarn}
	s, err := spool.Open(spool.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(os.Stderr, warn)),
		Decide: k.decide, OnCommit: func(int, time.Duration) { k.commits.Add(1) },
		Limits: spool.Limits{MaxBytes: 1 << 40, MinFreeBytes: 512 << 20, KeepDelivered: spoolKept,
			KeepExhausted: 7 * spoolKept, DedupeWindow: spoolKept}})
	if err != nil {
		return nil, err
	}
	k.spool = s
	s.Start()
	for i := range spoolLanes {
		l, err := s.Lane(fmt.Sprintf("t%d", i))
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		k.lanes = append(k.lanes, l)
	}
	if read {
		for _, l := range k.lanes {
			l.Open(true)
			k.reading.Go(func() { k.read(l) }) // ends with stop, or an error
		}
	}
	return k, nil
}

func (k *spoolKeeper) decide(_ *spool.View, d *spool.Draft) {
	for _, l := range k.lanes {
		d.Owe(l.ID())
	}
}

func (k *spoolKeeper) append(payload []byte) error {
	if err := k.spool.Admit(len(payload)); err != nil {
		return err
	}
	return k.spool.Append(&spool.Draft{Type: "message", ContentType: "application/json",
		Payload: payload, At: time.Now()})
}

// read settles what a lane gets, as one does whose target answers at once.
func (k *spoolKeeper) read(l *spool.Lane) {
	for {
		select {
		case <-k.stop:
			return
		case <-l.Ready():
		}
		for more := true; more; {
			var err error
			if more, err = k.settle(l); err != nil {
				k.failure.Store(&err)
				return
			}
		}
	}
}

func (k *spoolKeeper) settle(l *spool.Lane) (more bool, err error) {
	events, err := l.Fetch(spoolPortion)
	now := time.Now()
	for _, e := range events {
		k.spool.Settle(spool.Settlement{Lane: l.ID(), Seq: e.Seq, AcceptedAt: e.At, Fresh: true,
			Verdict: spool.Delivered, Attempts: 1, At: now, Status: 200})
	}
	k.passed.Add(uint64(len(events)))
	return len(events) > 0, err
}

func (k *spoolKeeper) groups() uint64  { return k.commits.Load() }
func (k *spoolKeeper) settled() uint64 { return k.passed.Load() }

func (k *spoolKeeper) close() (err error) {
	close(k.stop)
	k.reading.Wait()
	if failed := k.failure.Load(); failed != nil {
		err = fmt.Errorf("cannot read a lane: %w", *failed)
	}
	return errors.Join(err, k.spool.Close())
}
