package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const clientToken = "a-token-of-generated-clients"

// TestClients has the clients that generators make of /openapi.json, in Go and in TypeScript, use a
// running relay whose document they were made of. Their programs are in testenv/clients.
func TestClients(t *testing.T) {
	long(t)
	t.Parallel()
	t.Run("Go", func(t *testing.T) {
		t.Parallel()
		dir := clientDir(t, "go")
		if out, err := commandIn(dir, "go", "mod", "download").CombinedOutput(); err != nil {
			SkipLoudly(t, "the modules of a Go client cannot be had: %v\n%s", err, out)
		}
		j := clientRelay(t, filepath.Join(dir, "openapi.json"))
		mustRun(t, dir, "go", "tool", "oapi-codegen", "-generate", "types,client", "-package",
			"client", "-o", "client/client.go", "openapi.json")
		mustRun(t, dir, "go", "vet", "./...")
		mustUse(t, j, dir, "go", "run", ".")
	})
	t.Run("TypeScript", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"node", "npm"} {
			if _, ok := tool(t, strings.ToUpper(name), name, "nodejs npm"); !ok {
				t.SkipNow()
			}
		}
		dir := clientDir(t, "typescript")
		if out, err := commandIn(dir, "npm", "ci", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
			SkipLoudly(t, "the packages of a TypeScript client cannot be had: %v\n%s", err, out)
		}
		j := clientRelay(t, filepath.Join(dir, "openapi.json"))
		mustRun(t, dir, "npm", "run", "generate")
		mustRun(t, dir, "npm", "run", "check")
		mustRun(t, dir, "npm", "run", "build")
		mustUse(t, j, dir, "node", "built/main.js")
	})
}

// clientDir is a copy of one program of testenv/clients, in which things may be generated.
func clientDir(t *testing.T, name string) string {
	t.Helper()
	dir := keptDir(t)
	from := os.DirFS(filepath.Join(mustRoot(t), "testenv", "clients", name))
	if err := os.CopyFS(dir, from); err != nil {
		t.Fatal(err)
	}
	return dir
}

// clientRelay starts a relay and has it write its document to a file.
func clientRelay(t *testing.T, document string) *Journey {
	t.Helper()
	j := NewJourney(t).Aim("good", "bad")
	j.Config.Set("server.admin_token", clientToken)
	j.RX.Always("bad", Code(503))
	j.Ledger.AllowForeign()
	j.Start()
	code, body := j.Admin("GET", "/openapi.json")
	if code != 200 {
		t.Fatalf("GET /openapi.json answered %d", code)
	}
	if err := os.WriteFile(document, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return j
}

// mustUse runs a program that uses the relay.
func mustUse(t *testing.T, j *Journey, dir, name string, args ...string) {
	t.Helper()
	args = append(args, "http://"+j.AdminAddress(), j.EventsURL(), clientToken)
	out, err := commandIn(dir, name, args...).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("the relay is as its document says\n")) {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}

func commandIn(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	return cmd
}
