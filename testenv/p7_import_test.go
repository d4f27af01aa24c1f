package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// importedLine is a line of an export as somebody may have written it by hand.
func importedLine(id, headers string, targets ...string) string {
	var states []string
	for _, name := range targets {
		quoted, _ := json.Marshal(name)
		states = append(states, fmt.Sprintf(`{"name":%s,"state":"pending","attempts":0}`, quoted))
	}
	return fmt.Sprintf(`{"id":%q,"type":"message","content_type":"text/plain",`+
		`"accepted_at":"2026-01-02T03:04:05Z","session":"","headers":[%s],"payload":"x",`+
		`"targets":[%s]}`+"\n", id, headers, strings.Join(states, ","))
}

// badLines are lines that no POST could have brought, or whose target no config could name.
func badLines() map[string]string {
	lines := map[string]string{"to come": strings.Replace(importedLine("later", "", "new"), "2026",
		"2226", 1)}
	for _, name := range []string{"Host", "Authorization", "webhook-signature", "Content-Length",
		"a b", "cookie"} {
		lines["header "+name] = importedLine("bad", fmt.Sprintf(`{"name":%q,"value":"x"}`, name), "new")
	}
	for _, name := range []string{"a/b", "..", "<img>", strings.Repeat("x", 256), "a\u202eb", ""} {
		lines[fmt.Sprintf("target %.10q", name)] = importedLine("bad", "", "new", name)
	}
	for _, id := range []string{"a b", "a.b", strings.Repeat("x", 257)} {
		lines[fmt.Sprintf("id %.10q", id)] = importedLine(id, "", "new")
	}
	return lines
}

// spoolTargets are all lanes of the spool, shown or not.
func (r *Relay) spoolTargets() (names []string) {
	r.t.Helper()
	out := r.CLI("spool", "stat", "--json")
	var stat struct{ Targets []struct{ Name string } }
	if err := json.Unmarshal([]byte(out.Stdout), &stat); err != nil {
		r.t.Fatalf("%v: %s%s", err, out.Stdout, out.Stderr)
	}
	for _, target := range stat.Targets {
		names = append(names, target.Name)
	}
	return names
}

// TestP7Import imports lines that nobody could have accepted, into a running relay and at rest: each
// is refused with its number, and leaves neither an event nor a target behind. As many names as may
// be are taken, and cost no goroutine; one that owes nothing any more costs no series, and is
// forgotten by order.
func TestP7Import(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	rx := NewReceiver(t)
	r := Start(t, NewConfig().Target("crm", rx.URL("crm")))
	file := filepath.Join(r.Dir, "lines.ndjson")
	load := func(lines string) Output {
		t.Helper()
		if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		return r.CLI("spool", "import", file)
	}
	refused := func(what, lines, want string) {
		t.Helper()
		out := load(lines)
		if out.Code != 1 || !strings.Contains(out.Stderr, want) {
			t.Errorf("%s: code %d, want 1 and %q: %s%s", what, out.Code, want, out.Stdout, out.Stderr)
		}
		if names := r.spoolTargets(); len(names) != 1 {
			t.Fatalf("%s: it left %v", what, names)
		}
	}
	var many strings.Builder
	for i := range 1000 {
		many.WriteString(importedLine(fmt.Sprint("e", i), "", fmt.Sprint("t", i)))
	}
	for _, online := range []bool{true, false} {
		for what, line := range badLines() {
			refused(what, importedLine("good", "", "crm", "other")+line, "line 2: ")
		}
		if online {
			r.Terminate()
		} else {
			r.Start()
		}
	}
	before := r.Metrics()
	out := load(many.String() + importedLine("good", "", "crm"))
	if out.Code != 0 || !strings.Contains(out.Stdout, "imported 1001") {
		t.Fatalf("1,000 names: code %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
	rx.AwaitID("crm", "good")
	if out := load(importedLine("more", "", "one-more")); out.Code != 1 ||
		!strings.Contains(out.Stderr, "purge --forget") {
		t.Errorf("one more: code %d: %s", out.Code, out.Stderr)
	}
	for _, name := range []string{"t7", "t8"} {
		if out := r.CLI("purge", "--target", name, "--forget"); out.Code != 1 ||
			!strings.Contains(out.Stderr, "hint: hookspool purge --target") {
			t.Errorf("%s owes something: code %d: %s", name, out.Code, out.Stderr)
		}
		if out := r.CLI("purge", "--target", name, "--yes"); out.Code != 0 {
			t.Errorf("purge: %s", out.Stderr)
		}
	}
	after := r.Metrics()
	if b, a := before.Get("go_goroutines"), after.Get("go_goroutines"); a > b+100 {
		t.Errorf("%v goroutines, before %v", a, b)
	}
	_, text := r.Admin("GET", "/metrics")
	if bytes.Contains(text, []byte(`target="t7"`)) || !bytes.Contains(text, []byte(`target="t9"`)) {
		t.Error("the series are not those of the targets that owe something")
	}
	if out := r.CLI("purge", "--target", "t7", "--forget"); out.Code != 0 ||
		!strings.Contains(out.Stdout, "forgot t7") {
		t.Errorf("forget: code %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
	if out := r.CLI("purge", "--target", "crm", "--forget"); out.Code != 1 {
		t.Errorf("a target of the config was forgotten: %s", out.Stdout)
	}
	if out := load(importedLine("more", "", "one-more")); out.Code != 0 {
		t.Errorf("in its place: code %d: %s", out.Code, out.Stderr)
	}
	r.Restart()
	if names := r.spoolTargets(); len(names) != 1001 {
		t.Errorf("there are %d targets; want 1,001", len(names))
	}
	if out := r.CLI("spool", "verify"); out.Code != 0 {
		t.Errorf("it does not verify: %s%s", out.Stdout, out.Stderr)
	}
}
