// Package jq runs the programs of a config: which events a target gets, what of them, and in which
// order. The language is jq, as github.com/itchyny/gojq speaks it, in a cage:
//
//   - A program sees the payload of one event as its input, and $type, $id, $session and $headers.
//     It sees nothing else: not the environment, not a file, no other event, no clock. The same
//     event gives the same result, today and at the 144th attempt. So env, input, debug, now,
//     localtime, halt, import and their like are faults when it is compiled.
//   - It has Limit of time. A program that never ends, or never ends with results, is stopped.
//   - Memory is bounded by the time, since no step makes much more than what is there. The steps of
//     jq that would, or that take long, are held to sense: a string times a number, an index far
//     beyond the end of its array, an integer of a thousand digits, lists of which each item is
//     compared with each. A single step is not interrupted.
//   - Numbers are kept as they are written, however many digits they have, until something is
//     computed with them; an integer is computed with exactly.
package jq

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/itchyny/gojq"
)

// TextMax is how many bytes a program may have.
const TextMax = 64 << 10

// variables are those of a program, in the order in which gojq gets their values.
func variables() []string { return []string{"$type", "$id", "$session", "$headers"} }

// Program is a compiled program. It never changes, and is safe for concurrent use.
type Program struct {
	text    string
	code    *gojq.Code
	session bool // it mentions $session
	headers bool // it mentions $headers
	plain   *Plain
	guard   *Plain
}

// Fault is why a text is no program. Line and Column count from 1, the column in characters; both
// are those of the text, as is Offset, which is in bytes.
type Fault struct {
	Offset       int
	Line, Column int
	Message      string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, f.Message)
}

// Compile makes a program of a text. The error is a *Fault.
func Compile(text string) (*Program, error) {
	if len(text) > TextMax {
		return nil, faultAt(text, 0, fmt.Sprintf("a program has at most %d bytes", TextMax))
	}
	if !utf8.ValidString(text) {
		return nil, faultAt(text, 0, "the program is not valid UTF-8")
	}
	query, err := gojq.Parse(text)
	if err != nil {
		return nil, parseFault(text, err)
	}
	p := &Program{text: text}
	p.plain, p.guard = plainOf(query)
	c := &cage{}
	c.lock(query)
	if c.refused != "" {
		return nil, faultAt(text, mention(text, c.word), c.refused)
	}
	p.session, p.headers = c.uses["$session"], c.uses["$headers"]
	product, err := compileOperator("*")
	if err != nil {
		return nil, faultAt(text, 0, err.Error())
	}
	difference, err := compileOperator("-")
	if err != nil {
		return nil, faultAt(text, 0, err.Error())
	}
	p.code, err = gojq.Compile(query, gojq.WithVariables(variables()),
		gojq.WithFunction(guardTimes, 2, 2, times(product)), gojq.WithFunction(guardNear, 0, 0, near),
		gojq.WithFunction(guardBrief, 0, 0, brief), gojq.WithFunction(guardFew, 1, 1, fewOnly),
		gojq.WithFunction(guardMinus, 2, 2, minus(difference)))
	if err != nil {
		return nil, compileFault(text, err)
	}
	return p, nil
}

// compileOperator makes an operator as gojq computes it, of $a and $b.
func compileOperator(sign string) (*gojq.Code, error) {
	q, err := gojq.Parse("$a " + sign + " $b")
	if err != nil {
		return nil, err
	}
	return gojq.Compile(q, gojq.WithVariables([]string{"$a", "$b"}))
}

// String is the text that the program was compiled from.
func (p *Program) String() string { return p.text }

// UsesSession reports whether the program mentions $session.
func (p *Program) UsesSession() bool { return p.session }

// UsesHeaders reports whether the program mentions $headers. Otherwise they need not be given.
func (p *Program) UsesHeaders() bool { return p.headers }

// parseFault places an error of the parser at the token that it did not expect.
func parseFault(text string, err error) *Fault {
	var parse *gojq.ParseError
	if !errors.As(err, &parse) {
		return faultAt(text, 0, err.Error())
	}
	offset := min(max(parse.Offset-len(parse.Token), 0), len(text))
	message := err.Error()
	if strings.HasPrefix(message, "unexpected EOF") {
		offset = len(strings.TrimRight(text, " \t\r\n"))
		message = "the program ends too early"
	}
	return faultAt(text, offset, message)
}

// compileFault places an error of the compiler at the first mention of the name that it is about.
func compileFault(text string, err error) *Fault {
	message := err.Error()
	name := message[strings.LastIndexByte(message, ' ')+1:]
	if word, _, ok := strings.Cut(name, "/"); ok { // a function and the number of its arguments
		name = word
	}
	if strings.HasPrefix(message, "variable not defined") {
		message += "; there are " + strings.Join(variables(), ", ")
	}
	return faultAt(text, mention(text, strings.Trim(name, `"`)), message)
}

func faultAt(text string, offset int, message string) *Fault {
	before := text[:offset]
	start := strings.LastIndexByte(before, '\n') + 1
	return &Fault{Offset: offset, Line: strings.Count(before, "\n") + 1,
		Column: utf8.RuneCountInString(before[start:]) + 1, Message: message}
}

// mention is where a word stands first in a text, outside of comments; 0: nowhere.
func mention(text, word string) int {
	if word == "" {
		return 0
	}
	isName := func(b byte) bool {
		return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
	}
	for at := 0; at < len(text); at++ {
		end := at + len(word)
		switch {
		case text[at] == '#':
			if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
				at += n
				continue
			}
			return 0
		case !strings.HasPrefix(text[at:], word),
			at > 0 && (isName(text[at-1]) || text[at-1] == '$' || text[at-1] == '.'),
			end < len(text) && isName(text[end]):
		default:
			return at
		}
	}
	return 0
}
