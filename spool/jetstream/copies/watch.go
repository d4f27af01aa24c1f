package copies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/engine"
)

const (
	// gapShare of the time between two comparisons lies between two rounds of one, and gapMin at
	// least: what is late for a moment must not last for a verdict.
	gapShare = 20
	gapMin   = time.Second
	// moveSeldom is how often another node is asked to take the place of one.
	moveSeldom = time.Hour
	// failsMax is how many comparisons fail until somebody is told.
	failsMax = 10
)

// Watch compares the copies again and again, keeps one that lacks messages from leading, since a
// node that catches up from it would lose what it lacks, and lets another node take its place if
// there is one without a copy. Make one with NewWatch; its methods may be called at once.
type Watch struct {
	every, gap time.Duration
	elected    chan struct{} // has a token once the stream has another leader
	known      known
	// Of the goroutine of Run: how many comparisons have failed in a row, and when a node was last
	// asked to go, by name.
	fails int
	moved map[string]time.Time
}

// About is what a Watch watches.
type About struct {
	Conn   *nats.Conn
	Stream jetstream.Stream
	Name   string // of the stream
	// Steady are as in Options; Expiring is that of Options now.
	Steady   []string
	Expiring func() int64
	// Leads: this relay watches for all. Former is what the one before it has known; nil: nothing.
	Leads  func() bool
	Former func() *engine.Copies
	Log    *slog.Logger
}

// NewWatch makes one that compares so often; 0: never. gap is how long two rounds lie apart; 0: as
// long as becomes every.
func NewWatch(every, gap time.Duration) *Watch {
	if gap == 0 {
		gap = max(every/gapShare, gapMin)
	}
	return &Watch{every: every, gap: gap, elected: make(chan struct{}, 1),
		moved: make(map[string]time.Time)}
}

// Elected tells it that the stream has another leader.
func (w *Watch) Elected() {
	select {
	case w.elected <- struct{}{}:
	default:
	}
}

// Told is what others are to know; nil: nothing, because this relay does not lead, or has not
// looked yet.
func (w *Watch) Told() *engine.Copies { return w.known.told() }

// Run compares until ctx ends.
func (w *Watch) Run(ctx context.Context, a *About) {
	if w.every == 0 {
		return
	}
	timer := time.NewTimer(w.every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if a.Leads() {
			w.known.inherits(a.Former())
			w.look(ctx, a)
		} else {
			w.known.forget()
		}
		timer.Reset(w.every)
	}
}

// Guard keeps copies that lack messages from leading, whenever there is another leader, until ctx
// ends.
func (w *Watch) Guard(ctx context.Context, a *About) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.elected:
			w.keepFromLeading(ctx, a)
		}
	}
}

// look compares the copies once, says what is new, and does what can be done about it.
func (w *Watch) look(ctx context.Context, a *About) {
	w.keepFromLeading(ctx, a)
	c, err := Compare(ctx, Options{Stream: a.Stream, Steady: a.Steady, Expiring: a.Expiring(),
		Gap: w.gap})
	if err != nil {
		a.Log.Debug("the servers' copies of the spool's stream cannot be compared", "error", err)
		if w.fails++; w.fails == failsMax && ctx.Err() == nil {
			a.Log.Warn("the servers' copies of the spool's stream cannot be compared", "tries", w.fails,
				"error", err)
		}
		return
	}
	w.fails = 0
	found, whole := w.known.hears(&c, time.Now())
	for _, s := range found {
		a.Log.Error("a server's copy of the spool's stream lacks messages, though the server says that "+
			"it is current; while another one leads nothing is lost", "server", s.Node,
			"missing", s.Missing, "leads", s.Leads, "doubtful", s.Doubtful)
	}
	for _, s := range whole {
		a.Log.Info("a server's copy of the spool's stream lacks nothing any more", "server", s.Node)
	}
	w.keepFromLeading(ctx, a)
	if node := w.known.toReplace(); node != "" && a.Leads() {
		w.replace(ctx, a, node, time.Now())
	}
}

// keepFromLeading lets another node lead if one does whose copy lacks messages, as far as is known.
// If several do, nobody knows whether it is the others that keep what was deleted.
func (w *Watch) keepFromLeading(ctx context.Context, a *About) {
	told := w.Told()
	if told == nil || len(told.Short) != 1 || !a.Leads() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	info, err := a.Stream.Info(ctx)
	if err != nil || info.Cluster == nil || told.Short[0].Node != info.Cluster.Leader {
		return
	}
	next := ""
	for _, node := range info.Cluster.Replicas {
		if !node.Offline && w.known.isFit(node.Name) {
			next = node.Name
		}
	}
	if next == "" {
		return // there is nobody to lead but it
	}
	type placement struct {
		Preferred string `json:"preferred"`
	}
	err = a.manage(ctx, "STREAM.LEADER.STEPDOWN", struct {
		Placement placement `json:"placement"`
	}{placement{next}})
	if err != nil {
		a.Log.Warn("a server leads the spool's stream whose copy lacks messages, and cannot be kept "+
			"from it", "server", info.Cluster.Leader, "error", err)
		return
	}
	a.Log.Warn("a server whose copy of the spool's stream lacks messages does not lead it any more",
		"server", info.Cluster.Leader, "next", next)
}

// replace lets another node take the place of one whose copy lacks messages. That stays until the
// other one has everything, or, if that is away, until the rest can do without both. There must be
// a node that has none of the stream.
func (w *Watch) replace(ctx context.Context, a *About, node string, now time.Time) {
	if at, ok := w.moved[node]; ok && now.Sub(at) < moveSeldom {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	err := a.manage(ctx, "STREAM.PEER.EVACUATE", struct {
		Peer string `json:"peer"`
	}{node})
	var answer *jetstream.APIError
	switch {
	case err == nil:
		w.moved[node] = now
		a.Log.Warn("another server takes the place of one whose copy of the spool's stream lacks "+
			"messages", "server", node)
	case errors.As(err, &answer) && answer.ErrorCode == noReplacement:
		w.moved[node] = now
		a.Log.Error("no other server can take the place of one whose copy of the spool's stream lacks "+
			"messages: empty its store_dir while it is stopped", "server", node)
	default:
		a.Log.Warn("no other server is asked to take the place of one whose copy of the spool's stream "+
			"lacks messages; it is tried again", "server", node, "error", err)
	}
}

// noReplacement says that there is no node to take the place of another one.
const noReplacement jetstream.ErrorCode = 10075

// manage asks the servers to do something about the stream.
func (a *About) manage(ctx context.Context, what string, request any) error {
	data, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("cannot write a request: %w", err)
	}
	m, err := a.Conn.RequestWithContext(ctx, "$JS.API."+what+"."+a.Name, data)
	if err != nil {
		return err
	}
	var answer struct {
		Success bool                `json:"success"`
		Error   *jetstream.APIError `json:"error"`
	}
	switch err = json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return fmt.Errorf("cannot read the answer of a server: %w", err)
	case answer.Error != nil:
		return answer.Error
	case !answer.Success:
		return errors.New("the server did not do it")
	}
	return nil
}
