package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strings"
)

// paged shows a text through a pager, as git does: $PAGER, or less. An empty one, or cat, is none.
// less is told to leave at once when everything fits (F), to let styles through (R) and to keep the
// text on the screen (X), unless $LESS says what it is to do. False: there is no pager, and nothing
// was shown.
func (c *cli) paged(text string) bool {
	pager, chosen := os.LookupEnv("PAGER")
	if !chosen {
		pager = "less"
	}
	pager = strings.TrimSpace(pager)
	out, ok := fileOf(c.out)
	if pager == "" || pager == "cat" || !ok {
		return false
	}
	if _, err := exec.LookPath(pager); err != nil && !chosen {
		return false
	}
	cmd := exec.Command("sh", "-c", pager)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), out, c.errOut
	cmd.Env = os.Environ()
	if c.getenv("LESS") == "" {
		cmd.Env = append(cmd.Env, "LESS=FRX")
	}
	// Ctrl-C is the pager's, which must not be left without us on the terminal.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	err := cmd.Run()
	var exit *exec.ExitError
	// A shell that finds no such program says so, and leaves with 127. Any other end is the reader's.
	return err == nil || errors.As(err, &exit) && exit.ExitCode() != 127
}
