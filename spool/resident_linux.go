package spool

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// The engine reads and writes its tables through shared memory maps, so every page of a backlog
// that a lane or a compaction has passed counts as resident: 1.1 GiB with a million events of
// 1 KiB, which nothing but a shortage of memory would take away again.

// madvPageout is MADV_PAGEOUT (Linux 5.4): reclaim now. Unlike MADV_DONTNEED it never drops
// content, so a mapping that the engine replaces under our eyes loses nothing.
const madvPageout = 21

// trimMapped gives the resident pages of tables back when more than most bytes of files are
// resident. They are read again from the disk if somebody needs them.
func (s *Spool) trimMapped(most int64) error {
	mapped, err := mappedBytes()
	if err != nil || mapped <= most {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("cannot list the maps of tables: %w", err)
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		if from, length, ok := tableMap(lines.Bytes(), s.engineDir()); ok {
			// A mapping that is gone, or an older kernel, is no reason to do anything else.
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, length, madvPageout)
		}
	}
	return lines.Err()
}

// engineDir is the engine's directory as the kernel names it.
func (s *Spool) engineDir() string {
	dir, err := filepath.Abs(filepath.Join(s.dir, engineDir))
	if err != nil {
		return s.dir
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}

// mappedBytes is what is resident of files and shared memory: the third field of statm, in pages.
func mappedBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("cannot ask for resident memory: %w", err)
	}
	fields := bytes.Fields(text)
	if len(fields) < 3 {
		return 0, fmt.Errorf("cannot read resident memory from %q", text)
	}
	pages, err := strconv.ParseInt(string(fields[2]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// tableMap reads a line of /proc/self/maps: "from-to perms offset device inode  path".
func tableMap(line []byte, dir string) (from, length uintptr, ok bool) {
	_, path, found := bytes.Cut(line, []byte(dir+string(filepath.Separator)))
	if !found || !bytes.HasSuffix(path, []byte(".sst")) {
		return 0, 0, false
	}
	span, _, _ := bytes.Cut(line, []byte{' '})
	low, high, _ := bytes.Cut(span, []byte{'-'})
	a, aerr := strconv.ParseUint(string(low), 16, 64)
	b, berr := strconv.ParseUint(string(high), 16, 64)
	return uintptr(a), uintptr(b - a), aerr == nil && berr == nil && b > a
}
