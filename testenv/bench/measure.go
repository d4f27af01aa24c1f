package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hookspool/hookspool/testenv"
)

const (
	warmUp      = 500 * time.Millisecond
	drainWithin = 60 * time.Second
	sickName    = "sick" // the target that misbehaves
)

// figures are what one run of one cell gave. Durations are in milliseconds.
type figures struct {
	Accepted  float64 `json:"accepted_per_second"`
	P50       float64 `json:"accept_p50_ms"`
	P99       float64 `json:"accept_p99_ms"`
	P999      float64 `json:"accept_p999_ms"`
	Delivered float64 `json:"delivered_per_second"` // events × targets
	DP50      float64 `json:"delivered_p50_ms"`     // from the instant the event was due
	DP99      float64 `json:"delivered_p99_ms"`
	DP999     float64 `json:"delivered_p999_ms"`
	CPU       float64 `json:"cpu_us_per_event"`   // of the server alone
	Switches  float64 `json:"switches_per_event"` // its threads gave the CPU up to wait
	Written   float64 `json:"disk_bytes_per_payload_byte"`
	Resident  float64 `json:"resident_peak_mib"` // VmHWM: mapped files included
	Anon      float64 `json:"rss_anon_peak_mib"` // sampled: mapped files left out
	Backlog   float64 `json:"pending_at_the_end"`
	Left      float64 `json:"spool_mib_after_drain"`
	Failed    float64 `json:"failed"`
	Others    float64 `json:"cpu_share_of_others"` // see crowding
}

// carried is the rate at which events are both accepted and delivered to so many targets.
func (f *figures) carried(targets int) float64 {
	return min(f.Accepted, f.Delivered/float64(max(targets, 1)))
}

type bench struct {
	o    *options
	dir  string
	runs int
}

// newDir is a directory of its own for one server.
func (b *bench) newDir() (string, error) {
	b.runs++
	dir := filepath.Join(b.dir, strconv.Itoa(b.runs))
	return dir, os.MkdirAll(dir, 0o700)
}

// measure runs one cell once, for so long.
func (b *bench) measure(c cell, window time.Duration) (f figures, err error) {
	rx, s, err := b.start(c)
	if err != nil {
		return f, err
	}
	defer rx.stop()
	defer s.stop()
	load := startLoad(s.address, c)
	time.Sleep(warmUp)
	if _, err := ask[struct{}]("http://" + rx.address + "/reset"); err != nil {
		return f, err
	}
	peak := startSampler(s.pid())
	others := startCrowding(s.pid(), rx.pid())
	before, began := usageOf(s.pid()), time.Now()
	load.measured.Store(true)
	time.Sleep(window)
	load.measured.Store(false)
	seconds, used := time.Since(began).Seconds(), usageOf(s.pid()).since(before)
	f.Others = others.share()
	f.Anon = peak.end().Anon
	got, err := rx.received()
	if err != nil {
		return f, err
	}
	f.fill(load, &got, seconds)
	f.Switches = float64(used.switches) / max(f.Accepted*seconds, 1)
	f.CPU = float64(used.cpu.Microseconds()) / max(f.Accepted*seconds, 1)
	f.Written = float64(used.written) / max(f.Accepted*seconds*float64(c.size), 1)
	if c.server == relay {
		sum, err := s.debts()
		if err != nil {
			return f, err
		}
		f.Backlog = sum.pending
	}
	load.end()
	f.Failed = float64(load.failed.Load() + load.refused.Count.Load())
	if c.life {
		err = f.live(s, c)
	}
	f.Resident = memoryOf(s.pid()).Peak
	return f, err
}

func (f *figures) fill(l *loader, got *received, seconds float64) {
	f.Accepted = float64(l.latency.Count.Load()*uint64(l.cell.perRequest())) / seconds
	f.P50 = milliseconds(l.latency.quantile(0.5))
	f.P99 = milliseconds(l.latency.quantile(0.99))
	f.P999 = milliseconds(l.latency.quantile(0.999))
	f.Delivered = float64(got.Count) / seconds
	f.DP50, f.DP99 = milliseconds(got.P50), milliseconds(got.P99)
	f.DP999 = milliseconds(got.P9x)
}

// live waits until everything is delivered and swept, and charges the event with all of it.
func (f *figures) live(s *server, c cell) error {
	ok, err := s.drained(drainWithin)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("the backlog does not drain")
	}
	s.rest(drainWithin)
	// Warm-up included, on both sides of the ratio.
	accepted, err := s.accepted()
	if err != nil {
		return err
	}
	f.Written = float64(usageOf(s.pid()).written) / max(accepted*float64(c.size), 1)
	f.Left = s.spoolMiB()
	return nil
}

// start starts the server of a cell, and a receiver for it.
func (b *bench) start(c cell) (rx, s *server, err error) {
	dir, err := b.newDir()
	if err != nil {
		return nil, nil, err
	}
	authority, err := b.certificate()
	if err != nil {
		return nil, nil, err
	}
	if rx, err = startRole("receiver", authority); err != nil {
		return nil, nil, err
	}
	switch c.server {
	case bare:
		s, err = startRole(bare)
	case floor:
		if s, err = startRole(floor, filepath.Join(dir, "floor")); err == nil {
			s.dir = dir
		}
	case least:
		args := []string{filepath.Join(dir, "floor"), rx.address}
		if c.secure {
			args = []string{args[0], rx.secure, authority}
		}
		if s, err = startRole(least, args...); err == nil {
			s.dir = dir
		}
	default:
		s, err = startRelay(dir, func(cfg *testenv.Config, nobody string) {
			c.configure(cfg, rx.address, nobody)
			switch {
			case c.http != "":
				c.configureTLS(cfg, rx.modern, authority)
			case c.secure:
				c.configureTLS(cfg, rx.secure, authority)
			}
		})
	}
	if err != nil {
		rx.stop()
	}
	return rx, s, err
}

// configureTLS has the healthy targets reached over TLS.
func (c cell) configureTLS(cfg *testenv.Config, rx, authority string) {
	for i := range c.targets {
		name := fmt.Sprintf("t%d", i)
		cfg.Target(name, "https://"+rx+"/ok", "ca_file", authority)
		if c.http != "" {
			cfg.Set("target."+name+".http", c.http)
		}
	}
}

// configure asks for what the cell needs; all else has its default.
func (c cell) configure(cfg *testenv.Config, rx, nobody string) {
	for i := range c.targets {
		name := fmt.Sprintf("t%d", i)
		cfg.Target(name, "http://"+rx+"/ok")
		if c.gather > 0 {
			cfg.Set("target."+name+".batch.format", "cloudevents")
			cfg.Set("target."+name+".batch.max_events", c.gather)
			cfg.Set("target."+name+".batch.max_wait", "10ms")
		}
	}
	if c.paused {
		cfg.Target("t0", "http://"+rx+"/ok", "status", "paused")
	}
	for i := range c.others {
		events := fmt.Sprintf("other%d", i)
		if c.pattern {
			events += "*"
		}
		cfg.Target(fmt.Sprintf("o%d", i), "http://"+rx+"/ok", "events", []string{events})
	}
	switch c.sick {
	case "hang", "half":
		cfg.Target(sickName, "http://"+rx+"/"+c.sick)
	case "refuse":
		cfg.Target(sickName, "http://"+nobody+"/")
	}
	if c.sweep || c.life {
		// The default size is reached by a backlog of some millions.
		cfg.Set("spool.keep_delivered", "1s").Set("spool.max_size", "1TiB")
	}
}
