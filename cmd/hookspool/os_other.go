//go:build !unix

package main

import (
	"net"
	"os"
)

// setUmask does nothing: the system has no umask.
func setUmask() {}

// ignoreTerminal does nothing: the system has no job control.
func ignoreTerminal() {}

// notifyTerminal does nothing: the system has no such signals, and the screen is looked at each
// second anyway.
func notifyTerminal(_, _ chan<- os.Signal) (stop func()) { return func() {} }

// suspend does nothing: the system has no job control.
func suspend() {}

// addressLimit reports none: the system is not asked.
func addressLimit() uint64 { return 0 }

// writable reports nothing: the system's access rules are not asked.
func writable(string) error { return nil }

// foreign reports nothing: the system's owners are not asked.
func foreign(os.FileInfo) (int, bool) { return 0, false }

// bindable listens for a moment: there is no other way to know.
func bindable(addr *net.TCPAddr) error {
	ln, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return err
	}
	return ln.Close()
}
