package care

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Exported is one event as export writes it and import reads it: one line of JSON.
type Exported struct {
	ID          string           `json:"id"`
	Type        string           `json:"type"`
	ContentType Text             `json:"content_type"`
	AcceptedAt  time.Time        `json:"accepted_at"`
	Session     string           `json:"session"` // active, inactive or empty
	Headers     []ExportedHeader `json:"headers"`
	// Payload is set when the payload is valid UTF-8, PayloadBase64 when it is not.
	Payload       *string          `json:"payload,omitempty"`
	PayloadBase64 []byte           `json:"payload_base64,omitempty"`
	Targets       []ExportedTarget `json:"targets"`
}

// ExportedHeader is one header that is delivered with an event.
type ExportedHeader struct {
	Name  Text `json:"name"`
	Value Text `json:"value"`
}

// ExportedTarget is one delivery.
type ExportedTarget struct {
	Name string `json:"name"`
	// State is pending, delivered, exhausted, expired or purged.
	State string `json:"state"`
	// Attempts are the requests made, as far as that is kept.
	Attempts int `json:"attempts"`
	// DeliveredAt, Status and Duration are of the attempt that delivered it, nil and 0 if that is not
	// known. An import takes no note of them: what is delivered is not imported.
	DeliveredAt *time.Time `json:"delivered_at,omitempty"`
	Status      int        `json:"status,omitempty"`
	Duration    float64    `json:"duration_ms,omitempty"`
}

// Text is a string in JSON, or {"base64":…} when it is no valid UTF-8, so that no byte changes.
type Text string

type textBytes struct {
	Base64 []byte `json:"base64"`
}

func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return marshal(string(t))
	}
	return marshal(textBytes{[]byte(t)})
}

func (t *Text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(t))
	}
	var raw textBytes
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&raw); err != nil {
		return err
	}
	*t = Text(raw.Base64)
	return nil
}

// marshal is json.Marshal with <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// Selection is what is exported of a spool.
type Selection struct {
	// All are all events that are kept; otherwise those with a pending or exhausted delivery.
	All bool
	// Target, when set, looks at this target's deliveries alone, and only they are exported.
	Target string
	// Progress, when set, is told how far the export is in the log.
	Progress func(done, total int64)
	// Action, when set, makes the line, without its end, of what an operator did, of the caller's own
	// form of it; nil: it is not selected. These lines come after the events, oldest first.
	Action func(body []byte) []byte
}

// ExportCount says what was exported.
type ExportCount struct {
	Events int64 `json:"events"`
	// Actions are what operators did.
	Actions int64 `json:"actions"`
	// Unreadable events were left out: spool verify names them.
	Unreadable int64 `json:"unreadable"`
}

// Export writes events as lines of JSON, oldest first, a line at a time, as of one instant. It ends
// with an error when ctx does or the spool is closed. ErrNotFound: no target of this name was ever
// owed anything.
func Export(ctx context.Context, of Source, w io.Writer, x Selection) (n ExportCount, err error) {
	err = at(ctx, of, func(ctx context.Context, v *Snapshot) error {
		n, err = v.export(ctx, w, x)
		return err
	})
	return n, err
}

func (v *Snapshot) export(ctx context.Context, w io.Writer, x Selection) (n ExportCount,
	err error) {
	if err := v.faults.err(); err != nil {
		return n, err
	}
	if x.Target != "" && v.laneNamed(x.Target) == nil {
		return n, fmt.Errorf("cannot export target %q: %w", x.Target, engine.ErrNotFound)
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	first := v.Swept
	err = v.Walk(0, func(e *record.Event, owed []Owed) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if x.Progress != nil {
			x.Progress(int64(e.Seq-min(first, e.Seq)), int64(v.Head-min(first, v.Head)))
		}
		out, want := exported(e, owed, &x)
		if !want {
			return nil
		}
		if err := v.addReceipts(e, owed, out.Targets); err != nil {
			return err
		}
		line.Reset()
		if err := encoder.Encode(out); err != nil {
			return fmt.Errorf("cannot encode event %d: %w", e.Seq, err)
		}
		n.Events++
		_, err := w.Write(line.Bytes())
		return err
	})
	n.Unreadable = v.unreadable
	if err == nil && x.Action != nil {
		n.Actions, err = v.exportActions(ctx, w, x.Action)
	}
	if err != nil {
		return n, fmt.Errorf("cannot export: %w", err)
	}
	return n, nil
}

