package testenv

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// cage is a memory cgroup for one process, below or beside that of the test, as a container has it.
type cage struct {
	dir string
	v2  bool
}

// newCage makes one that ends with the test; nil where none can be made. Make it before the relay
// that lives in it.
func newCage(t testing.TB, limit int64) *cage {
	t.Helper()
	c := &cage{}
	for _, parent := range memoryGroups() {
		dir, err := os.MkdirTemp(parent.dir, "hookspool-test-")
		if err != nil {
			continue
		}
		c.dir, c.v2 = dir, parent.v2
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Errorf("cannot remove the cgroup: %v", err)
			}
		})
		name := "memory.limit_in_bytes"
		if c.v2 {
			name = "memory.max"
		}
		err = os.WriteFile(filepath.Join(dir, name), fmt.Append(nil, limit), 0)
		if err != nil {
			t.Fatalf("cannot limit the memory of a cgroup: %v", err)
		}
		return c
	}
	return nil
}

// memoryGroups are the directories in which a cgroup with a limit on memory may be made.
func memoryGroups() (groups []cage) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		own := fields[2]
		switch {
		case fields[1] == "memory":
			groups = append(groups, cage{dir: filepath.Join("/sys/fs/cgroup/memory", own)})
		case fields[0] == "0":
			// A group with processes has none below it that are limited; one beside it may be.
			own = filepath.Join("/sys/fs/cgroup", own)
			for _, dir := range []string{own, filepath.Dir(own)} {
				on, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
				if err == nil && bytes.Contains(on, []byte("memory")) {
					groups = append(groups, cage{dir: dir, v2: true})
				}
			}
		}
	}
	return groups
}

// through starts a program in the cage.
func (c *cage) through() []string {
	return []string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(c.dir, "cgroup.procs")}
}

// kills is how many processes the kernel has killed for want of memory.
func (c *cage) kills(t testing.TB) int {
	t.Helper()
	name := "memory.oom_control"
	if c.v2 {
		name = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s does not count kills: %q", name, text)
	return 0
}
