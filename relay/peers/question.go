package peers

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/spool"
)

// Verb says what a question asks for.
type Verb string

// The verbs. All but Accounts and Doing are about a target, and answered by the relay that serves
// it alone; Event and Past without one are answered by any.
const (
	Target Verb = "target"
	Event  Verb = "event"
	Enable Verb = "enable"
	Retry  Verb = "retry"
	Pause  Verb = "pause"
	Resume Verb = "resume"
	Purge  Verb = "purge"
	Replay Verb = "replay"
	// Past asks for what a relay knows of a history, Doing what it does for its targets.
	Past  Verb = "past"
	Doing Verb = "doing"
	// Accounts asks which notices of a lane were paid after it was given away.
	Accounts Verb = "accounts"
)

// Question is what one relay asks of another, as JSON.
type Question struct {
	Verb   Verb   `json:"verb"`
	Target string `json:"target,omitempty"`
	ID     string `json:"id,omitempty"`   // of Event
	Span   string `json:"span,omitempty"` // of Past
	// Order is that of Enable, Retry, Pause and Resume.
	Order  *admin.Order       `json:"order,omitempty"`
	Purge  *admin.PurgeQuery  `json:"purge,omitempty"`
	Replay *admin.ReplayQuery `json:"replay,omitempty"`
	// Way and Lane are those of Accounts.
	Way  uint8        `json:"way,omitempty"`
	Lane spool.LaneID `json:"lane,omitempty"`
}

// SilentError: another relay did not answer.
type SilentError struct {
	Relay string
	Cause error
}

func (e *SilentError) Error() string {
	return fmt.Sprintf("relay %q does not answer: %v", e.Relay, e.Cause)
}

func (e *SilentError) Unwrap() error { return e.Cause }

// faultError is an error that was nobody's fault who asked.
type faultError struct{ text string }

func (e *faultError) Error() string { return e.text }

// reply is the answer to a question, as JSON.
type reply struct {
	Result json.RawMessage `json:"result,omitempty"`
	// Refusal is the fault of whoever asked, Fault any other error.
	Refusal *admin.Error `json:"refusal,omitempty"`
	Fault   string       `json:"fault,omitempty"`
	// Elsewhere: the relay that answers does not serve the target.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

func replyTo(v any, err error) []byte {
	var a reply
	switch {
	case errors.Is(err, spool.ErrElsewhere):
		a.Elsewhere = true
	case errors.As(err, &a.Refusal):
	case err != nil:
		a.Fault = err.Error()
	default:
		a.Result = encode(v)
	}
	return encode(a)
}

func readReply(text []byte) (json.RawMessage, error) {
	var a reply
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("cannot read the answer of another relay: %w", err)
	}
	switch {
	case a.Elsewhere:
		return nil, spool.ErrElsewhere
	case a.Refusal != nil:
		return nil, a.Refusal
	case a.Fault != "":
		return nil, &faultError{a.Fault}
	}
	return a.Result, nil
}

// encode is the JSON of what relays say to each other, which can be encoded.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("BUG: what is said to another relay cannot be encoded: " + err.Error())
	}
	return text
}

// ResultOf is the result of a question: the value itself where it was answered here, its JSON from
// another relay.
func ResultOf[T any](v any, err error) (T, error) {
	if text, is := v.(json.RawMessage); is && err == nil {
		var out T
		if err := json.Unmarshal(text, &out); err != nil {
			return out, fmt.Errorf("cannot read the answer of another relay: %w", err)
		}
		return out, nil
	}
	out, _ := v.(T)
	return out, err
}
