package memory

import "testing"

// TestFor asserts what is derived from limits, in MiB.
func TestFor(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	type want struct{ limit, heap, brink, bodies, fresh, engine, connections int64 }
	f := func(container, heap int64, w want) {
		t.Helper()
		b := For(container*mib, heap*mib)
		got := want{b.Limit / mib, b.Heap / mib, b.Brink / mib, b.Bodies / mib, b.Fresh / mib,
			b.Engine / mib, b.Connections}
		if got != w {
			t.Errorf("a container of %d, GOMEMLIMIT %d: %+v; want %+v", container, heap, got, w)
		}
		if container > 0 && (b.Heap >= container*mib || b.Brink >= container*mib) {
			t.Errorf("a container of %d: %+v leaves nothing for what is no heap", container, b)
		}
	}
	// no limit
	f(0, 0, want{0, 0, 0, 64, 32, 0, 8192})
	// a container
	f(128, 0, want{128, 96, 112, 19, 8, 48, 512})
	f(256, 0, want{256, 208, 232, 41, 17, 104, 1109})
	f(1024, 0, want{1024, 880, 952, 64, 32, 440, 4693})
	f(8192, 0, want{8192, 7152, 7672, 64, 32, 3576, 8192})
	// too little for a relay, which says so at its start
	f(24, 0, want{24, 12, 18, 4, 1, 6, 64})
	// GOMEMLIMIT alone, below the container's and above it
	f(0, 128, want{128, 128, 144, 25, 10, 64, 682})
	f(1024, 128, want{128, 128, 144, 25, 10, 64, 682})
	f(128, 120, want{128, 96, 112, 19, 8, 48, 512})
	f(128, 1024, want{128, 96, 112, 19, 8, 48, 512})
}
