package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/framing"
)

// The bounds of the listener. The API takes no bodies to speak of, and its callers are a console,
// a scraper and a handful of verbs.
const (
	bodyBytesMax = 16 << 10
	headBytesMax = 16 << 10
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

// Server is the HTTP side of the admin listener. It starts no goroutines but fasthttp's, one a
// connection, which all end with Shutdown. Its methods are safe for concurrent use.
type Server struct {
	options Options
	http    *fasthttp.Server
	routes  []route
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
	// life ends with Shutdown, and with it the samples under way. A RequestCtx would not do: it is
	// used again after the answer.
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
	s.http = &fasthttp.Server{
		Handler:      s.Handler,
		ErrorHandler: s.handleError,
		Logger:       debugLog{o.Log},
		// The crowd bounds the connections. At this bound the library would refuse new ones.
		Concurrency:                  4 * connectionsMax,
		ConnState:                    rested,
		ReadBufferSize:               headBytesMax,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxRequestBodySize:           bodyBytesMax,
		HeaderReceived:               disown,
		StreamRequestBody:            true, // body.go reads it: an import may have more
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		// The library's own messages may quote what a stranger sent.
		SecureErrorLogMessage: true,
		CloseOnShutdown:       true,
	}
	return s
}

// Serve answers what comes over ln until Shutdown, and then returns nil. It may be called for
// several listeners at once.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.http.Serve(newListener(ln, s.crowd)); err != nil {
		return fmt.Errorf("cannot serve admin on %q: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown closes the listeners, cuts samples short, lets the other requests in hand end, and
// waits for that until ctx is done. It may be called twice, and before Serve.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
	err := s.http.ShutdownWithContext(ctx)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("cannot stop the admin listener: %w", err)
	}
	return nil
}

// Handler answers one request: who may ask is settled first, then what is asked.
func (s *Server) Handler(ctx *fasthttp.RequestCtx) {
	setSecurityHeaders(&ctx.Response.Header)
	// The library holds an answer back while anything follows on its connection, unless it has a
	// deadline of ours.
	defer func() { _ = ctx.SetWriteDeadline(time.Now().Add(writeTimeout)) }()
	defer finishBody(ctx)
	defer s.recover(ctx)
	if err := s.serve(ctx); err != nil {
		s.refuse(ctx, err)
	}
	answerAtOnce(ctx)
}

// answerAtOnce keeps a finished answer from waiting for a request that has begun to come after this
// one: the library holds answers back while anything follows, and a deadline of our own is what
// makes it send.
func answerAtOnce(ctx *fasthttp.RequestCtx) {
	if x, ok := ctx.Conn().(*conn); ok && x.Begun() > ctx.ConnRequestNum() {
		_ = ctx.SetWriteDeadline(time.Now().Add(writeTimeout)) // writing says if it is gone
	}
}

func (s *Server) serve(ctx *fasthttp.RequestCtx) error {
	if x, ok := ctx.Conn().(*conn); ok {
		x.turn()
	}
	disowned := checkDisowned(ctx) // ends the connection, whatever the answer is
	r, args, err := s.find(ctx)
	if misdirected := s.checkHost(ctx, r); misdirected != nil {
		ctx.Response.Header.Del(fasthttp.HeaderAllow) // who is not served learns nothing
		return misdirected
	}
	if err != nil {
		return err
	}
	if r.guard != open {
		if err := s.checkToken(ctx, r.guard); err != nil {
			return err
		}
	}
	if disowned != nil {
		return disowned
	}
	if err := r.checkOrigin(ctx); err != nil {
		return err
	}
	if r.guard != open {
		if err := s.spare(ctx); err != nil {
			return err
		}
	}
	if r.method == fasthttp.MethodPost && r.path != importPath && r.path != explainPath {
		if err := checkEmptyBody(ctx); err != nil {
			return err
		}
	}
	if r.guard == api {
		if err := checkQuery(ctx, r.query); err != nil {
			return err
		}
	}
	return r.serve(ctx, args)
}

// spare takes one of the places for calls, which ends with the answer.
func (s *Server) spare(ctx *fasthttp.RequestCtx) error {
	if x, ok := ctx.Conn().(*conn); !ok || x.spare() {
		return nil
	}
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	return Refuse(fasthttp.StatusServiceUnavailable, codeOverloaded,
		"%d calls are under way; try again in a second", s.crowd.callsMost())
}

// rested follows the library's view of a connection.
func rested(c net.Conn, state fasthttp.ConnState) {
	if x, ok := c.(*conn); ok && state == fasthttp.StateIdle {
		x.rest()
	}
}

// recover keeps one broken request from ending the process, and events with it.
func (s *Server) recover(ctx *fasthttp.RequestCtx) {
	r := recover()
	if r == nil {
		return
	}
	s.options.Log.Error("BUG: an admin request panicked; the relay goes on", "panic", r,
		"method", string(ctx.Method()), "path", string(ctx.Path()), "stack", string(debug.Stack()))
	ctx.Response.Reset()
	setSecurityHeaders(&ctx.Response.Header)
	writeProblem(ctx, Refuse(fasthttp.StatusInternalServerError, codeInternal,
		"the relay could not answer; its log says why"))
}

// handleError answers what was no request, in the words of all other refusals.
func (s *Server) handleError(ctx *fasthttp.RequestCtx, err error) {
	setSecurityHeaders(&ctx.Response.Header)
	var small *fasthttp.ErrSmallBuffer
	var network *net.OpError
	var fault *framing.Error
	refusal := Refuse(fasthttp.StatusBadRequest, codeMalformed, "the request cannot be read")
	switch {
	case errors.As(err, &fault):
		refusal = misframed(fault)
	case errors.As(err, &small):
		refusal = Refuse(fasthttp.StatusRequestHeaderFieldsTooLarge, codeTooLarge,
			"a request head has %d bytes at most here", headBytesMax)
	case errors.As(err, &network) && network.Timeout():
		refusal = Refuse(fasthttp.StatusRequestTimeout, codeTimeout,
			"the request did not arrive within %s", readTimeout)
	}
	writeProblem(ctx, refusal)
}

// misframed refuses what a proxy in front might read differently, and so let a second request slip
// past its own checks. The connection ends with the answer.
func misframed(fault *framing.Error) *Error {
	status := fasthttp.StatusBadRequest
	if fault.Version {
		status = fasthttp.StatusHTTPVersionNotSupported
	}
	return Refuse(status, codeMalformed, "%v", fault)
}

// debugLog takes what the library logs: connections that ended early, news to nobody else.
type debugLog struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (d debugLog) Printf(format string, args ...any) {
	d.log.Debug("admin listener", "library", fmt.Sprintf(format, args...))
}