// exportActions writes what operators did. One that cannot be read is left out, as it is where they
// are listed; verify names it.
func (v *Snapshot) exportActions(ctx context.Context, w io.Writer,
	action func(body []byte) []byte) (n int64, err error) {
	prefix := []byte{record.PrefixAction}
	err = v.Scan(prefix, prefix, func(_, value []byte) (bool, error) {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		v.giveWay()
		body, err := record.DecodeWord(value)
		if err != nil {
			return true, nil
		}
		line := action(body)
		if line == nil {
			return true, nil
		}
		n++
		_, err = w.Write(append(line, '\n'))
		return err == nil, err
	})
	return n, err
}

// addReceipts says of what was delivered when that was.
func (v *Snapshot) addReceipts(e *record.Event, owed []Owed, targets []ExportedTarget) error {
	for _, d := range owed {
		i := slices.IndexFunc(targets, func(t ExportedTarget) bool { return t.Name == d.Lane.Name })
		if i < 0 || d.State != record.StateDelivered {
			continue
		}
		r, err := v.receipt(d.Lane, e.Seq)
		if err != nil {
			return fmt.Errorf("target %q: %w", d.Lane.Name, err)
		}
		t := &targets[i]
		t.Attempts, t.Status, t.DeliveredAt = r.Attempts, r.Status, instant(r.At)
		t.Duration = r.Milliseconds()
	}
	return nil
}

func (v *Snapshot) laneNamed(name string) *Lane {
	for _, l := range v.Lanes {
		if l.Name == name {
			return l
		}
	}
	return nil
}

// exported is an event's line; false if it is not selected.
func exported(e *record.Event, owed []Owed, x *Selection) (*Exported, bool) {
	out := &Exported{ID: e.ID(), Type: e.Type(), ContentType: Text(e.ContentType()),
		AcceptedAt: e.At.UTC(), Session: e.Session.String(), Headers: []ExportedHeader{},
		Targets: []ExportedTarget{}}
	open := false
	for _, d := range owed {
		if x.Target != "" && d.Lane.Name != x.Target {
			continue
		}
		t := ExportedTarget{Name: d.Lane.Name, State: d.State.String()}
		if d.x != nil {
			t.Attempts = d.x.Attempts
		}
		out.Targets = append(out.Targets, t)
		open = open || d.State == record.StatePending || d.State == record.StateExhausted ||
			d.State == record.StateExpired
	}
	if len(out.Targets) == 0 || !open && !x.All {
		return nil, false
	}
	for _, h := range e.Headers() {
		out.Headers = append(out.Headers, ExportedHeader{Text(h.Name), Text(h.Value)})
	}
	if payload := e.Payload(); utf8.Valid(payload) {
		text := string(payload)
		out.Payload = &text
	} else {
		out.PayloadBase64 = payload
	}
	return out, true
}

// errNoPayload and the like are what a line to import can lack.
var errNoPayload = errors.New("it has neither payload nor payload_base64, or both")

// ParseExported reads one line of an export. What it does not know it refuses: a typing error must
// not become an event without headers.
func ParseExported(line []byte) (*Exported, error) {
	var x Exported
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&x); err != nil {
		return nil, fmt.Errorf("it is no line of an export: %w", err)
	}
	if d.More() {
		return nil, errors.New("there is more than one event in it")
	}
	if (x.Payload == nil) == (x.PayloadBase64 == nil) {
		return nil, errNoPayload
	}
	if x.Payload == nil && len(x.PayloadBase64) == 0 {
		// Empty bytes are an empty text, which is what export calls them.
		x.Payload, x.PayloadBase64 = new(string), nil
	}
	return &x, x.check()
}

