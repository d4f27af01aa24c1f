package jetstream

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookspool/hookspool/spool/engine"
)

const (
	// askMax is how long an answer may take if whoever asks has no deadline.
	askMax = 10 * time.Second
	// answerBytesMax bounds an answer. What the servers do not take in one message comes in pieces.
	answerBytesMax = 4 << 20
	// answerersMax questions are answered at once, questionsMax wait for that.
	answerersMax = 8
	questionsMax = 1024
)

// Headers of questions and answers.
const (
	waitHeader  = "Hs-Wait"  // how long the question waits, in milliseconds
	pieceHeader = "Hs-Piece" // which piece of an answer it is, from 0
	faultHeader = "Hs-Fault" // why there is no answer
)

// askSubject is where a relay is asked. It is not one of the stream.
func (s *sender) askSubject(relay string) string {
	return crewSubject + s.name + ".ask." + base64.RawURLEncoding.EncodeToString([]byte(relay))
}

// Ask is part of engine.Shared. What does not fit into one message is refused, and so is an answer
// of more than 4 MiB. A ctx without a deadline gets one of ten seconds.
func (c *committer) Ask(ctx context.Context, relay string, question []byte) ([]byte, error) {
	answer, err := c.ask(ctx, relay, question)
	if err != nil {
		return nil, fmt.Errorf("cannot ask relay %q: %w", relay, err)
	}
	return answer, nil
}

func (c *committer) ask(ctx context.Context, relay string, question []byte) ([]byte, error) {
	if most := int(c.nc.MaxPayload()) - headRoom; len(question) > most {
		return nil, fmt.Errorf("the question has %d bytes; the servers take %d", len(question), most)
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askMax)
		defer cancel()
	}
	until, _ := ctx.Deadline()
	m := nats.NewMsg(c.askSubject(relay))
	m.Data, m.Reply = question, c.nc.NewInbox()
	m.Header[waitHeader] = []string{strconv.FormatInt(time.Until(until).Milliseconds(), 10)}
	answers, err := c.nc.SubscribeSync(m.Reply)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := c.nc.PublishMsg(m); err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
	}
	var answer []byte
	for n := 0; ; n++ {
		piece, err := answers.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrNoResponders) {
			return nil, fmt.Errorf("%w: it is not there", engine.ErrUnavailable)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
		}
		if fault := piece.Header.Get(faultHeader); fault != "" {
			return nil, fmt.Errorf("%w: %s", engine.ErrUnavailable, fault)
		}
		if piece.Header.Get(pieceHeader) != strconv.Itoa(n) {
			return nil, fmt.Errorf("%w: a piece of its answer is missing", engine.ErrUnavailable)
		}
		answer = append(answer, piece.Data...)
		if piece.Header.Get(moreHeader) == "" {
			return answer, nil
		}
	}
}

// questions are what other relays ask of this one.
type questions struct {
	once  sync.Once
	came  chan *nats.Msg // from the client, which drops what does not fit
	reply atomic.Pointer[func(ctx context.Context, question []byte) []byte]
}

// Answer is part of engine.Shared.
func (c *committer) Answer(answer func(ctx context.Context, question []byte) []byte) {
	c.asked.reply.Store(&answer)
	c.asked.once.Do(func() {
		if _, err := c.nc.ChanSubscribe(c.askSubject(c.relay), c.asked.came); err != nil {
			c.log.Error("this relay cannot be asked by others", "error", err)
		}
	})
}

// answer answers one question after the other until the engine is closed.
func (c *committer) answer() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case m := <-c.asked.came:
			if err := c.answerOne(m); err != nil {
				c.log.Debug("another relay gets no answer", "error", err)
			}
		}
	}
}

func (c *committer) answerOne(m *nats.Msg) error {
	wait := askMax
	if ms, err := strconv.ParseInt(m.Header.Get(waitHeader), 10, 32); err == nil {
		wait = time.Duration(ms) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(c.ctx, wait)
	defer cancel()
	answer := (*c.asked.reply.Load())(ctx, m.Data)
	if len(answer) > answerBytesMax {
		r := nats.NewMsg(m.Reply)
		r.Header[faultHeader] = []string{fmt.Sprintf("its answer has %d bytes; %d at most", len(answer),
			answerBytesMax)}
		return c.nc.PublishMsg(r)
	}
	for n, most := 0, c.pieceMax(); ; n++ {
		r := nats.NewMsg(m.Reply)
		r.Header[pieceHeader] = []string{strconv.Itoa(n)}
		r.Data = answer[:min(len(answer), most)]
		if answer = answer[len(r.Data):]; len(answer) > 0 {
			r.Header[moreHeader] = []string{"1"}
		}
		if err := c.nc.PublishMsg(r); err != nil || len(answer) == 0 {
			return err
		}
	}
}

// turns lets relays that write at once do so one after the other. Whoever was second says so, and
// the others let it go first before they plan more: otherwise the one that is faster by a little
// would be first every time. It is advice, and saves time only; the head decides.
type turns struct {
	mu sync.Mutex // guards below
	// wants are the relays that were second, by their incarnations, with the head that they had
	// planned on; heads are those that they were seen to write last.
	wants, heads map[string]uint64
}

func newTurns() *turns {
	return &turns{wants: make(map[string]uint64), heads: make(map[string]uint64)}
}

// turnMax is how long a relay is waited for: longer than most need to plan again.
const turnMax = 100 * time.Millisecond

// authorBytes is how long an incarnation is, with which the names of a relay's batches begin.
const authorBytes = 22

// turnSubject is where those say so that were second. It is not one of the stream.
func (s *sender) turnSubject() string { return crewSubject + s.name + ".turn" }

// crewSubject is what the subjects begin with that relays talk on to each other.
const crewSubject = "_HOOKSPOOL."

// listen hears of those that were second.
func (c *committer) listen() error {
	_, err := c.nc.Subscribe(c.turnSubject(), func(m *nats.Msg) {
		var by string
		var head uint64
		_, err := fmt.Sscanf(string(m.Data), "%22s %d", &by, &head)
		if err == nil && by != c.incarnation {
			c.turns.want(by, head)
		}
	})
	if err != nil {
		return fmt.Errorf("cannot hear other relays: %w", err)
	}
	return nil
}

// second says that this relay was second. Nobody hears it if the connection is down.
func (c *committer) second(head uint64) {
	_ = c.nc.Publish(c.turnSubject(), fmt.Appendf(nil, "%s %d", c.incarnation, head))
}

func (t *turns) want(by string, head uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if head >= t.heads[by] { // otherwise it has written meanwhile
		t.wants[by] = head
	}
}

// wrote hears that a relay has replaced the head.
func (t *turns) wrote(by string, head uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heads[by] = head
	if planned, wants := t.wants[by]; wants && head > planned {
		delete(t.wants, by)
	}
}

func (t *turns) wanted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.wants) > 0
}

// passBy forgets those that did not come.
func (t *turns) passBy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.wants)
}
