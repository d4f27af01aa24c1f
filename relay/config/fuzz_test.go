package config

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// seeds are texts that reach every part of scanner and decoder.
func seeds(f *testing.F) {
	example, err := os.ReadFile(examplePath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	for _, c := range faultCases() {
		if len(c[0]) < 1000 {
			f.Add(c[0])
		}
	}
	for _, text := range []string{
		"a = \"\"\"x\\\"\"\"\"\"\"\nb = '''x'''''\n'c\"' = 1\n\"d\\\"\" = 2\n\"\" = 3\n",
		"a . b . 'c d' = { e = [ [ 1, { f = 2 } ], \"]\" ], g = '}' } # ]\n[ h . \"i\" ]\nj = 1",
		"a = 1979-05-27 07:32:00Z # x\nb = [\n1, # ]\n\n2,\n]\r\nc = -inf\nd = 0xdead\n",
		"[[a]]\nb = 1\n[[a]]\n[a.c]\nd = 2\n[x.y]\n[x]\nz = {\n q = 1, # }\n}\n",
		"\xef\xbb\xbfa = 'ä'\n'ä' = \"\\u00e4\\U000000e4\\e\\x41\"\n\"\\e\\u00e4\\x41\" = 1",
		`"a\\e\xe4" = 1` + "\n",
	} {
		f.Add(text)
	}
}

// FuzzParse proves that no text makes Parse panic, that an error is always *Faults in order and in
// the text, and that what passes is whole.
func FuzzParse(f *testing.F) {
	seeds(f)
	w := world{env: map[string]string{"A": "x"}, files: map[string]string{"/a": "x"}}
	f.Fuzz(func(t *testing.T, text string) {
		faults := w.faultsOf(t, text)
		if faults == nil {
			c := w.mustParse(t, text)
			c.Warnings()
			for _, target := range c.Targets {
				if target.URL == nil || len(target.Events) == 0 || target.Success.Empty() {
					t.Fatalf("target %q is not whole", target.Name)
				}
			}
			return
		}
		lines := strings.Count(text, "\n") + 1
		last := Fault{}
		for _, fault := range faults.List {
			if fault.Line < 1 || fault.Line > lines || fault.Column < 1 || fault.Message == "" ||
				fault.Line < last.Line || fault.Line == last.Line && fault.Column < last.Column {
				t.Fatalf("fault %+v after %+v in %d lines", fault, last, lines)
			}
			last = fault
		}
	})
}

// FuzzPlaces holds the scanner to the library: every key and list item that the library finds has
// a place of its own, where its name stands.
func FuzzPlaces(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.TrimPrefix(text, "\xef\xbb\xbf")
		if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
			return // the library skips these two bytes, and then they are no text for us
		}
		found, fault := scanPlaces(text)
		if fault != nil {
			return
		}
		values, fault := decodeTOML(text)
		if fault != nil {
			return
		}
		checkPlaces(t, strings.Split(text, "\n"), found, values)
	})
}

func checkPlaces(t *testing.T, lines []string, p *places, value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, below := range value {
			next, ok := p.below[name]
			if !ok {
				t.Fatalf("key %q has no place", name)
			}
			line := []rune(lines[next.at.line-1])
			at := string(line[next.at.column-1:])
			if !strings.HasPrefix(at, name) && !strings.HasPrefix(at, "'"+name) &&
				!strings.HasPrefix(at, `"`) {
				t.Fatalf("key %q is not at %v, but %q", name, next.at, at)
			}
			checkPlaces(t, lines, next, below)
		}
	case []any:
		for i, below := range value {
			next, ok := p.below["["+strconv.Itoa(i)+"]"]
			if !ok {
				t.Fatalf("item %d has no place", i)
			}
			checkPlaces(t, lines, next, below)
		}
	}
}
