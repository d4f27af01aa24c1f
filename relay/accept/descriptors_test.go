package accept

import (
	"bufio"
	"bytes"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/config"
)

// Senders get what the limit of open files leaves beside everything else.
func TestSendersMost(t *testing.T) {
	f := func(limit, open, senders, targets, want int64) {
		t.Helper()
		d := &descriptors{limit: limit, open: func() (int64, error) { return open, nil }}
		if got := d.sendersMost(time.Now(), senders, targets); got != want {
			t.Errorf("limit %d, %d open, %d senders, %d for targets: got %d; want %d", limit, open,
				senders, targets, got, want)
		}
	}
	f(128, 24, 0, 8, 26)
	f(128, 50, 26, 8, 26) // the senders themselves change nothing
	f(128, 20, 0, 1000, 8)
	f(64, 60, 0, 8, sendersMin)
	f(1024, 224, 0, 32, 552)
	f(1<<20, 24, 0, 8, connectionsMax)
	f(0, 24, 0, 8, connectionsMax)
	failing := func(err error, want int64) {
		t.Helper()
		d := &descriptors{limit: 128, open: func() (int64, error) { return 0, err }}
		if got := d.sendersMost(time.Now(), 10, 8); got != want {
			t.Errorf("%v: got %d; want %d", err, got, want)
		}
	}
	failing(fs.ErrNotExist, 56) // what is open is not known
	failing(syscall.EMFILE, sendersMin)
	if n, err := openFiles(); err != nil || n < 3 || openFilesMax() < n {
		t.Errorf("this process has %d of %d files open: %v", n, openFilesMax(), err)
	}
}

// A low limit is named with what it takes.
func TestDescriptorWarning(t *testing.T) {
	cfg := config.Default()
	cfg.Targets = append(cfg.Targets, config.DefaultTarget("crm"))
	if got := descriptorWarning(&cfg, 1<<20); got != "" {
		t.Errorf("a million: %q", got)
	}
	got := descriptorWarning(&cfg, 256)
	if !strings.Contains(got, "is 256") || !strings.Contains(got, "4800 are needed") {
		t.Errorf("256: %q", got)
	}
}

// Memory may allow fewer connections than the limit of open files does.
func TestConnectionsMost(t *testing.T) {
	f := newFixture()
	f.o.ConnectionsMost = 1
	address := f.listen(t)
	first, second := dial(t, address), dial(t, address)
	got, err := io.ReadAll(second)
	if err != nil || !bytes.Contains(got, []byte(" 503 ")) ||
		!bytes.Contains(got, []byte("1 connections are open")) {
		t.Errorf("the second one was told %q, %v", got, err)
	}
	if _, err := io.WriteString(first, "GET /v1/events HTTP/1.1\r\nHost: relay\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(first).ReadString('\n'); err != nil ||
		!strings.Contains(line, " 200 ") {
		t.Errorf("the first one was told %q, %v", line, err)
	}
}
