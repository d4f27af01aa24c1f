package admin

import (
	"net/http"
	"strings"
)

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
	return answerTarget(s, c, 0)
}

// answerTarget answers with what a target is, and which job was asked for.
func answerTarget(s *Server, c *call, job uint64) error {
	name := c.arg("name")
	target, ok := s.options.Backend.Target(name)
	if !ok {
		refusal := Refuse(http.StatusNotFound, codeNotFound, "there is no target %q", shorten(name))
		refusal.Hint = "GET /v1/targets lists them"
		return refusal
	}
	target.Events, target.JobAsked = array(target.Events), job
	c.json(http.StatusOK, target)
	return nil
}

// change makes a call of an order to one target, answered with what the target is afterwards.
func (s *Server) change(verb string, order func(Order) error) func(*call) error {
	return jobCall(s, verb, func(o Order) (uint64, error) { return 0, order(o) })
}

// jobCall is change for an order for a job, which is not waited for: the answer says which it is.
func jobCall(s *Server, verb string, order func(Order) (uint64, error)) func(*call) error {
	return func(c *call) error {
		p := paramsOf(c)
		o := Order{Target: c.arg("name"), Force: p.flag("force")}
		if p.err != nil {
			return p.err
		}
		o.Action = acting(s, c, verb, o.Target)
		o.Action.Run = "" // each is one by itself
		number, err := order(o)
		if err != nil {
			return err
		}
		return answerTarget(s, c, number)
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
	body, err := c.body(s.options.Backend.BodyBytesMax())
	if err != nil {
		return err
	}
	if isNoBody(body) {
		body = nil
	}
	answer, err := s.options.Backend.Sample(s.life, c.arg("name"), SampleQuery{
		Type: c.query().Get("type"), ContentType: c.r.Header.Get("Content-Type"), Payload: body})
	if err != nil {
		return err
	}
	a := acting(s, c, "sample", answer.Target)
	a.Count, a.Result = 1, sampled(&answer)
	note(s, a, false, nil)
	c.json(http.StatusOK, answer)
	return nil
}

func (s *Server) reload(c *call) error {
	restart, err := s.options.Backend.Reload()
	if err != nil {
		return err
	}
	a := acting(s, c, "reload", "")
	if a.Result = "done"; len(restart) > 0 {
		a.Result = "done, but a restart is needed for " + strings.Join(restart, ", ")
	}
	note(s, a, false, nil)
	c.json(http.StatusOK, Reloaded{s.statusNow(), array(restart)})
	return nil
}
