package testenv

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

var groundRounds = flag.Int("ground", 1,
	"how many power cuts of one node, of all and of two TestFaultGround makes on each file system")

const (
	groundNodes      = 3
	groundPublishers = 8
	groundDiskBytes  = 2 << 30
	// groundLife is how many rounds of each kind one cluster lives through; then the next begins.
	groundLife = 5
	// groundPatience is for a cluster of which all nodes come back at once: election and catching up.
	groundPatience = 90 * time.Second
)

// TestFaultGround asserts of the server below the shared engine what the engine relies on: a batch
// that was answered is there, once, whole and in its place, on every node, after the power went
// away below one node, below all at once and below a majority. Eight publishers go on all the
// while, and compete for expected sequences.
//
// The processes stand still an instant before their disks, for the reason that TestFaultPowerCuts
// gives. The long run, with a line for each round in the log:
//
//	HOOKSPOOL_LONG=1 go test ./testenv -run TestFaultGround -v -ground 20 -timeout 2h
func TestFaultGround(t *testing.T) {
	effort.OnlyLong(t, "it cuts the power of a cluster")
	t.Parallel()
	rng := Seed(t)
	for _, kind := range []string{"ext4", "xfs"} {
		rng := rand.New(rand.NewPCG(rng.Uint64(), 0))
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for done := 0; done < *groundRounds; done += groundLife {
				n, seed := min(groundLife, *groundRounds-done), rng.Uint64()
				t.Run(fmt.Sprint(done), func(t *testing.T) { groundJourney(t, kind, n, seed) })
			}
		})
	}
}

func groundJourney(t *testing.T, kind string, n int, seed uint64) {
	g := newGround(t, kind, nats.SyncAlways, seed)
	for i := range n {
		for _, nodes := range groundCuts() {
			f := g.round(nodes)
			g.report(f)
			if err := f.err(); err != nil {
				t.Fatalf("round %d, after a cut of %s: %v", i, g.cutWhat, err)
			}
		}
	}
	for text, n := range g.ledger.errors {
		t.Logf("%d batches were not answered: %s", n, text)
	}
}

// groundCuts are how many nodes lose their power in each round. Two at once are left to long runs.
func groundCuts() []int {
	if *groundRounds == 1 {
		return []int{1, groundNodes}
	}
	return []int{1, groundNodes, 2}
}

// TestFaultGroundLazy asserts that power cuts like those of TestFaultGround can lose something, and
// that the ledger finds it: a server that syncs when it likes, as it does by default, loses what it
// answered when all nodes lose their power. The stream itself is on the disks before.
func TestFaultGroundLazy(t *testing.T) {
	if !effort.Long() {
		t.Skip("HOOKSPOOL_LONG is not set")
	}
	t.Parallel()
	rng := Seed(t)
	lossy, ran := 0, 0
	for i := range *groundRounds {
		seed := rng.Uint64()
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			g := newGround(t, "ext4", nats.SyncDefault, seed)
			ran++ // it is not skipped
			// A stream that lost what its snapshot is about gets no leader any more.
			g.patience = Patience
			for _, d := range g.disks {
				d.sync()
			}
			f := g.round(groundNodes)
			g.report(f)
			t.Logf("of %d answered batches: %v", g.ledger.counts.acked.Load(), f)
			if f.lost > 0 {
				lossy++
			}
		})
	}
	t.Logf("%d of %d rounds lost something", lossy, ran)
	if lossy == 0 && ran > 0 {
		t.Errorf("nothing was lost in %d rounds", ran)
	}
}

// ground is a cluster of which each node has a file system of its own.
type ground struct {
	t       *testing.T
	rng     *rand.Rand
	name    string // for the log
	disks   []*disk
	cluster *nats.Cluster
	ledger  *groundLedger
	load    *groundLoad
	// patience is how long the cluster gets to come back.
	patience time.Duration

	// Of the last round: what was cut, how long nobody was answered, and how long the way back took.
	cutWhat     string
	away, ready time.Duration
}

func newGround(t *testing.T, kind, sync string, seed uint64) *ground {
	t.Helper()
	g := &ground{t: t, rng: rand.New(rand.NewPCG(seed, 3)), name: kind + ", " + sync,
		ledger: newGroundLedger(groundPublishers), patience: groundPatience}
	o := nats.Options{Nodes: groundNodes, Sync: sync, Dir: keptDir(t)}
	for range groundNodes {
		d := newDisk(t, kind, groundDiskBytes)
		g.disks = append(g.disks, d)
		o.Dirs = append(o.Dirs, filepath.Join(d.dir, "store"))
	}
	g.cluster = nats.Start(t, o)
	g.withStream(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: groundStream,
			Subjects: []string{"g.>"}, Replicas: groundNodes, Storage: jetstream.FileStorage,
			Discard: jetstream.DiscardNew, AllowDirect: true, AllowRollup: true,
			AllowAtomicPublish: true})
		return err
	})
	return g
}

