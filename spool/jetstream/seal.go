package jetstream

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hookspool/hookspool/spool/engine"
)

// A message that is sealed: events, records and packs of them.
//
//	salt   16 bytes, of the relay since its start
//	count   8 bytes, of its messages
//	sealed  AES-256-GCM, with the subject below the spool's name as what goes along
//
// The key is HKDF-SHA256 of the spool's key and the salt, so that the nonce, which is the count, is
// never used twice with a key. In a record its key stands before its value, and its subject says
// only the HMAC-SHA256 of the key: a newer record replaces the older one, and nobody reads whose it
// is. Which lanes there are, who has them, which events were deleted and how large all is can be
// seen.
const (
	saltBytes  = 16
	countBytes = 8
	tokenBytes = 16
	sealBytes  = 32
	// readersMax bounds the keys of relays that are remembered.
	readersMax = 1024
)

var errSeal = errors.New("a message cannot be decrypted")

// sealer encrypts what servers are given. Nil: they are given it as it is. It is safe for
// concurrent use.
type sealer struct {
	key, names []byte
	salt       [saltBytes]byte
	own        cipher.AEAD
	count      atomic.Uint64

	mu      sync.Mutex // guards readers
	readers map[[saltBytes]byte]cipher.AEAD
}

// newSealer is nil without a key.
func newSealer(key []byte) (s *sealer, err error) {
	if len(key) == 0 {
		return nil, nil
	}
	s = &sealer{key: key, readers: make(map[[saltBytes]byte]cipher.AEAD)}
	if _, err = rand.Read(s.salt[:]); err == nil {
		s.names, err = hkdf.Key(sha256.New, key, nil, "hookspool subjects", sealBytes)
	}
	if err == nil {
		s.own, err = s.reader(s.salt)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the encryption key: %w", err)
	}
	return s, nil
}

// reader decrypts what a relay has written.
func (s *sealer) reader(salt [saltBytes]byte) (cipher.AEAD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.readers[salt]; a != nil {
		return a, nil
	}
	key, err := hkdf.Key(sha256.New, s.key, salt[:], "hookspool messages", sealBytes)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	if len(s.readers) >= readersMax {
		clear(s.readers)
	}
	s.readers[salt] = a
	return a, nil
}

// wrap makes a message of what one is to say.
func (s *sealer) wrap(below string, data []byte) (string, []byte) {
	if s == nil {
		return below, data
	}
	kind, rest, _ := strings.Cut(below, ".")
	switch kind {
	case eventSubject, packSubject:
	case keySubject:
		key, err := base64.RawURLEncoding.DecodeString(rest)
		if err != nil {
			panic("BUG: the subject of a record has no key: " + err.Error())
		}
		below = keyed(s.token(key))
		data = append(append(binary.AppendUvarint(nil, uint64(len(key))), key...), data...)
	default:
		return below, data
	}
	return below, s.encrypt(below, data)
}

// token stands for a record's key.
func (s *sealer) token(key []byte) []byte {
	h := hmac.New(sha256.New, s.names)
	h.Write(key)
	return h.Sum(nil)[:tokenBytes]
}

func (s *sealer) encrypt(below string, data []byte) []byte {
	out := make([]byte, 0, saltBytes+countBytes+len(data)+s.own.Overhead())
	out = binary.BigEndian.AppendUint64(append(out, s.salt[:]...), s.count.Add(1))
	return s.own.Seal(out, nonce(out), data, []byte(below))
}

// nonce is the count at the beginning of a sealed message.
func nonce(sealed []byte) []byte {
	n := make([]byte, 12-countBytes, 12)
	return append(n, sealed[saltBytes:saltBytes+countBytes]...)
}

func (s *sealer) decrypt(below string, sealed []byte) ([]byte, error) {
	if len(sealed) < saltBytes+countBytes {
		return nil, errSeal
	}
	a, err := s.reader([saltBytes]byte(sealed))
	if err != nil {
		return nil, err
	}
	authentic := a.Open
	data, err := authentic(nil, nonce(sealed), sealed[saltBytes+countBytes:], []byte(below))
	if err != nil {
		return nil, errSeal
	}
	return data, nil
}

// unwrap is what a message says.
func (s *sealer) unwrap(below string, data []byte) (string, []byte, error) {
	if s == nil {
		return below, data, nil
	}
	kind, _, _ := strings.Cut(below, ".")
	if kind != eventSubject && kind != packSubject && kind != keySubject {
		return below, data, nil
	}
	data, err := s.decrypt(below, data)
	if err == nil && kind == keySubject {
		var key []byte
		if key, data, err = cutSized(data); err == nil {
			below = keyed(key)
		}
	}
	if err != nil {
		return below, nil, fmt.Errorf("cannot read a message of subject %q: %w", below, err)
	}
	return below, data, nil
}

// plainCheck is what the first message of a stream says that is not encrypted.
const plainCheck = "plain"

// check is what the first message of a stream says, by which a wrong key is known.
func (s *sealer) check() []byte {
	if s == nil {
		return []byte(plainCheck)
	}
	return s.encrypt(checkSubject, []byte("sealed"))
}

// checks says whether that message is of this key.
func (s *sealer) checks(data []byte) error {
	plain := string(data) == plainCheck
	switch {
	case s == nil && plain:
		return nil
	case s == nil:
		return fmt.Errorf("%w: it is encrypted, and there is none", engine.ErrWrongKey)
	case plain:
		return fmt.Errorf("%w: it is not encrypted", engine.ErrWrongKey)
	}
	if _, err := s.decrypt(checkSubject, data); err != nil {
		return engine.ErrWrongKey
	}
	return nil
}
