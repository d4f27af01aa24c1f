package signature

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"github.com/hookspool/hookspool/testenv/effort"
)

// The vectors of the reference libraries (libraries/go/webhook_test.go) and of Svix
// (worker.rs) for v1a.
const (
	vectorSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorPrivate = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbf" +
		"VKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	vectorPublic    = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTimestamp = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorV1        = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	vectorV1a       = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPC" +
		"Xe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

func mustKey(t testing.TB, secret string) Key {
	t.Helper()
	k, err := ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAppendVectors(t *testing.T) {
	f := func(secret, want string) {
		t.Helper()
		got := mustKey(t, secret).Append([]byte("x"), vectorID, vectorTimestamp, []byte(vectorBody))
		if string(got) != "x"+want {
			t.Errorf("Append = %q, want %q", got, want)
		}
	}
	// HMAC-SHA256
	f(vectorSecret, vectorV1)
	// the same secret without padding and with more of it
	f(vectorSecret+"==", vectorV1)
	// ed25519
	f(vectorPrivate, vectorV1a)
	f(strings.TrimRight(vectorPrivate, "="), vectorV1a)

	keys := []Key{mustKey(t, vectorSecret), mustKey(t, vectorPrivate)}
	got := AppendAll(nil, keys, vectorID, vectorTimestamp, []byte(vectorBody))
	if want := vectorV1 + " " + vectorV1a; string(got) != want {
		t.Errorf("AppendAll = %q, want %q", got, want)
	}
	if got := AppendAll([]byte("x"), nil, "i", 1, nil); string(got) != "x" {
		t.Errorf("AppendAll without keys = %q", got)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	f := func(secret, want string) {
		t.Helper()
		_, err := ParseKey(secret)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseKey(%q) = %v, want an error with %q", secret, err, want)
			return
		}
		// The words of our own that a secret may be part of are long gone at 6 bytes.
		body := secret[strings.IndexByte(secret, '_')+1:]
		for i := 0; i+6 <= len(body); i++ {
			if strings.Contains(err.Error(), body[i:i+6]) {
				t.Errorf("ParseKey(%q) quotes the secret: %v", secret, err)
			}
		}
	}
	// no prefix, an empty one, another case
	f("", "begins with")
	f("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with")
	f("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with")
	// not base64; the URL alphabet; a line break, which Go's decoder would skip
	f("whsec_hunter2!hunter2!hunter2!hunter2!", "cannot decode base64")
	f("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "cannot decode base64")
	f("whsec_MfKQ9r8GKYqrTwjU\nPD8ILPZIo2LaLaSw", "line break")
	// stray bits in the last character: a second spelling of a key
	f("whsk_"+vectorPrivate[5:len(vectorPrivate)-3]+"h", "cannot decode base64")
	// too short and too long
	f("whsec_", "0 bytes")
	f(encode("whsec_", bytes.Repeat([]byte{7}, 23)), "23 bytes")
	f(encode("whsec_", bytes.Repeat([]byte{7}, 65)), "65 bytes")
	// a seed alone; halves of two keys
	f(encode("whsk_", bytes.Repeat([]byte{7}, 32)), "32 bytes")
	f(encode("whsk_", bytes.Repeat([]byte{7}, 64)), "public half")
	f(encode("whpk_", bytes.Repeat([]byte{7}, 31)), "31 bytes")
}

func TestGenerate(t *testing.T) {
	secret, public, err := Generate(false)
	if err != nil || public != "" {
		t.Fatalf("Generate(false) = %q, %v", public, err)
	}
	if !mustKey(t, secret).CanSign() {
		t.Error("a generated secret cannot sign")
	}
	if _, err := PublicOf(secret); err == nil {
		t.Error("PublicOf a whsec_ secret succeeded")
	}
	secret, public, err = Generate(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{secret, public} {
		if got, err := PublicOf(s); got != public || err != nil {
			t.Errorf("PublicOf = %q, %v, want %q", got, err, public)
		}
	}
	header := string(mustKey(t, secret).Append(nil, "i", 7, []byte("b")))
	verifier := mustKey(t, public)
	if verifier.CanSign() {
		t.Error("a whpk_ key says that it can sign")
	}
	if err := Verify([]Key{verifier}, "i", "7", header, []byte("b"), time.Now(), 0); err != nil {
		t.Error(err)
	}
	if got, err := PublicOf(vectorPrivate); got != vectorPublic || err != nil {
		t.Errorf("PublicOf the vector = %q, %v", got, err)
	}
	if _, err := PublicOf("x"); err == nil {
		t.Error("PublicOf nonsense succeeded")
	}
}

func TestAppendPanicsWithoutSigningKey(t *testing.T) {
	f := func(k Key) {
		t.Helper()
		defer func() {
			if r := recover(); r == nil || !strings.HasPrefix(r.(string), "BUG:") {
				t.Errorf("Append with %v: recovered %v", k, r)
			}
		}()
		k.Append(nil, "i", 1, nil)
	}
	f(Key{})
	f(mustKey(t, vectorPublic))
}

func TestKeyTextHidesSecret(t *testing.T) {
	for _, secret := range []string{vectorSecret, vectorPrivate, vectorPublic} {
		k := mustKey(t, secret)
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			text := fmt.Sprintf(format, []Key{k})
			prefix, rest, _ := strings.Cut(secret, "_")
			if strings.Contains(text, rest[:6]) || !strings.Contains(text, prefix) {
				t.Errorf("%s shows %s", format, text)
			}
		}
	}
}

// The reference library is the oracle: it verifies ours, we verify its, for any id, instant
// and body; and one flipped bit is refused by both.
func TestReferenceLibraryAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), secretBytesMin, secretBytesMax).Draw(t, "raw")
		id := rapid.StringMatching(`[a-zA-Z0-9_-]{1,40}`).Draw(t, "id")
		seconds := rapid.Int64Range(0, 1<<40).Draw(t, "seconds")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		secret := encode(secretPrefix, raw)
		k, err := ParseKey(secret)
		if err != nil {
			t.Fatal(err)
		}
		oracle, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		ours := string(k.Append(nil, id, seconds, body))
		theirs, err := oracle.Sign(id, time.Unix(seconds, 0), body)
		if err != nil || ours != theirs {
			t.Fatalf("ours %q, theirs %q, %v", ours, theirs, err)
		}
		headers := http.Header{}
		headers.Set("webhook-id", id)
		headers.Set("webhook-timestamp", strconv.FormatInt(seconds, 10))
		headers.Set("webhook-signature", "v1,bm8= "+ours)
		if err := oracle.VerifyIgnoringTimestamp(body, headers); err != nil {
			t.Fatal(err)
		}
		stamp := strconv.FormatInt(seconds, 10)
		if err := Verify([]Key{k}, id, stamp, theirs, body, time.Now(), 0); err != nil {
			t.Fatal(err)
		}
		changed := append([]byte{}, body...)
		changed = append(changed, 0)
		err = Verify([]Key{k}, id, stamp, theirs, changed, time.Now(), 0)
		if !errors.Is(err, ErrNoMatch) {
			t.Fatalf("a changed body: %v", err)
		}
	})
}

