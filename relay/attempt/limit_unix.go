//go:build unix

package attempt

import "syscall"

// DescriptorsMax is how many descriptors this process may have; 0: nobody knows.
func DescriptorsMax() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur)
}
