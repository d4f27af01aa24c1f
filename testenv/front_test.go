package testenv

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// front stands before the admin listener of a relay and passes on, until it is told otherwise.
type front struct {
	t      *testing.T
	server *httptest.Server

	mu     sync.Mutex // guards below
	script func(w http.ResponseWriter, r *http.Request) (answered bool)
}

// startFront starts one on port 0; it ends with the test.
func startFront(t *testing.T, j *Journey) *front {
	t.Helper()
	f := &front{t: t}
	to := &url.URL{Scheme: "http", Host: strings.TrimPrefix(j.AdminAddress(), "http://")}
	back := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = to.Host
	}, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
		panic(http.ErrAbortHandler) // a relay that is away ends connections
	}}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		script := f.script
		f.mu.Unlock()
		if script == nil || !script(w, r) {
			back.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		f.server.CloseClientConnections()
		f.server.Close()
	})
	return f
}

// URL is what --admin is given.
func (f *front) URL() string { return f.server.URL }

// answer has a script answer whatever it says it answered; nil: everything is passed on.
func (f *front) answer(script func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = script
}

// hangUp ends all connections.
func (f *front) hangUp() { f.server.CloseClientConnections() }

// held is a call that waits before it is passed on.
type held struct {
	t           *testing.T
	came, leave chan struct{}
}

// holdPost holds the second POST to a path with this end.
func (f *front) holdPost(end string) *held {
	h := &held{t: f.t, came: make(chan struct{}), leave: make(chan struct{})}
	var mu sync.Mutex
	n := 0
	f.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, end) {
			return false
		}
		mu.Lock()
		n++
		second := n == 2
		mu.Unlock()
		if second {
			close(h.came)
			<-h.leave
		}
		return false
	})
	return h
}

// await waits until the call has come.
func (h *held) await() {
	h.t.Helper()
	Until(h.t, Patience, "a second page", func() bool {
		select {
		case <-h.came:
			return true
		default:
			return false
		}
	})
}

func (h *held) letGo() { close(h.leave) }
