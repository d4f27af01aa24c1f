//go:build unix

package attempt

import "syscall"

// descriptorsMax is how many descriptors this process may have; 0: nobody knows.
func descriptorsMax() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur)
}
