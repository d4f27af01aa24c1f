package action

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// Kept is how long an action is told of; see spool.Action.
	Kept = 90 * 24 * time.Hour
	// ahead is how far the clock may have been ahead of the relay that an action comes from.
	ahead = 24 * time.Hour
	// targetBytesMax bounds a target or a relay, remoteBytesMax an address.
	targetBytesMax = 256
	remoteBytesMax = 64
)

// prefix begins the line of an action among those of an export, and no other line.
const prefix = `{"action":`

// IsLine reports whether a line of an export is that of an action.
func IsLine(line []byte) bool { return bytes.HasPrefix(line, []byte(prefix)) }

// Line is an action as an export has it, without the end of the line, of what a book keeps. An
// importer that knows no such line refuses it, as it does all that it does not know. Nil: the
// action cannot be read, or is not one to this target, if one is named.
func Line(body []byte, target string) []byte {
	var a Action
	if json.Unmarshal(body, &a) != nil || target != "" && a.Target != target {
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(struct {
		Action *Action `json:"action"`
	}{&a}); err != nil {
		panic("BUG: an action cannot be encoded: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// ParseLine reads what Line wrote. What it does not know it refuses, as an import of events does.
// The action is marked as imported: whoever can import can write anything into a file.
func ParseLine(line []byte, now time.Time) (*Action, error) {
	var x struct {
		Action *Action `json:"action"`
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&x); err != nil {
		return nil, fmt.Errorf("it is no action of an export: %w", err)
	}
	if d.More() || x.Action == nil {
		return nil, errors.New("there is not one action in it")
	}
	if err := x.Action.check(now); err != nil {
		return nil, err
	}
	x.Action.Bound()
	x.Action.Imported = true
	return x.Action, nil
}

func (a *Action) check(now time.Time) error {
	at, _, ok := ReadRun(a.Run)
	switch {
	case !ok || !at.Equal(a.At):
		return fmt.Errorf("run %.40q is not the name of an action of that instant", a.Run)
	case at.After(now.Add(ahead)):
		return fmt.Errorf("at is %s, which is still to come", a.At.UTC().Format(time.RFC3339))
	case a.EndedAt != nil && a.EndedAt.Year() > 9999:
		return errors.New("ended_at is no instant that can be told")
	case !slices.Contains(Verbs(), a.Verb):
		return fmt.Errorf("verb %.40q is none of this version", a.Verb)
	case a.How != "" && a.How != Socket && a.How != Claimed:
		return fmt.Errorf("how %.40q is neither %s nor %s", a.How, Socket, Claimed)
	}
	for _, field := range []struct {
		name, text string
		most       int
	}{
		{"target", a.Target, targetBytesMax}, {"remote", a.Remote, remoteBytesMax},
		{"relay", a.Relay, targetBytesMax},
	} {
		if len(field.text) > field.most {
			return fmt.Errorf("%s has more than %d bytes", field.name, field.most)
		}
	}
	return nil
}
