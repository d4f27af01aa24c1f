package signature

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// FuzzSign holds signing to a plain HMAC over id.timestamp.body, and verifying to signing: what is
// signed verifies with each key and among other signatures, and with one byte changed it does not.
func FuzzSign(f *testing.F) {
	f.Add("msg_1", int64(1614265330), []byte(`{"test":1}`), uint16(0))
	f.Add("a", int64(-1), []byte{}, uint16(1))
	f.Add("é", int64(1)<<40, bytes.Repeat([]byte{0}, 1000), uint16(999))
	secret, private := mustKey(f, vectorSecret), mustKey(f, vectorPrivate)
	public := mustKey(f, vectorPublic)
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(vectorSecret, secretPrefix))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id string, at int64, body []byte, change uint16) {
		if id == "" {
			return
		}
		mac := hmac.New(sha256.New, raw)
		fmt.Fprintf(mac, "%s.%d.%s", id, at, body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		if got := string(secret.Append(nil, id, at, body)); got != want {
			t.Fatalf("signed %s, want %s", got, want)
		}
		header := string(AppendAll([]byte("v2,x "), []Key{private, secret}, id, at, body))
		stamp := fmt.Sprint(at)
		for _, k := range []Key{secret, private, public} {
			if err := Verify([]Key{k}, id, stamp, header, body, time.Time{}, 0); err != nil {
				t.Fatalf("%s: %v", k, err)
			}
		}
		changed := append(bytes.Clone(body), 0)
		if len(body) > 0 {
			changed = bytes.Clone(body)
			changed[int(change)%len(body)] ^= byte(change>>8) | 1
		}
		for _, k := range []Key{secret, private, public} {
			err := Verify([]Key{k}, id, stamp, header, changed, time.Time{}, 0)
			if !errors.Is(err, ErrNoMatch) {
				t.Fatalf("%s: another body gives %v", k, err)
			}
		}
	})
}

// FuzzKeyText holds keys in text to what they are: a key that is taken is taken again from its own
// bytes, one spelling a key, its public half verifies what it signs, and an error shows no part of
// it.
func FuzzKeyText(f *testing.F) {
	for _, s := range []string{vectorSecret, vectorPrivate, vectorPublic, "whsec_", "whsk_=", "whsec_" +
		strings.Repeat("QUJD", 8) + "\n", "WHSEC_" + strings.Repeat("QUJD", 8), strings.Repeat("A", 60)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		if err != nil {
			_, secret, ok := strings.Cut(text, "_")
			if ok && len(secret) > 24 && strings.Contains(err.Error(), secret[:24]) {
				t.Fatalf("the error shows the key: %v", err)
			}
			return
		}
		prefix, body, _ := strings.Cut(text, "_")
		raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(body, "="))
		if err != nil || strings.TrimRight(encode(prefix+"_", raw), "=") != strings.TrimRight(text, "=") {
			t.Fatalf("%q is not the only spelling of its key: %v", text, err)
		}
		if shown := fmt.Sprintf("%v %+v %#v", k, k, k); strings.Contains(shown, body) {
			t.Fatalf("the key shows itself: %s", shown)
		}
		if !k.CanSign() {
			return
		}
		signed := string(k.Append(nil, "id", 1, []byte("body")))
		verifier := k
		if public, err := PublicOf(text); err == nil {
			verifier = mustKey(t, public)
		}
		if err := Verify([]Key{verifier}, "id", "1", signed, []byte("body"), time.Time{}, 0); err != nil {
			t.Fatal(err)
		}
	})
}
