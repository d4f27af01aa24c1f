package main

import (
	"os"
	"runtime"
)

const (
	// shareBelow CPUs a compaction can take all of them.
	shareBelow = 8
	// shareThreads run on each CPU while it does, so that there are more than it has goroutines.
	shareThreads = 8
)

// shareCPUs returns what is to be told of compactions. The runtime lets goroutines run for 10 ms
// in turn, so on a small machine the engine's, up to thirteen, hold up every step of a request for
// tens of milliseconds: a compaction of 5,000,000 events let 600 deliveries a second pass, with
// eight threads a CPU 5,000. Then it is the kernel that shares them, and it prefers who runs
// briefly. All the time that would cost a tenth of the rate. Where somebody limits the CPUs it is
// left at that.
func shareCPUs() func(begins bool) {
	n := runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") != "" || n < runtime.NumCPU() || n >= shareBelow {
		return nil
	}
	return func(begins bool) {
		if begins {
			runtime.GOMAXPROCS(n * shareThreads)
		} else {
			runtime.SetDefaultGOMAXPROCS()
		}
	}
}
