// Package conversation tells what is known of one conversation: its state, and what happened in it,
// from the events that are kept.
package conversation

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/session"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// ErrCursor: what is to be gone on with is not the next of an answer.
var ErrCursor = errors.New("no cursor")

// What an event did.
const (
	opened    = "opened"
	activated = "activated"
)

// Source is where a conversation is told from.
type Source struct {
	Spool  look.Source
	Config *config.Session
	// Memory must forget.
	Memory session.Memory
	Now    time.Time
	// Picking bounds the page.
	Picking look.Picking
}

// Tell makes one page; next is the sequence at which the one after it begins, 0 after the last. The
// first one begins two windows before what is asked for: only then is it known which state those
// events found. ErrCursor: q.After is none.
func Tell(s *Source, q admin.ConversationQuery) (_ admin.Conversation, next uint64, err error) {
	window := s.Config.Window
	if q.Since.IsZero() {
		q.Since = s.Now.Add(-2 * window)
	}
	names := session.Names(s.Config, q.Key)
	t := &teller{q: &q, story: &session.Story{Window: window},
		finder: session.NewFinder(s.Config, s.Memory, names), keys: make(map[string]bool)}
	from := uint64(0)
	if q.After != "" {
		if from, t.story, err = resume(q.After, window); err != nil {
			return t.out, 0, err
		}
	}
	known := latestOf(s, names)
	t.story.Anchor = known.Opened
	next, err = look.Read(s.Spool, look.Upward{From: from, Since: q.Since.Add(-2 * window),
		Picking: s.Picking}, t.visit)
	if err != nil {
		return t.out, 0, err
	}
	if next > 0 {
		t.out.Next = strconv.FormatUint(next, 10) + "@" + t.story.String()
	}
	t.recall(s, &known, names)
	return t.out, next, nil
}

// resume reads the cursor of a page.
func resume(after string, window time.Duration) (uint64, *session.Story, error) {
	at, story, _ := strings.Cut(after, "@")
	from, err := strconv.ParseUint(at, 10, 64)
	s, ok := session.ParseStory(story, window)
	if err != nil || !ok || from == 0 {
		return 0, nil, ErrCursor
	}
	return from, s, nil
}

// teller makes a page.
type teller struct {
	q      *admin.ConversationQuery
	finder *session.Finder
	story  *session.Story
	parser fastjson.Parser
	keys   map[string]bool
	out    admin.Conversation
}

// visit takes one event of the log, unless the page is full.
func (t *teller) visit(e *spool.Event) bool {
	in := accept.Inspect(e.ContentType(), e.Payload(), &t.parser)
	talk, ok := t.finder.Find(e.Type(), in.Data)
	if !ok {
		return true
	}
	if len(t.out.Timeline) >= t.q.Limit {
		return false
	}
	step := t.story.Next(talk.Side, e.At)
	if e.At.Before(t.q.Since) {
		return true
	}
	for _, key := range talk.Keys {
		t.keys[strings.Clone(key)] = true
	}
	m := admin.Moment{At: e.At.UTC(), ID: strings.Clone(e.ID()), Type: strings.Clone(e.Type()),
		Side: sideText(talk.Side), Session: e.Session.String(), Until: orNil(step.Until),
		Differs: e.Session != step.State}
	switch {
	case step.Opened:
		m.What = opened
	case step.Activated:
		m.What = activated
	}
	t.out.Timeline = append(t.out.Timeline, m)
	return true
}

// latestOf is what is known of the conversation that one of some names stands for: of that of which
// something happened last.
func latestOf(s *Source, names []string) (known session.Known) {
	for _, name := range names {
		k := session.Recall(s.Memory, name, s.Now, s.Config.Window)
		if known.Root == "" || latest(k).After(latest(known)) {
			known = k
		}
	}
	return known
}

// recall adds what is known now, and the keys.
func (t *teller) recall(s *Source, known *session.Known, names []string) {
	for _, name := range names {
		k := session.Recall(s.Memory, name, s.Now, s.Config.Window)
		if k.Root != name || !latest(k).IsZero() {
			t.keys[name], t.keys[k.Root] = true, true
		}
	}
	t.out.Key, t.out.State = known.Root, known.State.String()
	t.out.OpenedAt, t.out.LastUserAt = orNil(known.Opened), orNil(known.LastUser)
	t.out.Until = orNil(known.Until(s.Now, s.Config.Window))
	t.out.Keys = slices.Sorted(maps.Keys(t.keys))
}

func latest(k session.Known) time.Time {
	if k.Opened.After(k.LastUser) {
		return k.Opened
	}
	return k.LastUser
}

func sideText(s session.Side) string {
	switch s {
	case session.SideBusiness:
		return "business"
	case session.SideUser:
		return "user"
	}
	return ""
}

func orNil(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}