func TestAppendAllocations(t *testing.T) {
	if effort.Race {
		t.Skip("allocations are measured without -race")
	}
	f := func(secret string, want float64) {
		t.Helper()
		k := mustKey(t, secret)
		dst := make([]byte, 0, 256)
		body := bytes.Repeat([]byte("x"), 1<<10)
		got := testing.AllocsPerRun(200, func() {
			dst = k.Append(dst[:0], vectorID, vectorTimestamp, body)
		})
		if got > want {
			t.Errorf("%s: %v allocations, want at most %v", secret[:6], got, want)
		}
	}
	f(vectorSecret, 0)
	// the signature itself, made by crypto/ed25519, and its hash
	f(vectorPrivate, 3)
}

func TestLargeBodyV1aLeavesNoLargeScratch(t *testing.T) {
	k := mustKey(t, vectorPrivate)
	body := make([]byte, 1<<20)
	header := string(k.Append(nil, "i", 1, body))
	if s := k.states.Get().(*state); cap(s.scratch) > scratchBytesMax {
		t.Errorf("%d bytes kept", cap(s.scratch))
	}
	err := Verify([]Key{mustKey(t, vectorPublic)}, "i", "1", header, body, time.Now(), 0)
	if err != nil {
		t.Error(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, secret := range []string{vectorSecret, vectorPrivate} {
		b.Run(secret[:5], func(b *testing.B) {
			k := mustKey(b, secret)
			body := bytes.Repeat([]byte("x"), 1<<10)
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = k.Append(dst[:0], vectorID, vectorTimestamp, body)
			}
		})
	}
}
