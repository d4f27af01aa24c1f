package main

import (
	"runtime/debug"
	"slices"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/config"
)

// What a relay needs, measured with 64 senders that never pause, one target well and one dead, with
// something to spare: in a container of 64 MiB it was killed.
const (
	memoryNeeded = 128 << 20
	// heapNeeded is of GOMEMLIMIT, which does not count the spool's mapped files. With less there
	// were thirty times as many collections, and half of the events.
	heapNeeded = 64 << 20
	// addressesNeeded is for what is mapped: 2.3 GiB with a small spool, and the tables of a larger
	// one.
	addressesNeeded = 4 << 30
)

// limits are what the process may have, in bytes; 0: as much as there is.
type limits struct {
	cgroup, machine uint64
	heap            uint64 // GOMEMLIMIT, when somebody set it
	addresses       uint64 // ulimit -v
}

// readLimits asks the system. Call it before limitMemory, which sets the heap's limit itself.
func (c *cli) readLimits() limits {
	l := limits{addresses: addressLimit()}
	// What cannot be found out is no limit: nothing can be said about it.
	if n, err := memlimit.FromCgroup(); err == nil {
		l.cgroup = n
	}
	if n, err := memlimit.FromSystem(); err == nil {
		l.machine = n
	}
	if c.getenv("GOMEMLIMIT") != "" {
		l.heap = uint64(max(debug.SetMemoryLimit(-1), 0))
	}
	return l
}

// warnings says what is below what a relay needs, with the number.
func (l limits) warnings() []string {
	var w []string
	add := func(has, needs uint64, what, otherwise string) {
		if has > 0 && has < needs {
			w = append(w, what+" "+bytesText(int64(has))+": a relay needs "+
				bytesText(int64(needs))+", or "+otherwise)
		}
	}
	const killed = "the kernel kills it under load (nothing accepted is lost by that)"
	add(l.cgroup, memoryNeeded, "the memory limit of this container or unit is", killed)
	if l.cgroup == 0 || l.cgroup >= memoryNeeded {
		add(l.machine, memoryNeeded, "the memory of this machine is", killed)
	}
	add(l.heap, heapNeeded, "GOMEMLIMIT is", "it does little but collect garbage, and refuses events")
	add(l.addresses, addressesNeeded, "the address space (ulimit -v) is limited to",
		"it cannot map its spool into memory")
	return w
}

// surroundings are what is legal around a relay, but worth saying once at start and by check.
func (c *cli) surroundings(cfg *config.Config) []string {
	w := c.readLimits().warnings()
	for _, text := range []string{accept.DescriptorWarning(cfg), proxyWarning(c.getenv, cfg)} {
		if text != "" {
			w = append(w, text)
		}
	}
	return w
}

// proxyWarning names the variables of a proxy that somebody may believe to be used; empty: there is
// none. Their values may hold a password.
func proxyWarning(getenv func(string) string, cfg *config.Config) string {
	everything := func(name string) bool { return strings.TrimSpace(getenv(name)) == "*" }
	if len(cfg.Targets) == 0 || everything("NO_PROXY") || everything("no_proxy") {
		return ""
	}
	if slices.ContainsFunc(cfg.Targets, func(t config.Target) bool {
		return t.Proxy != (config.Proxy{})
	}) {
		return "" // whoever wrote that knows of the others
	}
	names := slices.DeleteFunc([]string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy",
		"ALL_PROXY", "all_proxy"}, func(name string) bool { return getenv(name) == "" })
	if len(names) == 0 {
		return ""
	}
	verb := " is set, "
	if len(names) > 1 {
		verb = " are set, "
	}
	return strings.Join(names, " and ") + verb + "and no proxy is used: deliveries, alerts and mail " +
		"go direct; proxy = \"env\" in a target uses it"
}
