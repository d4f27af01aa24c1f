package attempt

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestInterleave(t *testing.T) {
	f := func(found string, want string) {
		t.Helper()
		var addrs []netip.Addr
		for _, a := range strings.Fields(found) {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		var got []string
		for _, ap := range interleave(addrs, 80) {
			got = append(got, ap.Addr().String())
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("interleave(%s) = %v, want %s", found, got, want)
		}
	}
	f("1.1.1.1", "1.1.1.1")
	f("::1 ::2 1.1.1.1 1.1.1.2 1.1.1.3", "::1 1.1.1.1 ::2 1.1.1.2 1.1.1.3")
	f("1.1.1.1 ::1 ::2", "1.1.1.1 ::1 ::2")
	f("::ffff:1.1.1.1 1.1.1.2 ::1", "1.1.1.1 ::1 1.1.1.2")
	f("::1 ::2 ::3 ::4 ::5 ::6 ::7 ::8 ::9", "::1 ::2 ::3 ::4 ::5 ::6 ::7 ::8")
}

// A name with a dead address before the live one: the live one wins, at once.
func TestRace(t *testing.T) {
	r := newReceiver(t, says(answer200, false))
	f := func(addrs ...string) {
		t.Helper()
		o := options(t, "http://crm:"+portOf(r)+"/")
		o.Resolver = resolvesTo(addrs...)
		got := attemptAt(t, o)
		wantKind(t, got, Success, "")
		if got.Remote != r.listener.Addr().String() {
			t.Errorf("remote %q", got.Remote)
		}
	}
	// refused, then alive; refused by the rules, then alive; alive first; alive twice
	f("127.0.0.2", "127.0.0.1")
	f("::1", "127.0.0.1")
	f("169.254.169.254", "127.0.0.1")
	f("127.0.0.1", "127.0.0.2", "::1")
	f("127.0.0.1", "127.0.0.1")
}

// halfResolver answers what is asked of one family only, and nothing else ever.
type halfResolver struct {
	network string
	addr    netip.Addr
}

func (h halfResolver) LookupNetIP(ctx context.Context, network, _ string) ([]netip.Addr, error) {
	if network == h.network {
		return []netip.Addr{h.addr}, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// A resolver that drops the questions of one family costs some seconds and not the attempt.
func TestResolverDropsAFamily(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, says(answer200, false))
	o := options(t, "http://crm:"+portOf(r)+"/")
	o.Resolver = halfResolver{"ip4", netip.MustParseAddr("127.0.0.1")}
	wantKind(t, attemptAt(t, o), Success, "")
}
