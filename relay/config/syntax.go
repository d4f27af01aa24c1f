package config

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// decodeTOML returns the values of a text, or the one fault of its syntax. It stops at the first:
// after a syntax error nothing can be trusted.
func decodeTOML(text string) (map[string]any, *Fault) {
	values := map[string]any{}
	if _, err := toml.Decode(text, &values); err != nil {
		var syntax toml.ParseError
		if !errors.As(err, &syntax) {
			return nil, &Fault{Line: 1, Column: 1, Message: "cannot be read as TOML"}
		}
		at := placeOf(text, syntax.Position.Start)
		p := syntaxProblem(syntax.Message)
		return nil, &Fault{at.line, at.column, keyOf(syntax.Message), p.message, p.hint}
	}
	return values, nil
}

// keyOf is the key that a message of the library quotes, "" if none.
func keyOf(message string) string {
	rest, ok := strings.CutPrefix(message, "Key '")
	end := strings.LastIndexByte(rest, '\'')
	if !ok || end < 0 {
		return ""
	}
	s := &scanner{text: rest[:end], line: 1}
	_, path := s.keys(&places{}, nil)
	return knownPart(path, schema(new(Config))).String()
}

// knownPart ends a path at the first key that is no table: what stands below one may be a secret.
func knownPart(path keyPath, rows []row) keyPath {
	if len(path) == 0 {
		return nil
	}
	i := slices.IndexFunc(rows, func(r row) bool { return r.name == path[0] })
	switch {
	case i >= 0 && rows[i].rows != nil:
		return slices.Concat(path[:1], knownPart(path[1:], rows[i].rows))
	case i >= 0 && rows[i].named != nil && len(path) > 1:
		return slices.Concat(path[:2], knownPart(path[2:], rows[i].named))
	}
	return path[:1]
}

// placeOf returns the place of a byte offset. The library's own column counts bytes.
func placeOf(text string, offset int) place {
	before := text[:max(0, min(offset, len(text)))]
	lineStart := strings.LastIndexByte(before, '\n') + 1
	return place{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[lineStart:]) + 1}
}

// syntaxProblem says the library's message in our words. Only messages that are known to quote a
// single character pass as they are: the rest may quote what stands in the file, and that may be
// a token without its quotes.
func syntaxProblem(message string) problem {
	if strings.HasPrefix(message, "expected a top-level item") {
		return problem{"is not valid TOML: something follows where the line should end",
			`one key = value a line; strings need quotes: key = "value"`}
	}
	for _, known := range syntaxProblems() {
		if strings.Contains(message, known.part) {
			return known.problem
		}
	}
	for _, safe := range []string{"expected '.'", "expected a comma", "unexpected",
		"files cannot contain NULL", "TOML files cannot contain control", "invalid UTF-8",
		"strings cannot contain newlines"} {
		if strings.HasPrefix(message, safe) {
			return problem{message: "is not valid TOML: " + message}
		}
	}
	return problem{message: "is not valid TOML"}
}

func syntaxProblems() []struct {
	part string
	problem
} {
	number := problem{"is not valid TOML: not a number, date, true or false",
		`strings need quotes: key = "value"`}
	twice := problem{"is defined twice, or as two different things",
		"every key and every [table] stands once in the file"}
	escape := problem{"is not valid TOML: a bad escape in a string",
		`write \\ for a backslash, or use 'single quotes', where nothing is escaped`}
	return []struct {
		part string
		problem
	}{
		{"expected value", number}, {"nvalid integer", number}, {"nvalid float", number},
		{"nvalid datetime", number}, {"out of range", number}, {"floats must", number},
		{"cannot use sign", number}, {"expected a digit", number}, {"not a binary", number},
		{"not an octal", number}, {"not a hexadecimal", number},
		{"has already been defined", twice}, {"was already created", twice},
		{"is not a table", twice},
		{"nvalid escape", escape}, {"hexadecimal digits", escape}, {"Escaped character", escape},
	}
}
