// Command natsd is one NATS server in a process of its own: the server of the Go module that go.mod
// names, on the config file that an operator would give it.
//
//	natsd CONFIG
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: natsd CONFIG")
	}
	opts, err := server.ProcessConfigFile(args[0])
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", args[0], err)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("cannot make the server: %w", err)
	}
	s.ConfigureLogger()
	if err := server.Run(s); err != nil {
		return fmt.Errorf("cannot run the server: %w", err)
	}
	s.WaitForShutdown()
	return nil
}
