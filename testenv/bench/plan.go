package main

import "fmt"

// The servers that are compared.
const (
	bare  = "F1"
	floor = "F2"
	least = "F3"
	relay = "H"
)

// cell is one thing to measure.
type cell struct {
	server  string
	conns   int  // closed loop: each sends its next event when it has its answer
	rate    int  // open loop: events per second in all; 0: closed
	size    int  // bytes of a payload
	batch   int  // events of a request, as NDJSON; 0: a request is one event
	targets int  // healthy ones that want the events; 0 with paused unset: nobody wants them
	others  int  // healthy ones that want other types
	pattern bool // of the others: they name their types by a pattern
	paused  bool
	secure  bool   // targets are reached over TLS
	http    string // the version that targets are spoken to in, at a server of Go's
	gather  int    // targets get so many events in a request; 0: each alone
	sick    string // what a further target does: hang, refuse, half
	sweep   bool   // delivered events are kept for a second only, not for a day
	life    bool   // the same; afterwards wait until everything is delivered and swept
}

func (c cell) name() string {
	load := fmt.Sprintf("c%d", c.conns)
	if c.rate > 0 {
		load = fmt.Sprintf("%d/s", c.rate)
	}
	size := fmt.Sprintf("%dB", c.size)
	if c.size >= 1024 {
		size = fmt.Sprintf("%dKiB", c.size/1024)
	}
	if c.batch > 0 {
		size += fmt.Sprintf(" ×%d", c.batch)
	}
	name := fmt.Sprintf("%s %s %s", c.server, load, size)
	if c.secure {
		name += " tls"
	}
	if c.http != "" {
		name += " http " + c.http
	}
	if c.server != relay {
		return name
	}
	switch {
	case c.paused:
		name += " paused"
	default:
		name += fmt.Sprintf(" t%d", c.targets)
	}
	if c.gather > 0 {
		name += fmt.Sprintf(" by %d", c.gather)
	}
	if c.others > 0 {
		name += fmt.Sprintf(" of %d", c.targets+c.others)
		if c.pattern {
			name += " by pattern"
		}
	}
	if c.sick != "" {
		name += "+" + c.sick
	}
	if c.sweep {
		name += " sweep"
	}
	if c.life {
		name += " life"
	}
	return name
}

// load is the part of a cell that its references share.
func (c cell) load() string { return fmt.Sprint(c.conns, c.rate, c.size, c.batch, c.secure) }

// perRequest is how many events a request brings.
func (c cell) perRequest() int { return max(c.batch, 1) }

// usual is the relay with one healthy target under the load that most goals are about.
func usual() cell { return cell{server: relay, conns: 64, size: 1024, targets: 1} }

// calm is the same at a rate that leaves the machine idle most of the time.
func calm() cell {
	c := usual()
	c.rate = 1000
	return c
}

// on is the same load on another server.
func (c cell) on(server string) cell {
	return cell{server: server, conns: c.conns, rate: c.rate, size: c.size, batch: c.batch,
		secure: c.secure}
}

// overTLS is the same load with targets that are reached over TLS.
func (c cell) overTLS() cell {
	c.secure = true
	return c
}

// overHTTP is overTLS in a version of HTTP.
func (c cell) overHTTP(version string) cell {
	c.secure, c.http = true, version
	return c
}

// pausedTarget is the same load with one target that is paused: events are spooled and not sent.
func (c cell) pausedTarget() cell {
	c.targets, c.paused = 0, true
	return c
}

// plan lists the cells, each near its references, because a machine has moods.
func plan(quick bool) []cell {
	if quick {
		lone := usual()
		lone.conns = 1
		cells := append(family(64, 1024), usual().overTLS(), withTargets(3), withTargets(10),
			manyCallers(), batched(), gathered(), lone.on(floor), lone.pausedTarget())
		cells = append(cells, calm().on(floor), calm())
		return append(append(cells, sickCells()...), lifeCell())
	}
	var cells []cell
	for _, conns := range []int{1, 16, 64, 256} {
		cells = append(cells, family(conns, 1024)...)
	}
	cells = append(cells, withTargets(0), withTargets(3), withTargets(10))
	cells = append(cells, batched().on(floor), batched().pausedTarget(), batched(), gathered())
	cells = append(cells, usual().overTLS(), usual().overTLS().on(least))
	for _, version := range []string{"1.1", "2", "auto"} {
		cells = append(cells, usual().overHTTP(version))
	}
	for _, size := range []int{256, 16 << 10, 256 << 10} {
		cells = append(cells, family(64, size)...)
	}
	for _, rate := range []int{500, 2000, 1000} {
		c := usual()
		c.rate = rate
		cells = append(cells, c.on(bare), c.on(floor), c)
	}
	return append(append(cells, sickCells()...), lifeCell())
}

// family is one closed-loop load on every server; on the least relay with the usual size only.
func family(conns, size int) []cell {
	c := cell{server: relay, conns: conns, size: size, targets: 1}
	cells := []cell{c.on(bare), c.on(floor), c.pausedTarget(), c}
	if size == usual().size {
		cells = append(cells, c.on(least))
	}
	return cells
}

// manyCallers is the usual target under more callers than the relay works for at once.
func manyCallers() cell {
	c := usual()
	c.conns = 256
	return c
}

// large is the usual target under events of so many bytes.
func large(size int) cell {
	c := usual()
	c.size = size
	return c
}

// batched is the usual target under few callers that send much at once.
func batched() cell {
	c := usual()
	c.conns, c.batch = 8, 100
	return c
}

// gathered is the same to a target that gets as many in one request.
func gathered() cell {
	c := batched()
	c.gather = 100
	return c
}

func withTargets(n int) cell {
	c := usual()
	c.targets = n
	return c
}

// sickCells are the calm load beside a target that misbehaves. Their reference is calm.
func sickCells() []cell {
	var cells []cell
	for _, sick := range sicknesses() {
		c := calm()
		c.sick = sick
		cells = append(cells, c)
	}
	return cells
}

func sicknesses() []string { return []string{"hang", "refuse", "half"} }

func lifeCell() cell {
	c := withTargets(3)
	c.life = true
	return c
}
