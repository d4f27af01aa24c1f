package admin

import (
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// The limits of the console: it is loaded over slow links to far machines, and read by people.
const (
	scriptBytesMax = 136_000 // all scripts without uPlot, with their comments
	scriptLinesMax = 350     // one of them
	pageColumnsMax = 100
)

// vendored are files of others, kept as they came.
func vendored(name string) bool { return strings.HasPrefix(name, "uplot") }

func pageSources(t *testing.T) map[string]string {
	t.Helper()
	entries, err := pageFiles.ReadDir(pageDir)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, entry := range entries {
		content, err := fs.ReadFile(pageFiles, pageDir+"/"+entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		sources[entry.Name()] = string(content)
	}
	return sources
}

// TestPageIsSmall holds the console to its limits.
func TestPageIsSmall(t *testing.T) {
	t.Parallel()
	sum := 0
	for name, text := range pageSources(t) {
		if vendored(name) || strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".svg") {
			continue
		}
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			if n := utf8.RuneCountInString(line); n > pageColumnsMax {
				t.Errorf("%s:%d has %d columns; %d at most", name, i+1, n, pageColumnsMax)
			}
		}
		if strings.HasSuffix(name, ".js") {
			sum += len(text)
			if len(lines) > scriptLinesMax {
				t.Errorf("%s has %d lines; %d at most", name, len(lines), scriptLinesMax)
			}
		}
	}
	if sum > scriptBytesMax {
		t.Errorf("the scripts have %d bytes; %d at most", sum, scriptBytesMax)
	}
}

// TestPageHasContrast asserts that texts have a contrast of 4.5 to 1 to what is behind them, and the
// borders of what can be operated, and the focus, 3 to 1 (WCAG 1.4.3 and 1.4.11), in both schemes.
func TestPageHasContrast(t *testing.T) {
	t.Parallel()
	css := pageSources(t)["console.css"]
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(css, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d sets of colors", len(blocks))
	}
	grounds := []string{"back", "panel", "raised"}
	for i, scheme := range []string{"light", "dark"} {
		colors := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).
			FindAllStringSubmatch(blocks[i][1], -1) {
			colors[m[1]] = luminance(t, m[2])
		}
		want := func(front, behind string, least float64) {
			t.Helper()
			a, b := colors[front], colors[behind]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < least {
				t.Errorf("%s: %s on %s is %.2f to 1, want %g", scheme, front, behind, ratio, least)
			}
		}
		for _, ground := range grounds {
			want("strong", ground, 3)
			for _, text := range []string{"text", "muted", "accent", "good", "warn", "bad"} {
				want(text, ground, 4.5)
			}
		}
		for _, kind := range []string{"good", "warn", "bad"} {
			want(kind, kind+"-back", 4.5)
		}
		want("muted", "gray-back", 4.5)
		want("strong", "gray-back", 3)
		want("on-accent", "accent", 4.5)
	}
	for _, rule := range []string{"button, .button, input, select, textarea {", "dialog {"} {
		_, after, found := strings.Cut(css, rule)
		if rules, _, _ := strings.Cut(after, "}"); !found || !strings.Contains(rules,
			"border: 1px solid var(--strong)") {
			t.Errorf("%q has no border of --strong", rule)
		}
	}
}

// luminance is that of #rrggbb, as WCAG computes it.
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	sum := 0.0
	for i, share := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		v := float64(n) / 255
		if v <= 0.03928 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += share * v
	}
	return sum
}

// TestPageIsSafe asserts that no text can become markup or code, that nothing is inline, and that
// nothing is loaded from elsewhere. The browser tests of testenv see the rest.
func TestPageIsSafe(t *testing.T) {
	t.Parallel()
	sources := pageSources(t)
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|` +
		`\beval\(|new Function|javascript:|srcdoc`)
	inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=`)
	imported := regexp.MustCompile(`(?:from|import) "\./([^"]+)"`)
	loaded := regexp.MustCompile(`(?:src|href)="([^"#?]+)`)
	for name, text := range sources {
		if vendored(name) {
			continue
		}
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		for _, m := range imported.FindAllStringSubmatch(text, -1) {
			if sources[m[1]] == "" {
				t.Errorf("%s imports %s, which is not there", name, m[1])
			}
		}
		if name != pageIndex {
			continue
		}
		if found := inline.FindString(text); found != "" {
			t.Errorf("%s has %q inline, which the policy forbids", name, found)
		}
		for _, m := range loaded.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "//") {
				t.Errorf("%s loads %s from elsewhere", name, m[1])
			}
		}
	}
}

// TestPageServesEveryFile asserts that every file is there, with its type, and that uPlot is there
// with its license.
func TestPageServesEveryFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name := range pageSources(t) {
		at := "/" + strings.TrimSuffix(name, pageIndex)
		a := f.ask("GET", at)
		if a.StatusCode != 200 || a.body == "" ||
			a.Header.Get("Content-Type") != pageKind(name) {
			t.Errorf("GET %s: %d, %q", at, a.StatusCode, a.Header.Get("Content-Type"))
		}
	}
	if a := f.ask("GET", "/sample-types.json"); a.StatusCode != 200 ||
		!strings.Contains(a.body, `"message"`) {
		t.Errorf("GET /sample-types.json: %d %s", a.StatusCode, a.body)
	}
	if license := pageSources(t)["uplot.license.txt"]; !strings.Contains(license, "MIT License") ||
		!strings.Contains(license, "Leon Sorokin") {
		t.Error("uPlot's license is not beside it")
	}
}
