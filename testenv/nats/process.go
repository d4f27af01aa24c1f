package nats

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a server in a process of its own.
type process struct {
	bin  string
	node *Node
	cmd  *exec.Cmd     // nil: it does not run
	done chan struct{} // closed when the process has ended
}

func (p *process) start() error {
	if p.cmd != nil {
		return errors.New("it runs already")
	}
	out, err := os.OpenFile(p.node.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.bin, p.node.config)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, parentDeath()
	if err := errors.Join(cmd.Start(), out.Close()); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { // ends with the process
		defer close(done)
		_ = cmd.Wait()
	}()
	p.cmd, p.done = cmd, done
	return nil
}

func (p *process) stop() error { return p.end(syscall.SIGTERM) }

func (p *process) kill() error { return p.end(syscall.SIGKILL) }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return p.cmd != nil
	default:
		return false
	}
}

// end sends a signal and waits until the process is gone; one that is gone already is no error.
func (p *process) end(s os.Signal) error {
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-p.done:
		p.cmd = nil
		return nil
	case <-timeout.C:
		return fmt.Errorf("process %d did not end within %s", p.cmd.Process.Pid, patience)
	}
}
