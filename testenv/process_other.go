//go:build !linux

package testenv

import "syscall"

func parentDeath() *syscall.SysProcAttr { return nil }
