package nats

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// natsd is the command that a node is.
const natsd = "github.com/hookspool/hookspool/testenv/nats/natsd"

// build makes the binary once per run; every cluster uses the same one.
var (
	build = sync.OnceValues(buildBinary)
	asked atomic.Bool // whether anybody called Binary
)

// Binary returns the path of the binary of a node, built at the first call. It goes without the
// race detector, which would look for races of others.
func Binary() (string, error) {
	asked.Store(true)
	return build()
}

// RemoveBinary deletes what Binary built, if it did. Call it when no node runs any more, at the end
// of TestMain.
func RemoveBinary() error {
	if !asked.Load() {
		return nil
	}
	bin, err := build()
	if err != nil {
		return nil
	}
	return os.RemoveAll(filepath.Dir(bin))
}

func buildBinary() (string, error) {
	dir, err := os.MkdirTemp("", "hookspool-natsd-")
	if err != nil {
		return "", err
	}
	if err := readSources(); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	bin := filepath.Join(dir, "natsd")
	if out, err := exec.Command("go", "build", "-o", bin, natsd).CombinedOutput(); err != nil {
		err = fmt.Errorf("cannot build the server: %w\n%s", err, out)
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return bin, nil
}

// readSources looks at what the binary is made of, so that the go command takes no result of a test
// from its cache after that changed.
func readSources() error {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.GoMod}}").Output()
	if err != nil {
		return fmt.Errorf("cannot find the module: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	for _, path := range []string{mod, filepath.Join(filepath.Dir(mod), "testenv", "nats", "natsd",
		"main.go")} {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	return nil
}
