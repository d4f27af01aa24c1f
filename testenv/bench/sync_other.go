//go:build !linux

package main

import "os"

// syncData is as near to fdatasync(2) as the system allows.
func syncData(f *os.File) error { return f.Sync() }
