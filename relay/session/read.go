package session

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/config"
)

// KeyBytesMax bounds a key's value; a longer one is hashed.
const KeyBytesMax = 256

// Payload is what an event holds.
type Payload interface {
	// At is the value at a dotted path; nil: there is none.
	At(path string) *fastjson.Value
}

// Read finds out what an event of a type says about its conversation. Without keys there is none.
func Read(s *config.Session, typ string, in Payload) Talk {
	var t Talk
	if !s.Enabled {
		return t
	}
	for _, path := range s.KeyFields {
		if key, ok := keyText(in.At(path)); ok {
			t.Keys = append(t.Keys, path+"="+key)
		}
	}
	if len(t.Keys) > 0 {
		t.Side = SideOf(s, typ, ownerText(in.At("owner")))
	}
	return t
}

// keyText is the value of a conversation's key: a string or a number, cut to a sane length.
func keyText(v *fastjson.Value) (string, bool) {
	if v == nil {
		return "", false
	}
	key := ""
	switch v.Type() {
	case fastjson.TypeString:
		key = string(v.GetStringBytes())
	case fastjson.TypeNumber:
		key = v.String()
	}
	return shortened(key)
}

// shortened bounds a key's value; an empty one is none.
func shortened(key string) (string, bool) {
	if len(key) > KeyBytesMax {
		sum := sha256.Sum256([]byte(key))
		key = hex.EncodeToString(sum[:])
	}
	return key, key != ""
}

// ownerText is "true" or "false" for the JSON values true, "true", false and "false".
func ownerText(v *fastjson.Value) string {
	if v == nil {
		return ""
	}
	switch v.Type() {
	case fastjson.TypeTrue:
		return "true"
	case fastjson.TypeFalse:
		return "false"
	case fastjson.TypeString:
		return string(v.GetStringBytes())
	}
	return ""
}
