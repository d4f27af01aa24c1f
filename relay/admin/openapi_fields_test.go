package admin

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// answers are the types that answers are written from, by the names of the document, beside those
// that stand inside of one of them.
func answers() map[string]reflect.Type {
	return map[string]reflect.Type{
		"Problem": reflect.TypeFor[Problem](), "Status": reflect.TypeFor[Status](),
		"Reloaded": reflect.TypeFor[Reloaded](), "Peer": reflect.TypeFor[Peer](),
		"ShortCopy": reflect.TypeFor[ShortCopy](), "Target": reflect.TypeFor[Target](),
		"TargetList": reflect.TypeFor[TargetList](), "Sample": reflect.TypeFor[Sample](),
		"Event": reflect.TypeFor[Event](), "NotWanted": reflect.TypeFor[NotWanted](),
		"Events": reflect.TypeFor[Events](), "DeliveryProgress": reflect.TypeFor[DeliveryState](),
		"Conversation": reflect.TypeFor[Conversation](), "Moment": reflect.TypeFor[Moment](),
		"Delivery": reflect.TypeFor[Delivery](), "Deliveries": reflect.TypeFor[Deliveries](),
		"Attempt": reflect.TypeFor[Attempt](), "Attempts": reflect.TypeFor[Attempts](),
		"RequestHead": reflect.TypeFor[RequestHead](), "ResponseHead": reflect.TypeFor[ResponseHead](),
		"HeaderField":    reflect.TypeFor[HeaderField](),
		"RecentAttempt":  reflect.TypeFor[RecentAttempt](),
		"RecentAttempts": reflect.TypeFor[RecentAttempts](),
		"FailureGroup":   reflect.TypeFor[FailureGroup](), "Failures": reflect.TypeFor[Failures](),
		"History": reflect.TypeFor[History](), "StreamedAttempt": reflect.TypeFor[StreamedAttempt](),
		"Replayed": reflect.TypeFor[Replayed](), "Purged": reflect.TypeFor[Purged](),
		"Actions": reflect.TypeFor[Actions](), "Explanation": reflect.TypeFor[Explanation](),
		"ExplainedSession": reflect.TypeFor[ExplainedSession](),
		"ExplainedTarget":  reflect.TypeFor[ExplainedTarget](),
		"CatalogueType":    reflect.TypeFor[EventType](), "TypeList": reflect.TypeFor[TypeList](),
		"TypeDetail": reflect.TypeFor[TypeDetail](), "TypeField": reflect.TypeFor[TypeField](),
		"TypeTarget": reflect.TypeFor[TypeTarget](), "Health": reflect.TypeFor[Health](),
		"Check": reflect.TypeFor[Check](), "Told": reflect.TypeFor[Told](),
		"Progress": reflect.TypeFor[Progress](),
	}
}

// TestOpenAPIHasEveryField asserts that the document has each field that an answer may have, and no
// other, and that it requires those that are always there. A generated client refuses what the
// document does not have.
func TestOpenAPIHasEveryField(t *testing.T) {
	schemas := readNamed(t).Components["schemas"]
	for name, from := range answers() {
		schema, ok := schemas[name].(map[string]any)
		if !ok {
			t.Errorf("the document has no %s", name)
			continue
		}
		properties, _ := schema["properties"].(map[string]any)
		list, _ := schema["required"].([]any)
		var required []string
		for _, one := range list {
			required = append(required, one.(string))
		}
		fields := make(map[string]bool) // and whether it is always there
		jsonFields(from, fields)
		if name == "RecentAttempt" || name == "StreamedAttempt" { // too much for a list
			for _, field := range []string{"curl", "request", "response"} {
				delete(fields, field)
			}
		}
		for field, always := range fields {
			if properties[field] == nil {
				t.Errorf("%s of %s is not in the document", field, name)
			} else if always != slices.Contains(required, field) {
				t.Errorf("%s of %s is always there: %v; the document says otherwise", field, name, always)
			}
		}
		for _, property := range slices.Sorted(maps.Keys(properties)) {
			if _, ok := fields[property]; !ok {
				t.Errorf("the document has %s of %s, which no answer has", property, name)
			}
		}
	}
}

// jsonFields are the fields of a type as encoding/json writes them.
func jsonFields(of reflect.Type, into map[string]bool) {
	for f := range of.Fields() {
		tag, hasTag := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && !hasTag && inner.Kind() == reflect.Struct:
			jsonFields(inner, into)
		case name == "":
			into[f.Name] = true
		default:
			into[name] = !strings.Contains(options, "omit")
		}
	}
}
