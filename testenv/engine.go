package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hookspool/hookspool/testenv/nats"
)

// clusterVariable names the servers on which relays have their spools, unless their config says
// where: every scenario that makes sense there can be run on them.
const clusterVariable = "HOOKSPOOL_NATS"

// spoolMaxBytes is the spool.max_size of a scenario on a cluster that does not say how large its
// spool may be. The servers set so much aside for each.
const spoolMaxBytes = 256 << 20

// onCluster reports that relays have their spools on a cluster.
func onCluster() bool { return os.Getenv(clusterVariable) != "" }

// ownStream is the name of the stream of a relay that keeps its spool on the cluster of all
// scenarios.
func (r *Relay) ownStream() string { return filepath.Base(r.Dir) }

// chooseEngine gives the relay a spool on the cluster, if there is one and its config does not say
// where the spool is.
func (r *Relay) chooseEngine() {
	if r.Config.Text("spool.engine") == "" {
		r.Config.OnCluster(r.ownStream())
	}
}

// OnCluster puts the spool into a stream of this name on the cluster of HOOKSPOOL_NATS, if there is
// one.
func (c *Config) OnCluster(stream string) *Config {
	urls := os.Getenv(clusterVariable)
	if urls == "" {
		return c
	}
	c.Set("spool.engine", "jetstream").Set("spool.jetstream.urls", strings.Split(urls, ",")).
		Set("spool.jetstream.name", stream)
	if c.Text("spool.max_size") == "" {
		c.Set("spool.max_size", fmt.Sprint(spoolMaxBytes>>20, "MiB"))
	}
	return c
}

// leaveStream gives the cluster of all scenarios its room back.
func (r *Relay) leaveStream() {
	if !onCluster() || r.Config.Text("spool.jetstream.name") != r.ownStream() {
		return
	}
	if err := nats.RemoveStream(os.Getenv(clusterVariable), r.ownStream()); err != nil {
		r.t.Errorf("cannot remove the stream of the test: %v", err)
	}
}
