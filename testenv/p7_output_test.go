package testenv

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// verb is one verb that runs, with pipes in place of a terminal.
type verb struct {
	*Process
	t        *testing.T
	dir      string // its directory of temporary files
	out, err *bufio.Reader
	outPipe  *os.File
	errPipe  *os.File
}

// startVerb runs a verb of the binary until the test ends.
func startVerb(t *testing.T, args ...string) *verb {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	v := &verb{t: t, dir: t.TempDir()}
	outWriter, errWriter := v.pipe(&v.outPipe), v.pipe(&v.errPipe)
	v.out, v.err = bufio.NewReader(v.outPipe), bufio.NewReader(v.errPipe)
	v.Process, err = StartProcessOn(bin, outWriter, errWriter, []string{"TMPDIR=" + v.dir}, args...)
	if err != nil {
		t.Fatal(err)
	}
	outWriter.Close() // the process has its own
	errWriter.Close()
	t.Cleanup(func() { _ = v.Kill() })
	return v
}

func (v *verb) pipe(reader **os.File) (writer *os.File) {
	v.t.Helper()
	var err error
	*reader, writer, err = os.Pipe()
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { (*reader).Close() })
	if err := (*reader).SetReadDeadline(time.Now().Add(2 * Patience)); err != nil {
		v.t.Fatal(err)
	}
	return writer
}

// await reads a stream up to the first match, and returns what the group matched.
func (v *verb) await(from *bufio.Reader, pattern string) string {
	v.t.Helper()
	re := regexp.MustCompile(pattern)
	for {
		line, err := from.ReadString('\n')
		if m := re.FindStringSubmatch(line); m != nil {
			return m[len(m)-1]
		}
		if err != nil {
			_ = v.errPipe.SetReadDeadline(time.Now().Add(time.Second))
			rest, _ := io.ReadAll(v.err)
			code, _ := v.Wait(time.Second)
			v.t.Fatalf("waiting for %q: %v; code %d, stderr %q", pattern, err, code, rest)
		}
	}
}

// ends wants an exit code.
func (v *verb) ends(want int) {
	v.t.Helper()
	if code, err := v.Wait(stopPatience); err != nil || code != want {
		v.t.Errorf("it left with code %d, %v; want %d", code, err, want)
	}
}

// leavesNothing wants the directory of temporary files empty.
func (v *verb) leavesNothing() {
	v.t.Helper()
	if left, err := filepath.Glob(filepath.Join(v.dir, "*")); err != nil || len(left) > 0 {
		v.t.Errorf("it left %q, %v", left, err)
	}
}

// TestP7OutputIsGone asserts that listen and demo go on when nobody reads what they print any more,
// and say at their end that not all of it was read.
func TestP7OutputIsGone(t *testing.T) {
	t.Parallel()
	v := startVerb(t, "listen", "--addr", "127.0.0.1:0")
	url := v.await(v.err, `listening on (http://\S+),`)
	v.outPipe.Close()
	for range 5 {
		answer, err := http.Post(url, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatalf("without a reader of its output: %v", err)
		}
		answer.Body.Close()
	}
	if err := v.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if n := v.await(v.err, `^received (\d+), `); n != "5" {
		t.Errorf("it received %s, want 5", n)
	}
	v.ends(1)
	v = startVerb(t, "demo", "--once", "--interval", "300ms")
	v.await(v.out, "hookspool demo")
	v.outPipe.Close()
	v.errPipe.Close()
	v.ends(1)
	v.leavesNothing()
}

// TestP7TerminalCloses asserts that a demo whose terminal closes leaves nothing behind.
func TestP7TerminalCloses(t *testing.T) {
	t.Parallel()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // or a nohup(1) around the test would be inherited
	defer signal.Stop(hangups)
	v := startVerb(t, "demo", "--interval", "1s")
	v.await(v.out, "accepted .* durable")
	if err := v.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	v.await(v.out, "the demo's spool is removed")
	v.ends(0)
	v.leavesNothing()
}

// TestP7ReaderLeaves asserts that a verb whose reader has left ends with a code of its own, not by a
// signal, without a word, and that a full device is told (cmd/hookspool asks every verb).
func TestP7ReaderLeaves(t *testing.T) {
	t.Parallel()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	f := func(to *os.File, want string) {
		t.Helper()
		log := filepath.Join(t.TempDir(), "stderr")
		says, err := os.Create(log)
		if err != nil {
			t.Fatal(err)
		}
		defer says.Close()
		p, err := StartProcessOn(bin, to, says, nil, "version")
		if err != nil {
			t.Fatal(err)
		}
		code, err := p.Wait(stopPatience)
		text, _ := os.ReadFile(log)
		if err != nil || code != 1 || !strings.HasPrefix(string(text), want) ||
			want == "" && len(text) > 0 {
			t.Errorf("it left with code %d, %v: %q; want 1 and %q", code, err, text, want)
		}
	}
	f(writer, "")
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		defer full.Close()
		f(full, "error: cannot write to stdout: no space left on device\nhint: ")
	}
	if null, err := os.Open(os.DevNull); err == nil { // not for writing
		defer null.Close()
		f(null, "error: cannot write to stdout: bad file descriptor\nhint: ")
	}
}
