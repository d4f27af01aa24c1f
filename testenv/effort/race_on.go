//go:build race

package effort

// Race says that the tests run under the race detector; so does the binary that scenarios build.
// Under it a sync.Pool forgets on purpose, so that counts of allocations mean nothing.
const Race = true
