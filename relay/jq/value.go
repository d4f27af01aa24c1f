package jq

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// digitsMax is how long a number may be. What computes with one takes the square of its length.
const digitsMax = 1000

var errNotJSON = errors.New("the payload is not JSON")

// Parse reads a JSON payload into what a program takes: nil, bool, json.Number, string, []any,
// map[string]any. Of equal keys the last one counts. A byte order mark before it is skipped.
func Parse(payload []byte) (any, error) {
	payload = bytes.TrimPrefix(payload, []byte("\xef\xbb\xbf"))
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errNotJSON
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errNotJSON
	}
	if n := longest(v); n > digitsMax {
		return nil, fmt.Errorf("the payload has a number of %d digits, the most is %d", n, digitsMax)
	}
	return v, nil
}

// longest is the length of the longest number.
func longest(v any) (n int) {
	switch v := v.(type) {
	case json.Number:
		return len(v)
	case []any:
		for _, item := range v {
			n = max(n, longest(item))
		}
	case map[string]any:
		for _, item := range v {
			n = max(n, longest(item))
		}
	}
	return n
}

// atLeast is how many bytes a value has as JSON at least. It stops once that is more than enough,
// so that a small value which holds the same one many times over does not become a large text.
func atLeast(v any, enough int) int {
	n := 1
	switch v := v.(type) {
	case string:
		n = len(v) + 2
	case json.Number:
		n = len(v)
	case *big.Int:
		n = v.BitLen() / 4
	case []any:
		for _, item := range v {
			if n += 1 + atLeast(item, enough-n); n > enough {
				break
			}
		}
	case map[string]any:
		for key, item := range v {
			if n += len(key) + 4 + atLeast(item, enough-n); n > enough {
				break
			}
		}
	}
	return n
}
