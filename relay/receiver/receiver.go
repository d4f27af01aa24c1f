// Package receiver is the development receiver behind the listen verb and the demo: a target that
// shows what arrives, verifies signatures and fails on request. It is made to be watched, not to be
// relied on: it keeps nothing and trusts nobody.
//
// Goroutines: Serve runs in the caller's. fasthttp adds one for each open connection, at most
// connectionsMax, and a few of its own; all of them end with Shutdown.
package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/signature"
)

const (
	statusDefault     = fasthttp.StatusOK
	failStatusDefault = fasthttp.StatusServiceUnavailable
	toleranceDefault  = 5 * time.Minute // as Standard Webhooks recommends
	bodyBytesDefault  = 2 << 20         // twice what the relay ever delivers

	connectionsMax = 16 << 10
	headerBytesMax = 64 << 10
	readTimeout    = time.Minute     // of one whole request
	writeTimeout   = time.Minute     // of one answer
	idleTimeout    = 2 * time.Minute // of a connection between two requests
	idsMax         = 100_000         // acknowledged ids that a duplicate is known by
)

// Verified values of a Request that are not an error text.
const (
	// Unchecked: the receiver has no keys.
	Unchecked = ""
	// Valid: one of the keys made one of the signatures, in time.
	Valid = "valid"
)

// NoAttempt is the Attempt of a Request that does not say which attempt it is.
const NoAttempt = -1

// Options says what the receiver answers and what it shows. The zero value answers 200 to all and
// shows nothing.
type Options struct {
	// Fail is the share of requests, 0…1, answered FailStatus instead of Status.
	Fail float64
	// Seed makes the choice of which requests fail repeatable: the n-th request of two receivers
	// with the same seed and share meets the same fate. Zero means another one each time.
	Seed uint64
	// Status is the usual answer, 0 means 200; FailStatus that of a failure, 0 means 503.
	Status, FailStatus int
	// Latency is how long every answer waits. Shutdown cuts it short.
	Latency time.Duration
	// RetryAfter, rounded up to seconds, goes out with every answer that is not 2xx. Zero: none.
	RetryAfter time.Duration
	// Keys verify the signature of every request; a bad or missing one is answered 401, as a
	// receiver in earnest would. No keys: nothing is verified.
	Keys []signature.Key
	// Tolerance is how far webhook-timestamp may be from now. Zero means 5 minutes.
	Tolerance time.Duration
	// Out gets what is shown, one Write per request and never two at a time. Nil: nothing.
	Out io.Writer
	// JSON shows one object per line instead of a table.
	JSON bool
	// Color paints the table with ANSI colours.
	Color bool
	// MaxBody is the most bytes of a body; a longer one is answered 413. Zero means 2 MiB.
	MaxBody int
	// ShowBody shows bodies too: whole with JSON, else indented and cut after some lines.
	ShowBody bool
	// OnRequest, when set, is called for every request before it is answered. It runs in the
	// connection's goroutine: several calls may overlap, and what it waits for the sender waits
	// for. The Request is the callee's to keep.
	OnRequest func(Request)
}

// Request is what arrived and what it was answered.
type Request struct {
	At           time.Time // when its last byte had come
	Method, Path string    // Path has its query
	// ID, Type and Session are the headers webhook-id, webhook-event-type, webhook-session.
	ID, Type, Session string
	Attempt           int  // webhook-attempt, or NoAttempt
	Replay, Sample    bool // webhook-replay, webhook-sample
	Duplicate         bool // ID was answered 200 before, and the signature is not bad
	Body              []byte
	Header            map[string]string // by lower-case name; repeated ones joined by ", "
	Verified          string            // Unchecked, Valid, or why the signature is not good
	Status            int               // what was answered
}

// refused reports whether the signature was checked and is not good.
func (req *Request) refused() bool { return req.Verified != Unchecked && req.Verified != Valid }

// Counters counts requests since New.
type Counters struct {
	Received    int64 // that had a whole head and body
	Answered200 int64 // with exactly 200, which is what acknowledges an event
	Duplicates  int64 // whose webhook-id had been answered 200 before, among the last 100,000
}

