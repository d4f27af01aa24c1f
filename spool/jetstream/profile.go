package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/engine"
)

var (
	// ErrProfile: the servers, or the stream, cannot keep a spool as it is to be kept.
	ErrProfile = errors.New("it is not safe for a spool")
	// ErrVersion is the ErrProfile of a server that is too old.
	ErrVersion = fmt.Errorf("%w: the server is too old", ErrProfile)
	// ErrForeign is the ErrProfile of a stream that no spool is in.
	ErrForeign = fmt.Errorf("%w: it is somebody else's", ErrProfile)
	// ErrRoom: a new stream has no room at the servers, or more than the account may take.
	ErrRoom = errors.New("the servers have no room for a stream of spool.max_size")
	// ErrUnsafe is the ErrProfile that Options.AcceptUnsafe accepts.
	ErrUnsafe = fmt.Errorf("%w: what is acknowledged may be lost", ErrProfile)
)

// A server before 2.15 syncs each message by itself where it is to sync always, and loses
// acknowledged ones in a compaction.
const majorMin, minorMin = 2, 15

// checkVersion refuses a server that is too old.
func checkVersion(version string) error {
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			return -1
		}
		return n
	}
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	if number(major) > majorMin || number(major) == majorMin && number(minor) >= minorMin {
		return nil
	}
	return fmt.Errorf("%w: it is version %q; %d.%d or newer is needed", ErrVersion, version, majorMin,
		minorMin)
}

// replicasDefault outlive one of them with a majority.
const replicasDefault = 3

// wanted is the stream of a spool.
func wanted(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: o.Name, Subjects: []string{o.Name + ".>"},
		Description: "the spool of hookspool",
		Replicas:    cmp.Or(o.Replicas, replicasDefault), Storage: jetstream.FileStorage,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxBytes: cmp.Or(o.MaxBytes, -1), AllowRollup: true, AllowAtomicPublish: true,
		AllowMsgTTL: true, AllowDirect: true}
}

// makeStream makes the stream, or finds it and looks whether it is fit.
func makeStream(ctx context.Context, js jetstream.JetStream, o *Options) (jetstream.Stream, error) {
	s, err := again(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		s, err := js.Stream(ctx, o.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) && !o.ReadOnly {
			return js.CreateStream(ctx, wanted(*o))
		}
		return s, err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = engine.ErrNoSpool
	}
	if err == nil {
		err = o.fits(s.CachedInfo().Config, func(unsafe error) {
			o.Log.Warn("the stream is not safe for a spool, and is taken as accept_unsafe says",
				"stream", o.Name, "reason", unsafe)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use stream %q: %w", o.Name, explain(err))
	}
	if !o.ReadOnly {
		widen(ctx, js, s.CachedInfo().Config, o)
	}
	return s, nil
}

// widen lets the stream take more bytes, if it is to. That others may not is told by their own
// limit, which the relay keeps; a stream is never made smaller.
func widen(ctx context.Context, js jetstream.JetStream, is jetstream.StreamConfig, o *Options) {
	most := wanted(*o).MaxBytes
	if is.MaxBytes <= 0 || most > 0 && most <= is.MaxBytes {
		return
	}
	is.MaxBytes = most
	once, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	if _, err := js.UpdateStream(once, is); err != nil {
		o.Log.Warn("cannot give the stream more room; it goes on with what it has", "stream", o.Name,
			"max_bytes", most, "error", err)
	}
}

// fits refuses a stream as checkStream does, and tells of what is accepted.
func (o *Options) fits(is jetstream.StreamConfig, accepted func(error)) error {
	want := wanted(*o)
	if o.AcceptUnsafe && is.Replicas < replicasDefault {
		accepted(fmt.Errorf("%w: it has replicas %d", ErrUnsafe, is.Replicas))
		want.Replicas = min(want.Replicas, is.Replicas)
	}
	return checkStream(is, want)
}

// checkServer refuses a server that no spool can be kept by.
func checkServer(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) error {
	if err := checkVersion(nc.ConnectedServerVersion()); err != nil {
		return err
	}
	if enabled, _ := nc.ConnectedServerJetStream(); enabled {
		return nil
	}
	// Others of its cluster may have it.
	_, err := again(ctx, func(ctx context.Context) (*jetstream.AccountInfo, error) {
		return js.AccountInfo(ctx)
	})
	return explain(err)
}

// explain is an error of JetStream in our words.
func explain(err error) error {
	var answer *jetstream.APIError
	switch {
	case err == nil:
	case isRoom(err):
		return fmt.Errorf("%w: %w", ErrRoom, err)
	case errors.As(err, &answer) && answer.ErrorCode == noCluster:
		return fmt.Errorf("%w: the server is alone: %w", ErrUnsafe, err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled),
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%w: %w", ErrNoJetStream, err)
	case isSilence(err):
		return fmt.Errorf("%w: JetStream does not answer: %w", engine.ErrUnavailable, err)
	}
	return err
}

// checkStream refuses a stream that is somebody else's, or that would lose something.
func checkStream(is, want jetstream.StreamConfig) error {
	var wrong []string
	f := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, what)
		}
	}
	if len(is.Subjects) != 1 || is.Subjects[0] != want.Subjects[0] {
		return fmt.Errorf("%w: its subjects are %q and not %q", ErrForeign, is.Subjects, want.Subjects)
	}
	f(is.Storage == want.Storage, "it is in memory and not in files")
	f(is.Retention == want.Retention, "its retention is not by limits")
	f(is.Discard == want.Discard, "it discards old messages when it is full (--discard=new)")
	f(is.MaxAge == 0, "it forgets messages by their age (--max-age=0)")
	f(is.MaxMsgs <= 0, "it forgets messages by their number (--max-msgs=-1)")
	f(is.MaxMsgsPerSubject <= 0, "it forgets messages of a subject (--max-msgs-per-subject=-1)")
	f(is.AllowRollup && !is.DenyPurge, "a message cannot replace others (--allow-rollup)")
	f(is.AllowAtomicPublish, "it takes no atomic batches (--allow-batch)")
	f(is.AllowMsgTTL, "its messages cannot expire (--allow-msg-ttl)")
	f(is.Mirror == nil && len(is.Sources) == 0, "it is a copy of other streams")
	f(!is.Sealed, "it is sealed")
	why := ErrProfile
	if is.Replicas < want.Replicas {
		if len(wrong) == 0 {
			why = ErrUnsafe
		}
		wrong = append(wrong, fmt.Sprintf("it has replicas %d; %d are needed (nats stream edit "+
			"--replicas)", is.Replicas, want.Replicas))
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", why, strings.Join(wrong, "; "))
	}
	return nil
}

