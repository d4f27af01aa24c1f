//go:build !unix

package main

// setUmask does nothing: the system has no umask.
func setUmask() {}

// writable reports nothing: the system's access rules are not asked.
func writable(string) error { return nil }
