// Package sieve chooses among events and deliveries that are kept, by what somebody asks for: a
// program over the payload, a field of it, a conversation, the session, how an id begins, what came
// back last.
package sieve

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/failures"
	"github.com/hookspool/hookspool/relay/filter"
	"github.com/hookspool/hookspool/relay/jq"
	"github.com/hookspool/hookspool/relay/session"
	"github.com/hookspool/hookspool/spool"
)

const (
	// wheresMax bounds how many conditions there may be, textMax the bytes of any other text.
	wheresMax = 16
	textMax   = 1024
)

// WhereHint says how a condition is written.
const WhereHint = "write waId=491701234567 (a path and the value there), or a jq program such as " +
	"'.amount > 100 and $type == \"order\"'; several must all hold"

// Choice is what is asked for; empty fields ask for nothing.
type Choice struct {
	// Where are conditions on the payload, which must all hold: PATH=VALUE, PATH!=VALUE, or a
	// program.
	Where []string `json:"where,omitempty"`
	// Conversation is a key of one, field=value or the value alone.
	Conversation string `json:"conversation,omitempty"`
	// Session is active, inactive, or none: the event belongs to no conversation.
	Session string `json:"session,omitempty"`
	// IDPrefix is how the event's id begins.
	IDPrefix string `json:"id_prefix,omitempty"`
	// Status is what the target answered last: 503, or 5xx for all that begin with 5.
	Status string `json:"status,omitempty"`
	// Error is in what is known of the last failure, or is its outcome.
	Error string `json:"error,omitempty"`
	// Failure is the name of a group of failures (package failures), of which only whoever walks
	// knows the last attempts: a Sieve lets all pass.
	Failure string `json:"failure,omitempty"`
}

// IsEmpty reports that everything is asked for.
func (c *Choice) IsEmpty() bool { return !c.OfEvents() && !c.OfDeliveries() }

// OfEvents reports that it is about events, OfDeliveries that it is about their deliveries.
func (c *Choice) OfEvents() bool {
	return len(c.Where) > 0 || c.Conversation != "" || c.Session != "" || c.IDPrefix != ""
}

// OfDeliveries is what OfEvents says.
func (c *Choice) OfDeliveries() bool { return c.Status != "" || c.Error != "" || c.Failure != "" }

// Fault is what is wrong with a Choice.
type Fault struct {
	// Param is where, session, status, error, failure, conversation or id.
	Param string
	Text  string
	// Place is where in a program; empty: it is about the whole.
	Place, Message string
}

func (f *Fault) Error() string {
	if f.Place != "" {
		return fmt.Sprintf("%s is no jq program: %s: %s", f.Param, f.Place, f.Message)
	}
	return f.Param + " " + f.Message
}

// Check compiles what is asked for; the error is a *Fault.
func Check(c *Choice) error {
	_, err := New(c, nil, nil)
	return err
}

// Sieve is a Choice at work. It is for one goroutine.
type Sieve struct {
	choice  Choice
	wheres  []where
	session spool.Session
	finder  *session.Finder // nil: any conversation
	parser  fastjson.Parser
	errors  int
	failure error // the first
}

// New makes a sieve. What is known of conversations is read from m, which must forget; a nil
// session only checks. The error is a *Fault.
func New(c *Choice, known *config.Session, m session.Memory) (*Sieve, error) {
	s := &Sieve{choice: *c}
	if len(c.Where) > wheresMax {
		return nil, &Fault{Param: "where", Message: fmt.Sprintf("is there %d times; %d at most",
			len(c.Where), wheresMax)}
	}
	for _, text := range c.Where {
		w, err := newWhere(text)
		if err != nil {
			return nil, err
		}
		s.wheres = append(s.wheres, w)
	}
	for param, text := range map[string]string{"conversation": c.Conversation, "id": c.IDPrefix,
		"error": c.Error} {
		if len(text) > textMax {
			return nil, &Fault{Param: param, Message: fmt.Sprintf("has %d bytes; %d at most", len(text),
				textMax)}
		}
	}
	switch c.Session {
	case "", "none":
	case "active":
		s.session = spool.SessionActive
	case "inactive":
		s.session = spool.SessionInactive
	default:
		return nil, &Fault{Param: "session", Text: c.Session,
			Message: fmt.Sprintf("is %.100q; it is active, inactive or none", c.Session)}
	}
	if !isStatus(c.Status) {
		return nil, &Fault{Param: "status", Text: c.Status,
			Message: fmt.Sprintf("is %.100q; it is a code like 503, or a class like 5xx", c.Status)}
	}
	if c.Failure != "" && !failures.IsName(c.Failure) {
		return nil, &Fault{Param: "failure", Text: c.Failure, Message: fmt.Sprintf("is %.100q; it is "+
			"the name of a group as hookspool failures lists them", c.Failure)}
	}
	if c.Conversation != "" && known != nil {
		names := session.Names(known, c.Conversation)
		s.finder = session.NewFinder(known, m, names)
	}
	return s, nil
}

func isStatus(text string) bool {
	if text == "" {
		return true
	}
	if len(text) != 3 || text[0] < '1' || text[0] > '5' {
		return false
	}
	if rest := strings.ToLower(text[1:]); rest == "xx" {
		return true
	}
	return text[1] >= '0' && text[1] <= '9' && text[2] >= '0' && text[2] <= '9'
}

