package copies

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
)

// wholeAfter is how many comparisons in a row must not suspect a copy of which it is not clear how
// much it lacks, or by a count that is not exact enough, until it counts as whole.
const wholeAfter = 10

// known is what is known of the copies. The zero value knows nothing. Safe for concurrent use.
type known struct {
	mu     sync.Mutex // guards below
	copies engine.Copies
	// doubted are the nodes of which the last comparison has said, for the first time, what is
	// doubtful. clear are those of which it has said, once more, what is clear.
	doubted, clear map[string]bool
	// trusted is for how many comparisons in a row a node that was found was not suspected.
	trusted map[string]int
	// fit are the nodes that the last comparison had no doubt of.
	fit []string
}

// told is what others are to know; nil: nothing is known.
func (k *known) told() *engine.Copies {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.copies.Looked.IsZero() {
		return nil
	}
	copies := k.copies
	copies.Short = slices.Clone(copies.Short)
	return &copies
}

// forget forgets all.
func (k *known) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.copies, k.doubted, k.clear, k.trusted, k.fit = engine.Copies{}, nil, nil, nil, nil
}

// inherits takes over what another relay has known, if nothing is known yet.
func (k *known) inherits(from *engine.Copies) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if from != nil && k.copies.Looked.IsZero() {
		k.copies = *from
		k.copies.Short = slices.Clone(from.Short)
	}
}

// hears takes a comparison. What is doubtful counts once two in a row have said it. It returns what
// was found now, and whose copies lack nothing any more.
func (k *known) hears(c *Comparison, now time.Time) (found, whole []engine.ShortCopy) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var short []engine.ShortCopy
	doubted, clear := make(map[string]bool), make(map[string]bool)
	for _, s := range c.Short {
		one := engine.ShortCopy{Node: s.Node, Missing: s.Missing, Since: now,
			Leads: s.Node == c.Leader, Doubtful: !s.Clear}
		i := indexOf(k.copies.Short, s.Node)
		switch {
		case i >= 0: // if it was clear once, it is
			before := k.copies.Short[i]
			one.Since, one.Doubtful = before.Since, one.Doubtful && before.Doubtful
			clear[s.Node] = s.Clear && !before.Doubtful
		case !s.Clear && !k.doubted[s.Node]:
			doubted[s.Node] = true
			continue
		default:
			found = append(found, one)
		}
		short = append(short, one)
	}
	trusted := make(map[string]int)
	for _, before := range k.copies.Short {
		if indexOf(short, before.Node) >= 0 {
			continue
		}
		n, compared := c.node(before.Node)
		if compared && !n.Suspect {
			trusted[before.Node] = k.trusted[before.Node] + 1
		}
		if !slices.Contains(c.Members, before.Node) || trusted[before.Node] >= wholeAfter ||
			compared && !n.Suspect && !before.Doubtful && n.AtMost < before.Missing {
			whole = append(whole, before)
			continue
		}
		before.Leads = before.Node == c.Leader
		short = append(short, before)
	}
	slices.SortFunc(short, func(a, b engine.ShortCopy) int { return cmp.Compare(a.Node, b.Node) })
	k.doubted, k.clear, k.trusted, k.fit = doubted, clear, trusted, nil
	for _, n := range c.Nodes {
		if !n.Suspect && indexOf(short, n.Name) < 0 {
			k.fit = append(k.fit, n.Name)
		}
	}
	k.copies.Looked, k.copies.Short = now, short
	if c.Complete() {
		k.copies.Compared = now
	}
	return found, whole
}

// isFit reports whether a node was compared and nothing is held against its copy.
func (k *known) isFit(node string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Contains(k.fit, node)
}

// toReplace is the node whose copy is to be replaced; empty: none is.
func (k *known) toReplace() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.copies.Short) == 1 && k.clear[k.copies.Short[0].Node] && !k.copies.Short[0].Leads {
		return k.copies.Short[0].Node
	}
	return ""
}

func indexOf(list []engine.ShortCopy, node string) int {
	return slices.IndexFunc(list, func(s engine.ShortCopy) bool { return s.Node == node })
}
