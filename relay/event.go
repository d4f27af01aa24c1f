package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// nameBytesMax bounds a type or an id.
const nameBytesMax = 256

// arrival is one event as it came in, before the spool decides about it.
type arrival struct {
	id          string // given by the app; empty: one is made
	typ         string
	contentType string
	headers     []spool.Header
	payload     []byte
	// inEnvelope: the payload is a structured CloudEvent, what the relay looks into is its data.
	inEnvelope bool
	typed      bool // the type is settled; the body is not asked
	// binaryCE: the payload is the data of a CloudEvent.
	binaryCE bool
	// envelope is the hash of a structured CloudEvent's data.
	envelope *[32]byte
}

// draft checks an arrival and turns it into what the spool takes.
func (a *arrival) draft(cfg *config.Config, p *fastjson.Parser) (*spool.Draft, *refusal) {
	d := &spool.Draft{ID: a.id, Given: a.id != "", ContentType: a.contentType,
		Headers: a.headers, Payload: a.payload}
	owner, keys := a.lookInside(cfg, p)
	if r := checkName("type", a.typ, true); r != nil {
		return nil, r
	}
	d.Type = a.typ
	if d.Given {
		if r := checkID(a.id); r != nil {
			return nil, r
		}
		d.Hash = a.hash(p)
	}
	if len(keys) > 0 {
		d.Note = &talk{keys: keys, side: sideOf(&cfg.Session, a.typ, owner)}
	}
	return d, nil
}

// lookInside reads type, owner and conversation out of a JSON payload. Payloads are opaque: one
// that is not JSON simply has none of them.
func (a *arrival) lookInside(cfg *config.Config, p *fastjson.Parser) (owner string, keys []string) {
	wantType := !a.typed && cfg.Event.TypeField != ""
	if !wantType && !cfg.Session.Enabled || !looksLikeObject(a.payload) {
		a.defaultType(cfg)
		return "", nil
	}
	v, ok := parseJSON(a.payload, p)
	if !ok {
		a.defaultType(cfg)
		return "", nil
	}
	if a.inEnvelope {
		if v = field(v, "data"); v == nil {
			return "", nil
		}
	}
	if wantType {
		if text, ok := text(at(v, cfg.Event.TypeField)); ok && text != "" {
			a.typ, a.typed = text, true
		}
	}
	a.defaultType(cfg)
	if !cfg.Session.Enabled {
		return "", nil
	}
	for _, path := range cfg.Session.KeyFields {
		if key, ok := keyText(at(v, path)); ok {
			keys = append(keys, path+"="+key)
		}
	}
	if len(keys) > 0 {
		owner = ownerText(field(v, "owner"))
	}
	return owner, keys
}

func (a *arrival) defaultType(cfg *config.Config) {
	if !a.typed {
		a.typ = cfg.Event.DefaultType
	}
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
	if len(key) > nameBytesMax {
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

// checkName holds a type or id to what can travel in a header and a log line.
func checkName(what, s string, mayBeEmpty bool) *refusal {
	switch {
	case s == "" && mayBeEmpty:
		return nil
	case s == "" || len(s) > nameBytesMax:
		return refuse(codeMalformed, "the %s has %d bytes; 1 to %d are allowed", what, len(s),
			nameBytesMax)
	case !utf8.ValidString(s):
		return refuse(codeMalformed, "the %s is not valid UTF-8", what)
	case strings.ContainsFunc(s, unicode.IsControl):
		return refuse(codeMalformed, "the %s has a control character", what)
	}
	return nil
}

// checkID holds an id to what Standard Webhooks can sign: id.timestamp.body.
func checkID(id string) *refusal {
	if r := checkName("id", id, false); r != nil {
		return r
	}
	if strings.ContainsAny(id, " .") {
		return refuse(codeMalformed, "the id has a space or a dot; receivers split what is signed "+
			"at dots")
	}
	return nil
}

// hashedID makes an id from a CloudEvent's source and id, which may hold anything.
func hashedID(source, id string) string {
	h := sha256.New()
	h.Write([]byte(source))
	h.Write([]byte{0})
	h.Write([]byte(id))
	return "ce_" + hex.EncodeToString(h.Sum(nil)[:20])
}
