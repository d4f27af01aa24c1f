package admin

import (
	"bufio"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
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
		var args fasthttp.Args
		args.Parse(raw)
		q, err := readQuery(&args)
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
	routes := New(Options{Backend: &fake{}}).routes
	f.Fuzz(func(t *testing.T, id, path string) {
		for i := range routes {
			r := &routes[i]
			if strings.Count(r.path, "{") == 1 && id != "" {
				at := strings.Index(r.path, "{")
				end := strings.Index(r.path, "}")
				args, ok := r.match(r.path[:at] + url.PathEscape(id) + r.path[end+1:])
				if !ok || len(args) != 1 || args[0] != id {
					t.Fatalf("%s of %q gives %q, %v", r.path, id, args, ok)
				}
			}
		}
		var found []string
		for i := range routes {
			if _, ok := routes[i].match(path); ok {
				found = append(found, routes[i].method+" "+routes[i].path)
			}
		}
		if len(found) > 1 {
			t.Fatalf("%q is %q", path, found)
		}
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
	s := New(Options{Backend: &fake{}, Hosts: func() []string { return []string{"relay.example:8471"} }})
	f.Fuzz(func(t *testing.T, authorization, host, origin, site string) {
		std := &http.Request{Header: http.Header{"Authorization": {authorization}}}
		if _, password, ok := std.BasicAuth(); ok && password != string(presented([]byte(authorization))) {
			t.Fatalf("%q presents %q, want %q", authorization, presented([]byte(authorization)), password)
		}
		head := "POST /v1/reload HTTP/1.1\r\nHost: " + host + "\r\nOrigin: " + origin +
			"\r\nSec-Fetch-Site: " + site + "\r\nContent-Length: 0\r\n\r\n"
		var ctx fasthttp.RequestCtx
		if strings.ContainsAny(host+origin+site, "\r\n") ||
			ctx.Request.Read(bufio.NewReader(strings.NewReader(head))) != nil {
			return
		}
		if s.checkHost(&ctx, nil) == nil {
			name := hostOf(string(ctx.Host()))
			if _, err := netip.ParseAddr(name); err != nil && !strings.EqualFold(name, "localhost") &&
				!strings.EqualFold(name, "relay.example") {
				t.Fatalf("the host %q passes", host)
			}
		}
		if r := (&route{method: "POST"}); r.checkOrigin(&ctx) != nil {
			return
		}
		site, origin = strings.Trim(site, " \t"), strings.Trim(origin, " \t")
		if site != "" && site != "none" && site != "same-origin" {
			t.Fatalf("the site %q passes", site)
		}
		if u, err := url.Parse(origin); origin != "" && (err != nil ||
			!strings.EqualFold(u.Host, string(ctx.Host()))) {
			t.Fatalf("the origin %q passes at %q", origin, ctx.Host())
		}
	})
}
