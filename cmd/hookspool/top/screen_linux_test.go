package top

import (
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo terminal: what is written to slave comes out of master.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal is to be had: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminal is to be had: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func modes(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

// wantTold reads as many bytes as this has: a terminal passes on what it has so far.
func wantTold(t *testing.T, master *os.File, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(master, got); err != nil || string(got) != want {
		t.Errorf("the terminal was told %q, want %q, %v", got, want, err)
	}
}

// TestScreenPanic asserts that the panic of a goroutine gives the terminal back, and goes on.
func TestScreenPanic(t *testing.T) {
	t.Parallel()
	master, slave := openTerminal(t)
	before := modes(t, slave)
	s, err := Take(slave, slave)
	if err != nil {
		t.Fatal(err)
	}
	if modes(t, slave) == before {
		t.Error("the terminal was not set")
	}
	words := make(chan any)
	go func() {
		defer func() { words <- recover() }()
		defer s.Guard()
		panic("BUG: a test")
	}()
	if got := <-words; got != "BUG: a test" {
		t.Errorf("the panic became %v", got)
	}
	if after := modes(t, slave); after != before {
		t.Errorf("the terminal was %+v and is %+v", before, after)
	}
	if err := s.Draw([]string{"too late"}); err != nil {
		t.Error(err)
	}
	s.Give()
	wantTold(t, master, take+give)
}

// TestScreenDraw asserts that only what changed is written, and all after Forget.
func TestScreenDraw(t *testing.T) {
	t.Parallel()
	master, slave := openTerminal(t)
	s, err := Take(slave, slave)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Give()
	wantTold(t, master, take)
	f := func(want string, lines ...string) {
		t.Helper()
		if err := s.Draw(lines); err != nil {
			t.Fatal(err)
		}
		wantTold(t, master, want)
	}
	f("\x1b[H\x1b[2J\x1b[1;1H\x1b[2Ka\x1b[2;1H\x1b[2Kb", "a", "b")
	f("\x1b[2;1H\x1b[2Kc", "a", "c")
	f("\x1b[2;1H\x1b[2K", "a")
	s.Forget()
	f("\x1b[H\x1b[2J\x1b[1;1H\x1b[2Ka", "a")
}
