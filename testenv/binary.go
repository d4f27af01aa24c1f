package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hookspool/hookspool/testenv/effort"
)

// built is the binary of this run and the directory it is in.
type built struct {
	path, dir string
}

// build makes the binary once per run; every scenario uses the same one.
var (
	build = sync.OnceValues(buildBinary)
	asked atomic.Bool // whether anybody called Binary
)

// Binary returns the path of the hookspool binary, built at the first call, with the race detector
// if the caller has it. HOOKSPOOL_BINARY names one that exists already.
func Binary() (string, error) {
	asked.Store(true)
	b, err := build()
	return b.path, err
}

// RemoveBinary deletes what Binary built, if it did. Call it when no relay runs any more.
func RemoveBinary() error {
	if !asked.Load() {
		return nil
	}
	b, err := build()
	if err != nil || b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

func buildBinary() (built, error) {
	if path := os.Getenv("HOOKSPOOL_BINARY"); path != "" {
		return built{path: path}, nil
	}
	root, err := Root()
	if err != nil {
		return built{}, err
	}
	dir, err := os.MkdirTemp("", "hookspool-bin-")
	if err != nil {
		return built{}, err
	}
	if err := touchSources(root); err != nil {
		return built{}, errors.Join(err, os.RemoveAll(dir))
	}
	b := built{path: filepath.Join(dir, "hookspool"), dir: dir}
	args := []string{"build", "-o", b.path}
	if effort.Race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/hookspool")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		err = fmt.Errorf("cannot build the binary: %w\n%s", err, out)
		return built{}, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

// touchSources looks at every file that the binary may be made of, so that the go command knows of
// them: it takes no result of a test from its cache after a file that the test asked for changed.
func touchSources(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != root && d.IsDir() && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		}
		if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil // another package's test has removed it
		}
		return err
	})
}

// Root returns the directory of the module: the nearest parent with a go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("cannot find the module: no go.mod in any parent directory")
		}
		dir = parent
	}
}
