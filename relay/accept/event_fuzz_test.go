package accept

import (
	"bufio"
	"bytes"
	"encoding/json"
	"mime"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/session"
	"github.com/hookspool/hookspool/spool"
)

// ambiguous reports JSON of which two readers may rightly think differently: a key that stands twice,
// or letters that are none.
func ambiguous(b []byte) bool {
	if !utf8.Valid(b) || bytes.Contains(bytes.ToLower(b), []byte(`\ud`)) {
		return true
	}
	twice := false
	dec := json.NewDecoder(bytes.NewReader(b))
	var walk func() bool
	walk = func() bool {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		open, _ := token.(json.Delim)
		seen := map[string]bool{}
		for (open == '{' || open == '[') && dec.More() {
			if open == '{' {
				key, err := dec.Token()
				if err != nil {
					return false
				}
				twice = twice || seen[key.(string)]
				seen[key.(string)] = true
			}
			if !walk() {
				return false
			}
		}
		if open == '{' || open == '[' {
			_, err = dec.Token()
		}
		return err == nil
	}
	return !walk() || twice
}

// depth is how deep brackets nest, strings aside.
func depth(b []byte) int {
	now, most := 0, 0
	dec := json.NewDecoder(bytes.NewReader(b))
	for {
		token, err := dec.Token()
		if err != nil {
			return most
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			now++
			most = max(most, now)
		case json.Delim('}'), json.Delim(']'):
			now--
		}
	}
}

// slowLook finds type, owner and keys with encoding/json.
func slowLook(b []byte, cfg *config.Config) (typ, owner string, keys []string) {
	var v map[string]any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if dec.Decode(&v) != nil || v == nil {
		return cfg.Event.DefaultType, "", nil
	}
	find := func(path string) any {
		if found, ok := v[path]; ok {
			return found
		}
		var at any = v
		for part := range strings.SplitSeq(path, ".") {
			m, ok := at.(map[string]any)
			if !ok {
				return nil
			}
			at = m[part]
		}
		return at
	}
	typ, _ = find(cfg.Event.TypeField).(string)
	if typ == "" {
		typ = cfg.Event.DefaultType
	}
	for _, field := range cfg.Session.KeyFields {
		switch key := find(field).(type) {
		case string:
			if key != "" && len(key) <= nameBytesMax {
				keys = append(keys, field+"="+key)
			}
		case json.Number:
			if len(key) <= nameBytesMax {
				keys = append(keys, field+"="+key.String())
			}
		}
	}
	switch o := v["owner"].(type) {
	case bool:
		owner = map[bool]string{true: "true", false: "false"}[o]
	case string:
		owner = o
	}
	if len(keys) == 0 {
		owner = ""
	}
	return typ, owner, keys
}

// FuzzTypeAndSession holds the extraction of type, owner and conversation to encoding/json, and what
// is no JSON to the default type.
func FuzzTypeAndSession(f *testing.F) {
	for _, s := range []string{
		`{"kind":{"of":"a"},"owner":true,"waId":"1"}`, `{"kind.of":"flat","kind":{"of":"deep"}}`,
		`{"k\u0069nd":{"\u006ff":"escaped"},"bsuid":1e5,"owner":"false"}`, `{"kind":{"of":""},"waId":-0}`,
		`{"kind":{"of":"a\u0000"}}`, `{"kind":[],"waId":null,"conversationId":{}}`, ` {} `, `[]`, `{`,
		`{"kind":{"of":"x"},}`, "{\"kind\":{\"of\":\"\x01\"}}", `{"kind":{"of":"\q"}}`, `{"waId":01}`,
		`{"waId":"1","owner":1,"kind":{"of":"é"}}`, `{"a":` + strings.Repeat("[", 400),
		"\xef\xbb\xbf{}", `{"kind":{"of":"a"}} {}`, `{"waId":NaN}`, `{"waId":"` + strings.Repeat("9", 300) + `"}`,
	} {
		f.Add([]byte(s), "d")
	}
	cfg := config.Default()
	cfg.Event.TypeField = "kind.of"
	cfg.Session.UserEvents, cfg.Session.BusinessEvents = []config.Pattern{"*"}, nil
	f.Fuzz(func(t *testing.T, b []byte, byDefault string) {
		cfg := cfg
		cfg.Event.DefaultType = byDefault
		in := arrival{payload: b}
		d, r := in.draft(rulesOf(&cfg), new(fastjson.Parser))
		if r != nil {
			return // a type that cannot be one
		}
		found := d.Note.(judged)
		keys := found.talk.Keys
		if !json.Valid(b) || !looksLikeObject(b) {
			if in.typ != byDefault || len(keys) > 0 {
				t.Fatalf("%q is no JSON object, but has type %q, keys %q", b, in.typ, keys)
			}
			return
		}
		if ambiguous(b) || depth(b) > fastjson.MaxDepth-2 {
			return
		}
		keys = slices.DeleteFunc(keys, func(k string) bool { // long ones are hashed
			_, value, _ := strings.Cut(k, "=")
			return len(value) == 64 && !bytes.Contains(b, []byte(value))
		})
		typ, wantOwner, wantKeys := slowLook(b, &cfg)
		if in.typ != typ || !slices.Equal(keys, wantKeys) {
			t.Fatalf("type %q, keys %q; encoding/json: %q, %q", in.typ, keys, typ, wantKeys)
		}
		if len(keys) > 0 && (found.talk.Side != sideBy(wantOwner, session.SideUser) ||
			found.swapped.Side != sideBy(wantOwner, session.SideBusiness)) {
			t.Fatalf("sides %v and %v; the owner is %q", found.talk.Side, found.swapped.Side, wantOwner)
		}
	})
}

