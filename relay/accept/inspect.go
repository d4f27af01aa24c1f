package accept

import "github.com/valyala/fastjson"

// Field is the value at a dotted path of the payload, or of the data of a structured CloudEvent;
// nil: there is none.
func (in Inside) Field(path string) *fastjson.Value {
	if in.whole != nil {
		if found := at(in.whole, path); found != nil {
			return found
		}
	}
	return in.Data.At(path)
}

// IsNothing reports that the payload is not JSON, or that nobody had to look.
func (in Inside) IsNothing() bool { return in.whole == nil }

// Inspect reads a payload that was accepted. It is the way of lookInside, whatever the config says.
func Inspect(contentType string, payload []byte, p *fastjson.Parser) Inside {
	whole, ok := parseJSON(payload, p)
	if !ok {
		return Inside{}
	}
	if whole.Type() != fastjson.TypeObject {
		return Inside{whole: whole}
	}
	data := whole
	if mediaType([]byte(contentType)) == ceStructured {
		data = field(whole, "data")
	}
	return Inside{Data{data}, whole}
}
