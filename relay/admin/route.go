package admin

import (
	"cmp"
	"net/http"
	"path"
	"slices"
	"strings"
)

// route is one path with one method. GET is answered to HEAD as well.
type route struct {
	method string
	// path has its parts between slashes; a part in braces stands for any, as in http.ServeMux.
	path  string
	guard guard
	query []string // the parameters an API call takes; other routes ignore what they do not know
	serve func(*call) error
}

// The calls that a rule is about: those with a body, one that goes on, and the scrape.
const (
	importPath  = "/v1/spool/import"
	explainPath = "/v1/explain"
	samplePath  = "/v1/targets/{name}/sample"
	streamPath  = "/v1/stream"
	metricsPath = "/metrics"
)

// table lists every call there is, and the files of the console behind them.
func (s *Server) table() []route {
	const get, post = http.MethodGet, http.MethodPost
	return append([]route{
		{get, "/livez", open, nil, s.livez},
		{get, "/readyz", open, nil, s.readyz},
		{get, "/healthz", open, nil, s.readyz},
		{get, metricsPath, open, nil, s.metrics},
		{get, "/v1/status", api, nil, s.status},
		{get, "/v1/targets", api, nil, s.targets},
		{get, "/v1/targets/{name}", api, nil, s.target},
		{post, samplePath, api, []string{"type"}, s.sample},
		{post, "/v1/targets/{name}/retry", api, nil, jobCall(s, "retry", s.options.Backend.Retry)},
		{get, "/v1/targets/{name}/attempts", api, []string{"limit"}, s.recentAttempts},
		{get, "/v1/targets/{name}/failures", api, []string{"after"}, failures(s.options.Backend)},
		{post, "/v1/targets/{name}/enable", api, []string{"force"},
			jobCall(s, "enable", s.options.Backend.Enable)},
		{post, "/v1/targets/{name}/pause", api, nil, s.change("pause", s.options.Backend.Pause)},
		{post, "/v1/targets/{name}/resume", api, nil, s.change("resume", s.options.Backend.Resume)},
		{get, "/v1/events", api,
			chosen("type", "target", "state", "since", "until", "limit", "after"), s.events},
		{get, "/v1/events/{id}", api, nil, s.event},
		{get, "/v1/events/{id}/payload", api, nil, s.payload},
		{get, "/v1/attempts/{id}", api, []string{"target"}, s.attempts},
		{get, "/v1/history", api, []string{"target", "span"}, history(s.options.Backend)},
		{get, "/v1/deliveries", api,
			chosen("target", "state", "type", "since", "until", "limit", "after"), s.deliveries},
		{get, "/v1/conversations/{key}", api, []string{"since", "limit", "after"},
			conversation(s.options.Backend)},
		{get, "/v1/actions", api,
			[]string{"target", "verb", "since", "until", "limit", "after"},
			actions(s.options.Backend)},
		{post, "/v1/actions/{run}/stop", api, nil, stopAction(s.options.Backend)},
		{post, "/v1/replay", api, chosen("target", "state", "type", "since", "until", "dry_run", "run",
			"limit", "after"), s.replay},
		{post, explainPath, api, []string{"type", "id", "content_type", "sample"}, s.explain},
		{get, "/v1/types", api, nil, s.types},
		{get, "/v1/types/{type}", api, nil, s.typeDetail},
		{get, streamPath, api, nil, s.live},
		{get, "/openapi.json", api, nil, serveFile(openAPIFile)},
		{get, helpPath, pages, nil, s.help},
		{get, helpPath + "{name}", pages, nil, s.help},
		{post, "/v1/reload", api, nil, s.reload},
		{post, "/v1/targets/{name}/purge", api,
			chosen("state", "type", "since", "until", "dry_run", "run", "limit", "after", "forget"),
			s.purge},
		{get, "/v1/spool", api, nil, s.spoolStat},
		{post, "/v1/spool/backup", api, nil, s.backup},
		{post, "/v1/spool/export", api, []string{"all", "target", "actions", "progress"}, s.export},
		{post, "/v1/spool/verify", api, nil, s.verify},
		{post, importPath, api, []string{"run"}, s.importLines},
	}, pageRoutes()...)
}

// chosen are the parameters of a call that walks, beside those that every one of them has.
func chosen(more ...string) []string {
	return append(more, "id", "where", "conversation", "session", "status", "error", "failure")
}

// takesBody reports a call with a body; every other one refuses what stands in one.
func (r *route) takesBody() bool {
	return r.path == importPath || r.path == explainPath || r.path == samplePath
}

// newMux gives the requests of each route to what handle makes of it. A path with other methods,
// and any other path, has a route as well, which refuses.
func newMux(routes []route, handle func(*route) http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	allowed := map[string][]string{}
	for i := range routes {
		r := &routes[i]
		mux.Handle(r.method+" "+r.pattern(), handle(r))
		allowed[r.pattern()] = append(allowed[r.pattern()], r.method)
	}
	for pattern, methods := range allowed {
		if slices.Contains(methods, http.MethodGet) {
			methods = append(methods, http.MethodHead)
		}
		mux.Handle(pattern, handle(&route{guard: nowhere, serve: allowOnly(methods)}))
	}
	mux.Handle("/", handle(&route{guard: nowhere, serve: notFound}))
	return mux
}

// pattern is the path as http.ServeMux has it, where one that ends in a slash would stand for all
// below it.
func (r *route) pattern() string {
	if strings.HasSuffix(r.path, "/") {
		return r.path + "{$}"
	}
	return r.path
}

// asWritten gives the mux the path of a request as it is written, and reports whether it may have
// it. By itself it would compare what the escapes stand for, so that /%761 were /v1, which a proxy
// in front may have other rules for, and an id that is a slash were none. A path that is not clean
// it would answer with a redirect.
func asWritten(req *http.Request) bool {
	at, _, _ := strings.Cut(req.RequestURI, "?")
	if req.URL.IsAbs() {
		at = cmp.Or(req.URL.EscapedPath(), "/")
	}
	req.URL.Path, req.URL.RawPath = at, ""
	clean := path.Clean(at)
	return strings.HasPrefix(at, "/") && (at == clean || clean != "/" && at == clean+"/")
}

// notFound refuses a path at which there is nothing. It does so without a token: the paths are no
// secret.
func notFound(c *call) error {
	refusal := Refuse(http.StatusNotFound, codeNotFound, "there is nothing at %q",
		shorten(c.r.URL.Path))
	refusal.Hint = "events are posted to server.listen; the API here begins with /v1"
	return refusal
}

// allowOnly refuses all methods but those of a path.
func allowOnly(methods []string) func(*call) error {
	return func(c *call) error {
		c.header().Set("Allow", strings.Join(methods, ", "))
		return Refuse(http.StatusMethodNotAllowed, codeMethodNotAllowed,
			"%s is not allowed here; %s is", shorten(c.r.Method), strings.Join(methods, " or "))
	}
}