// sideBy is who wrote by the owner field, or whom the list says.
func sideBy(owner string, listed session.Side) session.Side {
	switch owner {
	case "true":
		return session.SideBusiness
	case "false":
		return session.SideUser
	}
	return listed
}

// FuzzNDJSON holds the cutting of lines to a plain split, and each line to encoding/json.
func FuzzNDJSON(f *testing.F) {
	for _, s := range []string{"{}\n{}\n", "\r\n{}\r\n\n1", "{", "", "\n\n", "\"a\nb\"", "1 2\n3"} {
		f.Add([]byte(s))
	}
	cfg := config.Default()
	f.Fuzz(func(t *testing.T, body []byte) {
		lines, r := splitNDJSON(body)
		if r != nil {
			t.Skip("more lines than are allowed")
		}
		var want []line
		var bad []int
		for i, part := range bytes.Split(body, []byte("\n")) {
			part = bytes.TrimSuffix(part, []byte("\r"))
			if len(bytes.Trim(part, " \t\r\n")) == 0 {
				continue
			}
			want = append(want, line{i + 1, part})
			if !json.Valid(part) {
				bad = append(bad, i+1)
			}
			if depth(part) > fastjson.MaxDepth-2 {
				return
			}
		}
		if !slices.EqualFunc(lines, want, func(a, b line) bool {
			return a.number == b.number && bytes.Equal(a.payload, b.payload)
		}) {
			t.Fatalf("lines %v, want %v", lines, want)
		}
		drafts, r := postOf(&cfg, arrival{typ: "t", typed: true}).batchDrafts(lines, false)
		if len(bad) > 0 != (r != nil) || r != nil && !slices.Equal(r.Lines, bad) {
			t.Fatalf("refused %v, want the lines %v", r, bad)
		}
		if r == nil && len(drafts) != len(lines) {
			t.Fatalf("%d lines became %d events", len(lines), len(drafts))
		}
	})
}

// FuzzCEBatch holds the cutting of an array to encoding/json: the same elements byte for byte, or
// both refuse.
func FuzzCEBatch(f *testing.F) {
	for _, s := range []string{`[{"a":1} , 2]`, `[]`, `[1,]`, `[,1]`, `[1 2]`, `[1]x`, `[1]]`, `{}`, ``,
		" [ \"]\" ] ", `[[[]]]`, `[1`, `null`, "[\xff]", `[1][2]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, r := splitCEBatch(body)
		var want []json.RawMessage
		err := json.Unmarshal(body, &want)
		if len(want) > batchEventsMax || bytes.Equal(bytes.Trim(body, " \t\r\n"), []byte("null")) {
			return
		}
		if (r == nil) != (err == nil) {
			t.Fatalf("refused: %v; encoding/json: %v", r, err)
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("element %d is %q, want %q", i, got[i], want[i])
			}
		}
		if r == nil && len(got) != len(want) {
			t.Fatalf("%d elements, want %d", len(got), len(want))
		}
	})
}

// FuzzCEStructured holds a structured CloudEvent to encoding/json: it is taken when all attributes
// are there, and its id and type are theirs.
func FuzzCEStructured(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"eventType":"x"}}`))
	f.Add([]byte(`{"specversion":"1.0","id":"","source":"/s","type":"t"}`))
	f.Add([]byte(`{"specversion":1.0,"id":"1","source":"/s","type":"t"}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","ty\u0070e":"\u00e9"}`))
	f.Add([]byte("{\"specversion\":\"1.0\",\"id\":\"\x01\",\"source\":\"/s\",\"type\":\"t\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		a := arrival{payload: body}
		r := readStructuredCE(&a, new(fastjson.Parser))
		if !json.Valid(body) {
			if r == nil {
				t.Fatalf("%q is no JSON and was taken", body)
			}
			return
		}
		if ambiguous(body) || depth(body) > fastjson.MaxDepth-2 {
			return
		}
		var v map[string]any
		_ = json.Unmarshal(body, &v)
		text := func(key string) string { s, _ := v[key].(string); return s }
		whole := text("id") != "" && text("source") != "" && text("type") != "" &&
			text("specversion") == "1.0"
		if whole != (r == nil) {
			t.Fatalf("refused: %v, whole: %v", r, whole)
		}
		if whole && (a.typ != text("type") || a.id != hashedID(text("source"), text("id"))) {
			t.Fatalf("type %q, id %q", a.typ, a.id)
		}
	})
}

