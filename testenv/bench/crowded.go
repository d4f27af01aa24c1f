package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// crowdedShare of the machine's CPUs used by others makes figures doubtful.
const crowdedShare = 0.05

// crowding tells how much of the machine somebody else used meanwhile: not this process, not those
// it was told of, and not its children that ended. On a machine that is not alone with the bench
// every ratio is worth as much as this share is small.
type crowding struct {
	pids      []int
	at        time.Time
	busy, own time.Duration
}

func startCrowding(pids ...int) *crowding {
	c := &crowding{pids: pids}
	c.at, c.busy, c.own = time.Now(), busyCPU(), c.ownCPU()
	return c
}

// share is what others used since the start, of all CPUs; steal by a hypervisor is included.
func (c *crowding) share() float64 {
	others := busyCPU() - c.busy - (c.ownCPU() - c.own)
	return max(others.Seconds()/time.Since(c.at).Seconds()/float64(runtime.NumCPU()), 0)
}

func (c *crowding) ownCPU() (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	for _, pid := range c.pids {
		sum += usageOf(pid).cpu
	}
	return sum
}

// busyCPU is what all CPUs have worked since the machine started, or what was taken from them.
func busyCPU() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	sum := 0
	for i, field := range strings.Fields(line) {
		// cpu user nice system idle iowait irq softirq steal guest…; guest is part of user.
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.Atoi(field)
		sum += n
	}
	return time.Duration(sum) * time.Second / clockTicks
}

func (r *report) printCrowding() {
	if r.Others > crowdedShare {
		fmt.Printf("\nother processes used %.0f %% of this machine's CPUs meanwhile: the ratios are "+
			"doubtful, those of p99 most\n", 100*r.Others)
	}
}
