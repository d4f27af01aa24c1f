package testenv

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestP2BackupUnderLoad backs a relay up while it takes events, restores the backup into another
// directory, and asserts that everything acknowledged before the backup began is in it.
func TestP2BackupUnderLoad(t *testing.T) {
	t.Parallel()
	embeddedOnly(t, "the servers back a stream up; that spool backup says so is in TestEngineMove")
	rng := Seed(t)
	j := NewJourney(t)
	j.Config.Target("held", j.RX.URL("held"), "status", "paused")
	j.Start()
	before := j.SendIDs("before", 100)
	load := j.StartLoad(rng, 4, "during")
	file := filepath.Join(j.Dir, "spool.bak")
	if out := j.CLI("spool", "backup", file); out.Code != 0 {
		t.Fatalf("backup left with %d: %s", out.Code, out.Stderr)
	}
	load.Stop()
	if code := j.Terminate(); code != 0 {
		t.Fatalf("the relay left with %d", code)
	}
	restored := filepath.Join(j.Dir, "restored")
	for _, args := range [][]string{{"restore", file, "--dir", restored},
		{"verify", "--dir", restored}, {"verify"}} {
		if out := j.CLI(append([]string{"spool"}, args...)...); out.Code != 0 {
			t.Fatalf("spool %v left with %d: %s%s", args, out.Code, out.Stdout, out.Stderr)
		}
	}
	out := j.CLI("spool", "export", "--dir", restored)
	if out.Code != 0 {
		t.Fatalf("export left with %d: %s", out.Code, out.Stderr)
	}
	for _, id := range before {
		if !strings.Contains(out.Stdout, `"id":"`+id+`"`) {
			t.Errorf("event %s was acknowledged before the backup and is not in it", id)
		}
	}
	j.Config.Set("target.held.status", "enabled")
	j.Start()
	j.Ledger.AwaitDelivered()
}

// TestP2PurgeUnderLoad purges what one target is owed while events come in, and asserts that the
// counts stay exact, that the other target gets everything, and that the spool adds up afterwards.
func TestP2PurgeUnderLoad(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("good")
	j.Config.Set("spool.keep_delivered", "1h")
	j.Config.Target("held", j.RX.URL("held"), "status", "paused", "events", []string{"purged"})
	j.Start()
	load := j.StartLoad(rng, 4, "live")
	for range 500 {
		if a := j.Relay.Post(Post{Type: "purged", Body: []byte(`{}`)}); a.Status != 200 {
			t.Fatalf("answered %d", a.Status)
		}
	}
	j.Ledger.AllowForeign()
	out := j.CLI("purge", "--target", "held", "--yes")
	if out.Code != 0 || !strings.Contains(out.Stdout, "purged 500 pending deliveries of held") {
		t.Errorf("purge left with %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
	load.Stop()
	j.AwaitPending("held", 0)
	j.AwaitPending("good", 0)
	j.Ledger.AwaitDelivered()
	if n := j.RX.Count("held"); n != 0 {
		t.Errorf("%d purged deliveries were sent", n)
	}
	if code := j.Terminate(); code != 0 {
		t.Fatalf("the relay left with %d", code)
	}
	if out := j.CLI("spool", "verify"); out.Code != 0 {
		t.Errorf("after a purge: %s%s", out.Stdout, out.Stderr)
	}
}
