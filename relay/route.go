package relay

import (
	"slices"
	"strings"
	"sync"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// router says which targets want an event. It is built from a config and never changes; a reload
// swaps it whole.
type router struct {
	lanes []*lane
	exact map[string][]int
	wild  []wildRoute
	// known remembers what match found, because an app has few types and may have many targets: an
	// event nobody wants costs the same with 1 target and with 1,000. Types that come after knownMax
	// are matched each time.
	knownMu sync.RWMutex // guards known
	known   map[string][]int
}

// knownMax bounds the types that are remembered; a stranger may send a new one each time.
const knownMax = 4096

type wildRoute struct {
	pattern config.Pattern
	lane    int
}

func newRouter(lanes []*lane) *router {
	r := &router{lanes: lanes, exact: make(map[string][]int),
		known: make(map[string][]int)}
	for i, l := range lanes {
		for _, p := range l.target().Events {
			if strings.Contains(string(p), "*") {
				r.wild = append(r.wild, wildRoute{pattern: p, lane: i})
			} else {
				r.exact[string(p)] = append(r.exact[string(p)], i)
			}
		}
	}
	return r
}

// match returns the indexes of the targets whose events include the type, ascending. They are not
// to be changed.
func (r *router) match(typ string) []int {
	r.knownMu.RLock()
	found, ok := r.known[typ]
	r.knownMu.RUnlock()
	if ok {
		return found
	}
	found = r.find(typ)
	r.knownMu.Lock()
	defer r.knownMu.Unlock()
	if len(r.known) < knownMax {
		r.known[typ] = found
	}
	return found
}

// find matches every pattern.
func (r *router) find(typ string) []int {
	dst := slices.Clone(r.exact[typ])
	for _, w := range r.wild {
		if w.pattern.Match(typ) {
			dst = append(dst, w.lane)
		}
	}
	if len(dst) > 1 {
		slices.Sort(dst)
		dst = slices.Compact(dst)
	}
	return dst
}

// wants reports whether a target's session filter lets an event pass; one without a conversation
// passes every filter.
func wants(filter string, s spool.Session) bool {
	switch filter {
	case "active":
		return s != spool.SessionInactive
	case "inactive":
		return s != spool.SessionActive
	}
	return true
}
