package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/hookspool/hookspool/testenv"
)

// rest measures a relay that has nothing to do, and the size of its binary.
func (b *bench) rest(r *report) ([]sheet, error) {
	m, percent, ready, err := b.atRest(usual())
	if err != nil {
		return nil, err
	}
	size, err := b.staticMiB()
	if err != nil {
		return nil, err
	}
	facts := newFacts("an empty spool at rest, one target")
	facts.addMemory("", m)
	facts.add("CPU", percent, "% of a core")
	facts.add("ready after", ready.Seconds(), "s")
	facts.add("static binary", size, "MiB")
	r.score(goalRestMemory, m.Peak)
	r.score(goalRestCPU, percent)
	r.score(goalBinary, size)
	return []sheet{facts}, nil
}

// staticMiB builds the binary as the Dockerfile does.
func (b *bench) staticMiB() (float64, error) {
	root, err := testenv.Root()
	if err != nil {
		return 0, err
	}
	path := filepath.Join(b.dir, "static")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path,
		"./cmd/hookspool")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("cannot build a static binary: %w\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / mib, nil
}
