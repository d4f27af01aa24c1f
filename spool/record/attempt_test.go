package record

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"
)

// An attempt of a build that kept no heads is read, and one without heads is written as it was.
func TestAttemptOfEarlierBuild(t *testing.T) {
	const old = "0144b9d76a038a80d0e2c6bfce972f02f7038094ebdc030c616e737765726564203530330c" +
		"3132372e302e302e313a3830026e6f01"
	want := Attempt{Made: Made{Outcome: 2, Duration: time.Second, Remote: "127.0.0.1:80",
		Snippet: []byte("no")}, Number: 3, At: time.Unix(1_700_000_000, 5), Status: 503,
		Error: "answered 503", Replay: true}
	raw, err := hex.DecodeString(old)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeAttempt(raw)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if now := hex.EncodeToString(want.Encode()); now != old {
		t.Errorf("it is written as %s", now)
	}
}

// The first attempt has its heads in its record, any other in one beside it, which every build can
// read; both are bounded.
func TestAttemptSplit(t *testing.T) {
	long := []byte(strings.Repeat("x", 4<<10))
	a := Attempt{Made: Made{Outcome: 2, Remote: "r", Snippet: long, Request: long, Response: long},
		At: time.Unix(1_700_000_000, 5)}
	f := func(number int, two bool, most int) {
		t.Helper()
		a.Number = number
		own, heads, got := a.Split()
		if got != two || len(own.Encode()) > most || two && len(heads.Encode()) > 4<<10+200 {
			t.Errorf("attempt %d: %t, %d and %d bytes", number, got, len(own.Encode()),
				len(heads.Encode()))
		}
		back, err := DecodeAttempt(own.Encode())
		if err != nil || len(back.Snippet) != HistorySnippet || (back.Request == nil) != two {
			t.Errorf("attempt %d: %+v, %v", number, back, err)
		}
		if back, err = DecodeAttempt(heads.Encode()); two && (err != nil || back.Number != number ||
			len(back.Request) != HistoryHead || len(back.Response) != HistoryHead) {
			t.Errorf("the heads of attempt %d: %+v, %v", number, back, err)
		}
	}
	f(0, false, 1<<10+4<<10+200)
	f(1, true, 1<<10+200)
	f(144, true, 1<<10+200)
	a.Request, a.Response = nil, nil
	if _, _, two := a.Split(); two {
		t.Error("there are heads of an attempt without any")
	}
	r := Ref{Lane: 7, Seq: 9}
	for n := range 150 {
		if string(HistoryKey(r, n)) == string(HeadsKey(r)) || IsHeads(HistoryKey(r, n)) {
			t.Fatalf("attempt %d lies where the heads are", n)
		}
	}
	if !IsHeads(HeadsKey(r)) || Check(HeadsKey(r), a.Encode()) != nil {
		t.Error("the key of heads is none")
	}
}

func TestBeginning(t *testing.T) {
	f := func(text string, most int, want string) {
		t.Helper()
		if got := string(Beginning([]byte(text), most)); got != want {
			t.Errorf("%q to %d is %q; want %q", text, most, got, want)
		}
	}
	f("", 9, "")
	f("123456789", 9, "123456789")
	f("1234567890", 9, "123456…")
	f("12345ä6789", 9, "12345…")
	f("12345…", 9, "12345…")
}
