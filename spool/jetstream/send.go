package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookspool/hookspool/spool/engine"
)

// sender publishes into the stream.
type sender struct {
	nc      *nats.Conn
	name    string // of the spool
	author  string // what the names of this relay's batches begin with, and no other's
	batches atomic.Uint64
	through engine.Seam
	silence silence
	// elections of the stream's leader; the follower hears of them as well.
	elections *elections
	seal      *sealer
}

func (s *sender) subject(below string) string { return s.name + "." + below }

// headRoom is what headers take of a message.
const headRoom = 4 << 10

// pieceBytes is at most what one message takes of a frame. Servers take 1 MiB unless told
// otherwise.
const pieceBytes = 512 << 10

// pieceMax is how much of a frame one message takes.
func (s *sender) pieceMax() int { return min(pieceBytes, int(s.nc.MaxPayload())-headRoom) }

// answerMax is how long an answer may take. A leader is elected within that.
const answerMax = 5 * time.Second

// batch is an atomic batch in the making. What its relay has written is its last message.
type batch struct {
	s    *sender
	msgs []*nats.Msg
	// next is the message that the next check of a fence rides with.
	next int
	// events are among what it writes: whoever is refused them can come again.
	events bool
	// ordered: it was planned on all that others have written in this way, up to the head planned.
	ordered bool
	planned uint64
	// head and writer are there once it is complete.
	head, writer *nats.Msg
	number       uint64 // of its last try
}

// ownMessages are those that a batch has besides what it is to write: the head and the writer.
const ownMessages = 2

// add adds a message. replaces: it takes the place of the one before it with that subject.
func (b *batch) add(below string, data []byte, replaces bool) *nats.Msg {
	below, data = b.s.seal.wrap(below, data)
	m := nats.NewMsg(b.s.subject(below))
	m.Data = data
	if replaces {
		m.Header[rollupHeader] = []string{"sub"}
	}
	b.msgs = append(b.msgs, m)
	return m
}

// expect lets the batch be stored only while the last message of a subject is the one that was
// seen.
func expect(m *nats.Msg, subject string, seen uint64) {
	m.Header[expectedHeader] = []string{strconv.FormatUint(seen, 10)}
	if subject != m.Subject {
		m.Header[expectedOfHeader] = []string{subject}
	}
}

// guard lets the batch be stored only while a lane's fence is the one that was seen. A message can
// carry one check.
func (b *batch) guard(below string, seen uint64) {
	if b.next == len(b.msgs) {
		b.add(guardSubject, nil, true)
	}
	expect(b.msgs[b.next], b.s.subject(below), seen)
	b.next++
}

// verdict is the server's answer to a batch.
type verdict struct {
	Error *refusal `json:"error"`
	Seq   uint64   `json:"seq"`
}

// refusal is an error of the server.
type refusal struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (r *refusal) Error() string { return fmt.Sprintf("%s (%d)", r.Description, r.ErrCode) }

// The server's numbers of refusals.
const (
	wrongLastSequence       = 10071
	wrongLastSequenceFlight = 10164 // another batch with such a check is on its way
	accountResources        = 10002
	insufficientResources   = 10023
	storeFailed             = 10077 // also: the stream has as many bytes as it may have
)

// isConflict reports that another relay was first.
func isConflict(err error) bool {
	var r *refusal
	return errors.As(err, &r) &&
		(r.ErrCode == wrongLastSequence || r.ErrCode == wrongLastSequenceFlight)
}

// isUnderWay reports that another batch has the same check, and nobody knows yet which is stored.
func isUnderWay(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.ErrCode == wrongLastSequenceFlight
}

// isFull reports that the stream may hold no more.
func isFull(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.ErrCode {
	case insufficientResources, accountResources:
		return true
	}
	return r.ErrCode == storeFailed && strings.Contains(r.Description, "maximum bytes")
}

// isFinal reports a refusal that will be the same the next time.
func isFinal(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.Code >= http.StatusBadRequest &&
		r.Code < http.StatusInternalServerError
}

// send publishes messages as one atomic batch and returns the sequence of the last in the stream.
// An error that is no refusal says nothing about whether they are stored, or will be.
func (s *sender) send(ctx context.Context, msgs ...*nats.Msg) (seq uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin(msgs))
	defer cancel()
	leader, heard := s.elections.within(ctx)
	defer heard()
	done := s.silence.asks()
	err = s.through.Do("publish", func() (err error) {
		seq, err = s.publish(leader, msgs)
		return err
	})
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		err = errElected
	}
	done(err)
	return seq, err
}

// answerBytes is how many bytes a second the servers may be expected to store.
const answerBytes = 1 << 20

// answerWithin is how long the answer to messages may take.
func answerWithin(msgs []*nats.Msg) time.Duration {
	bytes := 0
	for _, m := range msgs {
		bytes += len(m.Data)
	}
	return answerMax + time.Duration(bytes)*time.Second/answerBytes
}

func (s *sender) publish(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	last := len(msgs) - 1
	if last > 0 {
		id := s.author + strconv.FormatUint(s.batches.Add(1), 36)
		for i, m := range msgs {
			m.Header[batchHeader] = []string{id}
			m.Header[batchPlaceHeader] = []string{strconv.Itoa(i + 1)}
			if i == last {
				m.Header[batchCommitHeader] = []string{"1"}
				break
			}
			if err := s.nc.PublishMsg(m); err != nil {
				return 0, fmt.Errorf("cannot publish: %w", err)
			}
		}
	}
	answer, err := s.nc.RequestMsgWithContext(ctx, msgs[last])
	if err != nil {
		return 0, fmt.Errorf("cannot publish: %w", err)
	}
	var v verdict
	if err := json.Unmarshal(answer.Data, &v); err != nil {
		return 0, fmt.Errorf("cannot read the server's answer: %w", err)
	}
	if v.Error != nil {
		return 0, v.Error
	}
	return v.Seq, nil
}
