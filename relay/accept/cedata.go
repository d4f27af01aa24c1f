package accept

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"
)

// The same id with another body is a conflict. For a CloudEvent only its data is compared, whatever
// the mode in which it comes: binary, structured and batch mode of one event are repeats of each
// other. Data that is JSON is compared as JSON, because a structured event is written again by
// whoever makes it: white space, the order of keys and the escapes in strings say nothing. Numbers
// are compared as they are written, so that no two that differ are taken for one.

// hash tells repeats of an id from conflicts.
func (a *arrival) hash(p *fastjson.Parser) [32]byte {
	switch {
	case a.envelope != nil:
		return *a.envelope
	case a.binaryCE:
		return hashData(mediaType([]byte(a.contentType)), a.payload, p)
	}
	return sha256.Sum256(a.payload)
}

// hashData hashes the data of a CloudEvent by what their media type says that they are.
func hashData(media string, data []byte, p *fastjson.Parser) [32]byte {
	if isJSON(media) {
		if v, ok := parseJSON(data, p); ok && !isDeep(data) {
			return hashJSON(v)
		}
	}
	return sha256.Sum256(data)
}

// isDeep reports JSON of which parseJSON does not see everything.
func isDeep(data []byte) bool {
	_, deep := prune(data)
	return deep
}

// isJSON reports a media type of JSON; none is one (CloudEvents, JSON format §3.1).
func isJSON(media string) bool {
	return media == "" || media == "application/json" || media == "text/json" ||
		strings.HasSuffix(media, "+json")
}

// hashJSON cannot meet the hash of bytes: the text that it hashes begins with a letter that no JSON
// has.
func hashJSON(v *fastjson.Value) [32]byte {
	return sha256.Sum256(appendCanonical([]byte("J"), v))
}

// appendCanonical writes a value the same way however it was written.
func appendCanonical(b []byte, v *fastjson.Value) []byte {
	switch v.Type() {
	case fastjson.TypeString:
		return strconv.AppendQuote(b, string(v.GetStringBytes()))
	case fastjson.TypeArray:
		b = append(b, '[')
		for _, item := range v.GetArray() {
			b = append(appendCanonical(b, item), ',')
		}
		return append(b, ']')
	case fastjson.TypeObject:
		return appendCanonicalObject(b, v.GetObject())
	}
	return v.MarshalTo(b)
}

func appendCanonicalObject(b []byte, o *fastjson.Object) []byte {
	type member struct {
		key   string
		value *fastjson.Value
	}
	members := make([]member, 0, o.Len())
	o.Visit(func(key []byte, v *fastjson.Value) { members = append(members, member{string(key), v}) })
	slices.SortStableFunc(members, func(x, y member) int { return cmp.Compare(x.key, y.key) })
	b = append(b, '{')
	for i, m := range members {
		if i+1 < len(members) && members[i+1].key == m.key {
			continue // the last of equal keys counts
		}
		b = append(strconv.AppendQuote(b, m.key), ':')
		b = append(appendCanonical(b, m.value), ',')
	}
	return append(b, '}')
}

// hashEnvelope hashes the data of a structured CloudEvent, and refuses data that nobody could read.
func (a *arrival) hashEnvelope(v *fastjson.Value) *Refusal {
	data, encoded := field(v, "data"), field(v, "data_base64")
	var sum [32]byte
	switch {
	case data != nil && encoded != nil:
		return refuse(CodeMalformed, "the CloudEvent has both data and data_base64")
	case encoded != nil:
		raw, ok := text(encoded)
		plain, err := base64.StdEncoding.DecodeString(raw)
		if !ok || err != nil || strings.ContainsAny(raw, "\r\n") {
			return refuse(CodeMalformed, "data_base64 of the CloudEvent is not base64")
		}
		media, _ := text(field(v, "datacontenttype"))
		var p fastjson.Parser // the arrival's own holds v
		sum = hashData(mediaType([]byte(media)), plain, &p)
	case isDeep(a.payload):
		sum = sha256.Sum256(bytes.TrimSpace(a.payload))
	case data == nil:
		sum = sha256.Sum256(nil)
	default:
		sum = hashValue(v, data)
	}
	a.envelope = &sum
	return nil
}

// hashValue hashes data that stand in their envelope: the text of a string, unless it is JSON.
func hashValue(v, data *fastjson.Value) [32]byte {
	media, _ := text(field(v, "datacontenttype"))
	if plain, ok := text(data); ok && !isJSON(mediaType([]byte(media))) {
		return sha256.Sum256([]byte(plain))
	}
	return hashJSON(data)
}
