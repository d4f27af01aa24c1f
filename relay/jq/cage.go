package jq

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"
)

// stepMax bounds what one step of a program may make of a number: the bytes of a string that is
// repeated, the index of an item, and the bits of a product. A payload has far less.
const stepMax = 1 << 20

// pairsMax bounds the values that one step compares with each other, each with each.
const pairsMax = 1 << 22

// The functions that stand in for what jq does without a limit. A program cannot name them, since
// names that begin with two underscores are refused.
const (
	guardTimes = "__times" // __times(a; b): a * b
	guardNear  = "__near"  // . as it is, if it is no index or path to far away
	guardBrief = "__brief" // . as it is, if it is no text with a number that is too long
	guardMinus = "__minus" // __minus(a; b): a - b
	guardFew   = "__few"   // __few(a): . as it is, if it and a are not too large to be compared
	guardValue = "$__by"   // of a *= b, a -= b and contains(b)
)

// cage goes over what was parsed, notes what it uses and refuses, and puts the guards in.
type cage struct {
	uses          map[string]bool
	defines       map[string]bool // functions of the program's own
	word, refused string          // the first that was refused, and the message; empty: none
}

// lock is for the root.
func (c *cage) lock(q *gojq.Query) {
	c.uses, c.defines = map[string]bool{}, map[string]bool{}
	if len(q.Imports) > 0 || q.Meta != nil {
		c.refuse("import", "a program has no modules")
	}
	c.walk(reflect.ValueOf(q), c.define)
	c.walk(reflect.ValueOf(q), c.visit)
}

// define notes a function of the program's own, which needs no guard, and may not bear it.
func (c *cage) define(node any) {
	if def, ok := node.(*gojq.FuncDef); ok {
		c.defines[def.Name] = true
	}
}

func (c *cage) refuse(word, message string) {
	if c.refused == "" {
		c.word, c.refused = word, message
	}
}

// walk visits whatever hangs below a node, and then the node.
func (c *cage) walk(v reflect.Value, visit func(node any)) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		c.walk(v.Elem(), visit)
		visit(v.Interface())
	case reflect.Struct:
		for i := range v.NumField() {
			c.walk(v.Field(i), visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.walk(v.Index(i), visit)
		}
	}
}

func (c *cage) visit(node any) {
	switch n := node.(type) {
	case *gojq.Func:
		c.call(n)
	case *gojq.Term:
		if n.Func != nil && !c.defines[n.Func.Name] {
			if guarded := guard(n.Func); guarded != nil {
				n.Type, n.Func, n.Query = gojq.TermTypeQuery, nil, guarded
			}
		}
	case *gojq.FuncDef:
		c.name(n.Name)
	case *gojq.Pattern:
		c.name(n.Name)
	case *gojq.Index:
		if !n.IsSlice && n.Start != nil {
			n.Start = c.index(n.Start)
		}
	case *gojq.Query:
		c.operator(n)
	}
}

// name refuses the names of the guards.
func (c *cage) name(name string) {
	if strings.HasPrefix(strings.TrimPrefix(name, "$"), "__") && name != "$__loc__" {
		c.refuse(name, "names that begin with two underscores are hookspool's own")
	}
}

// call notes a variable or function, and guards the paths that it is given.
func (c *cage) call(f *gojq.Func) {
	c.uses[f.Name] = true
	c.name(f.Name)
	if what := reaches(f.Name); what != "" {
		c.refuse(f.Name, fmt.Sprintf("%s is not here: a program sees one event, and not %s",
			f.Name, what))
	}
	switch f.Name {
	case "setpath", "getpath":
		if len(f.Args) > 0 {
			f.Args[0] = then(f.Args[0], called(guardNear))
		}
	}
}

// reaches is what a function reaches that is out of the cage; empty: nothing.
func reaches(name string) string {
	switch name {
	case "$ENV", "env":
		return "the environment"
	case "input", "inputs":
		return "other events"
	case "input_filename", "input_line_number", "modulemeta", "get_search_list":
		return "files"
	case "debug", "stderr":
		return "the log"
	case "now":
		return "the clock"
	case "localtime", "strflocaltime":
		return "this machine's time zone"
	case "halt", "halt_error":
		return "the process"
	case "fromstream":
		return "steps without a limit"
	}
	return ""
}

// index guards what stands between the brackets of an item, unless it is written there.
func (c *cage) index(q *gojq.Query) *gojq.Query {
	if t := q.Term; t != nil && len(t.SuffixList) == 0 {
		switch t.Type {
		case gojq.TermTypeString:
			return q
		case gojq.TermTypeNumber:
			if n, err := strconv.ParseFloat(t.Number, 64); err != nil || n > stepMax {
				c.refuse(t.Number, fmt.Sprintf("an index is at most %d", stepMax))
			}
			return q
		}
	}
	return then(q, called(guardNear))
}

// guard is what stands for the call of a function that needs one; nil: it does not.
func guard(f *gojq.Func) *gojq.Query {
	switch f.Name {
	case "tonumber", "fromjson":
		if len(f.Args) == 0 {
			return then(called(guardBrief), called(f.Name))
		}
	case "contains", "inside", "indices", "index", "rindex":
		if len(f.Args) == 1 {
			by := called(guardValue)
			return bound(f.Args[0], then(called(guardFew, by), called(f.Name, by)))
		}
	}
	return nil
}

