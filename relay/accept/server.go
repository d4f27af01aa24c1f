package accept

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/framing"
	"github.com/hookspool/hookspool/relay/listener"
	"github.com/hookspool/hookspool/relay/seldom"
	"github.com/hookspool/hookspool/relay/slots"
	"github.com/hookspool/hookspool/spool"
)

const (
	// idleTimeout closes a sender's connection that says nothing.
	idleTimeout = 60 * time.Second
	// answerTimeout bounds the writing of an answer.
	answerTimeout = 10 * time.Second
)

// Spool is what takes events. *spool.Spool is one, and says what its methods do.
type Spool interface {
	Admit(n int) error
	Forgo(n int)
	Append(drafts ...*spool.Draft) error
	UnspooledID(at time.Time) string
	NameOf(lane spool.LaneID) string
	Err() error
}

// Rules are what one configuration says of accepting. They never change.
type Rules struct {
	Config *config.Config
	Judge  Judge
	// Unwanted, when set, is told of each event that no target wants, once it is answered for. It is
	// called by many goroutines at once.
	Unwanted func(d *spool.Draft)
	// held is read-locked for each event that is judged by these rules until it is answered. It is a
	// count with a wait, not a lock: what others wait for it is only whoever calls Settle.
	held sync.RWMutex
}

// Settle waits until every event that was judged by the rules is answered. Call it when others are
// in force; then none will be judged by these any more.
func (r *Rules) Settle() {
	r.held.Lock()
	defer r.held.Unlock()
}

// Settled reports that Settle would not wait.
func (r *Rules) Settled() bool {
	if !r.held.TryLock() {
		return false
	}
	r.held.Unlock()
	return true
}

// hold returns the rules in force, which Settle waits for until release.
func (s *Server) hold() *Rules {
	for {
		r := s.o.Rules()
		r.held.RLock()
		if r == s.o.Rules() {
			return r
		}
		r.held.RUnlock() // others came into force, and somebody may have settled these
	}
}

func (r *Rules) release() { r.held.RUnlock() }

// Judge says who may want an event. It is the first of two stages, on the goroutine that accepts;
// the second one is the spool's Decide, in commit order. It is called by many goroutines at once.
type Judge interface {
	// Judge leaves in d.Note what the second stage needs, or nil if there is nothing to decide:
	// nobody wants the event, and it belongs to no conversation. d has type, payload and headers;
	// in is what the payload holds, valid during the call.
	Judge(d *spool.Draft, in Inside)
}

// Counter counts what comes. It is called by many goroutines at once.
type Counter interface {
	// Refused counts a request that is answered with a code of problem.go.
	Refused(code string)
	// Accepted counts what one request brought, and how long that took.
	Accepted(drafts []*spool.Draft, took time.Duration)
}

// Tracer makes a span for every POST.
type Tracer interface {
	// Begin opens a span below a sender's trace headers.
	Begin(sent []spool.Header) Span
}

// Span is the accepting of one POST. It belongs to one goroutine.
type Span interface {
	// Keep returns the headers to be frozen with the event: the span in the place of the sender's.
	Keep(headers []spool.Header) []spool.Header
	// Took is told what is spooled.
	Took(drafts []*spool.Draft)
	// End is told the status of the answer and, after a refusal, its code.
	End(status int, code string)
}

// Options make a Server. All but Tracer and the bounds are required.
type Options struct {
	// Config is the one that the listeners are bound for: server.read_timeout stays as it was.
	Config *config.Config
	// Rules are those of now. A request asks once for its head and once for its event.
	Rules   func() *Rules
	Spool   Spool
	Counter Counter
	// Waiting is what waits for its first attempt. Only KeepPace asks.
	Waiting func() Waiting
	// BodyBytes bounds the memory of bodies in hand; 0: bodyBytesDefault. ConnectionsMost bounds the
	// connections of senders below connectionsMax; 0: it does not. Nothing is taken while the process
	// has MemoryMost bytes of memory; 0: no bound.
	BodyBytes, ConnectionsMost, MemoryMost int64

	Log *slog.Logger
	Now func() time.Time
	// Tracer is nil when no spans are made.
	Tracer Tracer
}

