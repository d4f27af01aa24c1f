package jq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/itchyny/gojq"
)

// Limit is how long a program may run over one event.
const Limit = 10 * time.Millisecond

const (
	// lookEvery is how many steps go by between two looks at the clock. It is about as many as it
	// takes to double a string, so that none is doubled often when the time is over.
	lookEvery = 8
	// stepsSure is how many steps a program makes at least before it counts as slow. One that made
	// fewer in its time may not have been served by the machine, and gets its time again, triesMax
	// in all.
	stepsSure = 20_000
	triesMax  = 3
)

// Vars are the values of a program's variables.
type Vars struct {
	Type    string
	ID      string         // empty: null, it is made later
	Session string         // "active", "inactive"; empty: null, there is no conversation
	Headers map[string]any // name in lower case → value; only for one that UsesHeaders
}

func (v *Vars) values() []any {
	text := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	var headers any = v.Headers
	if v.Headers == nil {
		headers = map[string]any{}
	}
	return []any{v.Type, text(v.ID), text(v.Session), headers}
}

// Error is why a program failed on an event.
type Error struct {
	Message string // it may quote some of the payload
	blind   string // it does not
}

func (e *Error) Error() string { return e.Message }

// Blind is the text of an error, without what it quotes of a payload.
func Blind(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.blind
	}
	return err.Error()
}

// ErrSlow is the error of a program that was stopped at Limit.
var ErrSlow = fmt.Errorf("it ran longer than %v", Limit)

// First runs a program over a value, such as Parse returns one, and returns its first result;
// false: it has none. The value is not changed, and the result may share parts of it. The error is
// ErrSlow, an *Error, or that of ctx, which may end the run before Limit does.
func (p *Program) First(ctx context.Context, value any, vars *Vars) (any, bool, error) {
	var result any
	var ok bool
	err := p.run(ctx, value, vars, func(next func() (any, bool)) error {
		result, ok = next()
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return result, ok, nil
}

// One runs a program over a value and returns its one result as compact JSON, the keys of its
// objects sorted. No result, a second one, and one of more than bytesMax bytes are errors.
func (p *Program) One(ctx context.Context, value any, vars *Vars, bytesMax int) ([]byte, error) {
	var text []byte
	err := p.run(ctx, value, vars, func(next func() (any, bool)) error {
		text = nil
		result, ok := next()
		if !ok {
			return fault("it gives no result, and there must be one")
		}
		if _, failed := result.(error); failed {
			return nil // run sees to it
		}
		if atLeast(result, bytesMax) > bytesMax {
			return fault("its result is larger than %d bytes", bytesMax)
		}
		if _, second := next(); second {
			return fault("it gives more than one result, and there must be one")
		}
		var err error
		if text, err = gojq.Marshal(result); err == nil && len(text) > bytesMax {
			return fault("its result has %d bytes, the most is %d", len(text), bytesMax)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return text, nil
}

func fault(format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return &Error{Message: message, blind: message}
}

// run runs a program and hands its results to take; an error among them ends it. A panic is one of
// the library's, and must not end a relay that would meet the event again as soon as it starts.
func (p *Program) run(ctx context.Context, value any, vars *Vars,
	take func(next func() (any, bool)) error,
) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fault("the interpreter broke on it: %.200v", r)
		}
	}()
	values := vars.values()
	for try := 1; ; try++ {
		c := &clock{Context: ctx, end: time.Now().Add(Limit)}
		iter := p.code.RunWithContext(c, value, values...)
		var failed error
		err := take(func() (any, bool) {
			v, ok := iter.Next()
			if e, is := v.(error); ok && is {
				failed = e
			}
			return v, ok
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case failed == nil:
			return err
		case c.late == nil:
			return explained(failed)
		case c.steps >= stepsSure || try == triesMax:
			return ErrSlow
		}
	}
}

// clock is the context of a run. The interpreter asks it at every step, so that the time is looked
// at often enough, and no timer is needed. It is not safe for concurrent use.
type clock struct {
	context.Context
	end   time.Time
	steps int
	late  chan struct{} // closed; nil: there is time
}

// Done is part of context.Context.
func (c *clock) Done() <-chan struct{} {
	if c.steps++; c.steps%lookEvery == 0 && c.late == nil &&
		(c.Context.Err() != nil || time.Now().After(c.end)) {
		c.late = make(chan struct{})
		close(c.late)
	}
	return c.late
}

// Err is part of context.Context.
func (c *clock) Err() error {
	if c.late != nil {
		return ErrSlow
	}
	return nil
}

// unquoted takes out of an error of the interpreter what it quotes of values: from the first type
// that is followed by a value in parentheses.
func unquoted(message string) string {
	cut := len(message)
	for _, kind := range []string{"object", "array", "string", "number", "boolean"} {
		if i := strings.Index(message, kind+" ("); i >= 0 {
			cut = min(cut, i+len(kind))
		}
	}
	return message[:cut]
}

// explained turns an error of the interpreter into ours.
func explained(err error) *Error {
	message := err.Error()
	if len(message) > 500 {
		message = message[:500] + "…"
	}
	var own gojq.ValueError
	if errors.As(err, &own) {
		// The program's own words, about whatever it likes.
		return &Error{Message: message, blind: "it called error"}
	}
	return &Error{Message: message, blind: unquoted(message)}
}
