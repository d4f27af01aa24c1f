package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// topScreen is hookspool top on a pseudo terminal, as a small emulator sees it: absolute moves,
// erased lines, and text. Other sequences are passed over, as they move nothing.
type topScreen struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	before *unix.Termios
	ended  chan struct{} // closed once the process is over

	mu    sync.Mutex // guards below
	raw   []byte     // all that came
	lines map[int]string
	row   int
}

// startTop starts it on a terminal of this size.
func startTop(t *testing.T, columns, rows int, env []string, args ...string) *topScreen {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	master, slave := openTerminal(t)
	s := &topScreen{t: t, master: master, slave: slave, ended: make(chan struct{}),
		lines: make(map[int]string)}
	s.resize(columns, rows)
	if s.before, err = unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(bin, append([]string{"top"}, args...)...)
	s.cmd.Dir = t.TempDir()
	s.cmd.Env = append(append(os.Environ(), "TERM=xterm"), env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // its code is in ProcessState
		close(s.ended)
	}()
	go s.read()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
	})
	return s
}

func (s *topScreen) resize(columns, rows int) {
	s.t.Helper()
	err := unix.IoctlSetWinsize(int(s.slave.Fd()), unix.TIOCSWINSZ,
		&unix.Winsize{Row: uint16(rows), Col: uint16(columns)})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *topScreen) read() {
	sequence := regexp.MustCompile(`^\x1b\[([?0-9;]*)([@-~])`)
	var rest []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := s.master.Read(buffer)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.raw = append(s.raw, buffer[:n]...)
		rest = append(rest, buffer[:n]...)
		for len(rest) > 0 {
			if rest[0] != 0x1b {
				end := bytes.IndexByte(rest, 0x1b)
				if end < 0 {
					end = len(rest)
				}
				s.lines[s.row] += string(rest[:end])
				rest = rest[end:]
				continue
			}
			m := sequence.FindSubmatch(rest)
			if m == nil {
				break
			}
			s.obey(string(m[1]), m[2][0])
			rest = rest[len(m[0]):]
		}
		s.mu.Unlock()
	}
}

func (s *topScreen) obey(parameters string, final byte) {
	switch final {
	case 'H':
		row, _, _ := strings.Cut(parameters, ";")
		s.row, _ = strconv.Atoi(row)
	case 'J':
		clear(s.lines)
	case 'K':
		s.lines[s.row] = ""
	}
}