// withStream asks the cluster until it answers.
func (g *ground) withStream(f func(context.Context, jetstream.JetStream) error) {
	g.t.Helper()
	conn := g.cluster.Connect()
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		g.t.Fatal(err)
	}
	if !Eventually(Patience, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), groundWait)
		defer cancel()
		err = f(ctx, js)
		return err == nil
	}) {
		g.t.Fatal(err)
	}
}

// round takes the power from so many nodes under load, gives it back, and returns what the worst
// copy of the stream lacks.
func (g *ground) round(n int) *groundFindings {
	g.t.Helper()
	g.startLoad()
	g.moreAnswers(50 + g.rng.IntN(300))
	victims := g.rng.Perm(groundNodes)[:n]
	g.cutWhat = fmt.Sprint(n, " nodes")
	if n == 1 {
		g.cutWhat = "a follower"
		if victims[0] == g.cluster.Leader(groundStream) {
			g.cutWhat = "the leader"
		}
	}
	g.cut(victims)
	began := time.Now()
	quorum := n <= groundNodes/2
	if quorum {
		g.moreAnswers(20)
		g.away = time.Since(began)
		g.moreAnswers(50)
	} else {
		g.load.end() // nobody answers it
	}
	answered := g.ledger.last.Load()
	began = time.Now()
	for _, i := range victims {
		g.disks[i].unmount()
		g.disks[i].mount()
		g.cluster.Node(i).Start()
	}
	err := g.cluster.Ready(g.patience)
	g.ready = time.Since(began)
	if !quorum || err != nil {
		g.load.end()
		f := g.look(answered) // before anything new could hide a sequence that went back
		if err != nil {
			f.wrong("%v", err)
		}
		if f.err() != nil {
			return f
		}
		g.startLoad()
	}
	g.moreAnswers(50)
	g.load.end()
	// A node that says that it is not current is not judged.
	err = g.cluster.Ready(g.patience)
	f := g.look(answered)
	if err != nil {
		f.wrong("%v", err)
	}
	return f
}

// report writes what one round did.
func (g *ground) report(f *groundFindings) {
	c := &g.ledger.counts
	g.t.Logf("%s, cut of %s: by now %d batches answered, %d refused, %d unknown (%d are there),"+
		" %d MiB; 20 answers %s after the cut, ready %s after the power, lost %d, wrong %d",
		g.name, g.cutWhat, c.acked.Load(), c.refused.Load(), c.unknown.Load(), g.ledger.stored,
		g.ledger.bytes.Load()>>20, g.away.Round(time.Millisecond),
		g.ready.Round(time.Millisecond), f.lost, f.other)
	g.away = 0
}

func (g *ground) startLoad() {
	g.load = g.ledger.startLoad(g.cluster.Connect, g.rng)
	g.t.Cleanup(g.load.end)
}

func (g *ground) moreAnswers(n int) {
	g.t.Helper()
	want := g.ledger.counts.acked.Load() + int64(n)
	if !Eventually(groundPatience, func() bool { return g.ledger.counts.acked.Load() >= want }) {
		g.load.end()
		g.t.Fatalf("no %d more answers within %s: %v", n, groundPatience, g.ledger.errors)
	}
}

// cut lets nodes stand still, takes their disks away, and kills them.
func (g *ground) cut(victims []int) {
	g.t.Helper()
	for _, i := range victims {
		g.cluster.Node(i).Freeze()
	}
	for _, i := range victims {
		g.disks[i].cut(cutAtOnce)
	}
	for _, i := range victims {
		g.cluster.Node(i).Kill()
	}
}

// look reads every node's copy of the whole stream and returns what the worst one lacks. Whatever
// was not answered is then settled.
func (g *ground) look(answered uint64) *groundFindings {
	g.t.Helper()
	worst := &groundFindings{}
	copies, err := g.copies()
	if err != nil {
		g.t.Logf("the stream cannot be read: %v", err)
		f := g.ledger.check(nil) // it is gone, and everything with it
		f.add("the stream cannot be read: %v", err)
		return f
	}
	if len(copies) < groundNodes {
		worst.wrong("only these copies could be read: %v", slices.Sorted(maps.Keys(copies)))
	}
	for _, name := range slices.Sorted(maps.Keys(copies)) {
		msgs := copies[name]
		f := g.ledger.check(msgs)
		if n := len(msgs); n == 0 || msgs[n-1].seq < answered {
			f.wrong("the stream ends before %d, which was answered", answered)
		}
		f.node = name
		if f.lost > worst.lost || worst.err() == nil {
			worst = f
		}
	}
	if worst.err() == nil {
		for _, msgs := range copies {
			g.ledger.settle(msgs)
			break
		}
	}
	return worst
}

// copies reads the stream of every node, again and again until it can: who asks a cluster without a
// leader is not answered, and a consumer goes with the node that it is on.
func (g *ground) copies() (copies map[string][]groundMsg, err error) {
	conn := g.cluster.Connect()
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	copies = make(map[string][]groundMsg)
	began := time.Now()
	Eventually(g.patience, func() bool {
		err = readCopy(js, copies)
		gone := errors.Is(err, jetstream.ErrStreamNotFound) && time.Since(began) > groundLag
		return gone || err == nil && len(copies) == groundNodes
	})
	return copies, err
}
