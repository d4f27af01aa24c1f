package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/sharing"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/jetstream"
)

// checkTimeout bounds each question that check asks of its own machine.
const checkTimeout = 2 * time.Second

// checkStart tries what serve would do first, without a trace: whether the spool can be used and
// every address be bound. A config is usually checked beside the relay that runs with it, so what
// that one holds is no problem.
func (c *cli) checkStart(ctx context.Context, cfg *config.Config, r *report) {
	dir := cfg.Spool.Dir
	err := care.CheckHome(dir, cfg.Spool.Shared())
	if err == nil && cfg.Spool.Shared() {
		err = care.InUse(dir, true)
	}
	if err == nil {
		err = care.Probe(dir, cfg.Spool.Key)
	}
	inUse := errors.Is(err, spool.ErrInUse)
	running := runningRelay(ctx, cfg, inUse)
	switch {
	case running != nil:
		r.Notes = append(r.Notes, "a relay runs with this config and holds its spool and addresses, so "+
			"they could not be tried; serve would not start beside it")
	case inUse:
		r.Notes = append(r.Notes, fmt.Sprintf("another process uses spool %q, so its key could not be "+
			"tried; serve would not start beside it", dir))
	case err != nil:
		r.addProblem(fmt.Sprintf("spool.dir: %s", err), startAdvice(err))
	}
	if cfg.Spool.Shared() {
		r.addServers(ctx, cfg)
	}
	if info, err := os.Stat(dir); err == nil {
		if owner, is := foreign(info); is {
			r.Warnings = append(r.Warnings, fmt.Sprintf("spool.dir %q belongs to user %d, and this is "+
				"user %d: check as the user that runs serve", dir, owner, os.Geteuid()))
		}
	}
	if kind := care.Copies(dir); kind != "" && !cfg.Spool.Shared() {
		r.Warnings = append(r.Warnings, fmt.Sprintf("spool.dir %q lies on %s, which copies what is "+
			"written: when the disk is full the relay may be ended by the system", dir, kind))
	}
	for _, address := range cfg.Server.Listen {
		r.addAddress("server.listen", address, running, inUse)
	}
	r.addAddress("server.admin_listen", cfg.Server.AdminListen, running, inUse)
}

// serversTimeout is how long check waits for the servers of a spool. A start waits for longer.
const serversTimeout = 5 * time.Second

// addServers looks at the servers that keep the spool, and at its stream.
func (r *report) addServers(ctx context.Context, cfg *config.Config) {
	o, err := sharing.JetStream(cfg, slog.New(slog.DiscardHandler))
	var found jetstream.Found
	if err == nil {
		o.OpenMax = serversTimeout
		found, err = jetstream.Probe(ctx, o)
	}
	r.Warnings = append(r.Warnings, found.Warnings...)
	switch {
	case err != nil:
		r.addProblem(fmt.Sprintf("spool.jetstream: %s", err), startAdvice(err))
	case found.There:
		r.Notes = append(r.Notes, fmt.Sprintf("the servers of spool.jetstream are version %s; stream %q "+
			"is there, on %s", found.Version, o.Name, count(found.Replicas, "server")))
	default:
		r.Notes = append(r.Notes, fmt.Sprintf("the servers of spool.jetstream are version %s; stream %q "+
			"is not there, and is made by a start", found.Version, o.Name))
	}
}

// addAddress tries an address that serve would listen on.
func (r *report) addAddress(key, address string, running *admin.Status, spoolInUse bool) {
	err := tryListen(address)
	taken := errors.Is(err, syscall.EADDRINUSE)
	switch {
	case err == nil || taken && running != nil && listens(running, address):
	case taken && running == nil && spoolInUse:
		r.Notes = append(r.Notes, fmt.Sprintf("%s %q is in use, perhaps by the process that uses the "+
			"spool", key, address))
	default:
		r.addProblem(fmt.Sprintf("%s: cannot listen on %q: %s", key, address, lastCause(err)),
			startAdvice(fmt.Errorf("cannot listen: %w", err)))
	}
}

// runningRelay is the relay that runs with this config, as its admin listener tells; nil if there
// is none that answers. One that holds another spool and was started with another file is not it.
func runningRelay(ctx context.Context, cfg *config.Config, spoolInUse bool) *admin.Status {
	address, err := reachable(cfg.Server.AdminListen)
	if err != nil {
		return nil
	}
	p, err := newPeer(address, cfg.Server.AdminToken.Reveal())
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	st := new(admin.Status)
	if err := p.call(ctx, "GET", "/v1/status", st); err != nil || st.Spool == "" ||
		!spoolInUse && !sameFile(st.Config, cfg.Path) {
		return nil
	}
	return st
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	two, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(one, two)
}

// listens reports whether an address of a config is one that the relay has bound. The relay tells
// what the system made of it, ":8470" became "[::]:8470", so ports are compared.
func listens(st *admin.Status, address string) bool {
	network, where := config.ListenNetwork(address)
	_, port, _ := net.SplitHostPort(where)
	for _, bound := range append([]string{st.Admin}, st.Listen...) {
		n, w := config.ListenNetwork(bound)
		_, p, _ := net.SplitHostPort(w)
		if n == network && (w == where || network == "tcp" && p == port) {
			return true
		}
	}
	return false
}

// tryListen says why serve could not listen on an address.
func tryListen(address string) error {
	network, where := config.ListenNetwork(address)
	if network == "unix" {
		return trySocket(where)
	}
	addr, err := net.ResolveTCPAddr(network, where)
	if err != nil {
		return err
	}
	return bindable(addr)
}

// trySocket looks at where a Unix socket would be: making one would leave it behind if this process
// were killed. One that nobody answers at is removed by serve.
func trySocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&fs.ModeSocket == 0:
		return errors.New("there is a file that is not a socket")
	case err == nil:
		conn, err := net.DialTimeout("unix", path, checkTimeout)
		if err == nil {
			return errors.Join(syscall.EADDRINUSE, conn.Close())
		}
	case !errors.Is(err, fs.ErrNotExist):
		return cause(err)
	}
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("directory %q: %w", dir, cause(err))
	}
	if err := writable(dir); err != nil {
		return fmt.Errorf("cannot write into directory %q: %w", dir, err)
	}
	return nil
}
