package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is a running binary.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// StartProcess runs the binary with its output appended to the file.
func StartProcess(bin, output string, env []string, args ...string) (*Process, error) {
	out, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p, err := StartProcessOn(bin, out, out, env, args...)
	return p, errors.Join(err, out.Close())
}

// StartProcessOn runs the binary with these two streams, which stay the caller's to close.
func StartProcessOn(bin string, stdout, stderr *os.File, env []string, args ...string) (*Process,
	error) {
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = parentDeath()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", bin, err)
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() { // ends with the process
		defer close(p.done)
		_ = cmd.Wait()
	}()
	return p, nil
}

// Signal sends a signal; a process that has ended already is no error.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill ends the process by SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Wait returns the exit code once the process has ended; -1 for a signal, and with an error if it
// runs on. One that has ended has, however long the wait.
func (p *Process) Wait(d time.Duration) (int, error) {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		if !p.Ended() {
			return -1, fmt.Errorf("the process did not end within %s", d)
		}
	}
	return p.cmd.ProcessState.ExitCode(), nil
}
