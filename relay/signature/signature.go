// Package signature makes and checks the signatures of Standard Webhooks 1.0
// (https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).
//
// What is signed is
//
//	id "." timestamp "." body
//
// with the timestamp in decimal unix seconds and the body exactly as sent. The header
// webhook-signature is a list, parted by single spaces, of
//
//	v1,<base64 of HMAC-SHA256>     key whsec_<base64 of 24 to 64 bytes>
//	v1a,<base64 of ed25519>        key whsk_<base64 of private 32 bytes, public 32 bytes>
//
// and the public half of a whsk_ is whpk_<base64 of 32 bytes>, which only verifies.
// Secrets rotate by signing with the old and the new key for a while.
package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
	"sync"
)

// scratchBytesMax bounds the memory one idle signing state keeps. Bodies beyond it are
// signed all the same, with an allocation.
const scratchBytesMax = 64 << 10

// scheme is the algorithm of a Key and whether it can sign.
type scheme uint8

const (
	schemeNone    scheme = iota // the zero Key
	schemeHMAC                  // whsec_: signs and verifies v1
	schemePrivate               // whsk_: signs and verifies v1a
	schemePublic                // whpk_: verifies v1a
)

// Key is one key of a target or of a receiver. The zero Key is of no use; ParseKey makes
// real ones. A Key may be copied and used by many goroutines at once. Its text form never
// holds the secret, so that a Key in a log line or a %+v is harmless.
type Key struct {
	scheme  scheme
	states  *sync.Pool // of *state
	private ed25519.PrivateKey
	public  ed25519.PublicKey
}

// state is what one signing in progress needs; kept between signings because setting up
// HMAC costs two SHA-256 blocks and several allocations.
type state struct {
	mac     hash.Hash // nil for ed25519
	scratch []byte    // "id.timestamp.", and the body too for ed25519
	sum     [sha256.Size]byte
}

// CanSign reports whether Append works: true for whsec_ and whsk_, false for whpk_ and the
// zero Key.
func (k Key) CanSign() bool {
	return k.scheme == schemeHMAC || k.scheme == schemePrivate
}

// String names the kind of the key and hides the key.
func (k Key) String() string {
	switch k.scheme {
	case schemeHMAC:
		return secretPrefix + redacted
	case schemePrivate:
		return privatePrefix + redacted
	case schemePublic:
		return publicPrefix + redacted
	}
	return "no key"
}

// GoString is String, so that %#v hides the key too.
func (k Key) GoString() string { return k.String() }

// Append appends the signature "v1,<base64>" or "v1a,<base64>" of the event to dst and
// returns the longer slice. The timestamp is in unix seconds. With room in dst a whsec_ key
// allocates nothing. It panics for a key that cannot sign: whoever holds the
// configuration asks CanSign first, because an event sent unsigned by mistake is worse.
func (k Key) Append(dst []byte, id string, timestamp int64, body []byte) []byte {
	if !k.CanSign() {
		panic("BUG: signing with " + k.String())
	}
	s := k.states.Get().(*state)
	defer k.states.Put(s)
	s.scratch = appendContentPrefix(s.scratch[:0], id, timestamp)
	if k.scheme == schemePrivate {
		return k.appendEd25519(dst, s, body)
	}
	s.mac.Reset()
	s.mac.Write(s.scratch)
	s.mac.Write(body)
	dst = append(dst, "v1,"...)
	return base64.StdEncoding.AppendEncode(dst, s.mac.Sum(s.sum[:0]))
}

// appendEd25519 signs a copy of the whole content: ed25519 hashes it twice and so cannot
// take it in pieces.
func (k Key) appendEd25519(dst []byte, s *state, body []byte) []byte {
	s.scratch = append(s.scratch, body...)
	sum := ed25519.Sign(k.private, s.scratch)
	if cap(s.scratch) > scratchBytesMax {
		s.scratch = nil
	}
	dst = append(dst, "v1a,"...)
	return base64.StdEncoding.AppendEncode(dst, sum)
}

// AppendAll appends the value of webhook-signature: one signature per key, in the order of
// keys, parted by single spaces. No keys: dst comes back as it was.
func AppendAll(dst []byte, keys []Key, id string, timestamp int64, body []byte) []byte {
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = k.Append(dst, id, timestamp, body)
	}
	return dst
}

// appendContentPrefix appends what is signed before the body.
func appendContentPrefix(dst []byte, id string, timestamp int64) []byte {
	dst = append(dst, id...)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, timestamp, 10)
	return append(dst, '.')
}

// newHMAC makes a v1 key of raw bytes.
func newHMAC(raw []byte) Key {
	return Key{scheme: schemeHMAC, states: &sync.Pool{New: func() any {
		return &state{mac: hmac.New(sha256.New, raw)}
	}}}
}

// newPrivate makes a v1a key that signs and verifies.
func newPrivate(private ed25519.PrivateKey) Key {
	return Key{
		scheme:  schemePrivate,
		states:  &sync.Pool{New: func() any { return &state{} }},
		private: private,
		public:  private.Public().(ed25519.PublicKey),
	}
}
