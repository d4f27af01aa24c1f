package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// The prefixes that Standard Webhooks gives to keys in text.
const (
	secretPrefix  = "whsec_"
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"
	redacted      = "<redacted>"
)

// Sizes of a whsec_ secret in bytes, from the specification ("between 24 bytes (192 bits)
// and 64 bytes (512 bits)"), and the size that Generate makes.
const (
	secretBytesMin     = 24
	secretBytesMax     = 64
	secretBytesDefault = 32
)

// ParseKey reads a whsec_, whsk_ or whpk_ key. The base64 is the standard alphabet, with or
// without padding. It fails for an unknown prefix, for text that is not base64, for a wrong
// size, and for a whsk_ whose two halves do not belong together. The error never quotes
// the secret or a part of it.
func ParseKey(secret string) (Key, error) {
	switch {
	case strings.HasPrefix(secret, secretPrefix):
		return parseHMAC(secret)
	case strings.HasPrefix(secret, privatePrefix):
		return parsePrivate(secret)
	case strings.HasPrefix(secret, publicPrefix):
		raw, err := decode(secret, publicPrefix)
		if err != nil {
			return Key{}, err
		}
		if len(raw) != ed25519.PublicKeySize {
			return Key{}, fmt.Errorf("cannot use whpk_ key of %d bytes: it has %d bytes",
				len(raw), ed25519.PublicKeySize)
		}
		return Key{scheme: schemePublic, public: raw}, nil
	}
	return Key{}, errors.New("cannot use key: it begins with whsec_, whsk_ or whpk_")
}

// parseHMAC reads a whsec_ secret.
func parseHMAC(secret string) (Key, error) {
	raw, err := decode(secret, secretPrefix)
	if err != nil {
		return Key{}, err
	}
	if len(raw) < secretBytesMin || len(raw) > secretBytesMax {
		return Key{}, fmt.Errorf("cannot use whsec_ secret of %d bytes: it has %d to %d bytes",
			len(raw), secretBytesMin, secretBytesMax)
	}
	return newHMAC(raw), nil
}

// parsePrivate reads a whsk_ key. The public half is checked, because Go signs with it: a
// wrong one makes signatures that nobody can verify and that give the private half away.
func parsePrivate(secret string) (Key, error) {
	raw, err := decode(secret, privatePrefix)
	if err != nil {
		return Key{}, err
	}
	if len(raw) != ed25519.PrivateKeySize {
		return Key{}, fmt.Errorf("cannot use whsk_ key of %d bytes: it has %d bytes, "+
			"the private and the public half", len(raw), ed25519.PrivateKeySize)
	}
	private := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if !bytes.Equal(private, raw) {
		return Key{}, errors.New("cannot use whsk_ key: its public half is not of its private half")
	}
	return newPrivate(private), nil
}

// decode reads the base64 after prefix. Strict refuses stray bits in the last character, so
// that one key has one spelling; line breaks, which Go's decoder skips, are refused as well.
func decode(secret, prefix string) ([]byte, error) {
	text := strings.TrimRight(strings.TrimPrefix(secret, prefix), "=")
	raw, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err == nil && strings.ContainsAny(text, "\r\n") {
		err = errors.New("it holds a line break")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot decode base64 of %s key: %w", prefix, err)
	}
	return raw, nil
}

// Generate makes a new key: a whsec_ secret of 32 random bytes with an empty public, or for
// v1a a whsk_ secret with its whpk_ public. It fails only when the system has no randomness.
func Generate(v1a bool) (secret, public string, err error) {
	if v1a {
		pub, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return "", "", fmt.Errorf("cannot generate ed25519 key: %w", err)
		}
		return encode(privatePrefix, private), encode(publicPrefix, pub), nil
	}
	var raw [secretBytesDefault]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", "", fmt.Errorf("cannot generate secret: %w", err)
	}
	return encode(secretPrefix, raw[:]), "", nil
}

// PublicOf returns the whpk_ of a whsk_ (or of a whpk_: itself), to be given to receivers.
// It fails when secret cannot be read, and for whsec_, which has no public half.
func PublicOf(secret string) (string, error) {
	k, err := ParseKey(secret)
	if err != nil {
		return "", err
	}
	if k.public == nil {
		return "", errors.New("cannot show public key: a whsec_ secret has none")
	}
	return encode(publicPrefix, k.public), nil
}

// encode writes raw as a key in text.
func encode(prefix string, raw []byte) string {
	return prefix + base64.StdEncoding.EncodeToString(raw)
}
