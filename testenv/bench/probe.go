package main

import "time"

// probe watches one relay over time, in slices.
type probe struct {
	rx, s *server
	load  *loader // nil: nobody sends
}

// slice is what happened between two looks. Durations are in milliseconds.
type slice struct {
	Until     float64 // seconds since the first look
	Accepted  float64 // per second, as the next four
	Refused   float64 // answers 503
	Failed    float64 // other answers, broken connections
	Delivered float64
	Cores     float64 // CPU seconds per second of the relay
	P50, P99  float64 // of accept
	Pending   float64 // at its end, as the next
	memory    memory
}

// look is what is known at one instant. Counts only grow.
type look struct {
	at                                    time.Time
	accepted, refused, failed, deliveries uint64
	used                                  usage
	pending                               float64
}

func (p *probe) look() (l look, err error) {
	got, err := p.rx.received()
	if err != nil {
		return l, err
	}
	sum, err := p.s.debts()
	if err != nil {
		return l, err
	}
	l = look{deliveries: got.Total, used: usageOf(p.s.pid()), pending: sum.pending}
	if p.load != nil {
		l.accepted, l.refused = p.load.accepted.Load(), p.load.refused.Count.Load()
		l.failed = p.load.failed.Load()
	}
	l.at = time.Now()
	return l, nil
}

// slices looks n times, or until until says so, and tells each slice.
func (p *probe) slices(n int, each time.Duration, until func(slice) bool) ([]slice, error) {
	first, err := p.look()
	if err != nil {
		return nil, err
	}
	before := first
	var out []slice
	for i := range n {
		if p.load != nil {
			p.load.latency.reset()
		}
		time.Sleep(time.Until(first.at.Add(time.Duration(i+1) * each)))
		now, err := p.look()
		if err != nil {
			return nil, err
		}
		s := before.to(&now)
		s.Until, s.memory = now.at.Sub(first.at).Seconds(), memoryOf(p.s.pid())
		if p.load != nil {
			s.P50 = milliseconds(p.load.latency.quantile(0.5))
			s.P99 = milliseconds(p.load.latency.quantile(0.99))
		}
		out, before = append(out, s), now
		progress("%3.0f s  accepted %.0f/s  delivered %.0f/s  pending %.0f", s.Until, s.Accepted,
			s.Delivered, s.Pending)
		if until != nil && until(s) {
			break
		}
	}
	progress("")
	return out, nil
}

func (l *look) to(now *look) slice {
	seconds := now.at.Sub(l.at).Seconds()
	per := func(a, b uint64) float64 { return float64(b-a) / seconds }
	return slice{Accepted: per(l.accepted, now.accepted), Refused: per(l.refused, now.refused),
		Failed: per(l.failed, now.failed), Delivered: per(l.deliveries, now.deliveries),
		Cores: now.used.since(l.used).cpu.Seconds() / seconds, Pending: now.pending}
}

// meanOf is the mean of one figure over slices of one length.
func meanOf(slices []slice, figure func(slice) float64) float64 {
	sum := 0.0
	for _, s := range slices {
		sum += figure(s)
	}
	return sum / float64(max(len(slices), 1))
}

func acceptedOf(s slice) float64  { return s.Accepted }
func deliveredOf(s slice) float64 { return s.Delivered }
func pendingOf(s slice) float64   { return s.Pending }

// sliceSheet shows them.
func sliceSheet(title string, slices []slice) sheet {
	t := sheet{Title: title, Columns: []string{"until s", "accepted/s", "503/s", "failed/s",
		"delivered/s", "accept p50 ms", "p99 ms", "pending", "CPU cores", "RSS MiB", "RssAnon MiB"}}
	for _, s := range slices {
		t.add(s.Until, s.Accepted, s.Refused, s.Failed, s.Delivered, s.P50, s.P99, s.Pending,
			s.Cores, s.memory.Resident, s.memory.Anon)
	}
	return t
}
