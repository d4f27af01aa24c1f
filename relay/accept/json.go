package accept

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/valyala/fastjson"
)

// byteOrderMark may stand before JSON, and means nothing there (RFC 8259 §8.1).
const byteOrderMark = "\xef\xbb\xbf"

// afterMark is b without a byte order mark at its start. What is delivered keeps it.
func afterMark(b []byte) []byte { return bytes.TrimPrefix(b, []byte(byteOrderMark)) }

// Inside is what a payload holds. The zero Inside holds nothing: the payload is something else, or
// nobody had to look. It is valid until the parser is used again.
type Inside struct {
	// Data is one JSON object, or the data of a structured CloudEvent.
	Data  Data
	whole *fastjson.Value
}

// JSON is the whole payload, envelope and all, whatever JSON it is; false: it is none. If nobody
// had to look yet, p does, and the value is valid until p is used again. What is nested deeper than
// the parser goes is null there.
func (in Inside) JSON(payload []byte, p *fastjson.Parser) (*fastjson.Value, bool) {
	if in.whole != nil {
		return in.whole, true
	}
	return parseJSON(payload, p)
}

// Data is what the relay looks into. It is one pointer, which goes into an interface without an
// allocation.
type Data struct{ value *fastjson.Value }

// At is the value at a dotted path; nil: there is none. A field whose name has the dots in it is
// found as well.
func (d Data) At(path string) *fastjson.Value {
	if d.value == nil {
		return nil
	}
	return at(d.value, path)
}

// looksLikeJSON reports that the first character of b is one that JSON objects and arrays begin
// with.
func looksLikeJSON(b []byte) bool {
	b = bytes.TrimLeft(afterMark(b), " \t\r\n")
	return len(b) > 0 && (b[0] == '{' || b[0] == '[')
}

func looksLikeObject(b []byte) bool {
	b = bytes.TrimLeft(afterMark(b), " \t\r\n")
	return len(b) > 0 && b[0] == '{'
}

// parseJSON is strict. The parser comes first because it bounds the depth, which the validator,
// recursive as it is, does not; the validator comes too because the parser takes what is no JSON:
// control characters, escapes and numbers that do not exist. What is nested deeper than the parser
// goes, down to the 10,000 levels of encoding/json, is read as null there.
func parseJSON(b []byte, p *fastjson.Parser) (*fastjson.Value, bool) {
	b = afterMark(b)
	v, err := p.ParseBytes(b)
	if err == nil {
		return v, fastjson.ValidateBytes(b) == nil
	}
	shallow, deep := prune(b)
	if !deep || !json.Valid(b) {
		return nil, false
	}
	v, err = p.ParseBytes(shallow)
	return v, err == nil
}

// prune puts null in the place of every object and array below the depth that fastjson reads, and
// reports whether there was one. b may be no JSON; then so is what it returns, or it is of no use.
func prune(b []byte) (shallow []byte, deep bool) {
	const depthMax = fastjson.MaxDepth - 1
	depth, from := 0, 0
	for at := 0; at < len(b); at++ {
		switch b[at] {
		case '"':
			for at++; at < len(b) && b[at] != '"'; at++ {
				if b[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			if depth++; depth == depthMax {
				shallow, deep = append(append(shallow, b[from:at]...), "null"...), true
			}
		case '}', ']':
			if depth == depthMax {
				from = at + 1
			}
			depth--
		}
	}
	if depth >= depthMax { // cut off inside of what is left out
		from = len(b)
	}
	return append(shallow, b[from:]...), deep
}

// field is the value of an object's key, or of an array's index; nil: there is none. Of equal keys
// the last one counts, as for most who read JSON.
func field(v *fastjson.Value, key string) (found *fastjson.Value) {
	if v.Type() != fastjson.TypeObject {
		return v.Get(key)
	}
	v.GetObject().Visit(func(k []byte, x *fastjson.Value) {
		if string(k) == key {
			found = x
		}
	})
	return found
}

// at follows a dotted path. A field whose name has the dots in it is found as well.
func at(v *fastjson.Value, path string) *fastjson.Value {
	if found := field(v, path); found != nil || !strings.Contains(path, ".") {
		return found
	}
	for key := range strings.SplitSeq(path, ".") {
		if v = field(v, key); v == nil {
			return nil
		}
	}
	return v
}

func text(v *fastjson.Value) (string, bool) {
	if v == nil || v.Type() != fastjson.TypeString {
		return "", false
	}
	return string(v.GetStringBytes()), true
}
