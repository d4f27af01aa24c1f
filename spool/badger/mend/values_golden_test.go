package mend

import (
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
)

// The golden value logs are Badger's, v4.9.6, of four transactions with an event of 15 times
// "frame N. " each; encrypted with the data key 1. What is read of them, and what is made of them when
// they are damaged, never changes.
func TestValuesGolden(t *testing.T) {
	secret, err := hex.DecodeString("ff595b00d9351a33c482796b4f7b19f7")
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, keys Keys, mendedSum uint32) {
		t.Helper()
		text, err := os.ReadFile("testdata/" + name + ".vlog")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		o := ValueOptions{Keys: keys, Visit: func(e *ValueEntry) {
			got = append(got, fmt.Sprintf("%d+%d %d %x %v", e.At, e.Bytes, e.Txn, e.Key, e.Mended))
		}}
		v := readValues(t, text, o)
		sound := []string{
			"20+162 1 650000000000000001 false", "182+162 2 650000000000000002 false",
			"344+162 3 650000000000000003 false", "506+162 4 650000000000000004 false",
		}
		if !slices.Equal(got, sound) || v.IsDamaged() || v.End != 668 || v.Size != 668 {
			t.Errorf("%s: %q, %+v", name, got, v)
		}
		text[22] ^= 0x20        // the length of the first key
		text[282] ^= 1          // the second value
		clear(text[500:512])    // the end of the third entry, the head of the fourth
		text[182+162-1] ^= 0xff // the second checksum
		text = mended(text, readValues(t, text, o))
		got = nil
		v = readValues(t, text, o)
		sound[1] = strings.Replace(sound[1], "false", "true", 1)
		sound[2] = strings.Replace(sound[2], "false", "true", 1)
		if !slices.Equal(got, sound) || v.IsDamaged() || len(v.Mended) != 2 {
			t.Errorf("%s: mended: %q, %+v", name, got, v)
		}
		if sum := crc32.ChecksumIEEE(text); sum != mendedSum {
			t.Errorf("%s: mended it has the sum %08x; want %08x", name, sum, mendedSum)
		}
	}
	f("clear", nil, 0x615f59cb)
	f("encrypted", Keys{1: secret}, 0x81c3b0e6)
}
