package mend

import (
	"bytes"
	"strings"
	"testing"
)

// A log that ends in a write that was cut off is what a kill leaves, a note; anything else that
// does not fit is a fault, encrypted or not.
func TestCheckLog(t *testing.T) {
	both(t, func(t *testing.T, secret string, keyID uint64) {
		w := testLog(secret, keyID)
		f := func(what string, text []byte, fault, note string) {
			t.Helper()
			gotFault, gotNote := CheckLog(text)
			if !strings.Contains(gotFault, fault) || (gotFault == "") != (fault == "") ||
				!strings.Contains(gotNote, note) || (gotNote == "") != (note == "") {
				t.Errorf("%s: fault %q, note %q", what, gotFault, gotNote)
			}
		}
		f("a sound one", file(w.b), "", "")
		f("without zeros", w.b, "", "")
		f("a head", file(w.b[:LogHeadBytes]), "", "")
		f("nothing", nil, "", "")
		entries := places(w)
		last := entries[len(entries)-2] // the event before the last end
		f("its end is missing", file(w.b[:last.at+last.size]), "", "was never whole")
		f("an entry is cut off", file(w.b[:last.at+last.size-9]), "", "was never whole")
		changed := file(w.b)
		changed[last.at+last.head+3] ^= 1
		f("the newest event is changed", changed, "1 whole transactions lie after that", "")
		changed = file(w.b)
		changed[len(w.b)-5] ^= 1
		f("the newest end is changed", changed, "does not fit its checksum", "")
		for at := LogHeadBytes; at < len(w.b); at++ {
			b := file(w.b)
			if b[at] ^= 0x10; b[at] == 0 {
				continue
			}
			if fault, note := CheckLog(b); fault == "" && note == "" {
				t.Errorf("byte %d is changed, and nothing is said", at)
			}
		}
		f("the first is changed", append(bytes.Repeat([]byte{9}, LogHeadBytes+7), w.b[LogHeadBytes+7:]...),
			"6 whole transactions", "")
	})
}

// Zeros at the end go, wherever they begin, and no others.
func TestTrimZeros(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 9000} {
		for _, text := range []string{"", "x", "x\x00y", strings.Repeat("x", 4096)} {
			b := append([]byte(text), make([]byte, n)...)
			if got := TrimZeros(b); string(got) != text {
				t.Errorf("%d bytes and %d zeros: %d are left", len(text), n, len(got))
			}
		}
	}
}
