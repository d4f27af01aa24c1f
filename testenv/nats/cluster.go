package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SyncAlways is the sync_interval that lets a server answer only for what is on its disk.
// SyncDefault is what it has if nobody says anything: once in two minutes.
const (
	SyncAlways  = "always"
	SyncDefault = "2m"
)

const (
	nodesDefault = 3
	// patience is how long a cluster may take for something that takes seconds on an idle machine.
	patience = 60 * time.Second
	// askFor bounds one request: without a leader a server does not answer at all.
	askFor = 2 * time.Second
	// pingEvery is how often a client asks whether its node is still there; three in vain, and it
	// goes to another.
	pingEvery = time.Second
	// pollEvery is how often a condition is looked at.
	pollEvery = 20 * time.Millisecond
)

// Options say what cluster to make. The zero value is three nodes that sync always.
type Options struct {
	Nodes int      // 3 if zero
	Sync  string   // sync_interval; SyncAlways if empty
	Dirs  []string // the store of each node; below Dir if there are none
	Dir   string   // config files and logs; t.TempDir() if empty
	// Config is what each node's config file has as well: users, TLS.
	Config string
	// Wall lets a test cut a node off from the others (Cluster.Cut).
	Wall bool
	// Plain nodes have no JetStream.
	Plain bool
	// Text, if set, is the whole of a node's config file instead of all that.
	Text func(n *Node, all []*Node) string
}

// Cluster is a number of nodes that know each other. Its methods fail the test on any error; they
// may be called from the test's goroutine only.
type Cluster struct {
	t     testing.TB
	nodes []*Node
	wall  *wall // nil: there is none
	http  *http.Client
	conn  *nats.Conn // for questions; made at the first one
}

// Start starts a cluster of processes and waits until it is ready. It ends with the test.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, o, func(n *Node) host { return &process{bin: bin, node: n} })
}

// StartInProcess starts a cluster inside the test's process and waits until it is ready. Its nodes
// can be stopped and started again, but not frozen; a kill is a stop.
func StartInProcess(t testing.TB, o Options) *Cluster {
	t.Helper()
	return start(t, o, func(n *Node) host { return &inProcess{node: n} })
}

