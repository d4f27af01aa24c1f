package admin

import (
	"strconv"

	"github.com/valyala/fasthttp"
)

const (
	deliveriesDefault = 100
	deliveriesMax     = 1000
)

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
	list := array(s.options.Backend.Targets())
	for i := range list {
		list[i].Events = array(list[i].Events)
	}
	writeJSON(ctx, TargetList{Targets: list})
	return nil
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

func (s *Server) event(ctx *fasthttp.RequestCtx, args []string) error {
	event, err := s.options.Backend.Event(args[0])
	if err != nil {
		return err
	}
	event.Deliveries = array(event.Deliveries)
	writeJSON(ctx, event)
	return nil
}

func (s *Server) deliveries(ctx *fasthttp.RequestCtx, _ []string) error {
	q, err := readQuery(ctx.QueryArgs())
	if err != nil {
		return err
	}
	page, err := s.options.Backend.Deliveries(q)
	if err != nil {
		return err
	}
	page.Deliveries = array(page.Deliveries)
	writeJSON(ctx, page)
	return nil
}

// readQuery checks what can be checked without knowing the targets.
func readQuery(args *fasthttp.Args) (Query, error) {
	q := Query{
		Target: string(args.Peek("target")),
		State:  string(args.Peek("state")),
		Limit:  deliveriesDefault,
		After:  string(args.Peek("after")),
	}
	if q.State == "" {
		q.State = "pending"
	}
	if q.Target == "" {
		refusal := Refuse(fasthttp.StatusBadRequest, codeMalformed, "target is missing")
		refusal.Hint = "GET /v1/deliveries?target=NAME&state=pending"
		return q, refusal
	}
	if q.State != "pending" && q.State != "exhausted" {
		return q, Refuse(fasthttp.StatusBadRequest, codeMalformed,
			"state is %q; it is pending or exhausted", shorten(q.State))
	}
	if text := string(args.Peek("limit")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > deliveriesMax {
			return q, Refuse(fasthttp.StatusBadRequest, codeMalformed,
				"limit is %q; it is a number from 1 to %d", shorten(text), deliveriesMax)
		}
		q.Limit = n
	}
	return q, nil
}

func (s *Server) reload(ctx *fasthttp.RequestCtx, _ []string) error {
	restart, err := s.options.Backend.Reload()
	if err != nil {
		return err
	}
	writeJSON(ctx, Reloaded{s.statusNow(), array(restart)})
	return nil
}
