package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Status is what the operator wishes for a target. Defective is not one: that is a standing, which
// the relay finds and the spool remembers.
type Status int

// The zero value is StatusEnabled, the default.
const (
	StatusEnabled  Status = iota // events are delivered
	StatusPaused                 // deliveries are spooled and held
	StatusDisabled               // no deliveries are made, those spooled are frozen
)

// String returns the word of the file: "enabled", "paused" or "disabled".
func (s Status) String() string {
	switch s {
	case StatusEnabled:
		return "enabled"
	case StatusPaused:
		return "paused"
	case StatusDisabled:
		return "disabled"
	}
	return fmt.Sprintf("Status(%d)", int(s))
}

// MarshalText returns String.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// The codes of RFC 9110 §15 that end an exchange. Those of 1xx are interim: they are passed over
// and never the outcome.
const (
	codeMin = 200
	codeMax = 599
)

// Success is a set of HTTP status codes from 200 to 599: those that acknowledge. The zero value is
// empty. Values compare with ==.
type Success struct {
	bits [(codeMax + 64) / 64]uint64
}

// NewSuccess returns the set of these codes. A code outside 200 to 599 is a bug of the caller.
func NewSuccess(codes ...int) Success {
	var s Success
	for _, code := range codes {
		if code < codeMin || code > codeMax {
			panic(fmt.Sprintf("BUG: status code %d is outside %d to %d", code, codeMin, codeMax))
		}
		s.add(code)
	}
	return s
}

func (s *Success) add(code int) { s.bits[code/64] |= 1 << (code % 64) }

// Has reports whether the code acknowledges. Any int may be asked for.
func (s Success) Has(code int) bool {
	return code >= codeMin && code <= codeMax && s.bits[code/64]&(1<<(code%64)) != 0
}

// Empty reports whether no code acknowledges.
func (s Success) Empty() bool { return s == Success{} }

// String lists the codes in ascending order, whole classes as "2xx": "200" or "2xx, 404".
func (s Success) String() string {
	var words []string
	for class := codeMin; class <= codeMax; class += 100 {
		var codes []string
		for code := class; code < class+100; code++ {
			if s.Has(code) {
				codes = append(codes, strconv.Itoa(code))
			}
		}
		if len(codes) == 100 {
			codes = []string{strconv.Itoa(class/100) + "xx"}
		}
		words = append(words, codes...)
	}
	return strings.Join(words, ", ")
}

// MarshalText returns String.
func (s Success) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
