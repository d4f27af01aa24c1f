package testenv

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// TestDeployShared runs three real servers on each config for them that deploy/ has, and asserts that
// the config for relays beside it fits: check finds them, sees that they sync before they answer, and
// a start makes a stream of spool.max_size there.
func TestDeployShared(t *testing.T) {
	effort.OnlyLong(t, "it runs programs that few machines have")
	effort.WithoutRace(t)
	t.Parallel()
	f := func(name, servers, relays string) {
		t.Helper()
		cluster := nats.StartInProcess(t, nats.Options{Text: func(n *nats.Node, all []*nats.Node) string {
			return deployedNode(servers, n, all)
		}})
		relays = inTurn(relays, `nats://nats-\d[.a-z]*:4222`, func(i int) string {
			return cluster.Node(i).URL()
		})
		relays = inTurn(relays, `http://nats-\d[.a-z]*:8222`, func(i int) string {
			return cluster.Node(i).MonitorURL()
		})
		said := checkDeployed(t, name, relays)
		if !strings.Contains(said, `stream "hookspool" is not there, and is made by a start`) ||
			strings.Contains(said, "sync") {
			t.Errorf("check says of the config for %s:\n%s", name, said)
		}
		size := regexp.MustCompile(`(?m)^max_size = "([^"]+)"`).FindStringSubmatch(relays)
		r := NewRelay(t, NewConfig().Set("spool.engine", "jetstream").Set("spool.max_size", size[1]).
			Set("spool.jetstream.urls", strings.Split(cluster.URL(), ",")))
		r.Start()
		r.Terminate()
	}
	f("compose", deployed(t, "compose/shared/nats.conf"),
		deployed(t, "compose/shared/config/hookspool.toml"))
	f("kubernetes", inMap(t, "kubernetes/nats.yml", "nats.conf"),
		inMap(t, "kubernetes/shared.yml", "hookspool.toml"))
}

// deployedNode is the config file of a node with what differs here: where it is, and its name, which
// takes the place of an environment variable.
func deployedNode(text string, n *nats.Node, all []*nats.Node) string {
	text = inTurn(text, `nats://nats-\d[.a-z]*:6222`, func(i int) string {
		return "nats://" + all[i].RouteAddress()
	})
	monitor := strings.TrimPrefix(n.MonitorURL(), "http://")
	return "SERVER_NAME: " + n.Name() + "\n" + strings.NewReplacer("0.0.0.0:4222", n.Address(),
		"0.0.0.0:8222", monitor, "0.0.0.0:6222", n.RouteAddress(), `"/data"`, `"`+n.Store()+`"`).
		Replace(text)
}

// inTurn replaces each match by what stands for the first, the second and so on.
func inTurn(text, pattern string, with func(i int) string) string {
	i := -1
	return regexp.MustCompile(pattern).ReplaceAllStringFunc(text, func(string) string {
		i++
		return with(i)
	})
}

// TestDeployServers asserts that what is deployed are the servers that the tests run.
func TestDeployServers(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	tested := regexp.MustCompile(`nats-server/v2 v(\S+)`).FindStringSubmatch(
		readFile(t, filepath.Join(mustRoot(t), "go.mod")))
	for _, path := range []string{"compose/shared/compose.yml", "kubernetes/nats.yml"} {
		images := regexp.MustCompile(`image: nats:([0-9.]+)-alpine`).FindAllStringSubmatch(
			deployed(t, path), -1)
		if len(images) != 1 || images[0][1] != tested[1] {
			t.Errorf("%s has the images %q; version %s is tested", path, images, tested[1])
		}
	}
}

// TestDeployUser gives two relays the user that the manual says is enough, and asserts that they
// share the work, carry out orders for each other, sweep and leave, and that nothing is denied.
func TestDeployUser(t *testing.T) {
	effort.OnlyLong(t, "it runs programs that few machines have")
	t.Parallel()
	page := readFile(t, filepath.Join(mustRoot(t), "cmd/hookspool/manual/scaling.md"))
	_, users, found := strings.Cut(page, "```text\nauthorization {")
	users, _, _ = strings.Cut(users, "```")
	if !found {
		t.Fatal("the page has no users")
	}
	users = strings.Replace(users, `"a long one"`, "secret", 1)
	cluster := nats.StartInProcess(t, nats.Options{Config: "authorization {" + users})
	f := NewFleet(t, 2, cluster)
	f.Aim("a", "b")
	f.Config.Set("spool.jetstream.name", "hookspool").Set("spool.keep_delivered", "0s").
		Set("spool.jetstream.urls", strings.Split(strings.ReplaceAll(cluster.URL(), "nats://",
			"nats://hookspool:secret@"), ","))
	f.StartAll()
	for i := range 20 {
		f.PostTo(i%2, Post{ID: fmt.Sprint("e-", i), Body: []byte(`{"eventType":"message"}`)})
	}
	f.Ledger.AwaitDelivered()
	for _, r := range f.Relays {
		r.Verb("pause", "a")
		r.Verb("resume", "a")
		r.Verb("enable", "b")
	}
	if code := f.Relays[1].Terminate(); code != 0 {
		t.Errorf("it left with code %d", code)
	}
	Until(t, Patience, "the other relay to serve all targets", func() bool {
		owners := f.Owners(f.Relays[0])
		return owners["a"] == "r0" && owners["b"] == "r0"
	})
	for _, r := range f.Relays {
		if log := r.Log(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "enied") ||
			strings.Contains(strings.ToLower(log), "violation") {
			t.Errorf("something is denied:\n%s", tail(log))
		}
	}
}