// again calls the server until it answers: one without a leader says nothing at all, or that it is
// not available now. An answer of another kind is an answer.
func again[T any](ctx context.Context, call func(context.Context) (T, error)) (v T, err error) {
	var said error // the last answer of a server
	for {
		once, cancel := context.WithTimeout(ctx, answerMax)
		v, err = call(once)
		cancel()
		var answer *jetstream.APIError
		if errors.As(err, &answer) {
			said = err
		}
		if ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
			err = cmp.Or(said, err)
		}
		if err == nil || ctx.Err() != nil || !isSilence(err) {
			return v, err
		}
		timer := time.NewTimer(againAfter)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// noCluster says that a stream cannot be on several servers.
const noCluster jetstream.ErrorCode = 10074

// noPeers says that a node which is wanted for a stream is away, or not yet there.
const noPeers jetstream.ErrorCode = 10005

// noStorage and overAccount say that a stream may not be as large as it is to be.
const (
	noStorage   jetstream.ErrorCode = 10047
	overAccount jetstream.ErrorCode = 10002
)

// isRoom reports that a new stream has no room, which a server that is away might have.
func isRoom(err error) bool {
	var answer *jetstream.APIError
	return errors.As(err, &answer) && (answer.ErrorCode == noStorage ||
		answer.ErrorCode == overAccount || answer.ErrorCode == noPeers &&
		strings.Contains(answer.Description, "insufficient storage") &&
		!strings.Contains(answer.Description, "offline"))
}

// isSilence reports an error that says that nobody can answer now.
func isSilence(err error) bool {
	var answer *jetstream.APIError
	if isRoom(err) {
		return false
	}
	if errors.As(err, &answer) {
		return answer.ErrorCode == noPeers || answer.Code == http.StatusServiceUnavailable &&
			!errors.Is(err, jetstream.ErrJetStreamNotEnabled) &&
			!errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
	}
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.Code == http.StatusServiceUnavailable
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrConnectionReconnecting) ||
		errors.Is(err, nats.ErrDisconnected)
}

// errUnchecked: no relay has begun the stream.
var errUnchecked = errors.New("the stream has no first message")

// firstMessage reads what a stream begins with. errUnchecked: there is none, or a server that is
// behind has answered.
func firstMessage(ctx context.Context, s jetstream.Stream, subject string) ([]byte, error) {
	m, err := again(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.GetLastMsgForSubject(ctx, subject)
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, errUnchecked
	}
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

// lastHeaderOfAll expects that a stream has so many messages.
const lastHeaderOfAll = "Nats-Expected-Last-Sequence"

// checkKey begins the stream with a message by which a wrong key is known, or reads it. A stream of
// others that has none is one that is not encrypted.
func (s *sender) checkKey(ctx context.Context, stream jetstream.Stream, readOnly bool) error {
	subject := s.subject(checkSubject)
	for tries := 0; ; tries++ {
		data, err := firstMessage(ctx, stream, subject)
		if err == nil {
			return s.seal.checks(data)
		}
		if !errors.Is(err, errUnchecked) {
			return explain(err)
		}
		if tries >= checkTries && s.seal != nil {
			return s.seal.checks([]byte(plainCheck))
		}
		if readOnly && s.seal == nil {
			return nil
		}
		if !readOnly {
			m := nats.NewMsg(subject)
			m.Data = s.seal.check()
			expect(m, subject, 0)
			if s.seal != nil {
				m.Header[lastHeaderOfAll] = []string{"0"}
			}
			if _, err = s.send(ctx, m); err == nil {
				return nil
			}
			if isFinal(err) && !isConflict(err) {
				return fmt.Errorf("cannot begin it: %w", err)
			}
		}
		if !rest(ctx) {
			return explain(err)
		}
	}
}

// checkTries bound how long a server may be behind with the first message of a stream.
const checkTries = 50
