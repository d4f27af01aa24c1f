package relay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/framing"
)

const (
	// idleTimeout closes a sender's connection that says nothing.
	idleTimeout = 60 * time.Second
	// answerTimeout bounds the writing of an answer.
	answerTimeout = 10 * time.Second
)

// servers are the listeners and what serves them.
type servers struct {
	r      *Relay
	cfg    *config.Config // the one they were bound for
	events []*patient
	admin  *patient
	http   *fasthttp.Server
	api    *admin.Server
}

// listen binds every address of the config, or none.
func listen(r *Relay, o *Options) (_ *servers, err error) {
	cfg := o.Config
	s := &servers{r: r, cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, address := range cfg.Server.Listen {
		ln, err := bind(address)
		if err != nil {
			return nil, fmt.Errorf("cannot listen for events: %w", err)
		}
		s.events = append(s.events, newPatient(ln, r.log))
	}
	ln, err := bind(cfg.Server.AdminListen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the admin API: %w", err)
	}
	s.admin = newPatient(ln, r.log)
	s.http = newEventServer(r, cfg)
	s.api = admin.New(admin.Options{Backend: r, Log: r.log, Manual: o.Manual,
		ConnectionsMax: int(r.descriptors.adminMost()),
		Token:          func() string { return r.setup.Load().cfg.Server.AdminToken.Reveal() },
		Hosts: func() []string {
			// The address is the one that was bound, the names are those of today.
			return append([]string{cfg.Server.AdminListen}, r.setup.Load().cfg.Server.AdminHosts...)
		}})
	return s, nil
}

// bind listens on host:port or unix:/path. A socket that a dead relay left behind is removed; one
// that answers belongs to a living one.
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

// newEventServer spells out what of fasthttp's defaults would lose bytes, leak or hang.
func newEventServer(r *Relay, cfg *config.Config) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:        r.recovering(r.accept.handle),
		ErrorHandler:   r.refuseUnread,
		HeaderReceived: r.bodyLimit,
		// A request must have arrived whole within read_timeout, head and body.
		ReadTimeout:        cfg.Server.ReadTimeout,
		WriteTimeout:       answerTimeout,
		IdleTimeout:        idleTimeout,
		ReadBufferSize:     requestHeadBytesMax,
		MaxRequestBodySize: int(cfg.Server.MaxBodySize),
		// Bodies are read by body.go.
		StreamRequestBody: true,
		// Parsing a multipart body would write it anew, with other bytes.
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
		Logger:                       libraryLog{r.log},
	}
}

// libraryLog takes fasthttp's own lines, which are about connections that broke.
type libraryLog struct{ log *slog.Logger }

// Printf is part of fasthttp.Logger.
func (l libraryLog) Printf(format string, args ...any) {
	l.log.Debug("connection trouble on an events listener", "error", fmt.Sprintf(format, args...))
}

// refuseUnread answers a request that could not be read. A connection on which nothing has come was
// opened in advance: it is closed without a word, which the sender would take for the answer to
// what it sends first.
func (r *Relay) refuseUnread(ctx *fasthttp.RequestCtx, err error) {
	if c, ok := ctx.Conn().(*lingerConn); ok && !c.heard.Load() {
		c.silent.Store(true)
		ctx.SetConnectionClose()
		return
	}
	var no *refusal
	var fault *framing.Error
	var small *fasthttp.ErrSmallBuffer
	var netErr net.Error
	switch {
	case errors.As(err, &fault):
		no = misframed(fault)
	case errors.As(err, &small):
		no = refuse(codeMalformed, "the head of the request has more than %d bytes",
			requestHeadBytesMax)
	case errors.As(err, &netErr) && netErr.Timeout():
		no = tooSlow()
	default:
		no = refuse(codeMalformed, "the request is not valid HTTP")
	}
	r.metrics.refused[no.code].Inc()
	no.write(ctx)
	closePolitely(ctx)
}

// recovering turns a panic of a handler into a 500; without it the whole process would end. What
// the spool holds is untouched: nothing was answered.
func (r *Relay) recovering(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if p := recover(); p != nil {
				r.log.Error("BUG: a handler panicked; the request is answered 500",
					"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				ctx.Error("internal error", fasthttp.StatusInternalServerError)
				ctx.SetConnectionClose()
			}
		}()
		next(ctx)
	}
}

// all are the loops that serve, one per listener.
func (s *servers) all() []func() {
	var loops []func()
	for _, ln := range s.events {
		loops = append(loops, func() {
			err := s.http.Serve(eventListener{ln, s.r})
			if !s.r.draining.Load() && !s.r.accept.closed.Load() {
				s.r.goneDeaf(ln, err)
			}
		})
	}
	return append(loops, func() {
		err := s.api.Serve(s.admin)
		if !closed(s.r.stopping) {
			s.r.goneDeaf(s.admin, err)
		}
	})
}

// goneDeaf ends the relay when a listener is served no more although nobody asked for it: a relay
// that looks alive and hears nothing is worse than one that is started again.
func (r *Relay) goneDeaf(ln *patient, err error) {
	if err == nil {
		err = net.ErrClosed
	}
	err = fmt.Errorf("cannot serve %s any more: %w", addressOf(ln), err)
	r.deafOnce.Do(func() {
		r.deaf.Store(&err)
		r.log.Error("a listener has ended by itself; the relay stops", "error", err)
		close(r.deafC)
	})
}

// patients are all listeners.
func (s *servers) patients() []*patient { return append(slices.Clone(s.events), s.admin) }

func (s *servers) shutdownEvents(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), max(limit, 100*time.Millisecond))
	defer cancel()
	if err := s.http.ShutdownWithContext(ctx); err != nil && !errors.Is(err, net.ErrClosed) &&
		!errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("cannot close the events listeners: %w", err)
	}
	return nil
}

func (s *servers) shutdownAdmin(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), max(limit, 100*time.Millisecond))
	defer cancel()
	err := s.api.Shutdown(ctx)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) {
		return nil // a caller that stays connected is cut off with the process
	}
	return err
}

// close closes what shutdown has not.
func (s *servers) close() error {
	var errs error
	for _, ln := range s.patients() {
		if ln == nil {
			continue
		}
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = errors.Join(errs, fmt.Errorf("cannot close a listener: %w", err))
		}
	}
	return errs
}

// Addresses are where events are taken and the admin API is, as bound: "127.0.0.1:8470" or
// "unix:/path".
func (r *Relay) Addresses() (events []string, admin string) {
	for _, ln := range r.servers.events {
		events = append(events, addressOf(ln))
	}
	return events, addressOf(r.servers.admin)
}

func addressOf(ln net.Listener) string {
	if ln.Addr().Network() == "unix" {
		return "unix:" + ln.Addr().String()
	}
	return ln.Addr().String()
}
