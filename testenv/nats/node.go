package nats

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/port"
)

// host is where a node's server runs: in a process of its own, or in the test's.
type host interface {
	start() error
	stop() error // in good order, and waits
	kill() error // at once, and waits
	freeze() error
	thaw() error
	ended() bool // by itself
}

// Node is one server with its ports and its store, which stay the same whatever happens to it.
type Node struct {
	t       testing.TB
	name    string
	store   string
	config  string // its config file
	log     string // where it logs to, all starts one after another
	client  string // host:port for clients
	route   string // host:port for the other nodes
	door    string // host:port by which the other nodes reach that
	monitor string // host:port for HTTP
	host    host
	running bool
}

func newNode(t testing.TB, i int, store, dir string) (*Node, error) {
	n := &Node{t: t, name: fmt.Sprint("n", i), store: store}
	n.config = filepath.Join(dir, n.name+".conf")
	n.log = filepath.Join(dir, n.name+".log")
	for _, address := range []*string{&n.client, &n.route, &n.monitor} {
		var err error
		if *address, err = port.Free(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// configText is the config file of a node, as an operator would write it.
func (n *Node) configText(o *Options, all []*Node) string {
	text := fmt.Sprintf("server_name: %s\nlisten: %q\nhttp: %q\nmax_payload: 8MB\n%s\n", n.name,
		n.client, n.monitor, o.Config)
	if !o.Plain {
		text += fmt.Sprintf(`jetstream {
  store_dir: %q
  sync_interval: %s
  max_memory_store: 256MB
  max_file_store: 8GB
}
`, n.store, o.Sync)
	}
	if len(all) == 1 {
		return text
	}
	var routes []string
	for _, other := range all {
		if other != n {
			routes = append(routes, fmt.Sprintf("%q", "nats://"+other.door))
		}
	}
	return text + fmt.Sprintf(`cluster {
  name: test
  listen: %q
  advertise: %q
  routes: [%s]
}
`, n.route, n.door, strings.Join(routes, ", "))
}

// Start starts the node again on its ports and its store, without waiting until it is ready: see
// Cluster.WaitReady.
func (n *Node) Start() {
	n.t.Helper()
	n.must(n.host.start(), "start")
	n.running = true
}

// Stop ends the node in good order.
func (n *Node) Stop() {
	n.t.Helper()
	n.must(n.host.stop(), "stop")
	n.running = false
}

// Kill ends the node by SIGKILL and waits until it is gone. A frozen one dies as well.
func (n *Node) Kill() {
	n.t.Helper()
	n.must(n.host.kill(), "kill")
	n.running = false
}

// Freeze stops the node where it stands (SIGSTOP). It returns when no thread of it makes a step of
// its own any more.
func (n *Node) Freeze() {
	n.t.Helper()
	n.must(n.host.freeze(), "freeze")
}

// Thaw lets a frozen node go on (SIGCONT).
func (n *Node) Thaw() {
	n.t.Helper()
	n.must(n.host.thaw(), "thaw")
}

func (n *Node) must(err error, verb string) {
	n.t.Helper()
	if err != nil {
		n.t.Fatalf("cannot %s %s: %v", verb, n.name, err)
	}
}

// Name is the server's name in the cluster.
func (n *Node) Name() string { return n.name }

// Address is where this node takes clients, as host:port.
func (n *Node) Address() string { return n.client }

// RouteAddress is where this node takes other nodes, as host:port.
func (n *Node) RouteAddress() string { return n.route }

// Store is the directory that the node stores in.
func (n *Node) Store() string { return n.store }

// URL is where this node alone takes clients.
func (n *Node) URL() string { return "nats://" + n.client }

// MonitorURL is where this node's monitor answers.
func (n *Node) MonitorURL() string { return "http://" + n.monitor }

// Log is what the node has logged, all its starts one after another.
func (n *Node) Log() string {
	n.t.Helper()
	b, err := os.ReadFile(n.log)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(b)
}

// lastWords is the end of its log, for a test that fails.
func (n *Node) lastWords() string {
	text, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-lastWordsBytes):])
}

// lastWordsBytes is how much of a log a failure shows.
const lastWordsBytes = 2000
