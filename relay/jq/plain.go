package jq

import (
	"math"
	"strconv"

	"github.com/itchyny/gojq"
	"github.com/valyala/fastjson"
)

// Plain is a program that only looks at values and compares them with literals:
//
//	.a.b == "x"    .n != 3    .a    (.a == "x" or .a == "y") and (.b | not)
//
// It is decided on the parsed payload itself, without the interpreter, and gives what that gives.
type Plain struct {
	op   plainOp
	path string // of a look, the keys joined by NUL, which none of them holds
	keys []string
	with Literal // of plainEqual and plainNot
	a, b *Plain  // of plainAnd and plainOr; a of plainNegate
}

type plainOp uint8

const (
	plainTrue    plainOp = iota + 1 // .a: neither false nor null
	plainEqual                      // .a == literal
	plainDiffers                    // .a != literal
	plainAnd
	plainOr
	plainNegate
)

// Literal is a scalar that can be the key of a map. Two are equal if jq finds them equal.
type Literal struct {
	kind   fastjson.Type
	text   string
	number float64
}

const (
	// keysMax and plainMax bound a Plain: the depth of a path is far below that at which a parsed
	// payload is cut off.
	keysMax  = 64
	plainMax = 64
	// exactMax is below what is an integer of its own as a float64.
	exactMax = 1<<53 - 1
)

// Plain is the program as a Plain, or nil if it is none.
func (p *Program) Plain() *Plain { return p.plain }

// Guard is what begins the program, and without which it gives false: a in a and b. It is the whole
// program if that is plain, and nil if there is none.
func (p *Program) Guard() *Plain { return p.guard }

// plainOf is a query as a Plain, if it is one, and its guard.
func plainOf(q *gojq.Query) (plain, guard *Plain) {
	room := plainMax
	if plain = plainQuery(q, &room); plain != nil {
		return plain, plain
	}
	for len(q.FuncDefs) == 0 {
		switch t := q.Term; {
		case t != nil && t.Type == gojq.TermTypeQuery && len(t.SuffixList) == 0:
			q = t.Query
		case q.Op == gojq.OpAnd:
			q, room = q.Left, plainMax
			if guard = plainQuery(q, &room); guard != nil {
				return nil, guard
			}
		default:
			return nil, nil
		}
	}
	return nil, nil
}

func plainQuery(q *gojq.Query, room *int) *Plain {
	if *room--; *room < 0 || len(q.FuncDefs) > 0 || len(q.Imports) > 0 || len(q.Patterns) > 0 {
		return nil
	}
	if t := q.Term; t != nil {
		if t.Type == gojq.TermTypeQuery && len(t.SuffixList) == 0 {
			return plainQuery(t.Query, room)
		}
		if keys, ok := keysOf(t); ok {
			return look(plainTrue, keys)
		}
		return nil
	}
	switch q.Op {
	case gojq.OpAnd, gojq.OpOr:
		a, b := plainQuery(q.Left, room), plainQuery(q.Right, room)
		if a == nil || b == nil {
			return nil
		}
		if q.Op == gojq.OpAnd {
			return &Plain{op: plainAnd, a: a, b: b}
		}
		return &Plain{op: plainOr, a: a, b: b}
	case gojq.OpPipe:
		return plainNegation(q, room)
	case gojq.OpEq, gojq.OpNe:
		return plainComparison(q)
	}
	return nil
}

// plainNegation takes a | not.
func plainNegation(q *gojq.Query, room *int) *Plain {
	r := q.Right
	if r.Term == nil || r.Term.Type != gojq.TermTypeFunc || r.Term.Func.Name != "not" ||
		len(r.Term.Func.Args) > 0 || len(r.Term.SuffixList) > 0 || len(r.FuncDefs) > 0 {
		return nil
	}
	if a := plainQuery(q.Left, room); a != nil {
		return &Plain{op: plainNegate, a: a}
	}
	return nil
}

func plainComparison(q *gojq.Query) *Plain {
	side, other := q.Left, q.Right
	keys, isPath := queryKeys(side)
	if !isPath {
		side, other = other, side
		if keys, isPath = queryKeys(side); !isPath {
			return nil
		}
	}
	with, ok := literalOf(other)
	if !ok {
		return nil
	}
	p := look(plainEqual, keys)
	if p.with = with; q.Op == gojq.OpNe {
		p.op = plainDiffers
	}
	return p
}

func look(op plainOp, keys []string) *Plain {
	p := &Plain{op: op, keys: keys}
	for _, key := range keys {
		p.path += key + "\x00"
	}
	return p
}

func queryKeys(q *gojq.Query) ([]string, bool) {
	if q.Term == nil || len(q.FuncDefs) > 0 {
		return nil, false
	}
	return keysOf(q.Term)
}

// keysOf takes ., .a, .a.b, .["a"].b.
func keysOf(t *gojq.Term) ([]string, bool) {
	var keys []string
	switch t.Type {
	case gojq.TermTypeIdentity:
	case gojq.TermTypeIndex:
		key, ok := keyOf(t.Index)
		if !ok {
			return nil, false
		}
		keys = append(keys, key)
	default:
		return nil, false
	}
	for _, s := range t.SuffixList {
		if s.Index == nil || len(keys) == keysMax {
			return nil, false
		}
		key, ok := keyOf(s.Index)
		if !ok {
			return nil, false
		}
		keys = append(keys, key)
	}
	return keys, true
}

