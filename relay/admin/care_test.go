package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// careful is a Backend whose backup does what it is told.
type careful struct {
	fake
	backup func(ctx context.Context, w io.Writer) error
}

func (c *careful) MayBackup() error { return nil }

func (c *careful) Backup(ctx context.Context, w io.Writer) error { return c.backup(ctx, w) }

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serveCareful serves a Backend; ask sends one request for a backup and does not read the answer.
func serveCareful(t *testing.T, c *careful) (ask func() net.Conn, stop func() error,
	log *lockedBuffer) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log = &lockedBuffer{}
	s := New(Options{Backend: c, Log: slog.New(slog.NewTextHandler(log, nil))})
	done := make(chan error)
	go func() { done <- s.Serve(ln) }()
	ask = func() net.Conn {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "POST /v1/spool/backup HTTP/1.1\r\nHost: 127.0.0.1\r\n"+
			"Content-Length: 0\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	return ask, sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return errors.Join(s.Shutdown(ctx), <-done)
	}), log
}

// One backup at a time; and one whose caller does not read ends when the relay stops, long before
// its write would time out.
func TestBackupUnderWayAtShutdown(t *testing.T) {
	began, ended := make(chan struct{}, 1), make(chan error, 1)
	ask, stop, _ := serveCareful(t, &careful{backup: func(_ context.Context, w io.Writer) error {
		began <- struct{}{}
		for piece := make([]byte, 256<<10); ; {
			if _, err := w.Write(piece); err != nil {
				ended <- err
				return err
			}
		}
	}})
	ask()
	<-began
	answer, err := io.ReadAll(ask())
	if err != nil || !strings.Contains(string(answer), "HTTP/1.1 503") ||
		!strings.Contains(string(answer), "Retry-After: 10") {
		t.Errorf("a second backup was answered %q, %v", answer, err)
	}
	start := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	<-ended
	if took := time.Since(start); took > writeTimeout/2 {
		t.Errorf("the stop took %s", took)
	}
}

// A panic in a backup ends the backup, not the process, and the next one may begin.
func TestBackupPanics(t *testing.T) {
	turn := 0
	ask, stop, log := serveCareful(t, &careful{backup: func(_ context.Context, w io.Writer) error {
		if turn++; turn == 1 {
			panic("a table that is damaged")
		}
		_, err := io.WriteString(w, "whole")
		return err
	}})
	if _, err := io.ReadAll(ask()); err != nil {
		t.Error(err)
	}
	var answer []byte
	for deadline := time.Now().Add(testPatience); time.Now().Before(deadline); {
		// The token of the first is given back a moment after its last byte.
		if answer, _ = io.ReadAll(ask()); !bytes.Contains(answer, []byte(" 503 ")) {
			break
		}
	}
	if !bytes.Contains(answer, []byte("whole")) {
		t.Errorf("the backup after the panic was answered %q", answer)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "a table that is damaged") {
		t.Errorf("the log is silent about the panic: %s", log.String())
	}
}
