package nats

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// parentDeath lets a node die with the test that started it, however that test ends.
func parentDeath() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

func (p *process) freeze() error {
	if p.cmd == nil {
		return errors.New("it does not run")
	}
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for !standsStill(p.cmd.Process.Pid) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d did not stand still within %s", p.cmd.Process.Pid, patience)
		}
	}
	return nil
}

func (p *process) thaw() error {
	if p.cmd == nil {
		return errors.New("it does not run")
	}
	return p.cmd.Process.Signal(syscall.SIGCONT)
}

// standsStill reports whether no thread of a process can make a step of its own: each is stopped,
// or in the kernel and will stop on its way out.
func standsStill(pid int) bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(stats) == 0 {
		return false
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			return false // a thread that has just ended; look again
		}
		_, after, _ := strings.Cut(string(b), ") ")
		if after == "" || !strings.ContainsRune("TtD", rune(after[0])) {
			return false
		}
	}
	return true
}