// Receiver is an HTTP server that acknowledges events or fails to. Its methods are safe for
// concurrent use.
type Receiver struct {
	options Options
	server  *fasthttp.Server
	out     *printer
	now     func() time.Time

	status      atomic.Int64
	fail        atomic.Uint64 // math.Float64bits
	received    atomic.Int64
	answered200 atomic.Int64
	duplicates  atomic.Int64

	mu        sync.Mutex // guards what follows
	random    *rand.Rand
	seen      idSet
	listeners []net.Listener
	stopped   bool
	done      chan struct{} // closed by the first Shutdown
}

// New returns a Receiver that serves nothing yet. Zero options become their defaults.
func New(options Options) *Receiver {
	setDefaults(&options)
	seed := options.Seed
	if seed == 0 {
		seed = rand.Uint64() // #nosec G404 -- it chooses which requests fail, in development
	}
	r := &Receiver{
		options: options,
		out:     newPrinter(options),
		now:     time.Now,
		random:  rand.New(rand.NewPCG(seed, seed)), // #nosec G404 -- a seed repeats a run
		seen:    newIDSet(idsMax),
		done:    make(chan struct{}),
	}
	r.SetStatus(options.Status)
	r.SetFail(options.Fail)
	r.server = &fasthttp.Server{
		Handler:            r.handle,
		ErrorHandler:       r.handleError,
		Logger:             silence{},
		Concurrency:        connectionsMax,
		ReadBufferSize:     headerBytesMax,
		ReadTimeout:        readTimeout,
		WriteTimeout:       writeTimeout,
		IdleTimeout:        idleTimeout,
		MaxRequestBodySize: options.MaxBody,
		CloseOnShutdown:    true,
		// A multipart body would be taken apart and put together again, and what was signed is
		// the bytes that came.
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
	}
	return r
}

func setDefaults(options *Options) {
	setDefault(&options.Status, statusDefault)
	setDefault(&options.FailStatus, failStatusDefault)
	setDefault(&options.Tolerance, toleranceDefault)
	setDefault(&options.MaxBody, bodyBytesDefault)
	if options.Out == nil {
		options.Out = io.Discard
	}
}

func setDefault[T comparable](value *T, instead T) {
	var zero T
	if *value == zero {
		*value = instead
	}
}

// SetStatus changes what is answered from now on, when the request is not chosen to fail.
func (r *Receiver) SetStatus(status int) { r.status.Store(int64(status)) }

// SetFail changes the share of requests that fail from now on.
func (r *Receiver) SetFail(share float64) { r.fail.Store(math.Float64bits(share)) }

// Counters returns what was counted so far.
func (r *Receiver) Counters() Counters {
	return Counters{
		Received:    r.received.Load(),
		Answered200: r.answered200.Load(),
		Duplicates:  r.duplicates.Load(),
	}
}

// Serve answers what comes over ln until Shutdown, and then returns nil. It owns ln from the call
// on. After Shutdown it closes ln and returns nil at once.
func (r *Receiver) Serve(ln net.Listener) error {
	r.mu.Lock()
	if r.stopped {
		r.mu.Unlock()
		return ln.Close()
	}
	r.listeners = append(r.listeners, ln)
	r.mu.Unlock()
	if err := r.server.Serve(ln); err != nil {
		return fmt.Errorf("cannot receive on %q: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown stops listening, answers what is in hand without further latency, and waits until every
// connection is closed or ctx is done. It may be called more than once, and before Serve.
func (r *Receiver) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	if !r.stopped {
		r.stopped = true
		close(r.done)
	}
	// The server knows only the listeners that it serves by now; one of a Serve that is about to
	// begin is closed here.
	for _, ln := range r.listeners {
		_ = ln.Close()
	}
	r.mu.Unlock()
	err := r.server.ShutdownWithContext(ctx)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("cannot stop the receiver: %w", err)
	}
	return nil
}

// handle takes one request from its arrival to its answer.
func (r *Receiver) handle(ctx *fasthttp.RequestCtx) {
	req := r.read(ctx)
	r.verify(&req)
	req.Status = r.choose(&req)
	r.wait()
	r.settle(&req)
	r.answer(ctx, &req)
	r.out.print(&req)
	if r.options.OnRequest != nil {
		r.options.OnRequest(req)
	}
}

// handleError answers what was no request: too long, or not HTTP at all.
func (r *Receiver) handleError(ctx *fasthttp.RequestCtx, err error) {
	status := fasthttp.StatusBadRequest
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		status = fasthttp.StatusRequestEntityTooLarge
	case errors.As(err, &small):
		status = fasthttp.StatusRequestHeaderFieldsTooLarge
	}
	ctx.Error(fasthttp.StatusMessage(status)+"\n", status)
	r.out.printRefusal(r.now(), status, err)
}