func keyOf(i *gojq.Index) (string, bool) {
	key, ok := i.Name, true
	switch {
	case i.IsSlice || i.End != nil:
		return "", false
	case i.Str != nil:
		key, ok = i.Str.Str, i.Str.Queries == nil
	case i.Start != nil:
		t := i.Start.Term
		if t == nil || t.Type != gojq.TermTypeString || len(t.SuffixList) > 0 ||
			t.Str.Queries != nil || len(i.Start.FuncDefs) > 0 {
			return "", false
		}
		key = t.Str.Str
	}
	for j := range len(key) {
		ok = ok && key[j] != 0
	}
	return key, ok
}

func literalOf(q *gojq.Query) (Literal, bool) {
	t := q.Term
	if t == nil || len(t.SuffixList) > 0 || len(q.FuncDefs) > 0 {
		return Literal{}, false
	}
	switch t.Type {
	case gojq.TermTypeString:
		return Literal{kind: fastjson.TypeString, text: t.Str.Str}, t.Str.Queries == nil
	case gojq.TermTypeNumber:
		n, err := strconv.ParseFloat(t.Number, 64)
		return Literal{kind: fastjson.TypeNumber, number: n}, err == nil && math.Abs(n) <= exactMax
	case gojq.TermTypeUnary:
		l, ok := literalOf(&gojq.Query{Term: t.Unary.Term})
		if t.Unary.Op == gojq.OpSub {
			l.number = -l.number
		}
		return l, ok && l.kind == fastjson.TypeNumber
	case gojq.TermTypeTrue:
		return Literal{kind: fastjson.TypeTrue}, true
	case gojq.TermTypeFalse:
		return Literal{kind: fastjson.TypeFalse}, true
	case gojq.TermTypeNull:
		return Literal{kind: fastjson.TypeNull}, true
	}
	return Literal{}, false
}

// Look is what a Plain found at a path.
type Look struct {
	// value is nil where nothing is, which is null for jq.
	value *fastjson.Value
	// err: the way leads through what is no object.
	err error
}

// Path names what a Plain looks at first; equal ones find the same.
func (p *Plain) Path() string { return p.first().path }

// Look finds what Path names.
func (p *Plain) Look(v *fastjson.Value) Look { return lookAt(v, p.first().keys) }

// first is the leftmost look: it is made in any case, and what it fails on, the whole fails on.
func (p *Plain) first() *Plain {
	for p.a != nil {
		p = p.a
	}
	return p
}

// Only are the literals of which one must be what Path names, or the program gives false; false:
// there is no such list.
func (p *Plain) Only() ([]Literal, bool) {
	switch p.op {
	case plainEqual:
		return []Literal{p.with}, true
	case plainAnd:
		return p.a.Only()
	case plainOr:
		a, isA := p.a.Only()
		b, isB := p.b.Only()
		if isA && isB && p.a.first().path == p.b.first().path {
			return append(a[:len(a):len(a)], b...), true
		}
	}
	return nil, false
}

// Literal is a scalar that was found as a Literal; false: it is none that equals one of a program.
func (l Look) Literal() (Literal, bool) {
	if l.value == nil {
		return Literal{kind: fastjson.TypeNull}, true
	}
	out := Literal{kind: l.value.Type()}
	switch out.kind {
	case fastjson.TypeObject, fastjson.TypeArray:
		return out, false
	case fastjson.TypeString:
		out.text = string(l.value.GetStringBytes())
	case fastjson.TypeNumber:
		n, err := strconv.ParseFloat(l.value.String(), 64)
		if err != nil || math.Abs(n) > exactMax {
			return out, false
		}
		out.number = n
	}
	return out, true
}

// Err is why there is nothing to be found; nil: there may be. A program that looks fails with it.
func (l Look) Err() error { return l.err }

func lookAt(v *fastjson.Value, keys []string) Look {
	for _, key := range keys {
		switch {
		case v == nil || v.Type() == fastjson.TypeNull:
			return Look{}
		case v.Type() != fastjson.TypeObject:
			return Look{err: fault("expected an object but got: %s", kindOf(v))}
		}
		v = lastOf(v, key)
	}
	return Look{value: v}
}

// lastOf is the value of a key; of equal ones the last one counts.
func lastOf(v *fastjson.Value, key string) (found *fastjson.Value) {
	v.GetObject().Visit(func(k []byte, x *fastjson.Value) {
		if string(k) == key {
			found = x
		}
	})
	return found
}

func kindOf(v *fastjson.Value) string {
	switch v.Type() {
	case fastjson.TypeTrue, fastjson.TypeFalse:
		return "boolean"
	}
	return v.Type().String()
}

// Holds is what the program gives for a value.
func (p *Plain) Holds(v *fastjson.Value) (bool, error) {
	switch p.op {
	case plainAnd, plainOr:
		is, err := p.a.Holds(v)
		if err != nil || is == (p.op == plainOr) {
			return is, err
		}
		return p.b.Holds(v)
	case plainNegate:
		is, err := p.a.Holds(v)
		return err == nil && !is, err
	}
	l := lookAt(v, p.keys)
	if l.err != nil {
		return false, l.err
	}
	if p.op == plainTrue {
		return l.value != nil && l.value.Type() != fastjson.TypeNull &&
			l.value.Type() != fastjson.TypeFalse, nil
	}
	found, scalar := l.Literal()
	return (scalar && found == p.with) == (p.op == plainEqual), nil
}
