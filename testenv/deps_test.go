package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestTidyDependencies asserts that the plain binary carries nothing of the exporter for traces,
// and that the tag brings it. Badger links the API of OpenTelemetry, without the SDK, by itself.
// The NATS server, which only tests run, is in neither.
func TestTidyDependencies(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	f := func(want bool, flags ...string) {
		t.Helper()
		list := func(env ...string) ([]byte, error) {
			cmd := exec.Command("go", append(append([]string{"list", "-deps"}, flags...),
				"./cmd/hookspool")...)
			cmd.Dir, cmd.Env = mustRoot(t), append(os.Environ(), env...)
			return cmd.Output()
		}
		// go asks the proxy for the date of every module, though nobody wants to know it; only
		// modules that are not here are worth asking for.
		out, err := list("GOPROXY=off")
		if err != nil {
			out, err = list()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"go.opentelemetry.io/otel/sdk/trace",
			"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"} {
			if got := strings.Contains(string(out), "\n"+path+"\n"); got != want {
				t.Errorf("go list %v: %s is linked: %v", flags, path, got)
			}
		}
		if strings.Contains(string(out), "\ngithub.com/nats-io/nats-server/") {
			t.Errorf("go list %v: the NATS server is linked", flags)
		}
		if !want && strings.Contains(string(out), "google.golang.org/grpc") {
			t.Error("gRPC is linked into the plain binary")
		}
	}
	f(false)
	f(true, "-tags", "otel")
}

// TestTidyMethods asserts that nothing in the binary calls methods by names that the linker does not
// know, as templates do: it would have to keep every method of every type, a third of the binary.
func TestTidyMethods(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("github.com/spf13/cobra.(*Command).UseLine")) {
		t.Fatal("the binary has no names of functions; this test looks in the wrong place")
	}
	const method = "text/template.(*state).evalField"
	if bytes.Contains(text, []byte(method)) {
		t.Errorf("%s is linked", method)
	}
}
