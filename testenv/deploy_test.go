package testenv

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// deployed reads a file of deploy/.
func deployed(t *testing.T, path string) string {
	t.Helper()
	return readFile(t, filepath.Join(mustRoot(t), "deploy", path))
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// families are the names and types of all metrics of a scrape.
func families(scrape string) map[string]string {
	types := map[string]string{}
	for line := range strings.SplitSeq(scrape, "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, typ, _ := strings.Cut(name, " ")
			types[name] = typ
		}
	}
	return types
}

// TestDeployMetrics asserts that every metric that the rules and the dashboard ask for is one of
// the real binary, alone or one of several, that the manual has every metric with its type, and that
// it has no other.
func TestDeployMetrics(t *testing.T) {
	effort.OnlyLong(t, "it runs programs that few machines have")
	effort.WithoutRace(t)
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	shared := readyFleet(t, 1, "crm")
	shared.StartAll()
	_, scrape := j.Admin("GET", "/metrics")
	real := families(string(scrape))
	_, scrape = shared.Admin("GET", "/metrics")
	maps.Copy(real, families(string(scrape)))
	names := regexp.MustCompile(`\b(?:hookspool|process|go)_[a-z0-9_]+`)
	for _, path := range []string{"prometheus/rules.yml", "prometheus/rules_test.yml",
		"grafana/hookspool.json"} {
		used := names.FindAllString(deployed(t, path), -1)
		if len(used) < 10 {
			t.Errorf("%s uses %d metrics; this test looks in the wrong place", path, len(used))
		}
		for _, name := range used {
			if !exists(real, name) {
				t.Errorf("%s uses %s, which hookspool does not have", path, name)
			}
		}
	}
	told := documented(t)
	for name, typ := range real {
		short, ours := strings.CutPrefix(name, "hookspool_")
		if ours && told[short] != typ {
			t.Errorf("the manual says of the %s %s: %q", typ, name, told[short])
		}
	}
	for name := range told {
		if real["hookspool_"+name] == "" {
			t.Errorf("the manual tells of %s, which does not exist", name)
		}
	}
}

// exists reports whether a series' name belongs to a family.
func exists(real map[string]string, name string) bool {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && real[base] == "histogram" {
			return true
		}
	}
	return real[name] != ""
}

// documented are the metrics of the manual's table, without prefix, and their types.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text := readFile(t, filepath.Join(mustRoot(t), "cmd/hookspool/manual/metrics.md"))
	_, section, _ := strings.Cut(text, "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	row := regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| ([a-z]+) \\|")
	types := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		for name := range strings.SplitSeq(m[1], ", ") {
			types[strings.Trim(name, "`")] = m[2]
		}
	}
	return types
}

// TestDeployRules has promtool check the alert rules and run their tests, and wants a test for
// every alert.
func TestDeployRules(t *testing.T) {
	effort.OnlyLong(t, "it runs programs that few machines have")
	effort.WithoutRace(t)
	t.Parallel()
	alerts := regexp.MustCompile(`alert(?:name)?: (\w+)`)
	tested := alerts.FindAllStringSubmatch(deployed(t, "prometheus/rules_test.yml"), -1)
	for _, m := range alerts.FindAllStringSubmatch(deployed(t, "prometheus/rules.yml"), -1) {
		if !slices.ContainsFunc(tested, func(n []string) bool { return n[1] == m[1] }) {
			t.Errorf("%s has no test", m[1])
		}
	}
	promtool, ok := tool(t, "PROMTOOL", "promtool", "prometheus")
	if !ok {
		return
	}
	for _, args := range [][]string{{"check", "rules", "rules.yml"},
		{"test", "rules", "rules_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = filepath.Join(mustRoot(t), "deploy/prometheus")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// dashboard is as much of Grafana's JSON as can break without anybody noticing.
type dashboard struct {
	Title         string
	UID           string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Annotations struct {
		List []struct{ Expr string }
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               struct{ Type, UID string }
	Targets                  []struct{ RefID, Expr string }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(deployed(t, "grafana/hookspool.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDeployDashboard asserts that the dashboard holds together: ids and titles are unique, panels
// do not overlap, each says what it shows, asks the chosen data source and honours the variables.
func TestDeployDashboard(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	d := readDashboard(t)
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 36 ||
		!slices.Equal(variables, []string{"datasource", "job", "instance", "target"}) {
		t.Errorf("the dashboard has title %q, uid %q, schema %d, variables %v", d.Title, d.UID,
			d.SchemaVersion, variables)
	}
	ids, titles, cells := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Type != "row" && titles[p.Title] || p.Title == "" {
			t.Errorf("panel %d %q has an id or title that another has, or none", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		titles[p.Title] = true
		if p.Description == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q lacks a description, a query or the data source", p.Title)
		}
		g := p.GridPos
		if g.X < 0 || g.W < 1 || g.X+g.W > 24 {
			t.Errorf("panel %q is not within the 24 columns", p.Title)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" {
					t.Fatalf("panels %q and %q overlap", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			checkSelectors(t, p.Title, q.Expr)
		}
	}
}

// checkSelectors wants every series of a query narrowed to what the user chose.
func checkSelectors(t *testing.T, title, expr string) {
	t.Helper()
	series := regexp.MustCompile(`\b(?:hookspool|process|go)_[a-z0-9_]+(\{[^}]*\})?`)
	for _, m := range series.FindAllStringSubmatch(expr, -1) {
		if !strings.Contains(m[1], `job=~"$job", instance=~"$instance"`) {
			t.Errorf("panel %q does not honour job and instance: %s", title, m[0])
		}
	}
	if strings.Contains(expr, "target") && strings.Contains(expr, "by (target") &&
		!strings.Contains(expr, `target=~"$target"`) {
		t.Errorf("panel %q does not honour target: %s", title, expr)
	}
}
