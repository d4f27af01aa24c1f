package admin

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// The limits of the console: it is loaded over slow links to far machines, and read by people.
const (
	scriptBytesMax = 80_000 // all scripts without uPlot, with their comments
	scriptLinesMax = 350    // one of them
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
