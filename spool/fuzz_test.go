package spool

import (
	"bytes"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

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

// FuzzBackup changes a backup in one place, plain and encrypted: behind the head every change is
// noticed, and whatever bytes a backup has, reading them ends.
func FuzzBackup(f *testing.F) {
	key := bytes.Repeat([]byte{7}, 32)
	plain, secret := madeBackup(f, nil), madeBackup(f, key)
	f.Add(uint32(0), byte(1), plain[:40])
	f.Add(uint32(30), byte(0x80), secret)
	f.Add(uint32(1<<31), byte(255), []byte(backupMagic))
	f.Fuzz(func(t *testing.T, at uint32, flip byte, any []byte) {
		for _, k := range [][]byte{nil, key} {
			_, _ = CheckBackup(bytes.NewReader(any), k)
			_, _ = CheckBackup(bytes.NewReader(append(bytes.Clone(plain[:backupHeadBytes]), any...)), k)
			whole := plain
			if k != nil {
				whole = secret
			}
			if _, err := CheckBackup(bytes.NewReader(whole), k); err != nil {
				t.Fatal(err)
			}
			b := bytes.Clone(whole)
			place := backupHeadBytes + int(at)%(len(b)-backupHeadBytes)
			b[place] ^= flip | 1
			if _, err := CheckBackup(bytes.NewReader(b), k); err == nil {
				t.Fatalf("a change at byte %d was not noticed", place)
			}
			if _, err := CheckBackup(bytes.NewReader(whole[:place]), k); err == nil {
				t.Fatalf("an end at byte %d was not noticed", place)
			}
		}
	})
}

// madeBackup is the backup of a spool with a few events.
func madeBackup(f *testing.F, key []byte) []byte {
	f.Helper()
	s, err := Open(Options{Dir: f.TempDir() + "/spool", EncryptionKey: key,
		Log: slog.New(slog.DiscardHandler), Decide: func(*View, *Draft) {}})
	if err != nil {
		f.Fatal(err)
	}
	s.Start()
	var out bytes.Buffer
	err = s.Append(&Draft{ID: "a", Given: true, Type: "t", Payload: []byte("{}"), At: time.Unix(1, 0)},
		&Draft{Type: "t", Payload: []byte("[]"), At: time.Unix(2, 0)})
	if err == nil {
		_, err = Backup(f.Context(), s, &out)
	}
	if err := errors.Join(err, s.Close()); err != nil {
		f.Fatal(err)
	}
	return out.Bytes()
}
