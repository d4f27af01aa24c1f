package signature

import (
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What Verify fails with; ask with errors.Is.
var (
	// ErrNoMatch: the header is well-formed and none of its signatures is by one of the keys.
	ErrNoMatch = errors.New("no matching signature")
	// ErrTimestamp: the timestamp is further from now than the tolerance.
	ErrTimestamp = errors.New("timestamp outside tolerance")
	// ErrMalformed: the id, the timestamp or the signature header cannot be read.
	ErrMalformed = errors.New("malformed signature headers")
)

// signaturesMax bounds the signatures tried of one header, because each v1a costs a curve
// multiplication and whoever sends the header chooses how many there are.
const signaturesMax = 32

// Verify checks what a receiver got: the values of webhook-id, webhook-timestamp and
// webhook-signature, and the body as it came. It returns nil when one signature is by one
// of keys, else an error that is ErrMalformed, ErrTimestamp or ErrNoMatch. A tolerance of 0
// leaves the timestamp unchecked; the reference libraries use 5 minutes to both sides.
// Signatures of versions we do not know are passed over, as the specification asks.
func Verify(
	keys []Key, id, timestamp, header string, body []byte,
	now time.Time, tolerance time.Duration,
) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("cannot read webhook-timestamp: %w", ErrMalformed)
	}
	if id == "" {
		return fmt.Errorf("cannot read webhook-id: it is empty: %w", ErrMalformed)
	}
	signatures, err := split(header)
	if err != nil {
		return err
	}
	age := now.Sub(time.Unix(seconds, 0))
	if tolerance > 0 && (age > tolerance || age < -tolerance) {
		way := "old"
		if age < 0 {
			way = "ahead"
		}
		return fmt.Errorf("cannot accept webhook-timestamp %s %s, tolerance %s: %w",
			age.Round(time.Second).Abs(), way, tolerance, ErrTimestamp)
	}
	for _, k := range keys {
		if k.matches(signatures, id, seconds, body) {
			return nil
		}
	}
	return fmt.Errorf("cannot verify with %d keys, %d signatures: %w",
		len(keys), len(signatures), ErrNoMatch)
}

// split takes the header apart and keeps what looks like "version,signature".
func split(header string) ([]string, error) {
	var signatures []string
	for item := range strings.SplitSeq(header, " ") {
		version, sum, ok := strings.Cut(item, ",")
		if !ok || version == "" || sum == "" {
			continue
		}
		if len(signatures) == signaturesMax {
			return nil, fmt.Errorf("cannot check more than %d signatures: %w",
				signaturesMax, ErrMalformed)
		}
		signatures = append(signatures, item)
	}
	if len(signatures) == 0 {
		return nil, fmt.Errorf("cannot find a signature in webhook-signature: %w", ErrMalformed)
	}
	return signatures, nil
}

// matches reports whether one of signatures is by k. All of them are compared, in constant
// time each.
func (k Key) matches(signatures []string, id string, timestamp int64, body []byte) bool {
	switch k.scheme {
	case schemeHMAC:
		want := k.Append(nil, id, timestamp, body)
		found := 0
		for _, s := range signatures {
			found |= subtle.ConstantTimeCompare([]byte(s), want)
		}
		return found == 1
	case schemePrivate, schemePublic:
		content := append(appendContentPrefix(nil, id, timestamp), body...)
		for _, s := range signatures {
			if verifyEd25519(k.public, content, s) {
				return true
			}
		}
	}
	return false
}

// verifyEd25519 checks one item of the header; anything but a well-formed v1a is false.
func verifyEd25519(public ed25519.PublicKey, content []byte, item string) bool {
	text, ok := strings.CutPrefix(item, "v1a,")
	if !ok {
		return false
	}
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	return err == nil && len(sum) == ed25519.SignatureSize && ed25519.Verify(public, content, sum)
}
