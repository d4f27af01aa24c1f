package admin

import "github.com/valyala/fasthttp"

// The calls of this file read; they ask a Finder.

func (s *Server) events(ctx *fasthttp.RequestCtx, _ []string) error {
	p := paramsOf(ctx)
	q := EventQuery{Type: p.text("type"), Target: p.text("target"),
		State:  p.oneOf("state", "", "pending", "delivered", "exhausted"),
		Window: p.window(), Page: p.page()}
	if p.err != nil {
		return p.err
	}
	page, err := s.options.Backend.Events(q)
	if err != nil {
		return err
	}
	page.Events = array(page.Events)
	for i := range page.Events {
		page.Events[i].Deliveries = array(page.Events[i].Deliveries)
	}
	writeJSON(ctx, page)
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

// payload answers with a stranger's bytes, so it names no type that a browser would open.
func (s *Server) payload(ctx *fasthttp.RequestCtx, args []string) error {
	payload, err := s.options.Backend.Payload(args[0])
	if err != nil {
		return err
	}
	ctx.SetContentType("application/octet-stream")
	ctx.Response.Header.Set("Content-Disposition", "attachment")
	ctx.SetBody(payload)
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
	p := &params{args: args}
	q := Query{Target: p.text("target"), Type: p.text("type"),
		State:  p.oneOf("state", "pending", "exhausted", "delivered"),
		Window: p.window(), Page: p.page()}
	return q, p.err
}

func (s *Server) attempts(ctx *fasthttp.RequestCtx, args []string) error {
	out, err := s.options.Backend.Attempts(args[0], paramsOf(ctx).text("target"))
	if err != nil {
		return err
	}
	out.Attempts = array(out.Attempts)
	writeJSON(ctx, out)
	return nil
}

func (s *Server) recentAttempts(ctx *fasthttp.RequestCtx, args []string) error {
	p := paramsOf(ctx)
	limit := p.limit()
	if p.err != nil {
		return p.err
	}
	out, err := s.options.Backend.RecentAttempts(args[0], limit)
	if err != nil {
		return err
	}
	out.Attempts = array(out.Attempts)
	writeJSON(ctx, out)
	return nil
}
