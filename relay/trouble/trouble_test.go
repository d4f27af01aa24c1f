package trouble_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/trouble"
)

func TestOf(t *testing.T) {
	now := time.Date(2026, 7, 26, 3, 0, 0, 0, time.UTC)
	before, after := now.Add(-time.Minute), now.Add(time.Minute)
	f := func(want string, target admin.Target) {
		t.Helper()
		if target.Status == "" {
			target.Status = "Enabled"
		}
		if got := trouble.Of(&target, now); got != want {
			t.Errorf("%+v is in trouble %q, want %q", target, got, want)
		}
	}
	f("", admin.Target{})
	f("", admin.Target{Pending: 9, Exhausted: 9})
	f(trouble.Failing, admin.Target{FailedJobs: 1})
	f(trouble.Held, admin.Target{FailedJobs: 1, HeldUntil: &after})
	// The instant has passed, and nothing has been sent since.
	f(trouble.Failing, admin.Target{FailedJobs: 1, HeldUntil: &before})
	f(trouble.Defective, admin.Target{Status: "Defective", FailedJobs: 101, HeldUntil: &after})
	f(trouble.Paused, admin.Target{Status: "Paused", FailedJobs: 3})
	f(trouble.Gone, admin.Target{Status: "Paused", GoneSince: &before})
	f("", admin.Target{Status: "Disabled", FailedJobs: 3, Pending: 3})
	// An orphan was Defective when it left the config; nothing is tried any more.
	f(trouble.Orphan, admin.Target{Status: "Disabled", Orphan: true, Pending: 1, FailedJobs: 101})
	f("", admin.Target{Status: "Disabled", Orphan: true, Exhausted: 1, FailedJobs: 101})
}

func TestSort(t *testing.T) {
	now := time.Date(2026, 7, 26, 3, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	after := now.Add(time.Hour)
	targets := []admin.Target{
		{Name: "b-well", Status: "Enabled", OldestPending: ago(59 * time.Second)},
		{Name: "a-well", Status: "Enabled"},
		{Name: "z-behind", Status: "Enabled", OldestPending: ago(time.Minute)},
		{Name: "failing", Status: "Enabled", FailedJobs: 1},
		{Name: "held", Status: "Enabled", HeldUntil: &after},
		{Name: "orphan", Status: "Disabled", Orphan: true, Pending: 1},
		{Name: "paused", Status: "Paused"},
		{Name: "gone", Status: "Paused", GoneSince: ago(time.Hour)},
		{Name: "a-defective", Status: "Defective"},
		{Name: "z-defective", Status: "Defective", OldestPending: ago(time.Hour)},
		// A clock that is behind makes nothing worse.
		{Name: "c-well", Status: "Enabled", OldestPending: ago(-time.Hour)},
	}
	trouble.Sort(targets, now)
	var names []string
	for _, target := range targets {
		names = append(names, target.Name)
	}
	const want = "z-defective a-defective gone paused orphan held failing z-behind a-well b-well " +
		"c-well"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("worst first is %s\nwant %s", got, want)
	}
}

// TestConsoleHasTheSameWords asserts that the console ranks by the same words in the same order,
// and that the API documents them.
func TestConsoleHasTheSameWords(t *testing.T) {
	list := `"` + strings.Join(trouble.Words(), `", "`) + `"`
	for _, name := range []string{"targets.js", "openapi.json"} {
		text, err := os.ReadFile("../admin/page/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(string(text)), " "), list) {
			t.Errorf("%s has no list %s", name, list)
		}
	}
	for _, word := range trouble.Words() {
		if needs := trouble.NeedsSomebody(word); needs != (word != trouble.Held) {
			t.Errorf("%s needs somebody: %t", word, needs)
		}
	}
	if trouble.NeedsSomebody("") {
		t.Error("a target that is well needs somebody")
	}
}
