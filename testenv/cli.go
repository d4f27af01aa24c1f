package testenv

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"
)

// Output is what a verb of the command line left behind.
type Output struct {
	Code   int
	Stdout string
	Stderr string
}

// CLI runs a verb of the binary to its end.
func CLI(t testing.TB, env []string, args ...string) Output {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(bin, args...)
	cmd.Dir = t.TempDir()
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(append(os.Environ(), "NO_COLOR=1"), env...)
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Output{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(),
		Stderr: stderr.String()}
}

// CLI runs a verb with the relay's config file.
func (r *Relay) CLI(args ...string) Output {
	r.t.Helper()
	return CLI(r.t, r.Env, append(args, "--config", r.ConfigPath())...)
}

// Shell runs commands of a shell, in which hookspool is the binary, and returns what they say.
func (r *Relay) Shell(commands string, env ...string) string {
	r.t.Helper()
	bin, err := Binary()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command("sh", "-eu", "-c", `hookspool() { "$BIN" "$@"; }`+"\n"+commands)
	cmd.Dir = r.t.TempDir()
	cmd.Env = append(os.Environ(), append(env, "BIN="+bin, "HOOKSPOOL_CONFIG="+r.ConfigPath(),
		"NO_PROXY=*")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %s\n%s", err, out, commands)
	}
	return string(out)
}
