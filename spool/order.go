package spool

// order is a piece of work for the committer. It plans itself into a group; the committer and the
// gate know its cost and its manner, and not what it is.
type order interface {
	// cost is what it is about to write.
	cost() cost
	manner() manner
	// plan puts it into the group. An error refuses this order alone. Where several relays share the
	// spool it may be called again.
	plan(g *group) error
}

// cost is what an order writes, by estimate.
type cost struct {
	bytes, entries int
	largest        int // value; small ones may count as nothing
}

// costOf is that of small records, and of the lanes' that an order may move beside.
func costOf(entries int) cost {
	entries += 8
	return cost{bytes: 300 * entries, entries: entries}
}

// with adds entries of so many bytes each.
func (c cost) with(entries, bytes int) cost {
	c.entries += entries
	c.bytes += entries * bytes
	return c
}

// add counts a value, and bytes that come with it.
func (c *cost) add(beside, value int) {
	c.bytes += beside + value
	c.largest = max(c.largest, value)
}

// manner is how an order stands to the gate and to other relays.
type manner uint8

const (
	// appends: it brings events.
	appends manner = 1 << iota
	// comesAgain: a caller, an operator or the keeper can ask for it again, so a closed gate refuses
	// it. Others wait.
	comesAgain
	// asks: it only wants to know that what was begun before is written; at a closed gate nothing is.
	asks
	// readsOthers: its planning reads what other relays write.
	readsOthers
)

// order hands one to the committer and waits until it is synced or refused.
func (s *Spool) order(o order) error { return s.submit(newOp(o)) }

// barrier waits for what was begun before.
type barrier struct{}

func (barrier) cost() cost          { return cost{} }
func (barrier) manner() manner      { return asks }
func (barrier) plan(g *group) error { return nil }

// clearing deletes records that nobody needs.
type clearing [][]byte

func (c clearing) cost() cost   { return costOf(0).with(len(c), 40) }
func (clearing) manner() manner { return comesAgain }

func (c clearing) plan(g *group) error {
	for _, key := range c {
		g.delete(key)
	}
	return nil
}
