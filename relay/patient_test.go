package relay

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hookspool/hookspool/relay/config"
)

// moody is a listener whose Accept fails as often as it is told, and then gives a connection.
type moody struct {
	net.Listener
	errs  []error
	tries int
}

func (m *moody) Accept() (net.Conn, error) {
	m.tries++
	if len(m.errs) == 0 {
		conn, _ := net.Pipe()
		return conn, nil
	}
	err := m.errs[0]
	if len(m.errs) > 1 || errors.Is(err, net.ErrClosed) {
		m.errs = m.errs[1:]
	}
	return nil, err
}

func (m *moody) Addr() net.Addr { return &net.TCPAddr{} }
func (m *moody) Close() error   { return nil }

// Whatever keeps a connection from being taken passes, with a pause of 5 ms that doubles up to a
// second; only a listener that was closed is not asked again.
func TestPatientAccept(t *testing.T) {
	f := func(wait time.Duration, errs ...error) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := newPatient(&moody{errs: append(errs, net.ErrClosed)}, slog.New(slog.DiscardHandler))
			began := time.Now()
			if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) || time.Since(began) != wait {
				t.Errorf("%v: got %v after %s; want the end after %s", errs, err, time.Since(began), wait)
			}
		})
	}
	f(0)
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS,
		syscall.ENOMEM, syscall.ECONNABORTED, syscall.EPERM, syscall.EPROTO, syscall.EINVAL,
		syscall.EIO} {
		f(5*time.Millisecond, &net.OpError{Op: "accept", Err: errno})
	}
	f(15*time.Millisecond, syscall.EMFILE, syscall.ENFILE)
	many := make([]error, 12)
	for i := range many {
		many[i] = syscall.EMFILE
	}
	// 5, 10, … 640 ms, then 1 s each.
	f(1275*time.Millisecond+4*time.Second, many...)
}

// A listener that takes nothing for a while is a reason to be unready, until it takes something; and
// its end does not wait for a pause.
func TestPatientDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moody{errs: []error{syscall.EMFILE}}
		p := newPatient(m, slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() {
			_, err := p.Accept()
			ended <- err
		}()
		time.Sleep(acceptFailingMax - time.Millisecond)
		if err := p.deaf(time.Now()); err != nil {
			t.Errorf("deaf too early: %v", err)
		}
		time.Sleep(time.Millisecond)
		if err := p.deaf(time.Now()); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("not deaf: %v", err)
		}
		began := time.Now()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) || time.Since(began) != 0 {
			t.Errorf("closed: got %v after %s", err, time.Since(began))
		}
		m.errs = nil
		if conn, err := p.Accept(); conn == nil || p.deaf(time.Now()) != nil {
			t.Errorf("it takes connections again: %v", err)
		}
	})
}

// told is a listener that waits until it is told what is wrong, or is closed.
type told struct {
	moody
	wrong chan error
}

func (l *told) Accept() (net.Conn, error) {
	if err, ok := <-l.wrong; ok {
		return nil, err
	}
	return nil, net.ErrClosed
}

// One that waits for a connection again is not deaf, although none comes: an error may have taken the
// only one with it.
func TestPatientWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &told{wrong: make(chan error)}
		p := newPatient(l, slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() {
			_, err := p.Accept()
			ended <- err
		}()
		l.wrong <- syscall.ENETDOWN
		time.Sleep(acceptFailingMax + time.Second)
		if err := p.deaf(time.Now()); err != nil {
			t.Errorf("it waits, and is called deaf: %v", err)
		}
		l.wrong <- syscall.EMFILE
		synctest.Wait()
		if err := p.deaf(time.Now()); err != nil {
			t.Errorf("deaf at the first error of another time: %v", err)
		}
		close(l.wrong)
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: got %v", err)
		}
	})
}

// A listener that ends although nobody asked for it, whatever it serves, makes the relay unready and
// ends it with the reason.
func TestListenerEnds(t *testing.T) {
	check := func(which int) {
		f := newFixture(t)
		r, err := New(Options{Config: &f.cfg, Version: "test", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ready := make(chan struct{})
		r.OnReady(func() { close(ready) })
		done := make(chan error, 1)
		go func() { done <- r.Run(context.Background()) }()
		<-ready
		ln := r.servers.patients()[which]
		if err := ln.Listener.Close(); err != nil {
			t.Fatal(err)
		}
		<-r.deafC
		if reasons := strings.Join(r.Unready(), "; "); !strings.Contains(reasons, "cannot serve ") {
			t.Errorf("it is unready because %q", reasons)
		}
		if r.Dead() == nil {
			t.Error("it looks alive")
		}
		select {
		case err := <-done:
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it does not end")
		}
	}
	check(0)
	check(1)
}

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
	if !strings.Contains(got, "is 256") || !strings.Contains(got, "4776 are needed") {
		t.Errorf("256: %q", got)
	}
}
