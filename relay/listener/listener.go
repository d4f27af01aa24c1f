// Package listener binds the relay's addresses and goes on taking connections whatever happens.
package listener

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/seldom"
)

// Listener is a listener that goes on after whatever keeps it from taking a connection, be it no
// descriptor, no memory or a firewall: all but its own end passes.
type Listener struct {
	net.Listener
	log  *slog.Logger
	once sync.Once
	// ended is closed by Close.
	ended chan struct{}
	// failing is since when nothing could be taken, failedAt when the last try failed, in unix
	// nanoseconds; 0: it can.
	failing, failedAt atomic.Int64
	failed            atomic.Pointer[error]
	rare              seldom.Gate // lets through what the log says of it
}

const (
	// acceptPauseMin and acceptPauseMax lie between two tries to take a connection.
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
	// acceptSayPause lies between two lines about it, acceptFailingMax before the relay is unready.
	acceptSayPause   = 10 * time.Second
	acceptFailingMax = 5 * time.Second
)

// Bind listens on host:port or unix:/path. A socket that a dead relay left behind is removed; one
// that answers belongs to a living one.
func Bind(address string, log *slog.Logger) (*Listener, error) {
	ln, err := bind(address)
	if err != nil {
		return nil, err
	}
	return New(ln, log), nil
}

// New makes a listener of one that is bound. What keeps it from taking connections is said in log.
func New(ln net.Listener, log *slog.Logger) *Listener {
	return &Listener{Listener: ln, log: log, ended: make(chan struct{})}
}

// Address is where it listens, as bound: "127.0.0.1:8470" or "unix:/path".
func (l *Listener) Address() string {
	if l.Addr().Network() == "unix" {
		return "unix:" + l.Addr().String()
	}
	return l.Addr().String()
}

// Accept is part of net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for pause := acceptPauseMin; ; pause = min(2*pause, acceptPauseMax) {
		conn, err := l.Listener.Accept()
		if err == nil {
			l.failing.Store(0)
			return conn, nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		l.note(err)
		timer := time.NewTimer(pause)
		select {
		case <-l.ended:
			timer.Stop()
			return nil, net.ErrClosed
		case <-timer.C:
		}
	}
}

func (l *Listener) note(err error) {
	now := time.Now()
	l.failed.Store(&err)
	if l.waits(now) {
		l.failing.Store(0) // that was another time
	}
	l.failedAt.Store(now.UnixNano())
	l.failing.CompareAndSwap(0, now.UnixNano())
	if n, ok := l.rare.Pass(now, acceptSayPause); ok {
		l.log.Warn("cannot take a connection; those that come wait, and it is tried again",
			"address", l.Address(), "error", err, "failures", n)
	}
}

// Deaf is why nothing has been taken for so long that senders should go elsewhere, or nil.
func (l *Listener) Deaf(now time.Time) error {
	since := l.failing.Load()
	if since == 0 || now.Sub(time.Unix(0, since)) < acceptFailingMax || l.waits(now) {
		return nil
	}
	return fmt.Errorf("cannot take connections at %s: %w", l.Address(), *l.failed.Load())
}

// waits reports whether the last try has not failed by now: it waits for somebody who connects. An
// error may have taken the connection with it, and who is unready is sent no other.
func (l *Listener) waits(now time.Time) bool {
	return now.Sub(time.Unix(0, l.failedAt.Load())) > 2*acceptPauseMax
}

// Close is part of net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.ended) })
	return l.Listener.Close()
}

func bind(address string) (net.Listener, error) {
	network, where := config.ListenNetwork(address)
	if network == "unix" {
		if err := removeStale(where); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen(network, where)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another process", address)
	}
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		// Who may post is who may open the socket: owner and group.
		// #nosec G302 -- a socket that its group may not open is of no use to the app beside us
		if err := os.Chmod(where, 0o660); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot set the mode of %q: %w", where, err), ln.Close())
		}
	}
	return ln, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look at %q: %w", path, err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("cannot listen on %q: there is a file that is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("unix:%s is in use by another process", path), conn.Close())
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot remove the stale socket %q: %w", path, err)
	}
	return nil
}
