package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/hookspool/hookspool/spool"
)

// Errors of Open.
var (
	errMembers = errors.New("its hookspoolid, hookspooldata and hookspooltype do not belong together")
	errHeaders = errors.New("its hookspoolheaders are not those of an event")
	errData    = errors.New("its data are not those of an event")
)

// Open takes an event out of an element of a batch. ok is false where a relay has not put one in:
// the element is an event by itself. It may write to the element. The error quotes nothing of it.
func Open(element []byte) (e Event, ok bool, err error) {
	whole := bytes.HasPrefix(element, []byte(idMember))
	if !whole && !bytes.HasPrefix(element, []byte(dataMember)) {
		return e, false, nil
	}
	rest := element[bytes.IndexByte(element, ':')+1:]
	if e.ID, rest, ok = cutText(rest); ok {
		if rest, ok = bytes.CutPrefix(rest, []byte(typeMember)); ok {
			e.Type, rest, ok = cutText(rest)
		}
	}
	switch {
	case !ok || len(rest) < 2 || rest[0] != ',':
		return e, true, errMembers
	case whole:
		rest[0] = '{'
		e.Payload, e.ContentType = rest, ceMedia
		return e, true, nil
	}
	return e, true, e.readData(element)
}

// cutText cuts the string that b begins with.
func cutText(b []byte) (text string, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return "", nil, false
	}
	for at := 1; at < len(b); at++ {
		switch b[at] {
		case '\\':
			at++
		case '"':
			err := json.Unmarshal(b[:at+1], &text)
			return text, b[at+1:], err == nil
		}
	}
	return "", nil, false
}

// readData fills in what the event is beside id and type.
func (e *Event) readData(element []byte) error {
	var in struct {
		ContentType string          `json:"datacontenttype"`
		Headers     string          `json:"hookspoolheaders"`
		Data        json.RawMessage `json:"data"`
		Base64      *string         `json:"data_base64"`
	}
	if err := json.Unmarshal(element, &in); err != nil || (in.Base64 != nil) == (in.Data != nil) {
		return errData
	}
	e.ContentType, e.Payload = in.ContentType, in.Data
	if in.Base64 != nil {
		var err error
		if e.Payload, err = base64.StdEncoding.DecodeString(*in.Base64); err != nil {
			return errData
		}
	}
	for line := range strings.Lines(in.Headers) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok || !isFrozen(name) {
			return errHeaders
		}
		e.Headers = append(e.Headers, spool.Header{Name: name, Value: value})
	}
	return nil
}
