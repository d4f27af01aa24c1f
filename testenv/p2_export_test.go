package testenv

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestP2VerifyExportUnderLoad verifies a relay over and over while events come in, fail, are
// retried, delivered and swept, and asserts that it reports no fault, because there is none; that an
// export meanwhile has everything that was acknowledged before; and that nobody's events are lost
// over it.
func TestP2VerifyExportUnderLoad(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("good", "bad")
	j.Config.Set("retry.interval", "50ms").Set("spool.keep_delivered", "0s")
	j.Config.Target("held", j.RX.URL("held"), "status", "paused")
	j.RX.On("bad", FailFirst(2, 500))
	j.Start()
	before := j.SendIDs("before", 100)
	load := j.StartLoad(rng, 4, "during")
	for round := range 12 {
		out := j.CLI("spool", "verify")
		if out.Code != 0 || !strings.Contains(out.Stdout, "not checked online") {
			t.Fatalf("round %d: verify left with %d: %s%s", round, out.Code, out.Stdout, out.Stderr)
		}
	}
	exported := j.CLI("spool", "export")
	load.Stop()
	if exported.Code != 0 {
		t.Fatalf("export left with %d: %s", exported.Code, exported.Stderr)
	}
	for _, id := range before {
		if !strings.Contains(exported.Stdout, `"id":"`+id+`"`) {
			t.Errorf("event %s was acknowledged before the export and is not in it", id)
		}
	}
	j.Config.Set("target.held.status", "enabled")
	j.Reload()
	j.Ledger.AwaitDelivered()
}

// TestP2ExportImport moves what is undelivered from one relay to another, once into a running one
// and once into a spool at rest, and asserts that the same deliveries leave: ids, types, content
// types and bytes, each once although it was imported twice.
func TestP2ExportImport(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("moved", j.RX.URL("moved"), "status", "paused")
	j.Start()
	j.SendIDs("moved", 60)
	j.Send(Post{ID: "bytes", Type: "näme", ContentType: "application/x-odd; a=b",
		Body: []byte{0xff, 0, '<', '\n', '\r'}})
	file := filepath.Join(j.Dir, "out.ndjson")
	if out := j.CLI("spool", "export", "--out", file); out.Code != 0 {
		t.Fatalf("export left with %d: %s", out.Code, out.Stderr)
	}
	for _, online := range []bool{true, false} {
		rx := NewReceiver(t)
		to := NewRelay(t, NewConfig())
		to.Config.Target("moved", rx.URL("moved"))
		to.Start()
		if !online {
			to.Terminate()
		}
		for round, want := range []string{"imported 61, deliveries 61, held already 0",
			"imported 0, deliveries 0, held already 61"} {
			out := to.CLI("spool", "import", file)
			live := strings.Contains(out.Stderr, "into the running relay")
			if out.Code != 0 || !strings.Contains(out.Stdout, want) || live != online {
				t.Fatalf("round %d left with %d: %s%s", round, out.Code, out.Stdout, out.Stderr)
			}
		}
		if !online {
			to.Start()
		}
		checkMoved(t, to, rx)
	}
	if text, err := os.ReadFile(file); err != nil || strings.Count(string(text), "\n") != 61 {
		t.Errorf("the export has %d lines, %v", strings.Count(string(text), "\n"), err)
	}
}

// checkMoved wants each event once, as it was sent to the other relay.
func checkMoved(t *testing.T, to *Relay, rx *Receiver) {
	t.Helper()
	Until(t, Patience, "everything is delivered", func() bool {
		return to.Target("moved").Pending == 0
	})
	for _, r := range rx.Requests("moved") {
		if n := rx.CountID("moved", r.ID); n != 1 || r.Attempt != 0 {
			t.Errorf("event %s was delivered %d times; this is attempt %d", r.ID, n, r.Attempt)
		}
		if r.ID == "bytes" && (!bytes.Equal(r.Body, []byte{0xff, 0, '<', '\n', '\r'}) ||
			r.Type != "näme" || r.Header.Get("Content-Type") != "application/x-odd; a=b") {
			t.Errorf("got type %q, header %v, body %q", r.Type, r.Header, r.Body)
		}
	}
	if n := rx.Count("moved"); n != 61 {
		t.Errorf("%d deliveries arrived; want 61", n)
	}
	if code := to.Terminate(); code != 0 {
		t.Errorf("the relay left with %d", code)
	}
	if out := to.CLI("spool", "verify"); out.Code != 0 {
		t.Errorf("at rest: %s%s", out.Stdout, out.Stderr)
	}
}
