package admin

import (
	"net/http"
	"net/url"
)

// The calls of this file read; they ask a Finder.

func (s *Server) events(c *call) error {
	p := paramsOf(c)
	q := EventQuery{Type: p.text("type"), Target: p.text("target"),
		State:  p.oneOf("state", "", "pending", "delivered", "exhausted", "expired"),
		Window: p.window(), Page: p.page()}
	q.Choice, q.ID = p.choice()
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
	c.json(http.StatusOK, page)
	return nil
}

func (s *Server) event(c *call) error {
	event, err := s.options.Backend.Event(c.arg("id"))
	if err != nil {
		return err
	}
	event.Deliveries = array(event.Deliveries)
	c.json(http.StatusOK, event)
	return nil
}

// payload answers with a stranger's bytes, so it names no type that a browser would open.
func (s *Server) payload(c *call) error {
	payload, err := s.options.Backend.Payload(c.arg("id"))
	if err != nil {
		return err
	}
	c.header().Set("Content-Disposition", "attachment")
	c.send(http.StatusOK, octets, payload)
	return nil
}

func (s *Server) deliveries(c *call) error {
	q, err := readListing(c.query())
	if err != nil {
		return err
	}
	page, err := s.options.Backend.Deliveries(q)
	if err != nil {
		return err
	}
	page.Deliveries = array(page.Deliveries)
	c.json(http.StatusOK, page)
	return nil
}

// readListing checks what can be checked without knowing the targets.
func readListing(args url.Values) (Query, error) {
	p := &params{args: args}
	q := Query{Target: p.text("target"), Type: p.text("type"),
		State:  p.oneOf("state", "pending", "exhausted", "delivered", "expired"),
		Window: p.window(), Page: p.page()}
	q.Choice, q.ID = p.choice()
	return q, p.err
}

func (s *Server) attempts(c *call) error {
	out, err := s.options.Backend.Attempts(c.arg("id"), paramsOf(c).text("target"))
	if err != nil {
		return err
	}
	out.Attempts = array(out.Attempts)
	c.json(http.StatusOK, out)
	return nil
}

func (s *Server) recentAttempts(c *call) error {
	p := paramsOf(c)
	limit := p.limit()
	if p.err != nil {
		return p.err
	}
	out, err := s.options.Backend.RecentAttempts(c.arg("name"), limit)
	if err != nil {
		return err
	}
	out.Attempts = array(out.Attempts)
	c.json(http.StatusOK, out)
	return nil
}

// conversation makes the call that tells of one.
func conversation(b Backend) func(*call) error {
	return func(c *call) error {
		p := paramsOf(c)
		q := ConversationQuery{Key: c.arg("key"), Since: p.window().Since, Page: p.page()}
		if p.err != nil {
			return p.err
		}
		out, err := b.Conversation(q)
		if err != nil {
			return err
		}
		out.Keys, out.Timeline = array(out.Keys), array(out.Timeline)
		c.json(http.StatusOK, out)
		return nil
	}
}

// failures answers GET /v1/targets/{name}/failures.
func failures(f Finder) func(*call) error {
	return func(c *call) error {
		out, err := f.Failures(c.arg("name"), c.query().Get("after"))
		if err != nil {
			return err
		}
		out.Groups = array(out.Groups)
		c.json(http.StatusOK, out)
		return nil
	}
}

// history answers GET /v1/history.
func history(f Finder) func(*call) error {
	return func(c *call) error {
		p := paramsOf(c)
		target, span := p.text("target"), p.oneOf("span", "24h", "1h", "30d")
		if p.err != nil {
			return p.err
		}
		out, err := f.History(target, span)
		if err != nil {
			return err
		}
		c.json(http.StatusOK, out)
		return nil
	}
}
