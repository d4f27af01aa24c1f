package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	clockTicks  = 100 // USER_HZ, the unit of /proc/PID/stat
	sampleGrain = 100 * time.Millisecond
	mib         = 1 << 20
)

// usage is what a process has used since it began.
type usage struct {
	cpu     time.Duration
	written int64 // bytes handed to the disk
	// switches are those in which a thread gave its CPU up to wait.
	switches int64
}

func (u usage) since(before usage) usage {
	return usage{cpu: u.cpu - before.cpu, written: u.written - before.written,
		switches: u.switches - before.switches}
}

// usageOf reads /proc; where there is none everything is 0.
func usageOf(pid int) (u usage) {
	dir := "/proc/" + strconv.Itoa(pid)
	if text, err := os.ReadFile(dir + "/stat"); err == nil {
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) > 12 {
			user, _ := strconv.Atoi(f[11])
			system, _ := strconv.Atoi(f[12])
			u.cpu = time.Duration(user+system) * time.Second / clockTicks
		}
	}
	u.written = procNumbers(dir + "/io")["write_bytes:"]
	threads, _ := filepath.Glob(dir + "/task/*/status")
	for _, path := range threads {
		u.switches += procNumbers(path)["voluntary_ctxt_switches:"]
	}
	return u
}

// memory is what a process holds, in MiB. Resident is Anon and File (and a little shared): File are
// pages of mapped tables, which the kernel takes back when it needs them, but they are counted.
type memory struct {
	Resident float64 `json:"rss_mib"`
	Anon     float64 `json:"rss_anon_mib"`
	File     float64 `json:"rss_file_mib"`
	Peak     float64 `json:"vm_hwm_mib"` // of Resident since the start of the process
}

func memoryOf(pid int) memory {
	kib := procNumbers("/proc/" + strconv.Itoa(pid) + "/status")
	of := func(key string) float64 { return float64(kib[key]) / 1024 }
	return memory{of("VmRSS:"), of("RssAnon:"), of("RssFile:"), of("VmHWM:")}
}

// procNumbers reads lines of a name and a number.
func procNumbers(path string) map[string]int64 {
	numbers := map[string]int64{}
	text, err := os.ReadFile(path)
	if err != nil {
		return numbers
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				numbers[f[0]] = n
			}
		}
	}
	return numbers
}

// sampler looks at a process ten times a second and keeps the largest of every figure.
type sampler struct {
	stop chan struct{}
	done sync.WaitGroup
	peak memory // owned by the goroutine until done
}

func startSampler(pid int) *sampler {
	s := &sampler{stop: make(chan struct{})}
	s.done.Go(func() { // ends with stop
		for {
			m := memoryOf(pid)
			s.peak = memory{max(s.peak.Resident, m.Resident), max(s.peak.Anon, m.Anon),
				max(s.peak.File, m.File), max(s.peak.Peak, m.Peak)}
			select {
			case <-s.stop:
				return
			case <-time.After(sampleGrain):
			}
		}
	})
	return s
}

// end returns the peaks. Call it once.
func (s *sampler) end() memory {
	close(s.stop)
	s.done.Wait()
	return s.peak
}

// dirMiB is what a directory takes of its disk, holes not counted.
func dirMiB(dir string) float64 {
	blocks := int64(0)
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // swept meanwhile
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				blocks += st.Blocks
			}
		}
		return nil
	})
	return float64(blocks) * 512 / mib
}

func rate(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", v)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
