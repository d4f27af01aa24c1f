package action

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// An action leaves with an export and comes back as it was, but for a mark; what could not have been
// written by one is refused.
func TestLines(t *testing.T) {
	now := time.Unix(1_700_000_000, 123).UTC()
	a := Action{Run: NewRun(now), At: now, EndedAt: &now, Verb: "replay", Target: "crm",
		Filter: `where="<&>"`, Count: 7, Result: "done", Who: Who{By: "ann@host", How: Socket,
			Token: true, Remote: "unix"}, Relay: "one"}
	body := bodyOf(t, a)
	line := Line(body, "")
	if !IsLine(line) || IsLine([]byte(`{"id":"x"}`)) || strings.Contains(string(line), "\\u003c") {
		t.Errorf("the line is %s", line)
	}
	if string(Line(body, "crm")) != string(line) || Line(body, "erp") != nil ||
		Line([]byte("damaged"), "") != nil {
		t.Error("the lines are not those of one target that can be read")
	}
	got, err := ParseLine(line, now)
	if err != nil {
		t.Fatal(err)
	}
	a.Imported = true
	if want, is := string(Line(bodyOf(t, a), "")), string(Line(bodyOf(t, *got), "")); is != want {
		t.Errorf("it came back as %s, want %s", is, want)
	}
	f := func(want string, line string) {
		t.Helper()
		if _, err := ParseLine([]byte(line), now); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	change := func(was, is string) string { return strings.Replace(string(line), was, is, 1) }
	f("no action of an export", `{"action":`)
	f("unknown field", change(`"verb"`, `"vreb"`))
	f("not one action", `{"action":null}`)
	f("not one action", string(line)+string(line))
	f("is not the name of an action", change(a.Run, "00"+a.Run[2:]))
	f("is not the name of an action", change(a.Run, ""))
	f("still to come", string(Line(later(t, a, now.Add(48*time.Hour)), "")))
	f("none of this version", change(`"replay"`, `"destroy"`))
	f("neither socket nor claimed", change(`"socket"`, `"seen"`))
	f("target has more than", change(`"crm"`, `"`+strings.Repeat("x", 300)+`"`))
	got, err = ParseLine([]byte(change("done", strings.Repeat("é", 1000))), now)
	if err != nil || len(got.Result) > resultBytesMax+3 {
		t.Errorf("a long result is kept as %d bytes, %v", len(got.Result), err)
	}
}

// bodyOf is an action as a book keeps it.
func bodyOf(t *testing.T, a Action) []byte {
	t.Helper()
	body, err := json.Marshal(&a)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// later is an action at another instant, as a book keeps it.
func later(t *testing.T, a Action, at time.Time) []byte {
	a.At, a.Run = at, NewRun(at)
	return bodyOf(t, a)
}
