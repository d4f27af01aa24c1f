package record

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/receipt"
)

// shapeOf is, by version of the format, a digest of what records look like in it. Those of older
// versions stay as they are.
func shapeOf() map[uint64]string {
	return map[uint64]string{
		3: "5ec8fe72c57f0a11bb4be9cd9107efd456a862172eefd3216dd1996838c9bc6a",
	}
}

// Whatever changes what a record may be changes the number of the format: a hookspool that does not
// know it would set what it cannot read aside, deliver nothing of it, and call that a sound spool.
func TestFormatHasANumber(t *testing.T) {
	sum := sha256.New()
	for i := range kinds {
		fmt.Fprintln(sum, kinds[i].String())
	}
	var (
		format  Format
		tick    Tick
		at      Checkpoint
		pass    IDPass
		id      ID
		lane    Lane
		x       Exception
		stand   Standing
		attempt Attempt
		parts   Parts
		seal    Seal
	)
	for _, all := range []any{&format, &tick, &at, &pass, &id, &lane, &x, &stand, &attempt, &parts,
		&seal} {
		n := 0
		fill(t, reflect.ValueOf(all).Elem(), &n)
	}
	lane.Receipts = []receipt.Receipt{receipt.Of(7, time.Unix(1, 0), time.Second, 200)}
	format.Version = Version
	seal.Sum = 0
	made := parts
	made.Given = false
	piece := receipt.Piece{Apart: true, List: lane.Receipts}
	recent := []Attempt{attempt, {At: time.Unix(2, 0)}}
	for _, value := range [][]byte{format.Encode(), tick.Encode(), at.Encode(), pass.Encode(),
		id.Encode(), lane.Encode(), x.Encode(), stand.Encode(), attempt.Encode(),
		EncodeRecent(recent), EncodeName("name"), EncodeWord([]byte("word")),
		EncodeInstant(time.Unix(3, 0)), EncodeInstant(time.Unix(4, 0)), EncodeState([]byte("state")), EncodeReceipts(&piece),
		NewEvent(parts, seal), NewEvent(made, seal)} {
		fmt.Fprintf(sum, "%x\n", value)
	}
	got := fmt.Sprintf("%x", sum.Sum(nil))
	if want := shapeOf()[Version]; got != want {
		t.Errorf("what a record may be is not what it is in format %d: %s; want %s.\nRaise Version, "+
			"say how a spool of the one before is brought to it, pack its golden spools, and note the "+
			"new digest here", Version, got, want)
	}
}

// fill gives every field another value that is not zero, so that each is seen in a record.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Unix(int64(1_700_000_000+*n), 0)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(t, v.Field(i), n)
			}
		}
	case reflect.Array, reflect.Slice:
		if v.Kind() == reflect.Slice {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		}
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.String:
		v.SetString(fmt.Sprint("text", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		if v.Type() == reflect.TypeFor[time.Duration]() {
			v.SetInt(int64(*n) * int64(time.Second))
			return
		}
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		t.Fatalf("there is no value for a %s", v.Type())
	}
}
