package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pullMax is how many messages are asked for at once, and pullBytes how many bytes of them: a
	// server that has 64 MiB for a connection which are not taken yet cuts it off. No message is as
	// large.
	pullMax, pullBytes = 1000, 8 << 20
	// readAhead is how many messages came that are not applied. Each may be a piece of a frame.
	readAhead = 64
	// pullExpiry and pullHeartbeat are how soon a server that has died is noticed.
	pullExpiry, pullHeartbeat = 4 * time.Second, time.Second
	// consumerLife is how long the servers keep a consumer that nobody reads from.
	consumerLife = 30 * time.Second
	// directEvery is how often it is looked for the next message without a consumer.
	directEvery = 20 * time.Millisecond
	// patienceMin is how long an answer is waited for first; a server that is only slow gets longer.
	patienceMin = time.Second
)

// follow applies the stream from where it was, until it cannot be read.
func (f *follower) follow() error {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	select {
	case <-f.cut: // before anything was asked for
	default:
	}
	consumer, err := f.consume(ctx, f.stream)
	if err != nil {
		return err
	}
	f.readsFrom(consumer.CachedInfo())
	msgs, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(pullMax, pullBytes),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return fmt.Errorf("cannot read: %w", err)
	}
	came, ended := make(chan *message, readAhead), make(chan error, 1)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer msgs.Stop()
	defer cancel()
	reading.Go(func() { ended <- forward(ctx, msgs, came) })
	for {
		select {
		case m := <-came:
			if err := f.take(m, len(came) > 0); err != nil {
				return fmt.Errorf("%w: %w", errApply, err)
			}
		case err := <-ended:
			return err
		case <-f.cut:
			return errCut
		}
	}
}

// consume makes a consumer that begins after what is applied. The servers elect somebody who may
// make one, and until then nobody answers; meanwhile the stream is read without one, message by
// message, from whichever node has it.
func (f *follower) consume(ctx context.Context, s jetstream.Stream) (jetstream.Consumer, error) {
	f.forget()
	f.readsFrom(nil)
	from := jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, Replicas: 1,
		MemoryStorage: true, InactiveThreshold: consumerLife}
	if f.applied > 0 {
		from.DeliverPolicy, from.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f.applied+1
	}
	ctx, cancel := context.WithCancel(ctx)
	var consumer jetstream.Consumer
	made := make(chan error, 1)
	var making sync.WaitGroup
	defer making.Wait()
	defer cancel()
	making.Go(func() {
		var err error
		consumer, err = f.newConsumer(ctx, s, from)
		made <- err
	})
	next := f.applied + 1
	timer := time.NewTimer(directEvery)
	defer timer.Stop()
	for {
		select {
		case err := <-made:
			f.forget() // the consumer begins after what is applied
			return consumer, err
		case <-timer.C:
		}
		there, err := f.direct(ctx, s, next)
		if err != nil {
			return nil, err
		}
		if timer.Reset(directEvery); there > 0 {
			timer.Reset(0)
			next = there + 1
		}
	}
}

// newConsumer asks for a consumer until there is one.
func (f *follower) newConsumer(ctx context.Context, s jetstream.Stream,
	from jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	for patience := patienceMin; ; patience = min(2*patience, answerMax) {
		consumer, err := f.tryConsumer(ctx, patience, s, from)
		switch {
		case err == nil:
			return consumer, nil
		case ctx.Err() != nil || !isSilence(err):
			return nil, fmt.Errorf("cannot make a consumer: %w", err)
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

func (f *follower) tryConsumer(ctx context.Context, patience time.Duration, s jetstream.Stream,
	from jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	leader, heard := f.elections.within(ctx)
	defer heard()
	consumer, err := s.CreateConsumer(leader, from)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		err = errElected
	}
	return consumer, err
}

// direct takes the next message, if there is one, and returns its place in the stream.
func (f *follower) direct(ctx context.Context, s jetstream.Stream, next uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, patienceMin)
	defer cancel()
	m, err := s.GetMsg(ctx, next, jetstream.WithGetMsgSubject(f.name+".>"))
	if err != nil {
		return 0, nil // nobody has it, or nobody answers
	}
	if err := f.take(&message{m.Subject, m.Header, m.Data, m.Sequence, m.Time}, false); err != nil {
		return 0, fmt.Errorf("%w: %w", errApply, err)
	}
	return m.Sequence, nil
}

var (
	errGap = errors.New("messages are missing between two that came")
	// errCut: what a server had sent on the old connection may be lost, and if it was the last, none
	// comes that shows the gap.
	errCut = errors.New("the connection is another one")
)

// reconnected hears that the connection is another one.
func (f *follower) reconnected() {
	select {
	case f.cut <- struct{}{}:
	default:
	}
}

// forward hands on what comes, one after the other.
func forward(ctx context.Context, msgs jetstream.MessagesContext, to chan<- *message) error {
	for want := uint64(1); ; want++ {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("cannot place a message: %w", err)
		}
		if meta.Sequence.Consumer != want {
			return errGap
		}
		select {
		case to <- &message{m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream, meta.Timestamp}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
