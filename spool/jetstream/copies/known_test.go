package copies

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

// heard is what becomes of comparisons, one after the other, each a minute after the one before.
type heard struct {
	t  *testing.T
	k  known
	at time.Time
}

// hears takes a comparison of these nodes, "b?" one that is suspected, "b-9" one that may lack 9
// messages, and asserts what is told: "b" for a clear finding, "b?" for a doubtful one, each with
// the minutes since when.
func (h *heard) hears(what, nodes string, c Comparison, want string, found, whole int) {
	h.t.Helper()
	h.at = h.at.Add(time.Minute)
	c.Replicas = 3
	if c.Members == nil {
		c.Members = []string{"a", "b", "c"}
	}
	for node := range strings.FieldsSeq(nodes) {
		n := Node{}
		node, n.Suspect = strings.CutSuffix(node, "?")
		_, _ = fmt.Sscanf(node, "%1s-%d", &n.Name, &n.AtMost)
		c.Nodes = append(c.Nodes, n)
	}
	now, gone := h.k.hears(&c, h.at)
	got := ""
	for _, s := range h.k.told().Short {
		got += fmt.Sprintf(" %s%s %d", s.Node, map[bool]string{true: "?"}[s.Doubtful],
			int(h.at.Sub(s.Since).Minutes()))
		if s.Leads {
			got += "!"
		}
	}
	if got = strings.TrimSpace(got); got != want || len(now) != found || len(gone) != whole {
		h.t.Errorf("%s: %q, %d are new and %d whole; want %q, %d and %d", what, got, len(now),
			len(gone), want, found, whole)
	}
}

func shortOf(clear bool, nodes ...string) (list []Short) {
	for _, node := range nodes {
		list = append(list, Short{node, 7, clear})
	}
	return list
}

// TestWatch asserts what is told of, and since when: a clear verdict at once, a doubtful one when
// the next comparison says the same, and both until it is seen that the copy lacks nothing, or is
// kept no more; that a comparison which does not tell is no sign of a whole copy; and whose copy is
// to be replaced.
func TestWatch(t *testing.T) {
	h := &heard{t: t, at: time.Unix(1_000_000, 0)}
	if h.k.told() != nil {
		t.Error("it tells of what it has not compared")
	}
	replaces := func(want string) {
		t.Helper()
		if got := h.k.toReplace(); got != want {
			t.Errorf("%q is to be replaced, want %q", got, want)
		}
	}
	h.hears("whole", "a b c", Comparison{}, "", 0, 0)
	h.hears("clear", "a b? c", Comparison{Short: shortOf(true, "b")}, "b 0", 1, 0)
	replaces("")
	h.hears("clear again", "a b? c", Comparison{Short: shortOf(true, "b")}, "b 1", 0, 0)
	replaces("b")
	h.hears("it leads", "a b? c", Comparison{Short: shortOf(true, "b"), Leader: "b"}, "b 2!", 0, 0)
	replaces("")
	h.hears("doubtful now", "a b?", Comparison{Short: shortOf(false, "b")}, "b 3", 0, 0)
	h.hears("away, or it catches up", "a c", Comparison{}, "b 4", 0, 0)
	h.hears("suspected, and no verdict", "a b? c", Comparison{}, "b 5", 0, 0)
	h.hears("it is not known how exactly", "a b-7 c", Comparison{}, "b 6", 0, 0)
	if !h.k.isFit("a") || h.k.isFit("b") || h.k.isFit("d") {
		t.Error("who may lead is not known")
	}
	h.hears("less is missing than there was", "a b-6 c", Comparison{}, "", 0, 1)
	if !h.k.isFit("b") {
		t.Error("what is whole may not lead")
	}
	h.hears("doubtful", "a? b? c", Comparison{Short: shortOf(false, "a", "b")}, "", 0, 0)
	if h.k.isFit("a") {
		t.Error("what is suspected may lead")
	}
	h.hears("one of them", "a b? c", Comparison{Short: shortOf(false, "b")}, "b? 0", 1, 0)
	for n := 1; n < wholeAfter; n++ {
		h.hears("not suspected", "a b c", Comparison{}, fmt.Sprint("b? ", n), 0, 0)
	}
	h.hears("for long enough", "a b c", Comparison{}, "", 0, 1)
	h.hears("clear", "a b? c", Comparison{Short: shortOf(true, "b")}, "b 0", 1, 0)
	h.hears("replaced", "a c d", Comparison{Members: []string{"a", "c", "d"}}, "", 0, 1)
	h.hears("doubtful once", "a c?", Comparison{Short: shortOf(false, "c")}, "", 0, 0)
	h.k.forget()
	if h.k.told() != nil {
		t.Error("it tells of what it has forgotten")
	}
	h.hears("after another led", "a c?", Comparison{Short: shortOf(false, "c")}, "", 0, 0)
}

// TestInherit asserts that a relay which leads from now on knows what the one before it has told.
func TestInherit(t *testing.T) {
	h := &heard{t: t, at: time.Unix(1_000_000, 0)}
	h.k.inherits(nil)
	former := &engine.Copies{Looked: h.at, Compared: h.at, Short: []engine.ShortCopy{{Node: "b",
		Missing: 7, Since: h.at}}}
	h.k.inherits(former)
	if got := h.k.told(); got == nil || len(got.Short) != 1 || !got.Compared.Equal(h.at) {
		t.Errorf("it tells %+v", got)
	}
	h.hears("still", "a b? c", Comparison{}, "b 1", 0, 0)
	h.k.inherits(&engine.Copies{Looked: h.at.Add(time.Hour)})
	h.hears("its own counts", "a b? c", Comparison{}, "b 2", 0, 0)
}

// TestExpiry asserts that what may expire at once is known from what was stored at once.
func TestExpiry(t *testing.T) {
	var x Expiry
	at := time.Unix(1_000_020, 0).Truncate(expirySlot)
	f := func(n int, after time.Duration, want int64) {
		t.Helper()
		at = at.Add(after)
		if x.Stored(n, at); x.Most() != want*kindsExpire {
			t.Errorf("%d, want %d", x.Most(), want*kindsExpire)
		}
	}
	f(0, 0, 0)
	f(5, 0, 5)
	f(5, time.Second, 10)
	f(9, expirySlot, 10)
	f(9, 0, 18)
	f(1, expirySlot, 18)
}
