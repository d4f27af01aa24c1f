package accept

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

// draft checks an arrival and turns it into what the spool takes. The Judge has its say before the
// payload is hashed, which may use the parser again.
func (a *arrival) draft(rules *Rules, p *fastjson.Parser) (*spool.Draft, *Refusal) {
	d := &spool.Draft{ID: a.id, Given: a.id != "", ContentType: a.contentType,
		Headers: a.headers, Payload: a.payload}
	in := a.lookInside(rules.Config, p)
	if r := CheckName("type", a.typ, true); r != nil {
		return nil, r
	}
	d.Type = a.typ
	if d.Given {
		if r := CheckID(a.id); r != nil {
			return nil, r
		}
	}
	rules.Judge.Judge(d, in)
	if d.Given {
		d.Hash = a.hash(p)
	}
	return d, nil
}

// lookInside reads the type out of a JSON payload, and returns what is in there. Payloads are
// opaque: one that is not JSON simply has nothing.
func (a *arrival) lookInside(cfg *config.Config, p *fastjson.Parser) Inside {
	wantType := !a.typed && cfg.Event.TypeField != ""
	if !wantType && !cfg.Session.Enabled || !looksLikeObject(a.payload) {
		a.defaultType(cfg)
		return Inside{}
	}
	whole, ok := parseJSON(a.payload, p)
	v := whole
	if ok && a.inEnvelope {
		v = field(v, "data") // the type is settled
	}
	if !ok || v == nil {
		a.defaultType(cfg)
		return Inside{}
	}
	if wantType {
		if text, ok := text(at(v, cfg.Event.TypeField)); ok && text != "" {
			a.typ, a.typed = text, true
		}
	}
	a.defaultType(cfg)
	return Inside{Data{v}, whole}
}

func (a *arrival) defaultType(cfg *config.Config) {
	if !a.typed {
		a.typ = cfg.Event.DefaultType
	}
}

// CheckName holds a type or id, called what, to what can travel in a header and a log line.
func CheckName(what, s string, mayBeEmpty bool) *Refusal {
	switch {
	case s == "" && mayBeEmpty:
		return nil
	case s == "" || len(s) > nameBytesMax:
		return refuse(CodeMalformed, "the %s has %d bytes; 1 to %d are allowed", what, len(s),
			nameBytesMax)
	case !utf8.ValidString(s):
		return refuse(CodeMalformed, "the %s is not valid UTF-8", what)
	case strings.ContainsFunc(s, unicode.IsControl):
		return refuse(CodeMalformed, "the %s has a control character", what)
	}
	return nil
}

// CheckID holds an id to what Standard Webhooks can sign: id.timestamp.body.
func CheckID(id string) *Refusal {
	if r := CheckName("id", id, false); r != nil {
		return r
	}
	if strings.ContainsAny(id, " .") {
		return refuse(CodeMalformed, "the id has a space or a dot; receivers split what is signed "+
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
