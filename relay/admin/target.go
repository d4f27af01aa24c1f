package admin

import "net/http"

func (s *Server) status(c *call) error {
	c.json(http.StatusOK, s.statusNow())
	return nil
}

func (s *Server) statusNow() Status {
	status := s.options.Backend.Status()
	status.Unready, status.Listen = array(status.Unready), array(status.Listen)
	return status
}

func (s *Server) targets(c *call) error {
	c.json(http.StatusOK, s.targetsNow())
	return nil
}

func (s *Server) targetsNow() TargetList {
	list := array(s.options.Backend.Targets())
	for i := range list {
		list[i].Events = array(list[i].Events)
	}
	return TargetList{Targets: list}
}

func (s *Server) target(c *call) error {
	name := c.arg("name")
	target, ok := s.options.Backend.Target(name)
	if !ok {
		refusal := Refuse(http.StatusNotFound, codeNotFound, "there is no target %q", shorten(name))
		refusal.Hint = "GET /v1/targets lists them"
		return refusal
	}
	target.Events = array(target.Events)
	c.json(http.StatusOK, target)
	return nil
}

// change makes a call of an order to one target, answered with what the target is afterwards.
func (s *Server) change(order func(name string) error) func(*call) error {
	return func(c *call) error {
		if err := order(c.arg("name")); err != nil {
			return err
		}
		return s.target(c)
	}
}

// sample waits for the target as long as its timeout is, so that only few may wait at once.
func (s *Server) sample(c *call) error {
	select {
	case s.samples <- struct{}{}:
		defer func() { <-s.samples }()
	default:
		c.header().Set("Retry-After", "1")
		return Refuse(http.StatusServiceUnavailable, codeOverloaded,
			"%d samples are under way; try again in a second", samplesMax)
	}
	typ := c.query().Get("type")
	answer, err := s.options.Backend.Sample(s.life, c.arg("name"), typ)
	if err != nil {
		return err
	}
	c.json(http.StatusOK, answer)
	return nil
}

func (s *Server) reload(c *call) error {
	restart, err := s.options.Backend.Reload()
	if err != nil {
		return err
	}
	c.json(http.StatusOK, Reloaded{s.statusNow(), array(restart)})
	return nil
}
