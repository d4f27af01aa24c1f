package nats

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// inProcess is a server in the test's own process.
type inProcess struct {
	node   *Node
	server *server.Server // nil: it does not run
}

func (p *inProcess) start() error {
	if p.server != nil {
		return errors.New("it runs already")
	}
	opts, err := server.ProcessConfigFile(p.node.config)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", p.node.config, err)
	}
	opts.NoSigs, opts.LogFile = true, p.node.log
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	p.server = s
	return nil
}

func (p *inProcess) stop() error {
	if p.server != nil {
		p.server.Shutdown()
		p.server.WaitForShutdown()
		p.server = nil
	}
	return nil
}

func (p *inProcess) kill() error { return p.stop() }

func (p *inProcess) freeze() error { return errors.New("it is part of the test's process") }

func (p *inProcess) thaw() error { return p.freeze() }

func (p *inProcess) ended() bool { return p.server != nil && !p.server.Running() }
