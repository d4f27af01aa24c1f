package main

import "testing"

// A purge reaches targets with any name, also those that no config could have.
func TestPurgePath(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		if got := purgePath(name); got != "/v1/targets/"+want+"/purge" {
			t.Errorf("%q: got %s", name, got)
		}
	}
	f("crm", "crm")
	f("a/b", "a%2Fb")
	f("..", "%2E%2E")
	f("<img>", "%3Cimg%3E")
	f("a?b#c", "a%3Fb%23c")
	f("a\u202eb", "a%E2%80%AEb")
}
