package jetstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream/copies"
	"github.com/hookspool/hookspool/spool/record"
)

// Options say where the stream is, and who asks.
type Options struct {
	// URL of one or several servers of the cluster, separated by commas.
	URL string
	// Name of the spool: of its stream, and what its subjects begin with.
	Name string
	// Relay names this relay among those that share the spool.
	Relay string
	// Replicas of the stream; 0: three.
	Replicas int
	// MaxBytes of the stream; 0: no bound but the server's.
	MaxBytes int64
	Log      *slog.Logger
	// Replica opens an empty embedded engine.
	Replica func() (engine.Engine, error)
	// Through, when set, is where each publication goes through ("publish").
	Through engine.Seam
	// DeadAfter is how long nothing is seen of a relay until its lanes are anybody's; 0: three
	// seconds.
	DeadAfter time.Duration
	// OpenMax is how long opening may wait for the cluster; 0: a minute. Reading takes as long as
	// there is more to be read.
	OpenMax time.Duration
	// Context, when set, ends an opening that waits.
	Context context.Context
	// Credentials are what a .creds file holds; empty: none.
	Credentials []byte
	// TLS, when set, is insisted on.
	TLS *tls.Config
	// Key encrypts what the servers are given; empty: it is not encrypted.
	Key []byte
	// CompareEvery is how often the relay that leads compares the servers' copies; 0: never.
	CompareEvery time.Duration
	// CompareGap is how long two rounds of a comparison lie apart; 0: a twentieth of that, a second at
	// least.
	CompareGap time.Duration
	// MonitorURL is the HTTP monitor of one of the servers; empty: none is looked at.
	MonitorURL string
	// AcceptUnsafe takes what ErrUnsafe says, and warns.
	AcceptUnsafe bool
	// AcceptLoss goes on without events that no node has (ErrHole), and says so.
	AcceptLoss bool
	// ReadOnly follows a stream that is there, and writes nothing: no other relay hears of it.
	ReadOnly bool
}

// Engine is the spool in a stream of JetStream.
type Engine struct {
	committer
	js      jetstream.JetStream
	stream  jetstream.Stream
	replica replica
	crew    crew
	trim    trimmer
	space   space
	cancel  context.CancelFunc
	ended   sync.WaitGroup
	// joined: it has given a sign of life, and quiet ends these.
	joined bool
	quiet  context.CancelFunc
	signs  sync.WaitGroup
}

var _ engine.Shared = (*Engine)(nil)

// openMax is how long a cluster may take to be there.
const openMax = time.Minute

// A server that stands still is left after pingEvery times pingsMax; by default that takes minutes.
const pingEvery, pingsMax = time.Second, 2

// Open connects, makes the stream if there is none, and reads it into the replica. A copy that is
// not whole (ErrHole) is left for another node's, as often as makes it likely that all were tried.
func Open(o Options) (*Engine, error) {
	life := cmp.Or(o.Context, context.Background())
	accept := o.AcceptLoss
	for tries := 1; ; tries++ {
		o.AcceptLoss = accept && tries == openTries
		e, err := openOnce(o)
		if !errors.Is(err, ErrHole) || tries == openTries {
			return e, err
		}
		o.Log.Warn("the stream is read again, from another node if the servers choose one",
			"error", err)
		if !rest(life) {
			return nil, err
		}
	}
}

