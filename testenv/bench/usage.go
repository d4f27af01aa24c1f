package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process has used since it began; peak is its largest resident memory in bytes.
type usage struct {
	cpu     time.Duration
	written int64 // bytes handed to the disk
	peak    int64
}

func (u usage) since(before usage) usage {
	return usage{cpu: u.cpu - before.cpu, written: u.written - before.written, peak: u.peak}
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
	u.written = procNumber(dir+"/io", "write_bytes:")
	u.peak = procNumber(dir+"/status", "VmHWM:") << 10
	return u
}

func procNumber(path, key string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
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
	return float64(blocks) * 512 / (1 << 20)
}

func rate(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", v)
}
