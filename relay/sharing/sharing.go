// Package sharing opens the engine of a spool that servers keep and several relays share, as the
// config says: who is asked, by which user, and where this machine has its copy.
package sharing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream"
)

// Options say how a shared engine is opened. Config and Log are required.
type Options struct {
	Config *config.Config
	Log    *slog.Logger
	// Context, when set, ends an opening that waits for servers.
	Context context.Context
	// Name is what this relay is called; empty: what the config says.
	Name string
	// Dir is where the replica is; empty: spool.dir, which is locked.
	Dir string
	// ReadOnly follows a spool that is there and writes nothing: no relay hears of it.
	ReadOnly bool
	// AcceptLoss goes on without events that no server has.
	AcceptLoss bool
	// Memory is what the replica's engine may take, in bytes; 0: as much as is of use.
	Memory int64
	// OnCompaction, when set, is told when the replica's engine begins to compact, and when it ends.
	OnCompaction func(begins bool)
}

// home is an engine, and the directory that it has for itself.
type home struct {
	*jetstream.Engine
	lock *os.File
}

// Close is part of engine.Engine.
func (h *home) Close() error { return errors.Join(h.Engine.Close(), h.lock.Close()) }

// Open opens the engine of a config whose spool is kept by servers. It waits for servers that
// are not there yet, for a minute at most. Errors: those of package jetstream, care.ErrEmbedded,
// engine.ErrInUse, ErrUnavailable, ErrWrongKey.
func Open(o Options) (engine.Engine, error) {
	if o.Dir == "" {
		o.Dir = o.Config.Spool.Dir
	}
	if err := care.CheckHome(o.Dir, true); err != nil {
		return nil, err
	}
	lock, err := care.Lock(o.Dir)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	opened, err := open(&o)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	o.Log.Info("the spool's stream was read", "stream", o.Config.Spool.JetStream.Name,
		"took", time.Since(began))
	return &home{opened, lock}, nil
}

func open(o *Options) (*jetstream.Engine, error) {
	options, err := JetStream(o.Config, o.Log)
	if err != nil {
		return nil, err
	}
	if o.Name != "" {
		options.Relay = o.Name
	}
	options.Context, options.ReadOnly, options.AcceptLoss = o.Context, o.ReadOnly, o.AcceptLoss
	options.Replica = func() (engine.Engine, error) {
		return badger.OpenReplica(badger.StoreOptions{
			Files: badger.Files{Dir: filepath.Join(o.Dir, care.ReplicaDir), Key: o.Config.Spool.Key,
				Log: o.Log},
			Memory: o.Memory, OnCompaction: o.OnCompaction,
			Fail: func(err error) error {
				o.Log.Error("the copy of the spool is not to be trusted; a restart makes it again",
					"error", err)
				return err
			}})
	}
	o.Log.Info("opening a spool that relays share", "stream", options.Name, "relay", options.Relay,
		"servers", o.Config.Spool.JetStream.Servers())
	return jetstream.Open(options)
}

// JetStream are what an engine is opened or probed with, but for its replica.
func JetStream(cfg *config.Config, log *slog.Logger) (jetstream.Options, error) {
	j := &cfg.Spool.JetStream
	urls := make([]string, len(j.URLs))
	for i, u := range j.URLs {
		urls[i] = u.Reveal()
	}
	o := jetstream.Options{URL: strings.Join(urls, ","), Name: j.Name, Relay: j.Relay,
		Replicas: j.Replicas, MaxBytes: cfg.Spool.MaxSize, Log: log,
		Credentials: []byte(j.Credentials.Reveal()), MonitorURL: j.MonitorURL.Reveal(),
		CompareEvery: j.CompareEvery,
		AcceptUnsafe: j.AcceptUnsafe, Key: cfg.Spool.Key}
	var err error
	if o.Relay == "" {
		if o.Relay, err = os.Hostname(); err != nil || o.Relay == "" {
			return o, errors.Join(errors.New("this host has no name: set spool.jetstream.relay"), err)
		}
	}
	if len(j.PEM.CA) == 0 && len(j.PEM.Cert) == 0 {
		return o, nil
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if len(j.PEM.CA) > 0 {
		o.TLS.RootCAs = x509.NewCertPool()
		o.TLS.RootCAs.AppendCertsFromPEM(j.PEM.CA)
	}
	if len(j.PEM.Cert) > 0 {
		cert, err := tls.X509KeyPair(j.PEM.Cert, j.PEM.Key)
		if err != nil {
			return o, fmt.Errorf("cannot use spool.jetstream.client_cert: %w", err)
		}
		o.TLS.Certificates = []tls.Certificate{cert}
	}
	return o, nil
}