// Server takes events from any number of listeners. It is safe for concurrent use.
type Server struct {
	o       Options
	http    *fasthttp.Server
	parsers fastjson.ParserPool
	bodies  bodies
	inHand  atomic.Int64
	bytes   atomic.Int64 // of room for bodies
	brink   brink
	cpus    int
	// turns bound the requests that are being read and spooled; the others in hand wait in line.
	turns slots.Slots
	// batches bound how many of them are batches.
	batches slots.Slots
	// lagging is whether a slow target was left behind, lookAt when to look again; the caller of
	// KeepPace owns them.
	lagging bool
	lookAt  time.Time
	// refusals paces the answers to those who are refused for overload.
	refusals pace
	// lastAt is when the last request came, lastEvent when the last event did, in unix nanoseconds.
	lastAt, lastEvent atomic.Int64
	// closed: nothing is taken any more.
	closed atomic.Bool
	// untyped lets through what the log says of events without a type.
	untyped seldom.Gate
	// short lets through what the log says of memory.
	short seldom.Gate

	connections atomic.Int64 // of senders, open now
	descriptors *descriptors
}

// New makes a Server that serves nothing yet.
func New(o Options) *Server {
	s := &Server{o: o, cpus: runtime.GOMAXPROCS(0), descriptors: newDescriptors()}
	s.o.BodyBytes = cmp.Or(o.BodyBytes, bodyBytesDefault)
	s.brink.most, s.brink.used = o.MemoryMost, memoryUsed
	s.refusals.gap = time.Second / time.Duration(refusalsPerCPU*s.cpus)
	s.turns.SetLimit(inHandMax)
	s.batches.SetLimit(inHandMax)
	s.http = s.newHTTP()
	return s
}

// newHTTP spells out what of fasthttp's defaults would lose bytes, leak or hang.
func (s *Server) newHTTP() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:        s.recovering(s.handle),
		ErrorHandler:   s.refuseUnread,
		HeaderReceived: s.bodyLimit,
		// A request must have arrived whole within read_timeout, head and body.
		ReadTimeout:        s.o.Config.Server.ReadTimeout,
		WriteTimeout:       answerTimeout,
		IdleTimeout:        idleTimeout,
		ReadBufferSize:     requestHeadBytesMax,
		MaxRequestBodySize: int(s.o.Config.Server.MaxBodySize),
		// Bodies are read by body.go.
		StreamRequestBody: true,
		// Parsing a multipart body would write it again, with other bytes.
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
		Logger:                       libraryLog{s.o.Log},
	}
}

// Serve takes what comes over ln until Shutdown, or until ln ends; then it returns why.
func (s *Server) Serve(ln *listener.Listener) error { return s.http.Serve(eventListener{ln, s}) }

// Close refuses whatever is not in hand yet; connections stay.
func (s *Server) Close() { s.closed.Store(true) }

// Closed reports whether Close was called.
func (s *Server) Closed() bool { return s.closed.Load() }

// Shutdown closes the listeners and waits until what is in hand is answered, for as long as limit.
func (s *Server) Shutdown(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), max(limit, 100*time.Millisecond))
	defer cancel()
	if err := s.http.ShutdownWithContext(ctx); err != nil && !errors.Is(err, net.ErrClosed) &&
		!errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("cannot close the events listeners: %w", err)
	}
	return nil
}

// LastAt is when the last request came; the zero of unix time: none did.
func (s *Server) LastAt() time.Time { return time.Unix(0, s.lastAt.Load()) }

// LastEvent is when the last event came; false: none did.
func (s *Server) LastEvent() (time.Time, bool) {
	nanos := s.lastEvent.Load()
	return time.Unix(0, nanos), nanos != 0
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
func (s *Server) refuseUnread(ctx *fasthttp.RequestCtx, err error) {
	if c, ok := ctx.Conn().(*lingerConn); ok && !c.heard.Load() {
		c.silent.Store(true)
		ctx.SetConnectionClose()
		return
	}
	var no *Refusal
	var fault *framing.Error
	var small *fasthttp.ErrSmallBuffer
	var netErr net.Error
	switch {
	case errors.As(err, &fault):
		no = misframed(fault)
	case errors.As(err, &small):
		no = refuse(CodeMalformed, "the head of the request has more than %d bytes",
			requestHeadBytesMax)
	case errors.As(err, &netErr) && netErr.Timeout():
		no = tooSlow()
	default:
		no = refuse(CodeMalformed, "the request is not valid HTTP")
	}
	s.o.Counter.Refused(no.Code)
	no.write(ctx)
	closePolitely(ctx)
}

// recovering turns a panic of a handler into a 500; without it the whole process would end. What
// the spool holds is untouched: nothing was answered.
func (s *Server) recovering(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if p := recover(); p != nil {
				s.o.Log.Error("BUG: a handler panicked; the request is answered 500",
					"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				ctx.Error("internal error", fasthttp.StatusInternalServerError)
				ctx.SetConnectionClose()
			}
		}()
		next(ctx)
	}
}
