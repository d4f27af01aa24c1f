package testenv

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// aim is a piece of the spool's own work into which a fault is to fall.
type aim struct {
	name string
	// load makes the spool do it, soon and often.
	load func(h *hunt, prefix string) []*Load
	// seen reports that it has begun, inside that it is still under way. That is asked when the relay
	// stands still, or, if asks, an instant before, because the relay itself has to tell. Without
	// them it is a start; see hunt.hit.
	seen, inside func(h *hunt) bool
	asks         bool
	// within is the longest time from seen to the fault.
	within time.Duration
	// short are the runs that have it although they are short.
	short string
}

// aimWithin is about as long as most of the spool's work takes.
const aimWithin = 30 * time.Millisecond

// aims are in groups that one spool lives through together.
var aims = [][]aim{
	{
		{"collect", (*hunt).loadLarge, (*hunt).collects, (*hunt).collects, false, aimWithin, "ext4"},
		{"rotate", (*hunt).loadLarge, (*hunt).beginsValueLog, (*hunt).atHeadOfValueLog, false,
			aimWithin, "xfs"},
		{"sweep", (*hunt).loadMarked, (*hunt).sweeps, (*hunt).sweepsStill, true, aimWithin / 10, "xfs"},
		{"start", (*hunt).loadLarge, nil, nil, false, 0, "ext4"},
	},
	{{"mend", (*hunt).loadLarge, nil, nil, false, 0, "ext4 kills"}},
	{
		{"rotate log", (*hunt).loadLoose, (*hunt).writesLogOut, (*hunt).writesLogOut, false, aimWithin,
			"xfs kills"},
		{"pack", (*hunt).loadLoose, (*hunt).packs, (*hunt).packsStill, false, aimWithin / 3, ""},
	},
}

// loadLarge fills one file of the value log after the other. Of every large event nothing is needed
// after a second, but some small ones that lie among them are.
func (h *hunt) loadLarge(prefix string) []*Load {
	pad := Payload(h.rng, "large", 400<<10)
	large := startLoad(h.rng, 4, func(rng *rand.Rand, client, i int) Answer {
		rest := pad[rng.IntN(len(pad)/2):]
		return h.Post(Post{ID: fmt.Sprintf("%s-large-%d-%d", prefix, client, i), ContentType: "text/plain",
			Body: fmt.Appendf(nil, "%x %s", rng.Uint64(), rest)})
	})
	batches := startLoad(h.rng, 1, func(rng *rand.Rand, _, _ int) Answer {
		<-time.After(2 * loadRetry) // they cost the ledger more than the relay
		return h.postBatch(randomLines(rng))
	})
	return []*Load{large, batches, h.loadKept(prefix)}
}

// loadKept posts events that are needed to the end, some of which lie in the value log.
func (h *hunt) loadKept(prefix string) *Load {
	return startLoad(h.rng, 1, func(rng *rand.Rand, _, i int) Answer {
		size := 500 + rng.IntN(2000)
		if i%8 == 0 {
			size = 4000 + rng.IntN(8000)
		}
		<-time.After(time.Duration(rng.Int64N(int64(2 * loadRetry))))
		return h.Post(Post{ID: fmt.Sprintf("%s-kept-%d", prefix, i), Body: Payload(rng, "kept", size)})
	})
}

// mark is an event of which it is known when it was accepted.
type mark struct {
	id string
	at time.Time
}

// marks are in the order in which they were accepted.
type marks struct {
	mu   sync.Mutex // guards list
	list []mark
}

// loadMarked posts many small events, and marks between them.
func (h *hunt) loadMarked(prefix string) []*Load {
	h.marks.list = nil // nobody else posts now
	marked := startLoad(h.rng, 1, func(rng *rand.Rand, _, i int) Answer {
		id := fmt.Sprintf("%s-mark-%d", prefix, i)
		a := h.Post(Post{ID: id, Body: Payload(rng, "mark", 100)})
		if a.Status == 200 {
			h.marks.mu.Lock()
			h.marks.list = append(h.marks.list, mark{id, time.Now()})
			h.marks.mu.Unlock()
		}
		<-time.After(loadRetry)
		return a
	})
	return []*Load{marked, h.StartBatches(h.rng, 3), h.loadKept(prefix)}
}

// loadLoose posts one event after the other, each too small for the value log.
func (h *hunt) loadLoose(prefix string) []*Load {
	return []*Load{startLoad(h.rng, 1, func(rng *rand.Rand, _, i int) Answer {
		return h.Post(Post{ID: fmt.Sprintf("%s-loose-%d", prefix, i),
			Body: Payload(rng, "loose", 3200+rng.IntN(400))})
	})}
}

