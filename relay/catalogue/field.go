package catalogue

import (
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

const (
	// fieldsMax bounds the fields told of a payload, exampleBytesMax each example.
	fieldsMax       = 200
	exampleBytesMax = 120
)

// Field is one field of a payload.
type Field struct {
	// Name is its path: "waId", "metadata.direction", "buttons[].text".
	Name string
	Type string // string, number, boolean, null, object or array
	// Example is its value in the sample, as in JSON, cut with "…".
	Example string
}

// Fields are those of a JSON payload, in its order; of an array those of its first element.
func Fields(payload []byte) []Field {
	v, err := fastjson.ParseBytes(payload)
	if err != nil {
		return nil
	}
	var out []Field
	addFields(&out, "", v)
	return out
}

func addFields(out *[]Field, name string, v *fastjson.Value) {
	if len(*out) >= fieldsMax {
		return
	}
	switch v.Type() {
	case fastjson.TypeObject:
		o := v.GetObject()
		if o.Len() == 0 || name != "" {
			addField(out, name, "object", v, o.Len() == 0)
		}
		o.Visit(func(key []byte, inner *fastjson.Value) {
			addFields(out, joined(name, string(key)), inner)
		})
	case fastjson.TypeArray:
		list := v.GetArray()
		addField(out, name, "array", v, len(list) == 0)
		if len(list) > 0 {
			addFields(out, name+"[]", list[0])
		}
	default:
		addField(out, name, typeText(v.Type()), v, true)
	}
}

// addField adds one field. What has fields of its own has no example.
func addField(out *[]Field, name, typ string, v *fastjson.Value, example bool) {
	f := Field{Name: name, Type: typ}
	if example {
		f.Example = cut(string(v.MarshalTo(nil)))
	}
	*out = append(*out, f)
}

func joined(name, key string) string {
	if name == "" {
		return key
	}
	return name + "." + key
}

func typeText(t fastjson.Type) string {
	switch t {
	case fastjson.TypeString:
		return "string"
	case fastjson.TypeNumber:
		return "number"
	case fastjson.TypeTrue, fastjson.TypeFalse:
		return "boolean"
	}
	return "null"
}

func cut(text string) string {
	if len(text) <= exampleBytesMax {
		return text
	}
	end := exampleBytesMax
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
