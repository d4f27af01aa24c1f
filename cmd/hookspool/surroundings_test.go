package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/relay/config"
)

// TestLimits asserts what is said of limits that are too low, each with the number that is needed.
func TestLimits(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	f := func(l limits, want ...string) {
		t.Helper()
		got := l.warnings()
		if len(got) != len(want) {
			t.Fatalf("%+v: %q, want %q", l, got, want)
		}
		for i := range want {
			for _, part := range strings.Split(want[i], "|") {
				if !strings.Contains(got[i], part) {
					t.Errorf("%+v: %q does not say %q", l, got[i], part)
				}
			}
		}
	}
	// none at all, and all that is needed
	f(limits{})
	f(limits{cgroup: 128 * mib, machine: 1024 * mib, heap: 64 * mib, addresses: 4096 * mib})
	// each alone
	f(limits{cgroup: 64 * mib}, "container or unit is 64MiB|needs 128MiB")
	f(limits{machine: 96 * mib}, "machine is 96MiB|needs 128MiB")
	f(limits{heap: 32 * mib}, "GOMEMLIMIT is 32MiB|needs 64MiB")
	f(limits{addresses: 1024 * mib}, "ulimit -v|1GiB|needs 4GiB")
	// a container on a small machine is told once; one that is large enough hides no small machine
	f(limits{cgroup: 64 * mib, machine: 96 * mib}, "container")
	f(limits{cgroup: 512 * mib, machine: 96 * mib}, "machine")
}

// TestProxyWarning asserts which variables are named, and that their values are not.
func TestProxyWarning(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{Targets: []config.Target{{Name: "crm"}}}
	const value = "http://user:secret@proxy.example:3128"
	f := func(cfg *config.Config, want string, set ...string) {
		t.Helper()
		got := proxyWarning(func(name string) string {
			if slices.Contains(set, name+"=*") {
				return "*"
			}
			if slices.Contains(set, name) {
				return value
			}
			return ""
		}, cfg)
		if (got == "") != (want == "") || !strings.HasPrefix(got, want) ||
			strings.Contains(got, "proxy.example") {
			t.Errorf("%q: %q, want %q", set, got, want)
		}
	}
	f(cfg, "")
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy",
		"ALL_PROXY", "all_proxy"} {
		f(cfg, name+" is set, and no proxy is used", name)
	}
	f(cfg, "HTTPS_PROXY and http_proxy are set, ", "HTTPS_PROXY", "http_proxy")
	// some hosts are excepted; all are; there is nobody to deliver to
	f(cfg, "HTTPS_PROXY is set", "HTTPS_PROXY", "NO_PROXY")
	f(cfg, "", "HTTPS_PROXY", "NO_PROXY=*")
	f(cfg, "", "HTTPS_PROXY", "no_proxy=*")
	f(&config.Config{}, "", "HTTPS_PROXY")
	f(&config.Config{Targets: []config.Target{{}, {Proxy: config.Proxy{Env: true}}}}, "", "HTTPS_PROXY")
}
