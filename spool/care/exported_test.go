package care

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/spool/record"
)

// FuzzExportedLine lets any line be one of an export: what is taken can be written as a record, is
// read back from it part by part, could be sent, and is the same when it is exported again.
func FuzzExportedLine(f *testing.F) {
	const line = `{"id":"a","type":"t","content_type":"x","accepted_at":"2026-01-02T03:04:05.000000006Z",` +
		`"session":"active","headers":[{"name":"a","value":"b"}],"payload":"{}","targets":[{"name":"c",` +
		`"state":"pending","attempts":1}]}`
	f.Add([]byte(line))
	for _, change := range [][2]string{{`"x"`, `{"base64":"/w=="}`}, {`"x"`, `"x\u0001"`}, {`"b"`, `"b\u0001"`},
		{`"name":"a"`, `"name":"a: b"`}, {"2026", "9999"}, {"2026", "0001"}, {"Z", "+23:59"},
		{`"payload":"{}"`, `"payload_base64":"AA=="`}, {`"payload":"{}"`, `"payload_base64":""`},
		{`"id":"a"`, `"id":"a.b"`}} {
		f.Add([]byte(strings.Replace(line, change[0], change[1], 1)))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		x, err := ParseExported(line)
		if err != nil {
			return
		}
		in := x.incoming()
		parts := record.Parts{ID: in.ID, Given: true, At: in.At, Type: in.Type,
			ContentType: in.ContentType, Headers: in.Headers, Payload: in.Payload}
		if !parts.Fits() {
			t.Fatal("it is taken and fits no record")
		}
		e, err := record.DecodeEvent(record.NewEvent(parts, record.Seal{Seq: 1, Spool: 1}), 1)
		if err != nil {
			t.Fatal(err)
		}
		if e.ID() != x.ID || e.Type() != x.Type || e.ContentType() != string(x.ContentType) ||
			!bytes.Equal(e.Payload(), x.payload()) || len(e.Headers()) != len(x.Headers) ||
			!e.At.Equal(x.AcceptedAt) {
			t.Fatalf("read %+v, wrote %+v", e, x)
		}
		for i, h := range e.Headers() {
			if h.Name != string(x.Headers[i].Name) || h.Value != string(x.Headers[i].Value) {
				t.Fatalf("header %q became %q", x.Headers[i], h)
			}
		}
		again, err := marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseExported(again)
		if err != nil || !reflect.DeepEqual(normal(x), normal(back)) {
			t.Fatalf("%s became %+v, %v", again, back, err)
		}
	})
}

// normal makes two that mean the same compare as equal.
func normal(x *Exported) Exported {
	n := *x
	n.AcceptedAt = n.AcceptedAt.UTC()
	if len(n.Headers) == 0 {
		n.Headers = nil
	}
	return n
}
