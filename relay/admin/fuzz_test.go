package admin

import (
	"bufio"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzQuery holds the query of a listing to net/url: the same values, and what passes is within the
// limits.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"target=crm", "target=a&state=exhausted&limit=7&after=x", "limit=1&target=%41",
		"target=a&limit=1001", "target=a&limit=+1", "target=a&limit=%2b1", "target=a&target=b", "&&=&target",
		"target=a&state=pending&limit=0x1", "target=\xff&after=%00", "target=a;state=exhausted"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := readListing(readQuery(raw))
		want, bad := url.ParseQuery(raw)
		if bad != nil {
			want = nil
		}
		limit := want.Get("limit")
		n, notNumber := strconv.Atoi(limit)
		if want.Has("since") || want.Has("until") {
			return // param_test.go has the instants
		}
		legal := slices.Contains([]string{"", "pending", "exhausted", "delivered"},
			want.Get("state")) && (limit == "" || notNumber == nil && n >= 1 && n <= pageMax)
		if want != nil && legal != (err == nil) {
			t.Fatalf("%q is refused: %v", raw, err)
		}
		if err != nil {
			return
		}
		if q.Limit < 1 || q.Limit > pageMax ||
			q.State != "pending" && q.State != "exhausted" && q.State != "delivered" {
			t.Fatalf("%q passes as %+v", raw, q)
		}
		if want != nil && (q.Target != want.Get("target") || q.After != want.Get("after")) {
			t.Fatalf("%q is %+v, want %v", raw, q, want)
		}
	})
}

// FuzzRoute holds the reading of a path to its writing: an id comes out of a path as it went in, and
// no path is two calls.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{"crm", "a/b", "..", "%2e", "a b", "é", "", "\x00", "sample"} {
		f.Add(s, "/v1/targets/"+s+"/sample")
	}
	var found []string
	routes := (&Server{options: Options{Backend: &fake{}}}).table()
	mux := newMux(routes, func(r *route) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			c := call{r: req}
			found = []string{r.path, c.arg("name") + c.arg("id") + c.arg("key") + c.arg("type") +
				c.arg("run")}
		})
	})
	ask := func(t *testing.T, method, path string) {
		found = nil
		u, err := url.ParseRequestURI(path)
		w, req := httptest.NewRecorder(), &http.Request{Method: method, URL: u, RequestURI: path}
		if err != nil || !asWritten(req) {
			return
		}
		mux.ServeHTTP(w, req)
		if found == nil {
			t.Fatalf("%q is answered by the mux: %d %v", path, w.Code, w.Header())
		}
	}
	f.Fuzz(func(t *testing.T, id, path string) {
		for _, r := range routes {
			if strings.Count(r.path, "{") != 1 || id == "" || id == "." || id == ".." {
				continue
			}
			at, end := strings.Index(r.path, "{"), strings.Index(r.path, "}")
			ask(t, r.method, r.path[:at]+url.PathEscape(id)+r.path[end+1:])
			if !slices.Equal(found, []string{r.path, id}) {
				t.Fatalf("%s of %q is %q", r.path, id, found)
			}
		}
		ask(t, "GET", path)
	})
}

// FuzzCaller holds the checks of a caller to net/http: the token out of Authorization, and that a
// Host which passes is an address, localhost or ours, and an Origin which passes is of the Host.
func FuzzCaller(f *testing.F) {
	f.Add("Basic YW55OnRva2Vu", "127.0.0.1:8471", "http://127.0.0.1:8471", "")
	f.Add("Bearer token", "evil.example", "null", "cross-site")
	f.Add("basic dXNlcg==", "[::1]:1", "http://[::1]:1", "same-origin")
	f.Add("Basic", "localhost.:80", "http://localhost.:80/path", "none")
	f.Add("Basic !", "relay.example", "http://u@relay.example", "same-site")
	s := New(Options{Backend: &fake{}, Log: slog.New(slog.DiscardHandler), Hosts: func() []string { return []string{"relay.example:8471"} }})
	f.Fuzz(func(t *testing.T, authorization, host, origin, site string) {
		std := &http.Request{Header: http.Header{"Authorization": {authorization}}}
		if _, password, ok := std.BasicAuth(); ok && password != presented(authorization) {
			t.Fatalf("%q presents %q, want %q", authorization, presented(authorization), password)
		}
		head := "POST /v1/reload HTTP/1.1\r\nHost: " + host + "\r\nOrigin: " + origin +
			"\r\nSec-Fetch-Site: " + site + "\r\nContent-Length: 0\r\n\r\n"
		if strings.ContainsAny(host+origin+site, "\r\n") {
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
		if err != nil {
			return
		}
		if s.checkHost(req, nowhere) == nil {
			name := hostOf(req.Host)
			if _, err := netip.ParseAddr(name); err != nil && !strings.EqualFold(name, "localhost") &&
				!strings.EqualFold(name, "relay.example") {
				t.Fatalf("the host %q passes", host)
			}
		}
		if r := (&route{method: "POST"}); r.checkOrigin(req) != nil {
			return
		}
		site, origin = strings.Trim(site, " \t"), strings.Trim(origin, " \t")
		if site != "" && site != "none" && site != "same-origin" {
			t.Fatalf("the site %q passes", site)
		}
		if u, err := url.Parse(origin); origin != "" && (err != nil ||
			!strings.EqualFold(u.Host, req.Host)) {
			t.Fatalf("the origin %q passes at %q", origin, req.Host)
		}
	})
}

// FuzzWire wants every answer to be one of ours, whatever comes.
func FuzzWire(f *testing.F) {
	for _, s := range []string{after, "GET //v1/../x HTTP/1.1\r\n" + here + "\r\n" + after, "{", "\x16\x03",
		"OPTIONS * HTTP/1.1\r\n" + here + "\r\n", "POST /v1/reload HTTP/1.1\r\n" + here +
			"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + after,
		"POST /v1/spool/import HTTP/1.1\r\n" + here + "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
		"CONNECT a:1 HTTP/1.1\r\n\r\n", "GET http://[::1]/metrics HTTP/1.0\r\n\r\n", after + "G"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if text := string(raw); strings.Contains(text, "stream") || strings.Contains(text, "HEAD") {
			return // the one does not end, the other has another length than its head says
		}
		newFixture(t).converse(string(raw))
	})
}
