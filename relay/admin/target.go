package admin

import "github.com/valyala/fasthttp"

func (s *Server) status(ctx *fasthttp.RequestCtx, _ []string) error {
	writeJSON(ctx, s.statusNow())
	return nil
}

func (s *Server) statusNow() Status {
	status := s.options.Backend.Status()
	status.Unready, status.Listen = array(status.Unready), array(status.Listen)
	return status
}

func (s *Server) targets(ctx *fasthttp.RequestCtx, _ []string) error {
	writeJSON(ctx, s.targetsNow())
	return nil
}

func (s *Server) targetsNow() TargetList {
	list := array(s.options.Backend.Targets())
	for i := range list {
		list[i].Events = array(list[i].Events)
	}
	return TargetList{Targets: list}
}

func (s *Server) target(ctx *fasthttp.RequestCtx, args []string) error {
	target, ok := s.options.Backend.Target(args[0])
	if !ok {
		refusal := Refuse(fasthttp.StatusNotFound, codeNotFound, "there is no target %q",
			shorten(args[0]))
		refusal.Hint = "GET /v1/targets lists them"
		return refusal
	}
	target.Events = array(target.Events)
	writeJSON(ctx, target)
	return nil
}

// change makes a call of an order to one target, answered with what the target is afterwards.
func (s *Server) change(order func(name string) error) func(*fasthttp.RequestCtx, []string) error {
	return func(ctx *fasthttp.RequestCtx, args []string) error {
		if err := order(args[0]); err != nil {
			return err
		}
		return s.target(ctx, args)
	}
}

// sample waits for the target as long as its timeout is, so that only few may wait at once.
func (s *Server) sample(ctx *fasthttp.RequestCtx, args []string) error {
	select {
	case s.samples <- struct{}{}:
		defer func() { <-s.samples }()
	default:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		return Refuse(fasthttp.StatusServiceUnavailable, codeOverloaded,
			"%d samples are under way; try again in a second", samplesMax)
	}
	typ := string(ctx.QueryArgs().Peek("type"))
	answer, err := s.options.Backend.Sample(s.life, args[0], typ)
	if err != nil {
		return err
	}
	writeJSON(ctx, answer)
	return nil
}

func (s *Server) reload(ctx *fasthttp.RequestCtx, _ []string) error {
	restart, err := s.options.Backend.Reload()
	if err != nil {
		return err
	}
	writeJSON(ctx, Reloaded{s.statusNow(), array(restart)})
	return nil
}
