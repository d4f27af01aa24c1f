package admin

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An export is the events and nothing else, unless it is asked how far it is.
func TestExportCall(t *testing.T) {
	f := newFixture(t)
	a := f.ask("POST", "/v1/spool/export?all=true&target=crm")
	if f.ok(a, ""); a.body != `{"id":"a"}`+"\n" || a.Header.Get("Content-Type") != ndjson {
		t.Errorf("got %q, %v", a.body, a.Header)
	}
	a = f.ask("POST", "/v1/spool/export?progress=true")
	if f.ok(a, ""); a.body != `{"progress":{"done":1,"total":2}}`+"\n"+`{"id":"a"}`+"\n"+
		`{"result":{"events":1}}`+"\n" {
		t.Errorf("got %q", a.body)
	}
	f.ok(f.ask("POST", "/v1/spool/verify"), `{"result":{"fault_count":0}}`+"\n")
	if got := strings.Join(f.backend.asked, ", "); got !=
		"export crm all=true, export  all=false, verify" {
		t.Errorf("asked %q", got)
	}
	f.problem(f.ask("POST", "/v1/spool/export?all=maybe"), 400, codeMalformed)
	f.problem(f.ask("POST", "/v1/spool/export?state=pending"), 400, codeMalformed)
	f.problem(f.ask("GET", "/v1/spool/export"), 405, codeMethodNotAllowed)
	f.backend.err = Refuse(404, codeNotFound, "there is no target")
	f.problem(f.ask("POST", "/v1/spool/export?target=x"), 404, codeNotFound)
	f.token = "correct horse"
	for _, path := range []string{"export", "verify", "import", "backup"} {
		f.problem(f.ask("POST", "/v1/spool/"+path), 401, codeUnauthorized)
		f.problem(f.ask("POST", "/v1/spool/"+path, "Authorization: Bearer correct horse",
			"Origin: http://elsewhere.example"), 403, codeForbidden)
	}
}

// A work that breaks off is told where there is a way to, and elsewhere the answer has no end.
func TestWorkBreaksOff(t *testing.T) {
	f := newFixture(t)
	f.backend.broken = errors.New("a table that is damaged")
	f.ok(f.ask("POST", "/v1/spool/verify"), `{"error":"a table that is damaged"}`)
	f.ok(f.ask("POST", "/v1/spool/export?progress=true"), `{"error":"a table that is damaged"}`)
	r, err := f.client.Post(f.base+"/v1/spool/export", "", nil)
	if err == nil {
		_, err = io.ReadAll(r.Body)
		r.Body.Close()
	}
	if err == nil {
		t.Error("an export that broke off looks whole")
	}
	if !strings.Contains(f.log.String(), "an export broke off") {
		t.Errorf("log %s", &f.log)
	}
}

// An import takes a body; another call takes none, and says so.
func TestImportCall(t *testing.T) {
	f := newFixture(t)
	f.ok(f.askBody("POST", importPath, "one\ntwo\n"), `"imported":1`)
	large := strings.Repeat("x", 1<<20)
	f.ok(f.askBody("POST", importPath, large), `"imported":1`)
	if got := strings.Join(f.backend.asked, ", "); got != "import one\ntwo\n, import "+large {
		t.Errorf("asked %.100q", got)
	}
	f.problem(f.askBody("POST", importPath, strings.Repeat("x", importBytesMax+1)), 413,
		codeTooLarge)
	f.problem(f.askBody("POST", "/v1/spool/export", large), 413, codeTooLarge)
	f.problem(f.askBody("PUT", importPath, large), 405, codeMethodNotAllowed)
	f.backend.err = &Error{Status: 400, Code: codeMalformed, Detail: "no",
		Faults: []string{"targets is missing"}, Lines: []int{3}}
	p := f.problem(f.askBody("POST", importPath, "x"), 400, codeMalformed)
	if len(p.Lines) != 1 || p.Lines[0] != 3 || p.Faults[0] != "targets is missing" {
		t.Errorf("problem %+v", p)
	}
	f.token = "correct horse"
	f.problem(f.askBody("POST", importPath, large), 401, codeUnauthorized)
	f.problem(f.askBody("POST", importPath, strings.Repeat("x", importBytesMax+1)), 401,
		codeUnauthorized)
}

// Whatever came of a request with a body, what follows on the connection is the next request, and
// never the rest of that body.
func TestBodiesOnOneConnection(t *testing.T) {
	f := newFixture(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	inner := "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	body := strings.Repeat(inner, 2000) // more than the library reads ahead
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	coded := "Transfer-Encoding: chunked\r\n\r\n" + chunked
	for _, c := range []struct {
		head   string
		status int
	}{
		{"POST " + importPath, 200}, {"POST /v1/reload", 413}, {"POST /nothing", 404},
		{"GET /v1/status", 200}, {"DELETE /v1/status", 405}, {"GET /livez", 200},
	} {
		for _, rest := range []string{length, coded} {
			if _, err := io.WriteString(conn, c.head+" HTTP/1.1\r\nHost: 127.0.0.1\r\n"+rest); err != nil {
				t.Fatal(err)
			}
			a, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%s: %v", c.head, err)
			}
			text, err := io.ReadAll(a.Body)
			if err != nil || a.StatusCode != c.status || bytes.Contains(text, []byte("HTTP/1.1")) {
				t.Errorf("%s: %d, want %d, %v: %s", c.head, a.StatusCode, c.status, err, text)
			}
			if a.Close {
				t.Fatalf("%s: the connection ends", c.head)
			}
		}
	}
	// An import whose connection ends in the middle is none.
	if _, err := io.WriteString(conn, "POST "+importPath+" HTTP/1.1\r\nHost: 127.0.0.1\r\n"+
		"Content-Length: 100\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if a, err := http.ReadResponse(in, nil); err == nil && a.StatusCode == 200 {
		t.Error("half a body was taken")
	}
	for _, asked := range f.backend.asked {
		if asked == "import half" {
			t.Error("half a body was imported")
		}
	}
}

// A finished answer leaves although another request has begun to come, wherever that one stops.
func TestAnswerAtOnce(t *testing.T) {
	f := newFixture(t)
	const head = "POST /v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n"
	for _, next := range []string{"P", head[:len(head)/2], head, head + "{"} {
		c := f.open(head + "{}" + next)
		c.SetDeadline(time.Now().Add(readTimeout / 2)) // what follows is given up at readTimeout
		answered, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || answered.StatusCode != 200 {
			t.Errorf("followed by %d bytes: %v, %v", len(next), answered, err)
		}
	}
}
