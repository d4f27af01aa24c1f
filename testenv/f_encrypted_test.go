package testenv

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestFaultEncryptedWarnings kills a relay with an encrypted spool, a target that fails, and every
// way of warning, some ticks after each of its starts: what it writes first is whatever the next
// tick brings, a memo of what was warned of or a notice that is to be posted. Every start succeeds,
// nothing is taken for damaged, and everything arrives. (The start refused for good when the log
// began with a record that a list did not know.)
func TestFaultEncryptedWarnings(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	const rounds = 8
	rng := Seed(t)
	j, box := NewJourney(t), NewMailbox(t)
	box.Configure(j.Config)
	hook := postAlerts(j)
	key := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	j.Config.Set("spool.encryption_key", key).Set("retry.interval", "30ms").
		Set("defect.after_failed_jobs", 4).Set("alert.email.warnings", true).
		Set("alert.warn_at", []int{25, 50, 75})
	j.Config.Target("dead", j.RX.URL("dead"))
	// It is asked meanwhile, so it has a generator of its own.
	dead := &moody{rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), sound: 9}
	j.RX.On("dead", dead.reply)
	for round := range rounds {
		if err := j.tryStart(); err != nil {
			t.Fatalf("start %d, after a kill: %v", round+1, err)
		}
		j.SendIDs(fmt.Sprint("round-", round), 2)
		j.AwaitTicks(1 + rng.IntN(4))
		j.Kill()
		j.keepLog()
	}
	dead.mend()
	j.Start()
	j.Ledger.AwaitDelivered()
	if s := j.Status(); s.Quarantined != 0 {
		t.Errorf("%d records were set aside", s.Quarantined)
	}
	if got := posts(t, hook); len(got) == 0 {
		t.Error("no alert was posted, so this proves nothing")
	}
	if log := j.Log(); strings.Contains(log, "damaged") || strings.Contains(log, "cannot be read") {
		t.Errorf("something was taken for damaged:\n%s", tail(log))
	}
}

// moody is a receiver that fails but for one request of some, until it is mended.
type moody struct {
	mu    sync.Mutex // guards below
	rng   *rand.Rand
	sound int // one of so many succeeds
}

func (m *moody) reply(*Request) Reply {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rng.IntN(m.sound) > 0 {
		return Code(500)
	}
	return OK()
}

func (m *moody) mend() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sound = 1
}
