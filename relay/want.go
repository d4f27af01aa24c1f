package relay

import (
	"sync"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/session"
	"github.com/hookspool/hookspool/spool"
)

// Who gets an event is decided here and nowhere else, in two stages. The first one, on the
// goroutine that accepts, looks at what does not change: the targets of the setup of that moment,
// and the event's type. It pins both into the draft. The second one, in commit order, brings the
// session of the conversation up to date, and lets the targets' session filters have their say.
// Explaining asks the same functions.
//
// A reload between the stages changes nothing for an event: it is as if the event had come before.
// A target that is paused meanwhile holds the delivery, and one that was removed has it as an
// orphan. Its lane is there: forgetting a target waits for the events that were judged while the
// config had it (accept.Rules.Settle).

// refuser is what keeps an event from a target; none: the target gets it.
type refuser string

const (
	byEvents  refuser = "events"   // no pattern of the target's events matches
	byStatus  refuser = "disabled" // the config disables the target
	bySession refuser = "session"  // it wants sessions in another state
)

// verdict says whether a target gets an event, and what decided that.
type verdict struct {
	target *config.Target
	// pattern is the first of the target's events that matches the type.
	pattern config.Pattern
	// matched: there is a pattern, which may be empty.
	matched bool
	// refusedBy is empty when nothing refuses, as far as was looked.
	refusedBy refuser
}

// judge is the first stage of a verdict.
func judge(t *config.Target, typ string) verdict {
	v := verdict{target: t, refusedBy: byEvents}
	for _, p := range t.Events {
		if p.Match(typ) {
			v.pattern, v.matched, v.refusedBy = p, true, ""
			break
		}
	}
	if v.matched && t.Status == config.StatusDisabled {
		v.refusedBy = byStatus
	}
	return v
}

// settle is the second stage: s is the state of the event's session. One without a conversation
// passes every filter.
func (v verdict) settle(s spool.Session) verdict {
	if v.refusedBy == "" && (v.target.Session == "active" && s == spool.SessionInactive ||
		v.target.Session == "inactive" && s == spool.SessionActive) {
		v.refusedBy = bySession
	}
	return v
}

// fanout judges for the targets of one setup. It is built from a config and never changes.
type fanout struct {
	cfg   *config.Config
	lanes []spool.LaneID // of cfg.Targets; nil: nothing is delivered, as when a config is explained
	// known remembers what the first stage said of a type, because an app has few types and may have
	// many targets: an event nobody wants costs the same with 1 target and with 1,000. Types that
	// come after knownMax are judged each time.
	knownMu sync.RWMutex // guards known
	known   map[string]*wanted
}

// knownMax bounds the types that are remembered; a stranger may send a new one each time.
const knownMax = 4096

// wanted is what the first stage pins into a draft. It never changes.
type wanted struct {
	by *fanout
	// verdicts are those that nothing has refused yet, lanes their lanes.
	verdicts []verdict
	lanes    []spool.LaneID
	// talk is what the event says of its conversation; without keys there is none.
	talk session.Talk
}

func newFanout(cfg *config.Config, lanes []spool.LaneID) *fanout {
	return &fanout{cfg: cfg, lanes: lanes, known: make(map[string]*wanted)}
}

// Judge is part of accept.Judge: the first stage. It leaves a *wanted, or nothing if nobody wants
// the event whatever its session, and there is none to keep.
func (f *fanout) Judge(d *spool.Draft, in accept.Inside) {
	w := f.wantedOf(d.Type)
	if t := session.Read(&f.cfg.Session, d.Type, in); len(t.Keys) > 0 {
		d.Note = &wanted{by: f, verdicts: w.verdicts, lanes: w.lanes, talk: t}
	} else if len(w.verdicts) > 0 {
		d.Note = w
	}
}

// wantedOf is what the first stage says of a type. What it returns is shared.
func (f *fanout) wantedOf(typ string) *wanted {
	f.knownMu.RLock()
	w := f.known[typ]
	f.knownMu.RUnlock()
	if w != nil {
		return w
	}
	w = &wanted{by: f}
	for i := range f.cfg.Targets {
		if v := judge(&f.cfg.Targets[i], typ); v.refusedBy == "" {
			w.verdicts, w.lanes = append(w.verdicts, v), append(w.lanes, f.lanes[i])
		}
	}
	f.knownMu.Lock()
	defer f.knownMu.Unlock()
	if len(f.known) < knownMax {
		f.known[typ] = w
	}
	return w
}

// decide is the second stage. The spool calls it in commit order, for every new event.
func decide(v *spool.View, d *spool.Draft) {
	w, ok := d.Note.(*wanted)
	if !ok {
		return // nobody wants it; only its id is remembered
	}
	if len(w.talk.Keys) > 0 {
		d.Session = session.Apply(v, &w.talk, d.At, w.by.cfg.Session.Window)
	}
	for i := range w.verdicts {
		if w.verdicts[i].settle(d.Session).refusedBy == "" {
			d.Owe(w.lanes[i])
		}
	}
}

// hearing is a Judge that keeps the first stage's verdict over every target, for an explanation.
type hearing struct {
	f        *fanout
	verdicts []verdict
	talk     session.Talk
}

// Judge is part of accept.Judge.
func (h *hearing) Judge(d *spool.Draft, in accept.Inside) {
	h.verdicts = nil
	for i := range h.f.cfg.Targets {
		h.verdicts = append(h.verdicts, judge(&h.f.cfg.Targets[i], d.Type))
	}
	h.talk = session.Read(&h.f.cfg.Session, d.Type, in)
}