// FuzzCEBinary encodes attributes as headers the way the specification says, sends them through the
// reader of heads, and wants them back.
func FuzzCEBinary(f *testing.F) {
	f.Add("t", "/s", "1", false)
	f.Add("caf\u00e9 50%", "a \"b\" \\c", "\u20ac\U0001f600", true)
	f.Add("a\x00b", "\r\n", "%41", false)
	f.Fuzz(func(t *testing.T, typ, source, id string, quote bool) {
		for _, s := range []string{typ, source, id} {
			if s == "" || len(s) > 600 || !utf8.ValidString(s) {
				return
			}
		}
		head := "POST / HTTP/1.1\r\nHost: a\r\nce-specversion: 1.0\r\n"
		for name, value := range map[string]string{"ce-type": typ, "ce-source": source, "ce-id": id} {
			head += name + ": " + encodeCE(value, quote) + "\r\n"
		}
		var h fasthttp.RequestHeader
		if err := h.Read(bufio.NewReader(strings.NewReader(head + "\r\n"))); err != nil {
			t.Fatal(err)
		}
		var a arrival
		if r := a.readHeaders(&h); r != nil {
			t.Fatal(r)
		}
		if r := readBinaryCE(&h, &a); r != nil {
			t.Fatal(r)
		}
		if a.typ != typ || a.id != hashedID(source, id) || len(a.headers) != 4 {
			t.Fatalf("type %q, want %q; id %q, headers %q", a.typ, typ, a.id, a.headers)
		}
		for _, header := range a.headers {
			if strings.ContainsFunc(header.Value, unicode.IsControl) {
				t.Fatalf("a control character goes out: %q", header)
			}
		}
	})
}

// encodeCE is cloudevents/spec, HTTP binding §3.1.3.2: what is not printable ASCII, and space, quote
// and percent, as percent escapes; or all in quotes with backslashes, where it can be.
func encodeCE(s string, quote bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case quote && (c == '"' || c == '\\'):
			b.WriteString("\\" + string(rune(c)))
		case quote && c == ' ', c > ' ' && c < 0x7f && c != '"' && c != '%':
			b.WriteByte(c)
		default:
			const digits = "0123456789ABCDEF"
			b.WriteString("%" + string(digits[c>>4]) + string(digits[c&15]))
		}
	}
	if quote {
		return `"` + b.String() + `"`
	}
	return b.String()
}

// FuzzNames holds types in paths to their escaping, ids to what can be signed, and answers to JSON.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"message", "a/b", "a.b", "", "\x00", "\u0085", "é", "a\r\nb", "%41",
		"\u2028", strings.Repeat("x", 257), "\xff", `"\`, "</script>", "\u007f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		legal := s != "" && len(s) <= 256 && utf8.ValidString(s) &&
			!strings.ContainsFunc(s, unicode.IsControl)
		typ, named, r := eventPath([]byte("/v1/events/" + url.PathEscape(s)))
		if (r == nil) != legal || legal && (typ != s || !named) {
			t.Fatalf("%q in a path is %q, %v", s, typ, r)
		}
		if got := CheckID(s) == nil; got != (legal && !strings.ContainsAny(s, " .")) {
			t.Fatalf("the id %q is legal: %v", s, got)
		}
		if !utf8.ValidString(s) {
			return // never gets into an answer
		}
		var back struct{ ID string }
		answer := appendAnswer(nil, &spool.Draft{ID: s}, nil)
		if err := json.Unmarshal(answer, &back); err != nil || back.ID != s {
			t.Fatalf("%q is answered as %s: %v", s, answer, err)
		}
	})
}

// FuzzMediaType holds the media type to package mime, where that can read it.
func FuzzMediaType(f *testing.F) {
	for _, s := range []string{"application/json", "Application/X-NDJSON ; charset=utf-8", "", ";", "a/b;",
		" text/plain", "application/cloudevents-batch+json;a=\";\"", "a/b , c/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, _, err := mime.ParseMediaType(s)
		if got := mediaType([]byte(s)); err == nil && got != want {
			t.Fatalf("%q is %q, want %q", s, got, want)
		}
	})
}