// collects reads on in the log; files of the value log are collected after the first of these lines,
// until the other one.
func (h *hunt) collects() bool {
	h.t.Helper()
	f, err := os.Open(h.LogPath())
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, h.logRead, 1<<30))
	if err != nil {
		h.t.Fatal(err)
	}
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	h.logRead += int64(len(b))
	for line := range bytes.Lines(b) {
		switch {
		case bytes.Contains(line, []byte("Rewriting fid")):
			h.collecting = true
		case bytes.Contains(line, []byte("space of swept events was given back")):
			h.collecting = false
		}
	}
	return h.collecting
}

// files are the engine's with a suffix, the oldest first.
func (h *hunt) files(suffix string) []string {
	h.t.Helper()
	paths, err := filepath.Glob(filepath.Join(h.SpoolPath(), "db", "*"+suffix))
	if err != nil {
		h.t.Fatal(err)
	}
	return paths
}

// newest is the last of them; "" if there is none.
func (h *hunt) newest(suffix string) string {
	if paths := h.files(suffix); len(paths) > 0 {
		return paths[len(paths)-1]
	}
	return ""
}

// beginsValueLog reports that there is another file of the value log than when the load began.
func (h *hunt) beginsValueLog() bool { return h.newest(".vlog") > h.valueLog }

// headBytes of a value log are about what is written in the time of aimWithin.
const headBytes = 4 << 20

// atHeadOfValueLog reports that little was written into the newest file of the value log.
func (h *hunt) atHeadOfValueLog() bool {
	return h.beginsValueLog() && h.writtenTo(h.newest(".vlog"), 0) < headBytes
}

// writtenTo is up to where a file of the engine was written, at least from. Its blocks are zeros
// after that.
func (h *hunt) writtenTo(path string, from int64) int64 {
	f, err := os.Open(path)
	if err != nil {
		return from // it has just gone
	}
	defer f.Close()
	chunk := make([]byte, 256<<10)
	for {
		n, err := f.ReadAt(chunk, from)
		written := used(chunk[:n])
		from += int64(written)
		if err != nil || written < len(chunk)/2 {
			return from
		}
	}
}

// writesLogOut reports that a log of the engine is full, and is being made a table.
func (h *hunt) writesLogOut() bool { return len(h.files(".mem")) > 1 }

// packs reports that something is written into the value log, which nothing but packing is here.
func (h *hunt) packs() bool {
	h.packed = h.writtenTo(h.newest(".vlog"), 0)
	return h.packed > logHeadBytes
}

// logHeadBytes is the head of a file of the value log.
const logHeadBytes = 20

// packsStill reports that more was written since.
func (h *hunt) packsStill() bool { return h.writtenTo(h.newest(".vlog"), 0) > h.packed }

// sweeps reports that the first mark is gone.
func (h *hunt) sweeps() bool {
	h.marks.mu.Lock()
	defer h.marks.mu.Unlock()
	if len(h.marks.list) == 0 || time.Since(h.marks.list[0].at) < time.Second {
		return false
	}
	for i, m := range h.marks.list {
		if h.isThere(m) {
			h.marks.list = h.marks.list[i:]
			h.sweepAt = time.Now()
			return i > 0
		}
	}
	return false
}

// sweepsStill reports that a mark is there yet that this sweep will take.
func (h *hunt) sweepsStill() bool {
	h.marks.mu.Lock()
	defer h.marks.mu.Unlock()
	var last *mark
	for i := range h.marks.list {
		if m := &h.marks.list[i]; h.sweepAt.Sub(m.at) > time.Second+aimWithin {
			last = m
		}
	}
	return last != nil && h.isThere(*last)
}

func (h *hunt) isThere(m mark) bool {
	code, body, err := h.client.call("GET", "/v1/events/"+m.id)
	if err == nil && code != 200 && code != 404 {
		h.t.Errorf("event %q is asked for: %d %s", m.id, code, body)
	}
	return err == nil && code == 200
}

// repairs reports that a start has begun to repair, and is not done with it.
func (h *hunt) repairs() bool {
	_, err := os.Stat(filepath.Join(h.SpoolPath(), "recount"))
	return err == nil
}

// flip damages a byte of what the engine was writing, where nobody can take it for what a crash has
// torn.
func (h *hunt) flip() string {
	h.t.Helper()
	path := h.newest(".mem")
	switch n := h.writtenTo(path, 0); {
	case h.rng.IntN(8) == 0:
		path = filepath.Join(h.SpoolPath(), "db", "MANIFEST")
	case h.rng.IntN(2) == 0 || path == "" || n < 4<<10:
		path = h.newest(".vlog")
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	n := h.writtenTo(path, 0)
	at, b := n/20+h.rng.Int64N(n/3*2+1), make([]byte, 1)
	if _, err = f.ReadAt(b, at); err == nil {
		b[0] ^= 1 << h.rng.IntN(8)
		if _, err = f.WriteAt(b, at); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprintf("byte %d of %d of %s", at, n, strings.TrimPrefix(path, h.SpoolPath()))
}
