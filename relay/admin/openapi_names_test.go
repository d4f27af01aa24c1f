package admin

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// named is the document as generators of clients read it: whatever has a name, or needs one.
type named struct {
	Paths      map[string]map[string]map[string]any
	Components map[string]map[string]any
}

func readNamed(t *testing.T) named {
	t.Helper()
	text, err := pageFiles.ReadFile(pageDir + "/" + openAPIFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc named
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// Generators make a type of every component, and name what has no name after where it stands. Those
// names must not meet: not of two kinds of component, not by the spelling of one language, and
// not of a property and a component.
func TestOpenAPINamesAreUnique(t *testing.T) {
	doc := readNamed(t)
	component := regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	taken := map[string]string{}
	take := func(name, what string) {
		t.Helper()
		key := strings.ToLower(name)
		if by, is := taken[key]; is {
			t.Errorf("%s and %s are both called %s", by, what, name)
		}
		taken[key] = what
	}
	for kind, list := range doc.Components {
		for name := range list {
			if kind == "securitySchemes" {
				continue // no type
			}
			if !component.MatchString(name) {
				t.Errorf("%s %q is no name of a type", kind, name)
			}
			take(name, kind+" "+name)
		}
	}
	for name, schema := range doc.Components["schemas"] {
		properties, _ := schema.(map[string]any)["properties"].(map[string]any)
		for property, inner := range properties {
			if inner.(map[string]any)["$ref"] != nil {
				continue // it has the name of a component
			}
			derived := name + strings.ReplaceAll(property, "_", "")
			if by, is := taken[strings.ToLower(derived)]; is {
				t.Errorf("property %s of %s may become %s, like %s", property, name, derived, by)
			}
		}
	}
	for path, methods := range doc.Paths {
		for method, operation := range methods {
			id, _ := operation["operationId"].(string)
			checkOperationID(t, method+" "+path, id)
			for _, suffix := range []string{"", "Params", "Request", "Body", "JSONBody", "Data",
				"Response", "Responses", "Error", "Errors"} {
				take(id+suffix, "operation "+id)
			}
		}
	}
}

// checkOperationID wants the name of a method in any language.
func checkOperationID(t *testing.T, of, id string) {
	t.Helper()
	reserved := []string{"import", "export", "default", "delete", "new", "class", "return", "continue",
		"package", "console", "await", "async", "yield", "with", "in", "is", "not", "pass", "raise",
		"try", "catch", "throw", "enum", "public", "static", "void", "this", "self", "super"}
	if !regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`).MatchString(id) || slices.Contains(reserved, id) {
		t.Errorf("%s: operationId %q is no name of a method everywhere", of, id)
	}
}

// Every list of words, object and choice is a component, so that its name is ours; numbers say how
// large they get, because a generator's guess is 32 bits.
func TestOpenAPITypesHaveNames(t *testing.T) {
	doc := readNamed(t)
	for kind, list := range doc.Components {
		for name, value := range list {
			// The top of a schema has its name from the key.
			checkTypes(t, kind+" "+name, value, kind == "schemas")
		}
	}
	for path, methods := range doc.Paths {
		for method, operation := range methods {
			checkTypes(t, method+" "+path, map[string]any(operation), false)
		}
	}
}

func checkTypes(t *testing.T, at string, value any, hasName bool) {
	t.Helper()
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			checkTypes(t, at, item, false)
		}
	case map[string]any:
		if !hasName {
			checkNeedsNoName(t, at, value)
		}
		checkNumber(t, at, value)
		for key, inner := range value {
			if key != "example" {
				// What is called "enum" below "properties" is the name of a property.
				checkTypes(t, at+"."+key, inner, key == "properties")
			}
		}
	}
}

func checkNeedsNoName(t *testing.T, at string, schema map[string]any) {
	t.Helper()
	for _, key := range []string{"enum", "properties", "oneOf", "anyOf", "allOf"} {
		if choice, is := schema[key]; is && !isOrNull(choice) {
			t.Errorf("%s has %s and no name", at, key)
		}
	}
}

// isOrNull is true for a choice between one component and null, which every language can say.
func isOrNull(choice any) bool {
	list, _ := choice.([]any)
	if len(list) != 2 {
		return false
	}
	first, _ := list[0].(map[string]any)
	second, _ := list[1].(map[string]any)
	return first["$ref"] != nil && second["type"] == "null"
}

func checkNumber(t *testing.T, at string, schema map[string]any) {
	t.Helper()
	types, _ := schema["type"].([]any)
	types = append(types, schema["type"])
	format := schema["format"]
	if slices.Contains(types, any("integer")) && format != "int32" && format != "int64" ||
		slices.Contains(types, any("number")) && format != "double" {
		t.Errorf("%s: a number of format %v", at, format)
	}
}

// A client that takes what has "json" in its type for one JSON value, as that of oapi-codegen does,
// reads lines as the default answer, and fails.
func TestOpenAPILinesHaveNoDefault(t *testing.T) {
	for path, methods := range readNamed(t).Paths {
		for method, operation := range methods {
			answers := operation["responses"].(map[string]any)
			content, _ := answers["200"].(map[string]any)["content"].(map[string]any)
			if content["application/x-ndjson"] != nil && answers["default"] != nil {
				t.Errorf("%s %s answers lines and has a default", method, path)
			}
		}
	}
}
