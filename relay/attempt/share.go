package attempt

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// windowBytes is what a target may send on one connection before we have read it, all streams
	// together. A stream may send what is read of a body.
	windowBytes = 1 << 20
	// stallMax is how long a write may be stuck once the time of a request is up.
	stallMax = 250 * time.Millisecond
)

// share are the connections of HTTP/2 to one target, each of which carries as many requests at once
// as the target lets it. There is a second one only when the first is full, and one is dialled at a
// time: who comes meanwhile waits for it, and hears the same if it fails. Safe for concurrent use.
type share struct {
	dialer *dialer
	// maker makes a connection of HTTP/2 of one of ours. It dials nothing.
	maker  *http.Transport
	maxAge time.Duration // of a connection; 0: any

	mu      sync.Mutex // guards what follows
	list    []*shared  // the oldest first
	dialing *dialing   // nil: nobody dials
	// moved is closed when somebody who waits should look again; nil: nobody waits.
	moved  chan struct{}
	timer  *time.Timer
	armed  bool
	closed bool
	short  time.Time // until when no connection is kept idle
}

// dialing is a dial that others wait for.
type dialing struct{ fault *fault }

// shared is one connection.
type shared struct {
	conn        *http.ClientConn
	wire        *wire
	remote, tls string
	born        time.Time
	plain       *conn       // instead of conn, of a target that chose HTTP/1.1
	retired     atomic.Bool // it takes no more requests

	// Guarded by share.mu.
	given    int // requests, ever
	inFlight int
	settled  bool // its limits are known
	idleFrom time.Time
}

type wireKey struct{}

// newShare makes the connections of a target; it opens none.
func newShare(d *dialer, o *Options) *share {
	s := &share{dialer: d, maxAge: o.MaxAge}
	only := new(http.Protocols)
	// Whether there is TLS was decided before net/http sees a connection.
	only.SetUnencryptedHTTP2(true)
	s.maker = &http.Transport{
		Protocols: only,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ctx.Value(wireKey{}).(*wire), nil
		},
		DisableCompression:     true, // it would ask for it, and judge what came
		MaxResponseHeaderBytes: headBytesMax,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: windowBytes,
			MaxReceiveBufferPerStream:     bodyBytesMax,
			WriteByteTimeout:              o.Timeout,
		},
	}
	return s
}

// take returns a connection with a place for one request, which release gives back, and how many it
// had carried; with fresh, one that had carried none. With errPlain the target has chosen HTTP/1.1
// on the connection that comes with it.
func (s *share) take(ctx context.Context, fresh bool) (k *shared, nth int, f *fault) {
	for {
		s.mu.Lock()
		if !fresh {
			if k := s.freeLocked(); k != nil {
				nth = k.given - 1
				s.mu.Unlock()
				return k, nth, nil
			}
		}
		d := s.dialing
		if d == nil && (fresh || !s.unsettledLocked()) {
			s.sweepLocked()
			d = new(dialing)
			s.dialing = d
			s.mu.Unlock()
			k, f = s.dial(ctx, d)
			return k, 0, f
		}
		moved := s.movedLocked()
		s.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, 0, &fault{Protocol, "get a connection to " + s.dialer.shown, ctx.Err()}
		}
		s.mu.Lock()
		same := d != nil && d.fault != nil
		s.mu.Unlock()
		if same {
			return nil, 0, d.fault
		}
	}
}

// freeLocked takes a place on the oldest connection that has one, so that those beyond need are
// left idle.
func (s *share) freeLocked() *shared {
	for _, k := range s.list {
		if !k.retired.Load() && (k.settled || k.inFlight == 0) && k.conn.Reserve() == nil {
			k.inFlight++
			k.given++
			return k
		}
	}
	return nil
}

// unsettledLocked reports that there is a connection whose limits are to be waited for.
func (s *share) unsettledLocked() bool {
	return slices.ContainsFunc(s.list, func(k *shared) bool {
		return !k.settled && !k.retired.Load() && k.conn.Err() == nil
	})
}

// sweepLocked closes what is idle and takes no request, so that there are hardly more connections
// than requests.
func (s *share) sweepLocked() {
	for _, k := range slices.Clone(s.list) {
		if k.inFlight == 0 && k.isLeaving() {
			s.dropLocked(k)
		}
	}
}

// isLeaving reports a connection without a request on which there can be none: it has ended, or the
// target has said that it is about to.
func (k *shared) isLeaving() bool {
	// The place of a request that was answered may be free a little later.
	return k.conn.InFlight() == 0 && k.conn.Available() == 0
}

func (s *share) movedLocked() chan struct{} {
	if s.moved == nil {
		s.moved = make(chan struct{})
	}
	return s.moved
}

