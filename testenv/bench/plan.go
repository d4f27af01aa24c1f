package main

import "fmt"

// The servers that are compared.
const (
	bare  = "F1"
	floor = "F2"
	relay = "H"
)

// cell is one thing to measure.
type cell struct {
	server  string
	conns   int // closed loop: each sends its next event when it has its answer
	rate    int // open loop: events per second in all; 0: closed
	size    int // bytes of a payload
	targets int // healthy ones; 0 with paused unset: nobody wants the events
	paused  bool
	sick    string // what a further target does: hang, refuse, half
	life    bool   // afterwards wait until everything is delivered and swept
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
	name := fmt.Sprintf("%s %s %s", c.server, load, size)
	if c.server != relay {
		return name
	}
	switch {
	case c.paused:
		name += " paused"
	default:
		name += fmt.Sprintf(" t%d", c.targets)
	}
	if c.sick != "" {
		name += "+" + c.sick
	}
	if c.life {
		name += " life"
	}
	return name
}

// load is the part of a cell that its references share.
func (c cell) load() string { return fmt.Sprint(c.conns, c.rate, c.size) }

func plan(quick bool) []cell {
	if quick {
		return append(family(64, 0, 1024), cell{server: relay, conns: 64, size: 1024, targets: 3})
	}
	var cells []cell
	for _, conns := range []int{1, 16, 64, 256} {
		cells = append(cells, family(conns, 0, 1024)...)
	}
	for _, size := range []int{256, 16 << 10} {
		cells = append(cells, family(64, 0, size)...)
	}
	for _, targets := range []int{0, 3, 10} {
		cells = append(cells, cell{server: relay, conns: 64, size: 1024, targets: targets})
	}
	for _, rate := range []int{500, 1000, 2000} {
		cells = append(cells, cell{server: floor, conns: 64, rate: rate, size: 1024},
			cell{server: relay, conns: 64, rate: rate, size: 1024, targets: 1})
	}
	for _, sick := range []string{"hang", "refuse", "half"} {
		cells = append(cells, cell{server: relay, conns: 64, rate: 1000, size: 1024, targets: 1,
			sick: sick})
	}
	return append(cells, cell{server: relay, conns: 64, size: 1024, targets: 3, life: true})
}

// family is one load on every server.
func family(conns, rate, size int) []cell {
	return []cell{
		{server: bare, conns: conns, rate: rate, size: size},
		{server: floor, conns: conns, rate: rate, size: size},
		{server: relay, conns: conns, rate: rate, size: size, paused: true},
		{server: relay, conns: conns, rate: rate, size: size, targets: 1},
	}
}