// text is what is on the screen.
func (s *topScreen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for row := range 200 {
		b.WriteString(strings.TrimRight(s.lines[row], " \r\n") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// came reports whether this pattern was among the bytes.
func (s *topScreen) came(pattern string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return regexp.MustCompile(pattern).Match(s.raw)
}

// await waits until the screen matches.
func (s *topScreen) await(pattern string) {
	s.t.Helper()
	is := regexp.MustCompile("(?m)" + pattern)
	if !Eventually(Patience, func() bool { return is.MatchString(s.text()) }) {
		s.t.Fatalf("the screen does not match %q:\n%s", pattern, s.text())
	}
}

func (s *topScreen) press(keys string) {
	s.t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// wantLeft asserts that it ends with this code, and that the terminal is as it was: its modes, its
// main screen, its cursor, its wrapping.
func (s *topScreen) wantLeft(code int) {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(Patience):
		s.t.Fatalf("it does not end:\n%s", s.text())
	}
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("it ended with %v, want %d\n%s", s.cmd.ProcessState, code, s.text())
	}
	after, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	if *after != *s.before {
		s.t.Errorf("the terminal was %+v and is %+v", *s.before, *after)
	}
	given := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, mode := range []string{"\x1b[?1049", "\x1b[?25", "\x1b[?7"} {
			on, off := "h", "l" // how it is at rest: the cursor, wrapping
			if mode == "\x1b[?1049" {
				on, off = off, on
			}
			if bytes.LastIndex(s.raw, []byte(mode+on)) <= bytes.LastIndex(s.raw, []byte(mode+off)) {
				return false
			}
		}
		return true
	}
	if !Eventually(Patience, given) {
		s.t.Errorf("the screen was not given back:\n%s", s.text())
	}
}

// TestTop looks at a relay with a dead target on a real terminal, by its keys, at two widths,
// through a kill of the relay, and leaves the terminal as it was.
func TestTop(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("well", "dead")
	j.RX.Always("dead", Code(503))
	// A socket keeps its address when the relay starts again.
	j.Config.Set("retry.interval", "1s").Set("defect.after_failed_jobs", 1).
		Set("server.admin_listen", "unix:"+filepath.Join(t.TempDir(), "admin.sock"))
	j.Start()
	j.Post(Post{Type: "message", Body: []byte(`{}`)})
	j.AwaitStatus("dead", "Defective")
	s := startTop(t, 120, 30, []string{"NO_COLOR=1"}, "--config", j.ConfigPath())
	s.await(`^hookspool \S+ is ready, up \d+s, at unix:\S+ +\d\d:\d\d:\d\d UTC$`)
	s.await(`^1 of 2 targets need you: 1 Defective$`)
	s.await(`^ TARGET +STATUS +OK/S +FAIL/S +P50 +P99 +PENDING +OLDEST +WAITS-FOR +LAST-ERROR$`)
	s.await(`^>dead +Defective .* 1 +\d+s +.*answered 503`)
	s.await(`^ well +Enabled .* 0 +- +- +-$`)
	if s.came(`\x1b\[[1-9]\d*m`) {
		t.Errorf("there are colours:\n%s", s.text())
	}
	s.press("\x1b[B")
	s.await(`^>well `)
	s.press("\x1b[A\r")
	s.await(`^dead is Defective$`)
	s.await(`^WHEN +EVENT +ATTEMPT +OUTCOME`)
	s.await(` status 503 `)
	s.press("\x1b")
	s.await(`^>dead `)
	s.press("/WEL\r")
	s.await(`^1-1 of 1, by trouble, of /wel`)
	s.press("\x1bs?")
	s.await(`^  Ctrl-L `)
	s.press("x")
	s.await(`^1-2 of 2, by name `)
	// Narrow: what is spare goes, and no line is wider.
	s.resize(80, 20)
	s.await(`^ TARGET +STATUS +OK/S +FAIL/S +PENDING +OLDEST +WAITS-FOR +LAST-ERROR$`)
	for line := range strings.Lines(s.text()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
			t.Errorf("a line has %d columns: %q", n, line)
		}
	}
	// The relay dies and comes back.
	j.Kill()
	s.await(`^this is \d+s old; trying again: nothing listens at unix:`)
	s.await(`^hookspool \S+ is away, up `)
	j.Start()
	s.await(`^the relay was restarted \d+s ago$`)
	s.await(`^ dead +Defective`)
	s.press("q")
	s.wantLeft(0)
}

// TestTopLeaves ends it in every way there is but one (SIGKILL): the terminal is as it was.
func TestTopLeaves(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("a")
	j.Start()
	for name, leave := range map[string]func(*topScreen){
		"Ctrl-C":  func(s *topScreen) { s.press("\x03") },
		"SIGTERM": func(s *topScreen) { _ = s.cmd.Process.Signal(syscall.SIGTERM) },
		"SIGHUP":  func(s *topScreen) { _ = s.cmd.Process.Signal(syscall.SIGHUP) },
		"SIGINT":  func(s *topScreen) { _ = s.cmd.Process.Signal(os.Interrupt) },
		"after Ctrl-Z, which nobody obeys": func(s *topScreen) {
			s.press("\x1a")
			s.await(`^>a `)
			s.press("q")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startTop(t, 100, 24, nil, "--config", j.ConfigPath())
			s.await(`>a `)
			leave(s)
			s.wantLeft(0)
		})
	}
}

// TestTopRefuses asserts that it takes no screen where there is none, or no relay.
func TestTopRefuses(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("a")
	j.Start()
	out := j.CLI("top")
	if out.Code != 1 || !strings.Contains(out.Stderr, "error: top wants a terminal") ||
		!strings.Contains(out.Stderr, "hint: hookspool targets --watch") || out.Stdout != "" {
		t.Errorf("without a terminal: %+v", out)
	}
	s := startTop(t, 80, 24, nil, "--admin", "http://127.0.0.1:1")
	<-s.ended
	if code := s.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("without a relay it ended with %d", code)
	}
	s.await(`error: nothing listens at http://127\.0\.0\.1:1`)
	if s.came("1049") {
		t.Errorf("it took the screen:\n%s", s.text())
	}
	if code := j.CLI("top", "--json").Code; code != 2 {
		t.Errorf("--json ended with %d, want 2", code)
	}
}
