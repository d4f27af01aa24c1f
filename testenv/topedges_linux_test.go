package testenv

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// topOf starts top on a relay through a front, with the token that the relay wants.
func topOf(t *testing.T, columns, rows int) (*Journey, *front, *topScreen) {
	j := NewJourney(t).Aim("a")
	j.Config.Set("server.admin_token", "a-token-of-32-bytes-or-even-more")
	j.Start()
	f := startFront(t, j)
	s := startTop(t, columns, rows, []string{"HOOKSPOOL_ADMIN_TOKEN=a-token-of-32-bytes-or-even-more"},
		"--admin", f.URL())
	return j, f, s
}

func isStream(r *http.Request) bool { return r.URL.Path == "/v1/stream" }

// TestTopPolls has top at a relay that refuses the stream: it says that it asks instead, and shows
// what changes all the same.
func TestTopPolls(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("held", j.RX.URL("held"), "status", "paused")
	j.Start()
	f := startFront(t, j)
	f.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if isStream(r) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"status":503,"code":"overloaded","detail":"no more streams"}`)
		}
		return isStream(r)
	})
	s := startTop(t, 100, 20, nil, "--admin", f.URL())
	s.await(`^asked every 2s: there is no stream$`)
	j.Relay.Post(Post{ID: "x", Body: []byte(`{}`)})
	s.await(`, 1 pending, `)
	j.Ledger.AllowForeign()
	s.press("q")
	s.wantLeft(0)
}

// TestTopFollows cuts the stream of top, lets it fall silent, and takes the token away: each is said
// on the screen, with how old the rest of it is, and top goes on once it can.
func TestTopFollows(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	_, f, s := topOf(t, 100, 20)
	fine := func() {
		t.Helper()
		s.await(`^hookspool \S+ is ready, `)
		s.await(`^1 target, none needs you\n\n`)
	}
	fine()
	f.hangUp()
	Until(t, Patience, "the cut to be seen", func() bool { return s.came(`this is \d+s old; trying again`) })
	fine()
	// A stream that nobody writes to any more, as one to a machine that has lost its power.
	f.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if isStream(r) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
		return isStream(r)
	})
	f.hangUp()
	s.await(`^this is \d+s old; trying again: http://\S+ has said nothing for 10s$`)
	s.await(`^hookspool \S+ is away, `)
	f.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Authorization") // the relay has another one now
		return false
	})
	f.hangUp()
	s.await(`^this is \d+s old; trying again: the admin token is `)
	f.answer(nil)
	fine()
	s.press("\x03")
	s.wantLeft(0)
}

// TestTopOnASmallTerminal asserts that no line is wider than a small terminal, with colours or
// without, in any of its views, and that it leaves as from a large one.
func TestTopOnASmallTerminal(t *testing.T) {
	t.Parallel()
	for _, env := range []string{"NO_COLOR=1", "NO_COLOR="} {
		for _, size := range [][2]int{{20, 3}, {20, 12}, {1, 1}, {7, 40}, {20, 1}, {20, 2}} {
			t.Run(fmt.Sprint(env, size), func(t *testing.T) {
				t.Parallel()
				j := NewJourney(t).Aim("a-name-that-is-long", "b")
				j.RX.Always("b", Code(503))
				j.Start()
				j.SendIDs("x", 1)
				j.AwaitFailed("b", 1)
				s := startTop(t, size[0], size[1], []string{env, "COLORTERM=truecolor"}, "--config",
					j.ConfigPath())
				for _, key := range []string{"", "\r", "\x1b", "?", "x", "/b", "\x1b"} {
					s.press(key)
					Until(t, Patience, fmt.Sprintf("something on the screen after %q", key), func() bool {
						return strings.TrimSpace(s.text()) != ""
					})
					if foot := map[string]string{"?": "any key goes back", "/b": "/b_"}[key]; size[0] >= 20 {
						s.await(foot)
					}
					for line := range strings.Lines(s.text()) {
						if n := len([]rune(strings.TrimRight(line, "\n"))); n > size[0] {
							t.Fatalf("after %q a line has %d columns: %q", key, n, line)
						}
					}
				}
				s.press("\x03")
				s.wantLeft(0)
				j.Ledger.AllowForeign()
			})
		}
	}
}

// TestTopDumb asserts that a terminal that can do nothing is told what can be had there.
func TestTopDumb(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("a")
	j.Start()
	s := startTop(t, 80, 24, []string{"TERM=dumb"}, "--config", j.ConfigPath())
	<-s.ended
	s.await(`error: top wants a terminal`)
	if code := s.cmd.ProcessState.ExitCode(); code != 1 || s.came("1049") {
		t.Errorf("it ended with %d:\n%s", code, s.text())
	}
}
