package testenv

import "syscall"

// parentDeath lets a relay die with the test that started it, however that test ends.
func parentDeath() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