// Event reports whether an event is asked for, the cheap questions first. One on which a program
// fails is not; see Failed.
func (s *Sieve) Event(e *spool.Event) bool {
	c := &s.choice
	if !strings.HasPrefix(e.ID(), c.IDPrefix) || c.Session != "" && e.Session != s.session {
		return false
	}
	if s.finder == nil && len(s.wheres) == 0 {
		return c.Conversation == ""
	}
	in := accept.Inspect(e.ContentType(), e.Payload(), &s.parser)
	if s.finder != nil {
		if _, ok := s.finder.Find(e.Type(), in.Data); !ok {
			return false
		}
	}
	for i := range s.wheres {
		ok, err := s.wheres[i].holds(e, in)
		if err != nil {
			s.errors++
			if s.failure == nil {
				s.failure = err
			}
			return false
		}
		if !ok {
			return false
		}
	}
	return true
}

// Delivery reports whether a delivery is asked for, of which this came back last: a status, 0 for
// none, and an error. outcome is the word for the last attempt; it is asked only if the rest does
// not say, and costs a look into the spool.
func (s *Sieve) Delivery(status int, lastError string, outcome func() string) bool {
	c := &s.choice
	if c.Status != "" {
		class := strings.HasSuffix(strings.ToLower(c.Status), "xx")
		if have := fmt.Sprintf("%03d", status); class && have[0] != c.Status[0] ||
			!class && have != c.Status {
			return false
		}
	}
	return c.Error == "" || lastError != "" &&
		(strings.Contains(strings.ToLower(lastError), strings.ToLower(c.Error)) ||
			isOutcome(c.Error) && outcome() == c.Error)
}

// isOutcome reports whether a text is the word for an outcome.
func isOutcome(text string) bool {
	for kind := attempt.Success; kind <= attempt.Transform; kind++ {
		if kind.String() == text {
			return true
		}
	}
	return false
}

// Failed is on how many events a program failed, and why on the first, without what is in it.
func (s *Sieve) Failed() (n int, why string) {
	if s.failure == nil {
		return 0, ""
	}
	return s.errors, jq.Blind(s.failure)
}

// where is one condition on the payload.
type where struct {
	// path and value are those of the shorthand; differs: they must not be the same.
	path, value string
	differs     bool
	set         *filter.Set // of a program; nil: it is the shorthand
}

func newWhere(text string) (where, error) {
	if w, ok := shorthand(text); ok {
		return w, nil
	}
	if json.Valid([]byte(text)) {
		return where{}, &Fault{Param: "where", Text: text,
			Message: fmt.Sprintf("is %.100s, which looks at nothing of an event", text)}
	}
	p, err := jq.Compile(text)
	var fault *jq.Fault
	if errors.As(err, &fault) {
		return where{}, &Fault{Param: "where", Text: text, Message: fault.Message,
			Place: fmt.Sprintf("line %d, column %d", fault.Line, fault.Column)}
	}
	if err != nil {
		return where{}, err
	}
	return where{set: filter.NewSet([]*jq.Program{p})}, nil
}

// shorthand reads PATH=VALUE and PATH!=VALUE. A path begins with a letter or _ and has letters,
// digits, _, - and dots, so that no program of a comparison looks like one.
func shorthand(text string) (where, bool) {
	end := strings.IndexFunc(text, func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') &&
			(r < 'A' || r > 'Z')
	})
	if end <= 0 || text[0] == '.' || text[0] == '-' || text[0] >= '0' && text[0] <= '9' {
		return where{}, false
	}
	w := where{path: text[:end]}
	rest, differs := strings.CutPrefix(text[end:], "!=")
	if !differs {
		var ok bool
		if rest, ok = strings.CutPrefix(text[end:], "="); !ok || strings.HasPrefix(rest, "=") {
			return where{}, false
		}
	}
	w.value, w.differs = rest, differs
	return w, true
}

// holds decides one event. What is not JSON nobody finds who has a condition.
func (w *where) holds(e *spool.Event, in accept.Inside) (bool, error) {
	if w.set == nil {
		v := in.Field(w.path)
		return (v != nil && sameText(v, w.value)) != w.differs && !in.IsNothing(), nil
	}
	if in.IsNothing() {
		return false, nil
	}
	hits := w.set.Wanted(&filter.Event{Draft: &spool.Draft{Type: e.Type(), ID: e.ID(),
		ContentType: e.ContentType(), Headers: e.Headers(), Payload: e.Payload()},
		Payload: in, In: filter.Of(e.Session)})
	if len(hits) == 0 {
		return false, nil
	}
	return hits[0].Err == nil, hits[0].Err
}

// sameText reports whether a value is what somebody wrote: a string with these characters, a number
// that is the same, true, false or null.
func sameText(v *fastjson.Value, text string) bool {
	switch v.Type() {
	case fastjson.TypeString:
		return string(v.GetStringBytes()) == text
	case fastjson.TypeNumber:
		return sameNumber(v.String(), text)
	case fastjson.TypeTrue, fastjson.TypeFalse, fastjson.TypeNull:
		return v.String() == text
	}
	return false
}
