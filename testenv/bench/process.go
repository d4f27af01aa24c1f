package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hookspool/hookspool/testenv"
	"github.com/hookspool/hookspool/testenv/port"
)

const (
	readyWithin = 60 * time.Second
	readyGrain  = time.Millisecond // how often a starting relay is asked
	quietLength = 5 * time.Second
	// reclaimPause is above the 30 seconds that the spool lets pass between two reclaims.
	reclaimPause = 35 * time.Second
)

// server is a process under load: a relay, or one of this program's roles.
type server struct {
	cmd     *exec.Cmd
	address string // where events are taken
	secure  string // of a receiver: the same over TLS
	modern  string // of a receiver: the same with HTTP/2 or 1.1, by a server of Go's
	admin   string // of a relay
	dir     string // removed at the end; of a relay also where its config, log and spool are
	config  *testenv.Config
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// kill is kill -9; the directory stays, for launch.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) stop() {
	s.kill()
	_ = os.RemoveAll(s.dir)
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
	s.address, s.secure, _ = strings.Cut(strings.TrimSpace(line), " ")
	s.secure, s.modern, _ = strings.Cut(s.secure, " ")
	return s, nil
}

// startRelay starts the real binary. set makes its config; the last of the addresses it is given is
// one that nobody listens on.
func startRelay(dir string, set func(cfg *testenv.Config, nobody string)) (*server, error) {
	var ports [3]string
	for i := range ports {
		var err error
		if ports[i], err = port.Free(); err != nil {
			return nil, err
		}
	}
	cfg := testenv.NewConfig().Set("server.listen", []string{ports[0]}).
		Set("server.admin_listen", ports[1]).Set("log.level", "warn").
		Set("spool.dir", filepath.Join(dir, "spool")).
		OnCluster(fmt.Sprintf("bench%d", rand.Uint32()))
	set(cfg, ports[2])
	s := &server{address: ports[0], admin: ports[1], dir: dir, config: cfg}
	if _, err := s.launch(); err != nil {
		return nil, err
	}
	return s, nil
}

// launch starts the relay on what its directory holds, and returns how long it took from the start
// of the process until it was ready.
func (s *server) launch() (time.Duration, error) {
	bin, err := testenv.Binary()
	if err != nil {
		return 0, err
	}
	if err := s.writeConfig(); err != nil {
		return 0, err
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	s.cmd = exec.Command(bin, "serve", "--config", s.configPath())
	s.cmd.Stdout, s.cmd.Stderr = log, log
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	for time.Since(began) < readyWithin {
		resp, err := http.Get("http://" + s.admin + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return time.Since(began), nil
			}
		}
		time.Sleep(readyGrain)
	}
	text, _ := os.ReadFile(log.Name())
	s.kill()
	return 0, fmt.Errorf("the relay is not ready after %s: %s", readyWithin, text)
}

func (s *server) configPath() string { return filepath.Join(s.dir, "hookspool.toml") }

func (s *server) writeConfig() error {
	return os.WriteFile(s.configPath(), []byte(s.config.String()), 0o600)
}

// reload makes the relay take its config as it is now.
func (s *server) reload() error {
	if err := s.writeConfig(); err != nil {
		return err
	}
	resp, err := http.Post("http://"+s.admin+"/v1/reload", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("cannot reload the relay's config: %s", text)
	}
	return nil
}

func (s *server) spoolMiB() float64 { return dirMiB(filepath.Join(s.dir, "spool")) }

// debts are sums over the targets of a relay; the sick one is not counted.
type debts struct {
	pending, delivered float64
}

func (s *server) debts() (sum debts, err error) {
	list, err := ask[struct {
		Targets []struct {
			Name               string
			Pending, Delivered float64
		}
	}]("http://" + s.admin + "/v1/targets")
	for _, t := range list.Targets {
		if t.Name != sickName {
			sum.pending += t.Pending
			sum.delivered += t.Delivered
		}
	}
	return sum, err
}

// accepted is how many events the relay says it accepted since its start.
func (s *server) accepted() (float64, error) {
	status, err := ask[struct {
		Accepted float64 `json:"accepted"`
	}]("http://" + s.admin + "/v1/status")
	return status.Accepted, err
}

func (s *server) received() (received, error) {
	return ask[received]("http://" + s.address + "/stats")
}

// drained waits until nothing is pending, and reports whether it came to that.
func (s *server) drained(limit time.Duration) (bool, error) {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		sum, err := s.debts()
		if err != nil {
			return false, err
		}
		if sum.pending == 0 {
			return true, nil
		}
	}
	return false, nil
}

// rest waits until the sweep of what was delivered has come to rest: a time in which the relay
// writes next to nothing. While much is left on disk that time is longer than the relay's pause
// between two fetches of space.
func (s *server) rest(limit time.Duration) {
	last, quietSince := int64(-1), time.Now()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		time.Sleep(500 * time.Millisecond)
		now := usageOf(s.pid()).written
		if now-last > mib {
			quietSince = time.Now()
		}
		last = now
		quiet := time.Since(quietSince)
		if quiet > reclaimPause || quiet > quietLength && s.spoolMiB() < spoolLeftMiB {
			return
		}
	}
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
