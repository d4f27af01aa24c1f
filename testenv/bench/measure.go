package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hookspool/hookspool/testenv"
)

const (
	warmUp      = 500 * time.Millisecond
	readyWithin = 20 * time.Second
	drainWithin = 60 * time.Second
	clockTicks  = 100 // USER_HZ, the unit of /proc/PID/stat

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
	CPU       float64 `json:"cpu_us_per_event"` // of the server alone
	Written   float64 `json:"disk_bytes_per_payload_byte"`
	Resident  float64 `json:"resident_peak_mib"`
	Backlog   float64 `json:"pending_at_the_end"`
	Left      float64 `json:"spool_mib_after_drain"`
	Failed    float64 `json:"failed"`
}

type bench struct {
	dir    string
	window time.Duration
	runs   int
}

// server is a process under load.
type server struct {
	cmd     *exec.Cmd
	address string // where events are taken
	admin   string // of a relay
	dir     string
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}

// measure runs one cell once.
func (b *bench) measure(c cell) (f figures, err error) {
	b.runs++
	dir := filepath.Join(b.dir, strconv.Itoa(b.runs))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return f, err
	}
	rx, err := startRole("receiver")
	if err != nil {
		return f, err
	}
	defer rx.stop()
	s, err := startServer(c, dir, rx.address)
	if err != nil {
		return f, err
	}
	defer s.stop()
	load := startLoad(s.address, c)
	time.Sleep(warmUp)
	if _, err := ask[struct{}]("http://" + rx.address + "/reset"); err != nil {
		return f, err
	}
	before, began := usageOf(s.pid()), time.Now()
	load.measured.Store(true)
	time.Sleep(b.window)
	load.measured.Store(false)
	seconds, used := time.Since(began).Seconds(), usageOf(s.pid()).since(before)
	got, err := ask[received]("http://" + rx.address + "/stats")
	if err != nil {
		return f, err
	}
	f.fill(load, &got, seconds)
	f.CPU = float64(used.cpu.Microseconds()) / max(f.Accepted*seconds, 1)
	f.Written = float64(used.written) / max(f.Accepted*seconds*float64(c.size), 1)
	if c.server == relay {
		f.Backlog = s.pending()
	}
	load.end()
	f.Failed = float64(load.failed.Load())
	if c.life {
		err = f.live(s, load, c, before)
	}
	f.Resident = float64(usageOf(s.pid()).peak) / (1 << 20)
	return f, err
}

func (f *figures) fill(l *loader, got *received, seconds float64) {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	f.Accepted = float64(l.latency.Count.Load()) / seconds
	f.P50, f.P99 = ms(l.latency.quantile(0.5)), ms(l.latency.quantile(0.99))
	f.P999 = ms(l.latency.quantile(0.999))
	f.Delivered = float64(got.Count) / seconds
	f.DP50, f.DP99, f.DP999 = ms(got.P50), ms(got.P99), ms(got.P9x)
}

// live waits until everything is delivered and swept, and charges the event with all of it.
func (f *figures) live(s *server, l *loader, c cell, before usage) error {
	end := time.Now().Add(drainWithin)
	for s.pending() > 0 {
		if time.Now().After(end) {
			return errors.New("the backlog does not drain")
		}
		time.Sleep(50 * time.Millisecond)
	}
	last, quiet := int64(-1), 0
	for quiet < 10 && time.Now().Before(end) { // the sweep has come to rest
		time.Sleep(500 * time.Millisecond)
		now := usageOf(s.pid()).written
		if quiet++; now-last > 1<<20 {
			quiet = 0
		}
		last = now
	}
	// Warm-up included, on both sides of the ratio.
	status, err := ask[struct {
		Accepted float64 `json:"accepted"`
	}]("http://" + s.admin + "/v1/status")
	if err != nil {
		return err
	}
	f.Written = float64(usageOf(s.pid()).written) / max(status.Accepted*float64(c.size), 1)
	f.Left = dirMiB(filepath.Join(s.dir, "spool"))
	return nil
}

func startServer(c cell, dir, rx string) (*server, error) {
	switch c.server {
	case bare:
		return startRole(bare)
	case floor:
		s, err := startRole(floor, filepath.Join(dir, "floor"))
		if err == nil {
			s.dir = dir
		}
		return s, err
	}
	return startRelay(c, dir, rx)
}

// startRole starts this very program as one of the servers.
func startRole(role string, args ...string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{"-role", role}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("cannot start the server %s: %w", role, err)
	}
	s.address = strings.TrimSpace(line)
	return s, nil
}

func startRelay(c cell, dir, rx string) (*server, error) {
	bin, err := testenv.Binary()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	cfg := relayConfig(c, dir, rx, ports)
	path := filepath.Join(dir, "hookspool.toml")
	if err := os.WriteFile(path, []byte(cfg.String()), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(bin, "serve", "--config", path)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, address: ports[0], admin: ports[1], dir: dir}
	for end := time.Now().Add(readyWithin); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + s.admin + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return s, nil
			}
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			s.stop()
			return nil, fmt.Errorf("the relay is not ready: %s", text)
		}
	}
}

// relayConfig has the defaults but for what the cell asks for. ports[2] is one nobody listens on.
func relayConfig(c cell, dir, rx string, ports []string) *testenv.Config {
	cfg := testenv.NewConfig().Set("server.listen", []string{ports[0]}).
		Set("server.admin_listen", ports[1]).Set("log.level", "warn").
		Set("spool.dir", filepath.Join(dir, "spool"))
	for i := range c.targets {
		cfg.Target(fmt.Sprintf("t%d", i), "http://"+rx+"/ok", "concurrency", 32)
	}
	if c.paused {
		cfg.Target("t0", "http://"+rx+"/ok", "status", "paused")
	}
	switch c.sick {
	case "hang", "half":
		cfg.Target("sick", "http://"+rx+"/"+c.sick)
	case "refuse":
		cfg.Target("sick", "http://"+ports[2]+"/")
	}
	if c.life {
		cfg.Set("spool.keep_delivered", "1s")
	}
	return cfg
}

func freePorts(n int) ([]string, error) {
	var addresses []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		addresses = append(addresses, ln.Addr().String())
	}
	return addresses, nil
}

// pending is what all targets of a relay still wait for; the sick one is not counted.
func (s *server) pending() float64 {
	list, err := ask[struct {
		Targets []struct {
			Name    string
			Pending float64
		}
	}]("http://" + s.admin + "/v1/targets")
	if err != nil {
		return -1
	}
	n := 0.0
	for _, t := range list.Targets {
		if t.Name != "sick" {
			n += t.Pending
		}
	}
	return n
}

func ask[T any](url string) (out T, err error) {
	resp, err := http.Get(url)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || len(text) == 0 {
		return out, err
	}
	return out, json.Unmarshal(text, &out)
}