func openOnce(o Options) (*Engine, error) {
	ctx, cancel := context.WithCancel(context.Background())
	e := &Engine{cancel: cancel, quiet: func() {}}
	us := nuid.Next()
	e.committer = committer{sender: &sender{name: o.Name, author: us, through: o.Through,
		elections: new(elections)}, ctx: ctx, log: o.Log, relay: o.Relay, incarnation: us,
		turns: newTurns()}
	e.saying.changed = make(chan struct{}, 1)
	e.copies = copies.NewWatch(o.CompareEvery, o.CompareGap)
	e.asked.came = make(chan *nats.Msg, questionsMax)
	e.crew.lanes = make(map[record.LaneID]tenure)
	e.follow = newFollower(&follower{name: o.Name, us: us, turns: e.turns, elections: e.elections,
		relays: newRelays(cmp.Or(o.DeadAfter, deadDefault)), replica: &e.replica, trim: &e.trim,
		taken: e.crew.moved, ctx: ctx, log: o.Log})
	e.follow.lookSwept = func(ctx context.Context) (uint64, error) { return sweptTo(ctx, e) }
	seal, err := newSealer(o.Key)
	if err == nil {
		e.seal, e.follow.seal = seal, seal
		err = e.open(o)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) open(o Options) error {
	if o.Context != nil {
		stop := context.AfterFunc(o.Context, e.cancel)
		defer stop()
	}
	o.OpenMax = cmp.Or(o.OpenMax, openMax)
	ctx, deny := context.WithCancelCause(e.ctx)
	defer deny(nil)
	timed, cancel := context.WithTimeout(ctx, o.OpenMax)
	defer cancel()
	err := e.reach(timed, &o, func(err error) {
		e.log.Error("the spool's servers do not let the relay work", "error", err)
		deny(err)
	})
	if err == nil {
		err = e.read(ctx, &o)
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrPermission) {
		err = fmt.Errorf("cannot use stream %q: %w", e.name, cause)
	}
	return err
}

// reach connects, and makes or finds the stream.
func (e *Engine) reach(ctx context.Context, o *Options, denied func(error)) (err error) {
	if e.nc, err = connect(ctx, e.ctx, o, denied); err != nil {
		return err
	}
	e.nc.SetDisconnectErrHandler(func(_ *nats.Conn, err error) { e.silence.lost(err) })
	e.nc.SetReconnectHandler(func(*nats.Conn) { e.follow.reconnected() })
	if e.js, err = jetstream.New(e.nc); err != nil {
		return fmt.Errorf("cannot use JetStream: %w", err)
	}
	if !o.ReadOnly {
		err = e.listen()
	}
	if err = errors.Join(err, e.hearElections()); err != nil {
		return err
	}
	if err = checkServer(ctx, e.nc, e.js); err == nil && o.MonitorURL != "" {
		err = o.checkMonitor(ctx, func(warning error) { e.log.Warn(warning.Error()) })
	}
	if err != nil {
		return fmt.Errorf("cannot use the servers at %s: %w", redact(o.URL), err)
	}
	if e.stream, err = makeStream(ctx, e.js, o); err != nil {
		return err
	}
	if err := e.checkKey(ctx, e.stream, o.ReadOnly); err != nil {
		return fmt.Errorf("cannot use stream %q: %w", o.Name, err)
	}
	return nil
}

// read reads the stream into the replica.
func (e *Engine) read(ctx context.Context, o *Options) error {
	local, err := o.Replica()
	if err != nil {
		return fmt.Errorf("cannot make the replica: %w", err)
	}
	e.replica.Engine = local
	e.follow.stream = e.stream
	e.ended.Go(e.follow.run)
	if o.ReadOnly {
		info, err := within(ctx, o.OpenMax, func(ctx context.Context) (*jetstream.StreamInfo,
			error) {
			return e.stream.Info(ctx)
		})
		if err == nil {
			err = e.follow.catchUp(ctx, info.State.LastSeq, o.OpenMax)
		}
		if err == nil {
			err = e.follow.goLive(ctx, o.AcceptLoss)
		}
		return err
	}
	if err := e.join(ctx, o.OpenMax, o.AcceptLoss); err != nil {
		return fmt.Errorf("cannot use stream %q: %w", e.name, err)
	}
	return nil
}

// within calls the server until it answers, so long at most.
func within[T any](ctx context.Context, most time.Duration,
	call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return again(ctx, call)
}

// join reads the stream, and then lives as one of those that share it. Nothing of that waits for
// longer than most.
func (e *Engine) join(ctx context.Context, most time.Duration, acceptLoss bool) error {
	seq, err := within(ctx, most, func(context.Context) (uint64, error) { return e.mark() })
	if err == nil {
		err = e.follow.catchUp(ctx, seq, most)
	}
	if err == nil {
		err = e.follow.goLive(ctx, acceptLoss)
	}
	if err == nil {
		e.follow.relays.start()
		err = e.nameIsFree(ctx)
	}
	if err == nil {
		err = e.begin() // before the first sign: those of whoever has the name count
	}
	if err == nil {
		seq, err = within(ctx, most, func(context.Context) (uint64, error) { return e.live() })
	}
	if err == nil {
		err = e.follow.catchUp(ctx, seq, most)
	}
	if err != nil {
		return err
	}
	e.follow.heard.take() // whoever opens it reads all that is there
	measure(e)
	live, quiet := context.WithCancel(e.ctx)
	e.joined, e.quiet = true, quiet
	for range answerersMax {
		e.ended.Go(e.answer)
	}
	e.signs.Go(func() { e.giveSigns(live) })
	e.signs.Go(func() { e.goElsewhere(live) })
	watched := &copies.About{Conn: e.nc, Stream: e.stream, Name: e.name, Steady: e.steady(),
		Expiring: e.follow.expiring, Former: e.follow.relays.copies, Log: e.log,
		Leads: func() bool { return e.Owner(record.SpoolItself) == e.relay }}
	e.signs.Go(func() { e.copies.Run(live, watched) })
	e.signs.Go(func() { e.copies.Guard(live, watched) })
	return nil
}
