package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/hookspool/hookspool/relay/framing"
)

// The bounds of the listener. The API takes no bodies to speak of, and its callers are a console,
// a scraper and a handful of verbs.
const (
	bodyBytesMax = 16 << 10
	samplesMax   = 8 // sample callbacks under way at once
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second // of one answer, from its first byte
	idleTimeout  = 2 * time.Minute  // above the scrape interval, so that a scraper reconnects rarely
)

// Options of a Server. Backend and Log are required.
type Options struct {
	Backend Backend
	// Token returns admin_token as of now; nil, or an empty token: nobody is asked for one.
	Token func() string
	// Hosts returns the host names that the Host header may give besides loopback names and IP
	// addresses; ports and case do not matter. nil: none. A request with the token may give any.
	Hosts func() []string
	// ConnectionsMax bounds the connections; 0, or more than connectionsMax: that.
	ConnectionsMax int
	// Manual is served below /help/; nil: nothing is.
	Manual Manual
	Log    *slog.Logger
}

// Server is the HTTP side of the admin listener. It starts no goroutines but those of net/http, two
// a connection at most, which all end with Shutdown. Its methods are safe for concurrent use.
type Server struct {
	options Options
	http    *http.Server
	routes  []route
	mux     *http.ServeMux
	nothing http.Handler // what the mux must not see
	// samples holds a token for every sample callback under way; sender and receiver are the same
	// request.
	samples                    chan struct{}
	backups, exports, verifies streamed
	imports                    slot
	// explains and streams hold a token for every explanation and every stream under way.
	explains, streams chan struct{}
	pulse             pulse
	crowd             *crowd
	scraper           *scraper
	// life ends with Shutdown, and with it the samples under way. The context of a request would not
	// do: a call goes on although its caller has left.
	life context.Context
	end  context.CancelFunc
}

// New returns a Server that serves nothing yet.
func New(o Options) *Server {
	if o.Token == nil {
		o.Token = func() string { return "" }
	}
	if o.Hosts == nil {
		o.Hosts = func() []string { return nil }
	}
	life, end := context.WithCancel(context.Background())
	s := &Server{options: o, samples: make(chan struct{}, samplesMax),
		backups: streamed{"a backup", newSlot()}, exports: streamed{"an export", newSlot()},
		verifies: streamed{"a verify", newSlot()}, imports: newSlot(),
		explains: make(chan struct{}, explainsMax), streams: make(chan struct{}, streamsMax),
		crowd: newCrowd(o.ConnectionsMax), scraper: newScraper(), life: life, end: end}
	s.routes = s.table()
	s.mux = newMux(s.routes, s.handle)
	s.nothing = s.handle(&route{guard: nowhere, serve: notFound})
	s.http = s.listenerHTTP()
	return s
}

// listenerHTTP spells out what of the library's defaults would hang, or speak in words of its own.
func (s *Server) listenerHTTP() *http.Server {
	var one http.Protocols
	one.SetHTTP1(true)
	return &http.Server{
		Handler:   http.HandlerFunc(s.serveHTTP),
		Protocols: &one,
		// A request has this time from its first byte to its last.
		ReadTimeout: readTimeout,
		// It counts from the head of a request; an answer begins with a deadline of its own.
		WriteTimeout: writeTimeout,
		IdleTimeout:  idleTimeout,
		// The guard of the connections has this bound, too, and is exact.
		MaxHeaderBytes:               framing.HeadBytesMax,
		DisableGeneralOptionsHandler: true,
		ConnState:                    rested,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		// Connections that ended early, which is news to nobody else.
		ErrorLog: slog.NewLogLogger(s.options.Log.With("listener", "admin").Handler(),
			slog.LevelDebug),
	}
}

// connKey is the key of a request's *conn in its context.
type connKey struct{}

// Serve answers what comes over ln until Shutdown, and then returns nil. It may be called for
// several listeners at once.
func (s *Server) Serve(ln net.Listener) error {
	err := s.http.Serve(newListener(ln, s.crowd))
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve admin on %q: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown closes the listeners, cuts samples and streams short, lets the other requests in hand
// end, and waits for that until ctx is done. It may be called twice, and before Serve.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
	s.crowd.end()
	err := s.http.Shutdown(ctx)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("cannot stop the admin listener: %w", err)
	}
	return nil
}

// serveHTTP has every request first.
func (s *Server) serveHTTP(w http.ResponseWriter, req *http.Request) {
	x := req.Context().Value(connKey{}).(*conn)
	x.handles()
	x.turn()
	setSecurityHeaders(w.Header())
	if asWritten(req) {
		s.mux.ServeHTTP(w, req)
	} else {
		s.nothing.ServeHTTP(w, req)
	}
}

// handle answers the requests of a route: who may ask is settled first, then what is asked.
func (s *Server) handle(r *route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := &call{w: w, r: req, conn: req.Context().Value(connKey{}).(*conn),
			control: http.NewResponseController(w)}
		defer s.recover(c)
		if err := s.serve(c, r); err != nil {
			s.refuse(c, err)
		}
	})
}

func (s *Server) serve(c *call, r *route) error {
	if err := s.checkHost(c.r, r.guard); err != nil {
		return err // who is not served learns nothing
	}
	if r.guard == nowhere {
		return r.serve(c)
	}
	if r.guard != open {
		if err := s.checkToken(c, r.guard); err != nil {
			return err
		}
	}
	if c.isEndless() {
		return bodyTooLarge(importBytesMax)
	}
	if err := r.checkOrigin(c.r); err != nil {
		return err
	}
	if r.guard != open {
		if err := s.spare(c); err != nil {
			return err
		}
	}
	if r.method == http.MethodPost && !r.takesBody() {
		if err := checkEmptyBody(c); err != nil {
			return err
		}
	}
	if r.guard == api {
		if err := checkQuery(c, r.query); err != nil {
			return err
		}
	}
	return r.serve(c)
}

// spare takes one of the places for calls, which ends with the answer.
func (s *Server) spare(c *call) error {
	if c.conn.spare() {
		return nil
	}
	c.header().Set("Retry-After", "1")
	return Refuse(http.StatusServiceUnavailable, codeOverloaded,
		"%d calls are under way; try again in a second", s.crowd.callsMost())
}

// rested follows the library's view of a connection.
func rested(c net.Conn, state http.ConnState) {
	if x, ok := c.(*conn); ok && state == http.StateIdle {
		x.answered()
		x.rest()
	}
}

// recover keeps one broken request from being answered by a reset.
func (s *Server) recover(c *call) {
	r := recover()
	if r == nil {
		return
	}
	if r == http.ErrAbortHandler {
		panic(r) // ours; the library takes it
	}
	s.options.Log.Error("BUG: an admin request panicked; the relay goes on", "panic", r,
		"method", c.r.Method, "path", c.r.URL.Path, "stack", string(debug.Stack()))
	if c.begun {
		panic(http.ErrAbortHandler)
	}
	clear(c.header())
	setSecurityHeaders(c.header())
	s.refuse(c, Refuse(http.StatusInternalServerError, codeInternal,
		"the relay could not answer; its log says why"))
}