func (x *Exported) check() error {
	switch {
	case x.ID == "" || len(x.ID) > 256 || !printable(x.ID, " ."):
		return fmt.Errorf("id %.40q has no 1 to 256 bytes of UTF-8 without control characters, "+
			"spaces and dots", x.ID)
	case len(x.Type) > 256 || !printable(x.Type, ""):
		return fmt.Errorf("type %.40q has more than 256 bytes, or control characters", x.Type)
	case x.AcceptedAt.IsZero():
		return errors.New("accepted_at is missing")
	case x.AcceptedAt.UTC().Year() < 1970 || x.AcceptedAt.UTC().Year() > 2261:
		// A record counts nanoseconds since 1970 in 63 bits.
		return errors.New("accepted_at is not of the years 1970 to 2261")
	case len(x.Targets) == 0:
		return errors.New("targets is missing or empty")
	}
	if _, ok := sessionOf(x.Session); !ok {
		return fmt.Errorf("session is %.40q; it is active, inactive or empty", x.Session)
	}
	if len(x.ContentType) > exportedFieldMax || hasControl(string(x.ContentType)) {
		return fmt.Errorf("content type %.40q is too long or has control characters", x.ContentType)
	}
	size := 0
	for _, h := range x.Headers {
		size += len(h.Name) + len(h.Value)
		if !isToken(string(h.Name)) || hasControl(string(h.Value)) || size > exportedFieldMax {
			return fmt.Errorf("header %.40q cannot be sent", h.Name)
		}
	}
	names := make(map[string]bool)
	for _, t := range x.Targets {
		switch t.State {
		case "pending", "exhausted", "expired", "delivered", "purged":
		default:
			return fmt.Errorf("state of target %.40q is %.40q; it is pending, exhausted, expired, "+
				"delivered or purged", t.Name, t.State)
		}
		if t.Name == "" || len(t.Name) > 256 || !printable(t.Name, "") || names[t.Name] {
			return fmt.Errorf("target %.40q has no proper name, or is there twice", t.Name)
		}
		if (t.DeliveredAt != nil || t.Status != 0 || t.Duration != 0) && t.State != "delivered" {
			return fmt.Errorf("target %.40q is %s, and yet has what only a delivered one has", t.Name,
				t.State)
		}
		names[t.Name] = true
	}
	return nil
}

// exportedFieldMax bounds content type and headers: accepting takes no longer ones, because a head
// has 16 KiB at most, and a record counts them in 16 bits.
const exportedFieldMax = 16 << 10

// hasControl reports what no header may hold: an event with it would be kept but never sent.
func hasControl(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// isToken reports a legal name of a header (RFC 9110 §5.6.2).
func isToken(name string) bool {
	const legal = "!#$%&'*+-.^_`|~"
	for i := range len(name) {
		c := name[i] | 0x20
		if (c < 'a' || c > 'z') && (name[i] < '0' || name[i] > '9') &&
			!strings.Contains(legal, name[i:i+1]) {
			return false
		}
	}
	return name != ""
}

func printable(text, but string) bool {
	for _, r := range text {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return false
		}
	}
	return utf8.ValidString(text) && !bytes.ContainsAny([]byte(text), but)
}

func sessionOf(word string) (record.Session, bool) {
	for _, s := range []record.Session{record.SessionNone, record.SessionInactive,
		record.SessionActive} {
		if s.String() == word {
			return s, true
		}
	}
	return 0, false
}

// payload is the event's body.
func (x *Exported) payload() []byte {
	if x.Payload != nil {
		return []byte(*x.Payload)
	}
	return x.PayloadBase64
}