// tellLocked lets those who wait look again.
func (s *share) tellLocked() {
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
}

// dial opens a connection and takes the first place on it. What failed is told to those who wait if
// it would have failed for them as well.
func (s *share) dial(ctx context.Context, d *dialing) (*shared, *fault) {
	k, f := s.open(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialing = nil
	s.tellLocked()
	switch {
	case f == nil:
		s.list = append(s.list, k)
	case ctx.Err() == nil && asWant(f.err) == nil:
		d.fault = f
	}
	return k, f
}

// open dials, and finds out what the target speaks.
func (s *share) open(ctx context.Context) (*shared, *fault) {
	pc, f := s.dialer.dial(ctx)
	switch {
	case f != nil && f.kind == TLS && refusesALPN(f.err):
		f.err = errNotTwo
		fallthrough
	case f != nil:
		return nil, f
	case pc.isTwo():
		return s.begin(pc)
	case s.dialer.choice:
		return &shared{plain: pc}, &fault{Protocol, "", errPlain}
	}
	pc.close()
	return nil, &fault{TLS, "shake hands with " + s.dialer.shown, errNotTwo}
}

// isTwo reports that HTTP/2 is spoken on a fresh connection.
func (pc *conn) isTwo() bool {
	return pc.tls == nil || pc.tls.ConnectionState().NegotiatedProtocol == "h2"
}

// begin speaks HTTP/2 on a fresh connection, with one place taken.
func (s *share) begin(pc *conn) (*shared, *fault) {
	k := &shared{wire: newWire(pc), born: pc.born, remote: pc.remote, tls: pc.tlsText, inFlight: 1,
		given: 1}
	k.wire.settled = func() { s.settle(k) }
	ctx := context.WithValue(context.Background(), wireKey{}, k.wire)
	var err error
	if k.conn, err = s.maker.NewClientConn(ctx, "http", pc.remote); err == nil {
		err = k.conn.Reserve()
	}
	if err == nil {
		return k, nil
	}
	k.wire.Close()
	f := faultOf(k.wire, err)
	if f.err == errUnsent {
		f.err = k.wire.unsent()
	}
	return nil, f
}

// adopt takes a fresh connection of the transport of HTTP/1.1 on which the target chose HTTP/2, as
// it did not before.
func (s *share) adopt(pc *conn) bool {
	if !pc.isTwo() {
		return false
	}
	if k, f := s.begin(pc); f == nil {
		k.conn.Release()
		s.mu.Lock()
		s.list = append(s.list, k)
		s.mu.Unlock()
		s.release(k, time.Now())
	}
	return true
}

// settle notes that the limits of a connection are known.
func (s *share) settle(k *shared) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.settled = true
	s.tellLocked()
}

// release gives a place back.
func (s *share) release(k *shared, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellLocked()
	k.inFlight--
	k.idleFrom = now
	if isOld(k.born, now, s.maxAge) {
		k.retired.Store(true)
	}
	switch {
	case k.inFlight > 0:
	case k.retired.Load(), s.closed, now.Before(s.short), k.isLeaving():
		s.dropLocked(k)
	default:
		s.armLocked(idleMax)
	}
}

// dropLocked closes a connection and forgets it.
func (s *share) dropLocked(k *shared) {
	s.list = slices.DeleteFunc(s.list, func(other *shared) bool { return other == k })
	k.retired.Store(true)
	k.wire.Close() // what reads it ends then
}

// armLocked sets the timer unless it is set.
func (s *share) armLocked(d time.Duration) {
	switch {
	case s.armed:
		return
	case s.timer == nil:
		s.timer = time.AfterFunc(d, func() { s.expire(time.Now()) })
	default:
		s.timer.Reset(d)
	}
	s.armed = true
}

// expire closes what has been idle for idleMax, and sets the timer for the next.
func (s *share) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	next := time.Duration(0)
	for _, k := range slices.Clone(s.list) {
		switch left := idleMax - now.Sub(k.idleFrom); {
		case k.inFlight > 0:
		case left <= 0:
			s.dropLocked(k)
		default:
			next = cmp.Or(min(next, left), left)
		}
	}
	if next > 0 {
		s.armLocked(next)
	}
}

// empty closes the idle connections, and those that become idle before an instant.
func (s *share) empty(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.short = until
	s.emptyLocked()
}

func (s *share) emptyLocked() {
	for _, k := range slices.Clone(s.list) {
		if k.inFlight == 0 {
			s.dropLocked(k)
		}
	}
}

// close closes the idle connections and all that become idle later.
func (s *share) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.emptyLocked()
	if s.timer != nil {
		s.timer.Stop()
	}
}
