package testenv

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// logged is a journey whose log is a pipe, with a line in it for every attempt.
func logged(t *testing.T) (j *Journey, reader *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	j = NewJourney(t).Aim("one", "two", "three")
	j.Config.Set("log.deliveries", true).Set("server.drain_timeout", "20s")
	j.Output = writer
	// What the relay leaves in the pipe must not keep its reader waiting.
	t.Cleanup(func() { writer.Close() })
	return j, reader
}

// sendLogged posts events whose lines are long, so that a pipe and every queue fill up soon.
func (j *Journey) sendLogged(n int) {
	j.t.Helper()
	var lines [][]byte
	for i := range n {
		lines = append(lines, fmt.Appendf(nil, `{"eventType":%q,"n":%d}`, strings.Repeat("t", 250), i))
	}
	j.SendBatch(lines...)
}

// loggedMany are more events than pipe and queue have room for lines.
const loggedMany = 4000

// TestP3LogNobodyReads asserts that a log that nobody reads costs lines and nothing else: healthy
// targets get all, the lines are counted, and SIGTERM ends the relay as it should.
func TestP3LogNobodyReads(t *testing.T) {
	t.Parallel()
	j, _ := logged(t)
	j.Start()
	j.sendLogged(loggedMany)
	j.Ledger.AwaitDelivered()
	Until(t, Patience, "lines to be dropped", func() bool {
		return j.Metrics().Get("log_lines_dropped_total") > 0
	})
	if code := j.Terminate(); code != 0 {
		t.Errorf("the relay left with code %d", code)
	}
}

// TestP3LogStartFails asserts that a start that fails ends, too, when nobody reads why.
func TestP3LogStartFails(t *testing.T) {
	t.Parallel()
	j, _ := logged(t)
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "nonsense_%d = true\n", i)
	}
	if err := j.WriteConfig(many.String()); err != nil {
		t.Fatal(err)
	}
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartProcessOn(bin, j.Output, j.Output, nil, "serve", "--config", j.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	code, err := p.Wait(stopPatience)
	if err != nil {
		_ = p.Kill()
		t.Fatal(err)
	}
	if code != 1 {
		t.Errorf("the relay left with code %d, want 1", code)
	}
}

// TestP3LogGap asserts that a log that is read again tells in its own format how many lines are
// missing and where, exactly.
func TestP3LogGap(t *testing.T) {
	t.Parallel()
	j, reader := logged(t)
	j.Config.Set("log.format", "json")
	j.Start()
	j.sendLogged(loggedMany)
	j.Ledger.AwaitDelivered()
	dropped := 0
	Until(t, Patience, "lines to be dropped", func() bool {
		dropped = j.Metrics().Get("log_lines_dropped_total")
		return dropped > 0
	})
	j.Output.Close() // the relay has its own
	if err := reader.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	attempts, missing, last, asked := 0, 0, "", false
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		var line struct {
			Msg   string
			Level string
			Lines int
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%q is not JSON: %v", lines.Text(), err)
		}
		switch last = line.Msg; {
		case line.Msg == "attempt":
			attempts++
		case line.Lines > 0 && line.Level == "WARN":
			missing += line.Lines
		}
		if attempts+missing == 3*loggedMany && !asked {
			asked = true
			j.Signal(syscall.SIGTERM)
		}
	}
	if code := j.WaitExit(); code != 0 || !strings.HasPrefix(last, "stopped") {
		t.Errorf("the relay left with code %d; its last words: %q", code, last)
	}
	if missing != dropped || attempts+missing != 3*loggedMany {
		t.Errorf("%d lines are said to be missing, the metric said %d; %d of %d attempts are there",
			missing, dropped, attempts, 3*loggedMany)
	}
}

// TestP3LogReaderGone asserts that a log whose reader leaves does not end the relay (SIGPIPE would),
// and neither does a full disk.
func TestP3LogReaderGone(t *testing.T) {
	t.Parallel()
	f := func(j *Journey, leave func()) {
		t.Helper()
		j.Start()
		leave()
		before := j.Metrics().Get("log_lines_dropped_total")
		j.SendIDs("x", 20)
		j.Ledger.AwaitDelivered()
		Until(t, Patience, "every line to be dropped", func() bool {
			return j.Metrics().Get("log_lines_dropped_total") >= before+60
		})
		if code := j.Terminate(); code != 0 {
			t.Errorf("the relay left with code %d", code)
		}
	}
	j, reader := logged(t)
	f(j, func() { reader.Close() })
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		return // not on this system
	}
	defer full.Close()
	j, _ = logged(t)
	j.Output = full
	f(j, func() {})
}
