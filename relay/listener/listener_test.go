package listener

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
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
func TestAccept(t *testing.T) {
	f := func(wait time.Duration, errs ...error) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := New(&moody{errs: append(errs, net.ErrClosed)}, slog.New(slog.DiscardHandler))
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
func TestDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moody{errs: []error{syscall.EMFILE}}
		p := New(m, slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() {
			_, err := p.Accept()
			ended <- err
		}()
		time.Sleep(acceptFailingMax - time.Millisecond)
		if err := p.Deaf(time.Now()); err != nil {
			t.Errorf("deaf too early: %v", err)
		}
		time.Sleep(time.Millisecond)
		if err := p.Deaf(time.Now()); !errors.Is(err, syscall.EMFILE) {
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
		if conn, err := p.Accept(); conn == nil || p.Deaf(time.Now()) != nil {
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
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &told{wrong: make(chan error)}
		p := New(l, slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() {
			_, err := p.Accept()
			ended <- err
		}()
		l.wrong <- syscall.ENETDOWN
		time.Sleep(acceptFailingMax + time.Second)
		if err := p.Deaf(time.Now()); err != nil {
			t.Errorf("it waits, and is called deaf: %v", err)
		}
		l.wrong <- syscall.EMFILE
		synctest.Wait()
		if err := p.Deaf(time.Now()); err != nil {
			t.Errorf("deaf at the first error of another time: %v", err)
		}
		close(l.wrong)
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: got %v", err)
		}
	})
}
