package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/listener"
)

// servers are the listeners and what serves them.
type servers struct {
	r      *Relay
	cfg    *config.Config // the one they were bound for
	events []*listener.Listener
	admin  *listener.Listener
	api    *admin.Server
}

// listen binds every address of the config, or none.
func listen(r *Relay, o *Options) (_ *servers, err error) {
	cfg := o.Config
	s := &servers{r: r, cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, address := range cfg.Server.Listen {
		ln, err := listener.Bind(address, r.log)
		if err != nil {
			return nil, fmt.Errorf("cannot listen for events: %w", err)
		}
		s.events = append(s.events, ln)
	}
	if s.admin, err = listener.Bind(cfg.Server.AdminListen, r.log); err != nil {
		return nil, fmt.Errorf("cannot listen for the admin API: %w", err)
	}
	s.api = admin.New(admin.Options{Backend: front{desk{r}}, Log: r.log, Manual: o.Manual,
		ConnectionsMax: int(accept.AdminMost()),
		Token:          func() string { return r.setup.Load().cfg.Server.AdminToken.Reveal() },
		Hosts: func() []string {
			// The address is the one that was bound, the names are those of today.
			return append([]string{cfg.Server.AdminListen}, r.setup.Load().cfg.Server.AdminHosts...)
		}})
	return s, nil
}

// all are the loops that serve, one per listener.
func (s *servers) all() []func() {
	var loops []func()
	for _, ln := range s.events {
		loops = append(loops, func() {
			err := s.r.accept.Serve(ln)
			if !s.r.draining.Load() && !s.r.accept.Closed() {
				s.r.goneDeaf(ln, err)
			}
		})
	}
	return append(loops, func() {
		err := s.api.Serve(s.admin)
		if !closed(s.r.stopping) {
			s.r.goneDeaf(s.admin, err)
		}
	})
}

// goneDeaf ends the relay when a listener is served no more although nobody asked for it: a relay
// that looks alive and hears nothing is worse than one that is started again.
func (r *Relay) goneDeaf(ln *listener.Listener, err error) {
	if err == nil {
		err = net.ErrClosed
	}
	err = fmt.Errorf("cannot serve %s any more: %w", ln.Address(), err)
	r.deafOnce.Do(func() {
		r.deaf.Store(&err)
		r.log.Error("a listener has ended by itself; the relay stops", "error", err)
		close(r.deafC)
	})
}

// patients are all listeners.
func (s *servers) patients() []*listener.Listener { return append(slices.Clone(s.events), s.admin) }

func (s *servers) shutdownAdmin(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), max(limit, 100*time.Millisecond))
	defer cancel()
	err := s.api.Shutdown(ctx)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) {
		return nil // a caller that stays connected is cut off with the process
	}
	return err
}

// close closes what shutdown has not.
func (s *servers) close() error {
	var errs error
	for _, ln := range s.patients() {
		if ln == nil {
			continue
		}
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = errors.Join(errs, fmt.Errorf("cannot close a listener: %w", err))
		}
	}
	return errs
}

// Addresses are where events are taken and the admin API is, as bound: "127.0.0.1:8470" or
// "unix:/path".
func (r *Relay) Addresses() (events []string, admin string) {
	for _, ln := range r.servers.events {
		events = append(events, ln.Address())
	}
	return events, r.servers.admin.Address()
}
