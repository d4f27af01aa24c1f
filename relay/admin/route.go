package admin

import (
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// route is one path with one method. GET is answered to HEAD as well.
type route struct {
	method string
	// path has its parts between slashes; a part in braces stands for any.
	path  string
	guard guard
	query []string // the parameters an API call takes; other routes ignore what they do not know
	serve func(ctx *fasthttp.RequestCtx, args []string) error
}

// The calls that a rule is about: those with a body, one that goes on, and the scrape.
const (
	importPath  = "/v1/spool/import"
	explainPath = "/v1/explain"
	streamPath  = "/v1/stream"
	metricsPath = "/metrics"
)

// table lists every call there is, and the files of the console behind them.
func (s *Server) table() []route {
	const get, post = fasthttp.MethodGet, fasthttp.MethodPost
	return append([]route{
		{get, "/livez", open, nil, s.livez},
		{get, "/readyz", open, nil, s.readyz},
		{get, "/healthz", open, nil, s.readyz},
		{get, metricsPath, open, nil, s.metrics},
		{get, "/v1/status", api, nil, s.status},
		{get, "/v1/targets", api, nil, s.targets},
		{get, "/v1/targets/{name}", api, nil, s.target},
		{post, "/v1/targets/{name}/sample", api, []string{"type"}, s.sample},
		{post, "/v1/targets/{name}/retry", api, nil, s.change(s.options.Backend.Retry)},
		{get, "/v1/targets/{name}/attempts", api, []string{"limit"}, s.recentAttempts},
		{post, "/v1/targets/{name}/enable", api, nil, s.change(s.options.Backend.Enable)},
		{post, "/v1/targets/{name}/pause", api, nil, s.change(s.options.Backend.Pause)},
		{post, "/v1/targets/{name}/resume", api, nil, s.change(s.options.Backend.Resume)},
		{get, "/v1/events", api,
			[]string{"type", "target", "state", "since", "until", "limit", "after"}, s.events},
		{get, "/v1/events/{id}", api, nil, s.event},
		{get, "/v1/events/{id}/payload", api, nil, s.payload},
		{get, "/v1/attempts/{id}", api, []string{"target"}, s.attempts},
		{get, "/v1/deliveries", api,
			[]string{"target", "state", "type", "since", "until", "limit", "after"}, s.deliveries},
		{post, "/v1/replay", api, []string{"target", "state", "type", "since", "until", "id",
			"dry_run", "limit", "after"}, s.replay},
		{post, explainPath, api, []string{"type", "id", "content_type"}, s.explain},
		{get, streamPath, api, nil, s.live},
		{get, "/openapi.json", api, nil, serveFile(openAPIFile)},
		{get, helpPath, pages, nil, s.help},
		{get, helpPath + "{name}", pages, nil, s.help},
		{post, "/v1/reload", api, nil, s.reload},
		{post, "/v1/targets/{name}/purge", api,
			[]string{"state", "type", "until", "id", "dry_run", "limit", "after", "forget"}, s.purge},
		{get, "/v1/spool", api, nil, s.spoolStat},
		{post, "/v1/spool/backup", api, nil, s.backup},
		{post, "/v1/spool/export", api, []string{"all", "target", "progress"}, s.export},
		{post, "/v1/spool/verify", api, nil, s.verify},
		{post, importPath, api, nil, s.importLines},
	}, pageRoutes()...)
}

// find returns the route of a request and what stands at the braces of its path. An unknown path
// is 404 without a token: the paths are no secret.
func (s *Server) find(ctx *fasthttp.RequestCtx) (*route, []string, error) {
	method := string(ctx.Method())
	if method == fasthttp.MethodHead {
		method = fasthttp.MethodGet
	}
	path := string(ctx.URI().PathOriginal())
	var allowed []string
	for i := range s.routes {
		r := &s.routes[i]
		args, ok := r.match(path)
		if ok && r.method == method {
			return r, args, nil
		}
		if ok {
			allowed = append(allowed, r.method)
		}
	}
	if len(allowed) == 0 {
		refusal := Refuse(fasthttp.StatusNotFound, codeNotFound, "there is nothing at %q",
			shorten(path))
		refusal.Hint = "events are posted to server.listen; the API here begins with /v1"
		return nil, nil, refusal
	}
	if slices.Contains(allowed, fasthttp.MethodGet) {
		allowed = append(allowed, fasthttp.MethodHead)
	}
	ctx.Response.Header.Set(fasthttp.HeaderAllow, strings.Join(allowed, ", "))
	return nil, nil, Refuse(fasthttp.StatusMethodNotAllowed, codeMethodNotAllowed,
		"%s is not allowed here; %s is", shorten(method), strings.Join(allowed, " or "))
}

// match compares part by part, and decodes what stands at the braces: an event's id may hold
// anything, a slash too.
func (r *route) match(path string) ([]string, bool) {
	if strings.Count(path, "/") != strings.Count(r.path, "/") {
		return nil, false
	}
	var args []string
	for want := range strings.SplitSeq(r.path, "/") {
		part, rest, _ := strings.Cut(path, "/")
		path = rest
		if !strings.HasPrefix(want, "{") {
			if part != want {
				return nil, false
			}
			continue
		}
		arg, err := url.PathUnescape(part)
		if err != nil || arg == "" {
			return nil, false
		}
		args = append(args, arg)
	}
	return args, true
}
