package accept

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Beyond the brink nothing is taken, whatever its size, until less is in use; who is refused is told
// when to come again. A look is made now and then only.
func TestBrink(t *testing.T) {
	f := newFixture()
	used, looks := int64(0), 0
	f.brink = brink{most: 100, used: func() int64 { looks++; return used }}
	url := "http://" + f.listen(t) + "/v1/events"
	post := func(what, body string, want int) {
		t.Helper()
		f.brink.at = time.Time{} // another look is due
		res, err := http.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if after := res.Header.Get("Retry-After"); res.StatusCode != want || want == 503 && after != "1" {
			t.Errorf("%s: answered %d, Retry-After %q; want %d", what, res.StatusCode, after, want)
		}
	}
	large := strings.Repeat(" ", 100<<10) + "{}"
	used = 99
	post("below", `{}`, 200)
	used = 100
	post("small and beyond", `{}`, 503)
	post("large and beyond", large, 503)
	used = 99
	post("small and below again", `{}`, 200)
	post("large and below again", large, 200)
	if f.bytes.Load() != 0 || f.counts.refused[CodeOverloaded] != 2 || f.spool.count() != 3 {
		t.Errorf("%d bytes are in hand, refused %v, %d events kept", f.bytes.Load(), f.counts.refused,
			f.spool.count())
	}
	now := time.Now()
	f.brink.at, looks = now.Add(-brinkLook), 0
	for range 10 {
		f.brink.reached(now)
	}
	if looks != 1 {
		t.Errorf("%d looks at one instant", looks)
	}
}

// The process knows what it uses.
func TestMemoryUsed(t *testing.T) {
	before := memoryUsed()
	kept := make([]byte, 64<<20)
	after := memoryUsed()
	if before <= 0 || after < before+32<<20 {
		t.Errorf("%d bytes are in use, %d with %d more", before, after, len(kept))
	}
	kept[0]++
}

// Bodies have one budget, of which large ones leave a part to small ones; but a body with nothing
// beside it gets all the room that its limit allows, or the largest batch could never be sent.
func TestBodyBudget(t *testing.T) {
	f := newFixture()
	f.o.BodyBytes = 1 << 20
	want := func(what string, b *body, have int, refused bool) {
		t.Helper()
		b.buf = make([]byte, have)
		if no := f.makeRoom(b, -1); (no != nil) != refused {
			t.Errorf("%s: refused %v; want %t", what, no, refused)
		}
	}
	var first, second, third body
	want("the only one", &first, 2<<20, false)
	want("a small one beside it", &second, 1<<10, true)
	f.releaseBody(&first)
	f.releaseBody(&second)
	want("a large one", &first, 300<<10, false)
	want("another, into the part of small ones", &second, 300<<10, true)
	f.releaseBody(&second)
	want("a small one", &third, 8<<10, false)
	f.releaseBody(&first)
	f.releaseBody(&third)
	if n := f.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are in hand", n)
	}
}
