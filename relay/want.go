package relay

import (
	"encoding/binary"
	"sync"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/filter"
	"github.com/hookspool/hookspool/relay/jq"
	"github.com/hookspool/hookspool/relay/session"
	"github.com/hookspool/hookspool/relay/unwanted"
	"github.com/hookspool/hookspool/spool"
)

// Who gets an event is decided here and nowhere else, in two stages. The first one, on the
// goroutine that accepts, looks at what does not change: the targets of the setup of that moment,
// and the event's type. It pins both into the draft. The second one, in commit order, brings the
// session of the conversation up to date, and lets the targets' session filters have their say.
// Explaining asks the same functions.
//
// What a target's where says is part of the first stage, which has the payload: a program runs
// there once, and if it asks for the session, which only the second stage knows, once for each
// state that the session may be in.
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
	byWhere   refuser = "where"    // its program does not hold
	bySession refuser = "session"  // it wants sessions in another state
)

// verdict says whether a target gets an event, and what decided that.
type verdict struct {
	target *config.Target
	// pattern is the first of the target's events that matches the type.
	pattern config.Pattern
	// matched: there is a pattern, which may be empty.
	matched bool
	// in are the states of the session in which the target's where holds.
	in filter.States
	// refusedBy is empty when nothing refuses, as far as was looked.
	refusedBy refuser
}

