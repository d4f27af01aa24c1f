package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

const (
	groundStream = "GROUND"
	groundEvents = "g.e."
	// groundChain subjects keep every message, each of which names the one before: what an expected
	// sequence is good for shows in the whole chain.
	groundChain = "g.c."
	// groundState subjects keep the last message only.
	groundState = "g.s."

	groundBatchMax = 64
	groundBodyMax  = 4 << 10
	groundWait     = 2 * time.Second
	// groundPause is how long a publisher waits after it was not answered.
	groundPause = 20 * time.Millisecond
)

// The error codes of a server that refuses a batch for an expected sequence: it differs, or another
// batch with that subject is in flight. Any other error says nothing about what is stored.
const (
	groundDiffers  = 10071
	groundInFlight = 10164
)

// groundLoad is a number of publishers, each with a connection of its own. Each sends one batch
// after the other and notes in the ledger what it was answered.
type groundLoad struct {
	ledger *groundLedger
	stop   func() // more than once does no harm
	over   <-chan struct{}
	done   sync.WaitGroup
}

// groundCounts is what publishers were answered.
type groundCounts struct{ acked, refused, unknown atomic.Int64 }

func (l *groundLedger) startLoad(connect func() *nats.Conn, rng *rand.Rand) *groundLoad {
	ctx, stop := context.WithCancel(context.Background())
	load := &groundLoad{ledger: l, stop: stop, over: ctx.Done()}
	for i := range l.batches {
		p := &groundPublisher{groundLoad: load, id: i, conn: connect(),
			last: make(map[string]uint64), rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
		load.done.Go(p.run)
	}
	return load
}

// end stops the publishers and waits for them. Any number of calls is fine.
func (load *groundLoad) end() {
	load.stop()
	load.done.Wait()
}

type groundPublisher struct {
	*groundLoad
	id   int
	conn *nats.Conn
	rng  *rand.Rand
	last map[string]uint64 // the last sequence of a subject, as far as this one knows
}

func (p *groundPublisher) run() {
	defer p.conn.Close()
	for {
		select {
		case <-p.over:
			return
		default:
		}
		if p.publish() {
			continue
		}
		pause := time.NewTimer(groundPause)
		select {
		case <-p.over:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// publish sends one batch and notes the answer. Two publishers share a chain and a state, so that
// some batches must be refused.
func (p *groundPublisher) publish() bool {
	b := &groundBatch{events: 1, after: p.ledger.answered(p.id)}
	if p.rng.IntN(4) > 0 {
		b.events += p.rng.IntN(groundBatchMax)
		b.chain, b.state = p.rng.IntN(3) == 0, p.rng.IntN(4) == 0
	}
	shared := strconv.Itoa(p.id / 2)
	msgs := make([]*nats.Msg, 0, b.total())
	for range b.events {
		msgs = append(msgs, nats.NewMsg(groundEvents+strconv.Itoa(p.id)))
	}
	for _, subject := range b.expecting(shared) {
		if _, known := p.last[subject]; !known {
			seq, err := lastOf(p.conn, subject)
			if err != nil {
				return false // nothing was sent
			}
			p.last[subject] = seq
		}
		m := nats.NewMsg(subject)
		m.Header.Set("Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(p.last[subject], 10))
		if subject == groundState+shared {
			m.Header.Set("Nats-Rollup", "sub")
		}
		msgs = append(msgs, m)
	}
	number := p.ledger.begin(p.id, b)
	for i, m := range msgs {
		h := groundHead{p.id, number, i, len(msgs), p.last[m.Subject]}
		m.Data = h.body(p.rng)
		p.ledger.bytes.Add(int64(len(m.Data)))
	}
	return p.note(b, shared, msgs)
}

// note sends a batch and writes down how it ended.
func (p *groundPublisher) note(b *groundBatch, shared string, msgs []*nats.Msg) bool {
	seq, err := publishBatch(p.conn, msgs)
	for i, subject := range b.expecting(shared) {
		delete(p.last, subject)
		if err == nil {
			p.last[subject] = seq - uint64(len(msgs)-1-b.events-i)
		}
	}
	var refusal *groundRefusal
	switch {
	case err == nil:
		p.ledger.ack(b, seq)
	case errors.As(err, &refusal) &&
		(refusal.Code == groundDiffers || refusal.Code == groundInFlight):
		b.verdict = groundRefused
		p.ledger.counts.refused.Add(1)
	default:
		p.ledger.counts.unknown.Add(1)
		p.ledger.noteError(err)
	}
	return err == nil
}

// groundHead is the first line of every message.
type groundHead struct {
	publisher, batch, index, total int
	before                         uint64 // the message before on this subject, of a chain
}

// body is the head, text of any length and the sum of both.
func (h groundHead) body(rng *rand.Rand) []byte {
	b := fmt.Appendf(nil, "%d %d %d %d %d\n", h.publisher, h.batch, h.index, h.total, h.before)
	for n := rng.IntN(groundBodyMax); len(b) < n; {
		b = strconv.AppendUint(b, rng.Uint64(), 36)
	}
	return fmt.Appendf(b, "\n%08x", crc32.ChecksumIEEE(b))
}

// readHead reads a message back. The sum of one that was changed is wrong.
func readHead(b []byte) (h groundHead, err error) {
	const sumBytes = 9
	if len(b) < sumBytes {
		return h, errors.New("too short")
	}
	text, sum := b[:len(b)-sumBytes], string(b[len(b)-sumBytes+1:])
	if want := fmt.Sprintf("%08x", crc32.ChecksumIEEE(text)); sum != want {
		return h, fmt.Errorf("sum %s, not %s", sum, want)
	}
	_, err = fmt.Sscanf(string(text), "%d %d %d %d %d\n", &h.publisher, &h.batch, &h.index,
		&h.total, &h.before)
	return h, err
}

// groundRefusal is an error that a server answers.
type groundRefusal struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *groundRefusal) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Description) }

// publishBatch publishes messages as one atomic batch, a single one as it is, and returns the last
// sequence.
func publishBatch(conn *nats.Conn, msgs []*nats.Msg) (uint64, error) {
	if len(msgs) > 1 {
		id := nuid.Next()
		for i, m := range msgs {
			m.Header.Set("Nats-Batch-Id", id)
			m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
			if i == len(msgs)-1 {
				m.Header.Set("Nats-Batch-Commit", "1")
			} else if err := conn.PublishMsg(m); err != nil {
				return 0, err
			}
		}
	}
	answer, err := conn.RequestMsg(msgs[len(msgs)-1], groundWait)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Error *groundRefusal `json:"error"`
		Seq   uint64         `json:"seq"`
		Count int            `json:"count"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return 0, fmt.Errorf("answer %q: %w", answer.Data, err)
	}
	switch {
	case ack.Error != nil:
		return 0, ack.Error
	case ack.Seq < uint64(len(msgs)) || len(msgs) > 1 && ack.Count != len(msgs):
		return 0, fmt.Errorf("answer %q for %d messages", answer.Data, len(msgs))
	}
	return ack.Seq, nil
}

// lastOf asks the leader for the last sequence of a subject; 0: it has no message.
func lastOf(conn *nats.Conn, subject string) (uint64, error) {
	answer, err := conn.Request("$JS.API.STREAM.MSG.GET."+groundStream,
		fmt.Appendf(nil, `{"last_by_subj":%q}`, subject), groundWait)
	if err != nil {
		return 0, err
	}
	var got struct {
		Error *struct {
			groundRefusal
			Status int `json:"code"`
		} `json:"error"`
		Message struct {
			Seq uint64 `json:"seq"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return 0, err
	}
	if got.Error != nil && got.Error.Status != 404 {
		return 0, &got.Error.groundRefusal
	}
	return got.Message.Seq, nil
}
