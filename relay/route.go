package relay

import (
	"slices"
	"strings"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// router says which targets want an event. It is built from a config and never changes; a reload
// swaps it whole.
type router struct {
	lanes []*lane
	// exact finds the targets of a plain type at once, so that an event nobody wants costs the same
	// with any number of targets that name their types.
	exact map[string][]int
	wild  []wildRoute
}

type wildRoute struct {
	pattern config.Pattern
	lane    int
}

func newRouter(lanes []*lane) *router {
	r := &router{lanes: lanes, exact: make(map[string][]int)}
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

// match appends the indexes of the targets whose events include the type, ascending.
func (r *router) match(dst []int, typ string) []int {
	dst = append(dst, r.exact[typ]...)
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
