package signature

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestVerify(t *testing.T) {
	now := time.Unix(vectorTimestamp, 0)
	all := []Key{mustKey(t, vectorSecret), mustKey(t, vectorPublic)}
	const stamp = "1614265330"
	f := func(keys []Key, id, timestamp, header string, at time.Time, want error) {
		t.Helper()
		err := Verify(keys, id, timestamp, header, []byte(vectorBody), at, 5*time.Minute)
		if !errors.Is(err, want) {
			t.Errorf("Verify(%q, %q, %q) = %v, want %v", id, timestamp, header, err, want)
		}
	}
	// each scheme, any order, unknown versions and rubbish between
	f(all, vectorID, stamp, vectorV1, now, nil)
	f(all, vectorID, stamp, vectorV1a, now, nil)
	f(all, vectorID, stamp, "v9,xx  , v1, rubbish "+vectorV1a+" v1,AAAA", now, nil)
	f([]Key{mustKey(t, vectorPrivate)}, vectorID, stamp, vectorV1a, now, nil)
	// keys of the other scheme, no key, the zero key
	f(all[:1], vectorID, stamp, vectorV1a, now, ErrNoMatch)
	f(all[1:], vectorID, stamp, vectorV1, now, ErrNoMatch)
	f(nil, vectorID, stamp, vectorV1, now, ErrNoMatch)
	f([]Key{{}}, vectorID, stamp, vectorV1, now, ErrNoMatch)
	// the right sum under the wrong version, cut, lengthened, another id, another instant
	f(all, vectorID, stamp, "v1a,"+vectorV1[3:], now, ErrNoMatch)
	f(all, vectorID, stamp, "v1,"+vectorV1a[4:], now, ErrNoMatch)
	f(all, vectorID, stamp, vectorV1[:len(vectorV1)-1], now, ErrNoMatch)
	f(all, vectorID, stamp, vectorV1+"=", now, ErrNoMatch)
	f(all, vectorID, stamp, vectorV1+",x", now, ErrNoMatch)
	f(all, vectorID+"x", stamp, vectorV1, now, ErrNoMatch)
	f(all, vectorID, "1614265331", vectorV1, now, ErrNoMatch)
	// the edges of the tolerance
	f(all, vectorID, stamp, vectorV1, now.Add(5*time.Minute), nil)
	f(all, vectorID, stamp, vectorV1, now.Add(-5*time.Minute), nil)
	f(all, vectorID, stamp, vectorV1, now.Add(5*time.Minute+1), ErrTimestamp)
	f(all, vectorID, stamp, vectorV1, now.Add(-5*time.Minute-1), ErrTimestamp)
	f(all, vectorID, strconv.Itoa(math.MaxInt64), vectorV1, now, ErrTimestamp)
	f(all, vectorID, strconv.Itoa(math.MinInt64), vectorV1, now, ErrTimestamp)
	// what cannot be read
	f(all, "", stamp, vectorV1, now, ErrMalformed)
	f(all, vectorID, "", vectorV1, now, ErrMalformed)
	f(all, vectorID, "now", vectorV1, now, ErrMalformed)
	f(all, vectorID, "9223372036854775808", vectorV1, now, ErrMalformed)
	f(all, vectorID, stamp, "", now, ErrMalformed)
	f(all, vectorID, stamp, "   ", now, ErrMalformed)
	f(all, vectorID, stamp, vectorV1[3:], now, ErrMalformed)
	f(all, vectorID, stamp, strings.Repeat("v1,x ", signaturesMax)+vectorV1, now, ErrMalformed)
	f(all, vectorID, stamp, strings.Repeat("v1,x ", signaturesMax-1)+vectorV1, now, nil)

	// a tolerance of 0 asks nothing of the clock
	err := Verify(all, vectorID, stamp, vectorV1, []byte(vectorBody), time.Time{}, 0)
	if err != nil {
		t.Error(err)
	}
}

// Whatever comes in a header, Verify answers with nil or one of its errors, and says nil
// only when the true signature is among the items.
func FuzzVerify(f *testing.F) {
	f.Add(vectorID, "1614265330", vectorV1)
	f.Add(vectorID, "1614265330", vectorV1a)
	f.Add(vectorID, "+1614265330", "v1,x "+vectorV1)
	f.Add(vectorID, "-1", "v1a,,")
	f.Add("", "", "")
	f.Add("a.b", "0", "v1, v1a,AAAA v2,=")
	f.Add(vectorID, "1614265330", "v1,"+strings.Repeat("A", 1000)+"\x00\r\n")
	keys := []Key{mustKey(f, vectorSecret), mustKey(f, vectorPublic)}
	now := time.Unix(vectorTimestamp, 0)
	f.Fuzz(func(t *testing.T, id, timestamp, header string) {
		err := Verify(keys, id, timestamp, header, []byte(vectorBody), now, time.Hour)
		switch {
		case err == nil:
			seconds, _ := strconv.ParseInt(timestamp, 10, 64)
			v1 := string(keys[0].Append(nil, id, seconds, []byte(vectorBody)))
			if !strings.Contains(" "+header+" ", " "+v1+" ") &&
				(id != vectorID || !strings.Contains(header, vectorV1a)) {
				t.Fatalf("verified %q %q %q", id, timestamp, header)
			}
		case !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTimestamp) &&
			!errors.Is(err, ErrNoMatch):
			t.Fatalf("an error of no kind: %v", err)
		}
	})
}

// Any text is a key or an error, never a panic.
func FuzzParseKey(f *testing.F) {
	for _, s := range []string{vectorSecret, vectorPrivate, vectorPublic, "", "whsec_", "whsk_="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		k, err := ParseKey(secret)
		if err == nil && k.CanSign() && len(k.Append(nil, "i", 1, nil)) == 0 {
			t.Fatal("nothing signed")
		}
	})
}
