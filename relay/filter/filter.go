// Package filter decides by the programs of many targets who wants an event.
//
// What is equal is decided once, and most programs are not even looked at: those that begin with a
// comparison (.a.b == "x", or that and more) stand in a map by path and literal, so that one look
// at the payload finds the few that may hold. What is no more than looks and comparisons is decided
// on the payload as the relay has parsed it anyway; for the rest the payload is read once more, for
// all of them. On one field 1,000 targets, each with a literal of its own, cost an event what one
// costs, 0.15 µs; a first program for the interpreter costs 8 µs, each other one 2
// (BenchmarkWanted).
package filter

import (
	"cmp"
	"context"
	"slices"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/jq"
	"github.com/hookspool/hookspool/spool"
)

// States are a set of states that the session of an event may be in.
type States uint8

// Always is all of them.
const Always = States(1<<spool.SessionNone | 1<<spool.SessionInactive | 1<<spool.SessionActive)

// Of is the set of some states.
func Of(list ...spool.Session) (s States) {
	for _, state := range list {
		s |= 1 << state
	}
	return s
}

// Has reports whether a state is in the set.
func (s States) Has(state spool.Session) bool { return s>>state&1 != 0 }

// Payload is what an event holds.
type Payload interface {
	// JSON is the whole of it as JSON, read by the parser if it was not read yet; false: it is none.
	JSON(payload []byte, p *fastjson.Parser) (*fastjson.Value, bool)
}

// Event is what a program sees of an event.
type Event struct {
	Draft *spool.Draft
	// Payload is the draft's. One that is not JSON, nobody wants who has a program.
	Payload Payload
	// In are the states that the event's session may be in; that is decided later.
	In States
}

// Hit is a target that wants an event.
type Hit struct {
	Index int
	In    States // the states of the event's session in which it does
	// Err is why its program failed; then the event counts as wanted.
	Err error
}

// Set is the programs of a list of targets. It never changes, and is safe for concurrent use.
type Set struct {
	free     []int // targets without a program
	programs []program
	paths    []pathIndex
	rest     []int // of programs, those that stand in no index
	parsers  fastjson.ParserPool
}

// program is one that one target has, or several.
type program struct {
	*jq.Program
	plain   *jq.Plain // nil: it is one for the interpreter
	guard   *jq.Plain // what it begins with, if that is plain; nil: it is not
	targets []int
}

// pathIndex holds the programs that compare what is at one path first.
type pathIndex struct {
	look *jq.Plain // one of them
	all  []int
	by   map[jq.Literal][]int
}

// NewSet makes the set of the programs of targets, in their order; nil is none. Equal ones have one
// address.
func NewSet(of []*jq.Program) *Set {
	s := new(Set)
	known := make(map[*jq.Program]int)
	for i, p := range of {
		if p == nil {
			s.free = append(s.free, i)
			continue
		}
		at, ok := known[p]
		if !ok {
			at = len(s.programs)
			known[p] = at
			s.programs = append(s.programs, program{Program: p, plain: p.Plain(), guard: p.Guard()})
		}
		s.programs[at].targets = append(s.programs[at].targets, i)
	}
	paths := make(map[string]int)
	for i := range s.programs {
		s.index(i, paths)
	}
	return s
}

// index puts a program where it is found.
func (s *Set) index(i int, paths map[string]int) {
	guard := s.programs[i].guard
	var only []jq.Literal
	if guard != nil {
		only, _ = guard.Only()
	}
	if len(only) == 0 {
		s.rest = append(s.rest, i)
		return
	}
	at, ok := paths[guard.Path()]
	if !ok {
		at = len(s.paths)
		paths[guard.Path()] = at
		s.paths = append(s.paths, pathIndex{look: guard, by: make(map[jq.Literal][]int)})
	}
	x := &s.paths[at]
	x.all = append(x.all, i)
	for _, literal := range only {
		if list := x.by[literal]; len(list) == 0 || list[len(list)-1] != i {
			x.by[literal] = append(list, i)
		}
	}
}