// operator guards a * b, a - b, a *= b and a -= b.
func (c *cage) operator(q *gojq.Query) {
	name := guardTimes
	if q.Op == gojq.OpSub || q.Op == gojq.OpUpdateSub {
		name = guardMinus
	}
	var guarded *gojq.Query
	switch q.Op {
	case gojq.OpMul, gojq.OpSub:
		guarded = called(name, q.Left, q.Right)
	case gojq.OpUpdateMul, gojq.OpUpdateSub:
		here := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeIdentity}}
		guarded = bound(q.Right, &gojq.Query{Op: gojq.OpModify, Left: q.Left,
			Right: called(name, here, called(guardValue))})
	default:
		return
	}
	guarded.Meta, guarded.Imports, guarded.FuncDefs = q.Meta, q.Imports, q.FuncDefs
	*q = *guarded
}

// bound is a as $__by | b.
func bound(a, b *gojq.Query) *gojq.Query {
	return &gojq.Query{Op: gojq.OpPipe, Left: a,
		Patterns: []*gojq.Pattern{{Name: guardValue}}, Right: b}
}

func called(name string, args ...*gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc,
		Func: &gojq.Func{Name: name, Args: args}}}
}

// then is a | b.
func then(a, b *gojq.Query) *gojq.Query {
	return &gojq.Query{Op: gojq.OpPipe, Left: a, Right: b}
}

// brief is __brief.
func brief(v any, _ []any) any {
	s, _ := v.(string)
	digits := 0
	for i := range len(s) {
		if digits++; s[i] < '0' || s[i] > '9' {
			digits = 0
		}
		if digits > digitsMax {
			return fmt.Errorf("a number has at most %d digits", digitsMax)
		}
	}
	return v
}

// near is __near.
func near(v any, _ []any) any {
	if far(v, 2) {
		return fmt.Errorf("an index is at most %d, not %s", stepMax, gojq.Preview(v))
	}
	return v
}

// far reports whether a number is beyond the limit, or one in the paths of a list.
func far(v any, deep int) bool {
	if list, ok := v.([]any); ok && deep > 0 {
		for _, item := range list {
			if far(item, deep-1) {
				return true
			}
		}
		return false
	}
	n, ok := gojq.ToFloat64(v)
	return ok && n > stepMax
}

// times is __times. The usual numbers do not go through another program.
func times(product *gojq.Code) func(any, []any) any {
	return func(_ any, args []any) any {
		a, b := args[0], args[1]
		x, isX := a.(int)
		y, isY := b.(int)
		if isX && isY && small(x) && small(y) {
			return x * y
		}
		if bits(a)+bits(b) > stepMax {
			return fmt.Errorf("a product has at most %d bits", stepMax)
		}
		if s, n, ok := repeats(a, b); ok && n > 0 && float64(len(s))*n > stepMax {
			return fmt.Errorf("a string times a number has at most %d bytes, not %d times %s",
				stepMax, len(s), gojq.Preview(n))
		}
		v, _ := product.Run(nil, a, b).Next()
		return v
	}
}

// minus is __minus.
func minus(difference *gojq.Code) func(any, []any) any {
	return func(_ any, args []any) any {
		a, b := args[0], args[1]
		x, isX := a.(int)
		y, isY := b.(int)
		if isX && isY && small(x) && small(y) {
			return x - y
		}
		if _, is := a.([]any); is && !few(a, b) {
			return errMany()
		}
		v, _ := difference.Run(nil, a, b).Next()
		return v
	}
}

// fewOnly is __few.
func fewOnly(v any, args []any) any {
	if !few(v, args[0]) {
		return errMany()
	}
	return v
}

func errMany() error {
	return fmt.Errorf("two lists are too long to be compared, each item with each")
}

// few reports whether what is in two values can be compared, each with each.
func few(a, b any) bool {
	n := items(a, pairsMax)
	return n*items(b, pairsMax/n) <= pairsMax
}

// items is how many values there are in one, itself included. It stops when that is more than
// enough.
func items(v any, enough int) int {
	n := 1
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if n += items(item, enough-n); n > enough {
				break
			}
		}
	case map[string]any:
		for _, item := range v {
			if n += items(item, enough-n); n > enough {
				break
			}
		}
	}
	return n
}

// bits is how many bits a large integer has.
func bits(v any) int {
	if n, ok := v.(*big.Int); ok {
		return n.BitLen()
	}
	return 0
}

func small(n int) bool { return n > math.MinInt32 && n < math.MaxInt32 }

// repeats reports that one of two is a string, and the other one a number.
func repeats(a, b any) (string, float64, bool) {
	if s, ok := b.(string); ok {
		a, b = s, a
	}
	s, ok := a.(string)
	if !ok {
		return "", 0, false
	}
	if big, ok := b.(*big.Int); ok && big.BitLen() > 64 {
		return s, math.Inf(big.Sign()), true
	}
	n, ok := gojq.ToFloat64(b)
	return s, n, ok
}
