package relay

import "testing"

func TestFetchSize(t *testing.T) {
	t.Parallel()
	f := func(targets, want int) {
		t.Helper()
		if got := fetchSize(targets); got != want {
			t.Errorf("%d targets: %d; want %d", targets, got, want)
		}
	}
	f(0, fetchMax)
	f(1, fetchMax)
	f(40, 102)
	f(1000, fetchMin)
}