func start(t testing.TB, o Options, on func(*Node) host) *Cluster {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = nodesDefault
	}
	if o.Sync == "" {
		o.Sync = SyncAlways
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	c := &Cluster{t: t, http: &http.Client{Timeout: askFor}}
	for i := range o.Nodes {
		store := filepath.Join(o.Dir, fmt.Sprint("store", i))
		if len(o.Dirs) > 0 {
			store = o.Dirs[i]
		}
		n, err := newNode(t, i, store, o.Dir)
		if err != nil {
			t.Fatal(err)
		}
		n.host = on(n)
		c.nodes = append(c.nodes, n)
	}
	if o.Wall {
		c.wall = newWall()
	}
	for _, n := range c.nodes {
		if n.door = n.route; o.Wall {
			var err error
			if n.door, err = c.wall.door(n); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, n := range c.nodes {
		text := n.configText(&o, c.nodes)
		if o.Text != nil {
			text = o.Text(n, c.nodes)
		}
		if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(c.end)
	for _, n := range c.nodes {
		n.Start()
	}
	c.WaitReady()
	return c
}

// end leaves nothing running.
func (c *Cluster) end() {
	if c.conn != nil {
		c.conn.Close()
	}
	c.http.CloseIdleConnections()
	for _, n := range c.nodes {
		if err := n.host.kill(); err != nil {
			c.t.Errorf("cannot end %s: %v", n.Name(), err)
		}
	}
	if c.wall != nil {
		c.wall.close()
	}
}

// URL is what a client connects to: all nodes, comma-separated, whether they run or not.
func (c *Cluster) URL() string {
	urls := make([]string, 0, len(c.nodes))
	for _, n := range c.nodes {
		urls = append(urls, n.URL())
	}
	return strings.Join(urls, ",")
}

// Nodes is how many there are.
func (c *Cluster) Nodes() int { return len(c.nodes) }

// Node is one of them, from 0.
func (c *Cluster) Node(i int) *Node { return c.nodes[i] }

// Cut cuts a node off from all others, and joins whichever was cut off before; below 0: none is.
// The node runs on, and its clients reach it. The cluster must have a wall.
func (c *Cluster) Cut(i int) {
	c.t.Helper()
	if c.wall == nil {
		c.t.Fatal("this cluster has no wall")
	}
	if i < 0 {
		c.wall.cut("")
		return
	}
	c.wall.cut(c.nodes[i].name)
}

// WaitReady waits until every node that runs is healthy by its own word: it knows the leader, and
// every stream and consumer on it has caught up.
func (c *Cluster) WaitReady() {
	c.t.Helper()
	if err := c.Ready(patience); err != nil {
		c.t.Fatal(err)
	}
}

// Ready is WaitReady for a test that expects a cluster not to become ready: it says so, with the
// ends of the logs, once it has waited so long.
func (c *Cluster) Ready(d time.Duration) error {
	why, dead := error(nil), false
	if c.until(d, func() bool { why, dead = c.unhealthy(); return why == nil || dead }) && !dead {
		return nil
	}
	var logs strings.Builder
	for _, n := range c.nodes {
		fmt.Fprintf(&logs, "\n%s ends with:\n%s", n.Name(), n.lastWords())
	}
	return fmt.Errorf("the cluster is not ready after %s at most: %w%s", d, why, &logs)
}

// unhealthy says what is wrong with a node that should run, and whether waiting is in vain.
func (c *Cluster) unhealthy() (why error, dead bool) {
	for _, n := range c.nodes {
		if !n.running {
			continue
		}
		if n.host.ended() {
			return fmt.Errorf("%s ended by itself", n.Name()), true
		}
		if err := n.healthy(c.http); err != nil {
			return fmt.Errorf("%s: %w", n.Name(), err), false
		}
	}
	return nil, false
}

// Leader is the node that leads a stream. It waits until there is one.
func (c *Cluster) Leader(stream string) int {
	c.t.Helper()
	leader, why := -1, error(nil)
	found := c.until(patience, func() bool {
		leader, why = c.leader(stream)
		return why == nil
	})
	if !found {
		c.t.Fatalf("cannot find the leader of %s: %v", stream, why)
	}
	return leader
}

func (c *Cluster) leader(stream string) (int, error) {
	js, err := jetstream.New(c.connect())
	if err != nil {
		return -1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return -1, err
	}
	info := s.CachedInfo().Cluster
	if info == nil {
		return -1, fmt.Errorf("stream %s has no cluster", stream)
	}
	for i, n := range c.nodes {
		if n.Name() == info.Leader && n.running {
			return i, nil
		}
	}
	return -1, fmt.Errorf("stream %s is led by %q", stream, info.Leader)
}

func (c *Cluster) connect() *nats.Conn {
	if c.conn == nil {
		c.conn = c.Connect()
	}
	return c.conn
}

// Connect is a client's connection that comes back by itself whatever happens to the nodes. It
// leaves a frozen node within seconds, which only pings notice. Nothing is kept while there is no
// connection: what is published then fails at once. Closing it is the caller's.
func (c *Cluster) Connect() *nats.Conn {
	c.t.Helper()
	conn, err := nats.Connect(c.URL(), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(50*time.Millisecond), nats.Timeout(askFor), nats.ReconnectBufSize(-1),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2))
	if err != nil {
		c.t.Fatal(err)
	}
	return conn
}

// RemoveStream removes a stream of the servers at url, if they have it.
func RemoveStream(url, name string) error {
	conn, err := nats.Connect(url, nats.Timeout(patience))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = js.DeleteStream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}

// until waits for a condition, so long at most.
func (c *Cluster) until(d time.Duration, condition func() bool) bool {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	every := time.NewTicker(pollEvery)
	defer every.Stop()
	for !condition() {
		select {
		case <-every.C:
		case <-deadline.C:
			return condition()
		}
	}
	return true
}

// healthy asks a node's monitor.
func (n *Node) healthy(client *http.Client) error {
	resp, err := client.Get(n.MonitorURL() + "/healthz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("cannot read its health: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return nil
}

// StepDown makes a node lead a stream, if it may. It returns when the leader was asked.
func (c *Cluster) StepDown(stream string, to int) {
	c.t.Helper()
	request := fmt.Sprintf(`{"placement": {"preferred": %q}}`, c.nodes[to].name)
	asked := c.until(patience, func() bool {
		_, err := c.connect().Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, []byte(request), askFor)
		return err == nil
	})
	if !asked {
		c.t.Fatalf("cannot make %s lead %s", c.nodes[to].name, stream)
	}
}