// judge is the first stage of a verdict.
func judge(t *config.Target, typ string) verdict {
	v := verdict{target: t, refusedBy: byEvents, in: filter.Always}
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
	if v.refusedBy == "" && !v.in.Has(s) {
		v.refusedBy = byWhere
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
	knownMu sync.RWMutex // guards known and sets
	known   map[string]*wanted
	// programs are those of the targets; nil: none has one. Equal texts are one program.
	programs []*jq.Program
	// sets are what is made of them, by the targets that are in it.
	sets map[string]*filter.Set
	// complain is told of a program that failed on an event; nil: nobody wants to know.
	complain func(t *config.Target, d *spool.Draft, err error)
}

// knownMax bounds the types that are remembered; a stranger may send a new one each time.
const knownMax = 4096

// wanted is what the first stage pins into a draft. It never changes.
type wanted struct {
	by *fanout
	// verdicts are those that nothing has refused yet, lanes their lanes.
	verdicts []verdict
	lanes    []spool.LaneID
	// set decides which of the verdicts hold, by what is in the payload; nil: all do.
	set *filter.Set
	// talk is what the event says of its conversation; without keys there is none.
	talk session.Talk
}

func newFanout(cfg *config.Config, lanes []spool.LaneID) *fanout {
	f := &fanout{cfg: cfg, lanes: lanes, known: make(map[string]*wanted),
		sets: make(map[string]*filter.Set)}
	texts := make(map[string]*jq.Program)
	for i := range cfg.Targets {
		text := cfg.Targets[i].Where
		if text == "" {
			continue
		}
		if texts[text] == nil {
			texts[text] = mustProgram(text)
		}
		if f.programs == nil {
			f.programs = make([]*jq.Program, len(cfg.Targets))
		}
		f.programs[i] = texts[text]
	}
	return f
}

// transformOf is the program of a target's transform; nil: it has none.
func transformOf(t *config.Target) *jq.Program {
	if t.Transform == "" {
		return nil
	}
	return mustProgram(t.Transform)
}

// mustProgram compiles what the config has found to be a program.
func mustProgram(text string) *jq.Program {
	p, err := jq.Compile(text)
	if err != nil {
		panic("BUG: the config took what is no program: " + err.Error())
	}
	return p
}

// Judge is part of accept.Judge: the first stage. It leaves a *wanted, or nothing if nobody wants
// the event whatever its session, and there is none to keep.
func (f *fanout) Judge(d *spool.Draft, in accept.Inside) {
	w := f.wantedOf(d.Type)
	t := session.Read(&f.cfg.Session, d.Type, in.Data)
	if w.set != nil {
		w = f.sift(w, d, in, statesOf(t))
	}
	if len(t.Keys) > 0 {
		d.Note = &wanted{by: f, verdicts: w.verdicts, lanes: w.lanes, talk: t}
	} else if len(w.verdicts) > 0 {
		d.Note = w
	}
}

// statesOf are the states that the session of an event may be in once it is applied.
func statesOf(t session.Talk) filter.States {
	if len(t.Keys) == 0 {
		return filter.Of(spool.SessionNone)
	}
	return filter.Of(spool.SessionInactive, spool.SessionActive)
}

// sift leaves the verdicts that a payload lets hold.
func (f *fanout) sift(w *wanted, d *spool.Draft, in accept.Inside, states filter.States) *wanted {
	hits := w.set.Wanted(&filter.Event{Draft: d, Payload: in, In: states})
	out := &wanted{by: f}
	if len(hits) > 0 {
		out.verdicts = make([]verdict, len(hits))
		out.lanes = make([]spool.LaneID, len(hits))
	}
	for i, hit := range hits {
		v := w.verdicts[hit.Index]
		v.in = hit.In
		out.verdicts[i], out.lanes[i] = v, w.lanes[hit.Index]
		if hit.Err != nil && f.complain != nil {
			f.complain(v.target, d, hit.Err)
		}
	}
	return out
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
	var programs []*jq.Program
	var key []byte // which targets they are
	some := false
	for i := range f.cfg.Targets {
		v := judge(&f.cfg.Targets[i], typ)
		if v.refusedBy != "" {
			continue
		}
		w.verdicts, w.lanes = append(w.verdicts, v), append(w.lanes, f.lanes[i])
		if f.programs != nil {
			programs, key = append(programs, f.programs[i]), binary.AppendUvarint(key, uint64(i))
			some = some || f.programs[i] != nil
		}
	}
	f.knownMu.Lock()
	defer f.knownMu.Unlock()
	if some {
		w.set = f.setLocked(string(key), programs)
	}
	if len(f.known) < knownMax {
		f.known[typ] = w
	}
	return w
}

// setLocked is the set of some targets' programs; knownMu is held. Types that the same targets want
// share one, or a stranger's types would fill the memory with them.
func (f *fanout) setLocked(key string, programs []*jq.Program) *filter.Set {
	set := f.sets[key]
	if set == nil {
		set = filter.NewSet(programs)
		if len(f.sets) < knownMax {
			f.sets[key] = set
		}
	}
	return set
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

// noteUnwanted remembers an event that no target wants, with what judged it.
func noteUnwanted(m *unwanted.Memory, f *fanout, d *spool.Draft) {
	e := unwanted.Event{ID: d.ID, Type: d.Type, ContentType: d.ContentType, At: d.At,
		Session: d.Session, Bytes: len(d.Payload), By: f}
	held := 0
	if w, ok := d.Note.(*wanted); ok {
		e.Left = w
		held = wantedBytes + len(w.talk.Keys)*session.KeyBytesMax
		if f.programs != nil { // else its verdicts are shared
			held += len(w.verdicts) * verdictBytes
		}
	}
	m.Note(e, held)
}

const (
	wantedBytes  = 160 // about what a *wanted takes
	verdictBytes = 72  // and one verdict in it, with its lane
)

// unwantedBy are the verdicts over an event that no target wanted.
func unwantedBy(e *unwanted.Event) []verdict {
	f, ok := e.By.(*fanout)
	if !ok {
		return nil
	}
	left := make(map[*config.Target]verdict)
	if w, ok := e.Left.(*wanted); ok {
		for _, v := range w.verdicts {
			left[v.target] = v
		}
	}
	out := make([]verdict, len(f.cfg.Targets))
	for i := range f.cfg.Targets {
		v := judge(&f.cfg.Targets[i], e.Type)
		if kept, is := left[v.target]; is {
			v = kept.settle(e.Session)
		} else if v.refusedBy == "" {
			v.refusedBy = byWhere
		}
		out[i] = v
	}
	return out
}

// hearing is a Judge that keeps the first stage's verdict over every target, for an explanation.
type hearing struct {
	f        *fanout
	verdicts []verdict
	talk     session.Talk
	// notJSON: the payload is none. failures are those of the programs, by target.
	notJSON  bool
	failures map[string]error
}

// Judge is part of accept.Judge.
func (h *hearing) Judge(d *spool.Draft, in accept.Inside) {
	h.verdicts, h.failures = nil, make(map[string]error)
	h.talk = session.Read(&h.f.cfg.Session, d.Type, in.Data)
	e := filter.Event{Draft: d, Payload: in, In: filter.Always}
	_, isJSON := in.JSON(d.Payload, new(fastjson.Parser))
	h.notJSON = !isJSON
	for i := range h.f.cfg.Targets {
		v := judge(&h.f.cfg.Targets[i], d.Type)
		if v.refusedBy == "" && v.target.Where != "" {
			v.in = 0
			for _, hit := range filter.NewSet(h.f.programs[i : i+1]).Wanted(&e) {
				v.in, h.failures[v.target.Name] = hit.In, hit.Err
			}
		}
		h.verdicts = append(h.verdicts, v)
	}
}