// Wanted are the targets that want an event in one of its states, in their order.
func (s *Set) Wanted(e *Event) []Hit {
	p := s.parsers.Get()
	defer s.parsers.Put(p)
	r := run{Event: e, set: s}
	if value, ok := e.Payload.JSON(e.Draft.Payload, p); ok {
		r.value = value
		for i := range s.paths {
			r.path(&s.paths[i])
		}
		for _, i := range s.rest {
			r.decide(&s.programs[i])
		}
		slices.SortFunc(r.hits, func(a, b Hit) int { return cmp.Compare(a.Index, b.Index) })
	}
	if len(s.free) == 0 {
		return r.hits
	}
	all := make([]Hit, 0, len(r.hits)+len(s.free))
	for _, i := range s.free {
		for len(r.hits) > 0 && r.hits[0].Index < i {
			all, r.hits = append(all, r.hits[0]), r.hits[1:]
		}
		all = append(all, Hit{Index: i, In: e.In})
	}
	return append(all, r.hits...)
}

// run is one event's way through a set.
type run struct {
	*Event
	set   *Set
	value *fastjson.Value
	hits  []Hit
	// parsed is the payload for the interpreter, once it is needed.
	parsed  any
	failure error
	read    bool
	vars    jq.Vars
}

// path decides the programs of an index.
func (r *run) path(x *pathIndex) {
	found := x.look.Look(r.value)
	if err := found.Err(); err != nil {
		for _, i := range x.all {
			r.hit(&r.set.programs[i], r.In, err)
		}
		return
	}
	if literal, ok := found.Literal(); ok {
		for _, i := range x.by[literal] {
			r.decide(&r.set.programs[i])
		}
	}
}

func (r *run) hit(p *program, in States, err error) {
	for _, i := range p.targets {
		r.hits = append(r.hits, Hit{i, in, err})
	}
}

// decide runs a program, in each state if it asks for that.
func (r *run) decide(p *program) {
	if p.plain != nil {
		if is, err := p.plain.Holds(r.value); is || err != nil {
			r.hit(p, r.In, err)
		}
		return
	}
	if p.guard != nil {
		if is, err := p.guard.Holds(r.value); !is {
			if err != nil {
				r.hit(p, r.In, err)
			}
			return
		}
	}
	if !p.UsesSession() {
		if is, err := r.interpret(p, spool.SessionNone); is || err != nil {
			r.hit(p, r.In, err)
		}
		return
	}
	var in States
	var failed error
	for state := spool.SessionNone; state <= spool.SessionActive; state++ {
		if !r.In.Has(state) {
			continue
		}
		is, err := r.interpret(p, state)
		if is || err != nil {
			in |= Of(state)
		}
		failed = cmp.Or(failed, err)
	}
	if in != 0 {
		r.hit(p, in, failed)
	}
}

// interpret runs a program in one state.
func (r *run) interpret(p *program, state spool.Session) (bool, error) {
	if !r.read {
		r.read = true
		r.parsed, r.failure = jq.Parse(r.Draft.Payload)
		r.vars = jq.Vars{Type: r.Draft.Type, ID: r.Draft.ID}
	}
	if r.failure != nil {
		return false, r.failure
	}
	if p.UsesHeaders() && r.vars.Headers == nil {
		r.vars.Headers = Headers(r.Draft.ContentType, r.Draft.Headers)
	}
	r.vars.Session = state.String()
	result, ok, err := p.First(context.Background(), r.parsed, &r.vars)
	return ok && result != nil && result != false, err
}

// Headers are those of an event as programs see them: what is kept with it, and its content type.
func Headers(contentType string, list []spool.Header) map[string]any {
	all := make(map[string]any, len(list)+1)
	if contentType != "" {
		all["content-type"] = contentType
	}
	for _, h := range list {
		all[h.Name] = h.Value
	}
	return all
}