// read copies the request out of the server's memory, which is used again after the answer.
func (r *Receiver) read(ctx *fasthttp.RequestCtx) Request {
	r.received.Add(1)
	header := make(map[string]string)
	for key, value := range ctx.Request.Header.All() {
		name := strings.ToLower(string(key))
		if old, ok := header[name]; ok {
			header[name] = old + ", " + string(value)
		} else {
			header[name] = string(value)
		}
	}
	req := Request{
		At:      r.now(),
		Method:  string(ctx.Method()),
		Path:    string(ctx.RequestURI()),
		ID:      header["webhook-id"],
		Type:    header["webhook-event-type"],
		Session: header["webhook-session"],
		Attempt: NoAttempt,
		Replay:  header["webhook-replay"] == "true",
		Sample:  header["webhook-sample"] == "true",
		Body:    append([]byte(nil), ctx.Request.Body()...),
		Header:  header,
	}
	if n, err := strconv.Atoi(header["webhook-attempt"]); err == nil && n >= 0 {
		req.Attempt = n
	}
	return req
}

func (r *Receiver) verify(req *Request) {
	if len(r.options.Keys) == 0 {
		return
	}
	err := signature.Verify(r.options.Keys, req.ID, req.Header["webhook-timestamp"],
		req.Header["webhook-signature"], req.Body, req.At, r.options.Tolerance)
	req.Verified = Valid
	if err != nil {
		req.Verified = err.Error()
	}
}

// choose decides the answer. Every request that may fail draws exactly one number, whatever the
// share is, so that the n-th one meets the same fate whenever the share is the same.
func (r *Receiver) choose(req *Request) int {
	if req.refused() {
		return fasthttp.StatusUnauthorized
	}
	r.mu.Lock()
	drawn := r.random.Float64()
	r.mu.Unlock()
	if drawn < math.Float64frombits(r.fail.Load()) {
		return r.options.FailStatus
	}
	return int(r.status.Load())
}

func (r *Receiver) wait() {
	if r.options.Latency <= 0 {
		return
	}
	timer := time.NewTimer(r.options.Latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.done:
	}
}

// settle counts the answer and finds out whether it is one too many. It looks and remembers in one
// step: of two requests with one id that are answered 200 at once, the second is a duplicate. The
// id of a request that cannot be believed says nothing.
func (r *Receiver) settle(req *Request) {
	acknowledged := req.Status == fasthttp.StatusOK
	if acknowledged {
		r.answered200.Add(1)
	}
	if req.ID == "" || req.refused() {
		return
	}
	r.mu.Lock()
	if acknowledged {
		req.Duplicate = r.seen.add(req.ID)
	} else {
		req.Duplicate = r.seen.has(req.ID)
	}
	r.mu.Unlock()
	if req.Duplicate {
		r.duplicates.Add(1)
	}
}

func (r *Receiver) answer(ctx *fasthttp.RequestCtx, req *Request) {
	ctx.SetStatusCode(req.Status)
	ctx.SetContentType("text/plain; charset=utf-8")
	if !succeeds(req.Status) && r.options.RetryAfter > 0 {
		seconds := int64(math.Ceil(r.options.RetryAfter.Seconds()))
		ctx.Response.Header.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	switch {
	case req.refused():
		ctx.SetBodyString(req.Verified + "\n")
	case succeeds(req.Status):
		ctx.SetBodyString("received\n")
	default:
		ctx.SetBodyString("failed on request\n")
	}
}

func succeeds(status int) bool { return status >= 200 && status < 300 }

// silence drops what fasthttp would log: connections that ended early are no news in development.
type silence struct{}

// Printf implements fasthttp.Logger.
func (silence) Printf(string, ...any) {}
