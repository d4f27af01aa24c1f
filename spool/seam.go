package spool

func (s *Spool) through(call string, do func() error) error { return s.seam.Do(call, do) }
