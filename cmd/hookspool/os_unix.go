//go:build unix

package main

import "golang.org/x/sys/unix"

// setUmask makes what the process creates its user's own: the spool holds other people's messages.
func setUmask() { unix.Umask(0o077) }

// writable reports whether files can be made in an existing directory, without making one.
func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
