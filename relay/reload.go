package relay

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
)

const (
	// settlePause is how long what was found changed must stay as it is before it is read: a file
	// may be half written, and a key comes after its certificate. What never rests is read after
	// settleLooks.
	settlePause = 250 * time.Millisecond
	settleLooks = 8
	// lookShare bounds the looks for changes to this fraction of the time, however many files there
	// are.
	lookShare = 20
)

var errStopping = errors.New("the relay stops")

// reloader puts the config to work again when it has changed.
type reloader struct {
	r     *Relay
	files config.Files
	mu    sync.Mutex // held across a reload, and a look whether one is due; guards the rest
	// sources are what the files were like when they were last read, for better or worse; nil:
	// without a file (demo, tests) there is nothing to compare.
	sources *config.Sources
	// changed is what was found different from sources, and looks how often something was.
	changed *config.Sources
	looks   int
	// failed is the reason of this machine's, such as a full disk, why a config that is not at fault
	// could not be put to work; it is tried again.
	failed error
	// restart are the settings that were last said to need one.
	restart []string
}

// Reload reads the config file again and puts it to work. It returns the settings that changed but
// need a restart. A bad file changes nothing; the error is an *admin.Error with all faults.
func (r *Relay) Reload() (restart []string, err error) {
	r.reloads.mu.Lock()
	defer r.reloads.mu.Unlock()
	r.reloads.failed = nil
	return r.reloads.againLocked()
}

func (l *reloader) againLocked() (restart []string, err error) {
	r := l.r
	path, before := r.setup.Load().cfg.Path, l.failed
	cfg, sources, err := l.files.Load(path)
	if closed(r.stopping) {
		return nil, reloadError(errStopping)
	}
	l.sources, l.changed, l.looks, l.failed = sources, nil, 0, nil
	if err == nil {
		err = r.apply(cfg)
		l.failed = err
	}
	if err != nil {
		r.reloadBad.Store(true)
		r.metrics.reloadOK.Set(0)
		if before == nil || before.Error() != err.Error() {
			r.log.Error("cannot reload the config; the running one stays", "path", path, "error", err)
		}
		return nil, reloadError(err)
	}
	restart = needRestart(r.servers.cfg, cfg)
	if len(restart) > 0 && !slices.Equal(restart, l.restart) {
		r.log.Warn("these settings changed but need a restart", "keys", restart)
	}
	l.restart = restart
	r.log.Info("config reloaded", "path", path, "targets", len(cfg.Targets))
	return restart, nil
}

// await waits for a reload under way; after the relay's stopping is closed no other is applied.
func (l *reloader) await() {
	l.mu.Lock()
	defer l.mu.Unlock()
}

func reloadError(err error) *admin.Error {
	e := admin.Refuse(422, "bad_config", "the config was not reloaded: %v", err)
	e.Hint = "nothing changed; hookspool check shows the faults"
	var faults *config.Faults
	if errors.As(err, &faults) {
		e.Detail = fmt.Sprintf("the config has %d faults and was not reloaded", len(faults.List))
		if len(faults.List) == 1 {
			e.Detail = "the config has a fault and was not reloaded"
		}
		for _, f := range faults.List {
			e.Faults = append(e.Faults, fmt.Sprintf("%s:%d:%d: %s: %s", faults.Path, f.Line,
				f.Column, f.Key, f.Message))
		}
	}
	return e
}

// needRestart are the keys whose value is not the one that a relay was bound for, by name.
func needRestart(bound, cfg *config.Config) []string {
	var fixed []string
	is, was := &cfg.Spool.JetStream, &bound.Spool.JetStream
	for key, same := range map[string]bool{
		"server.listen":        reflect.DeepEqual(bound.Server.Listen, cfg.Server.Listen),
		"server.admin_listen":  bound.Server.AdminListen == cfg.Server.AdminListen,
		"server.read_timeout":  bound.Server.ReadTimeout == cfg.Server.ReadTimeout,
		"spool.dir":            bound.Spool.Dir == cfg.Spool.Dir,
		"spool.encryption_key": bytes.Equal(bound.Spool.Key, cfg.Spool.Key),
		"spool.engine":         bound.Spool.Engine == cfg.Spool.Engine,
		"log.format":           bound.Log.Format == cfg.Log.Format,

		"spool.jetstream.urls":          slices.Equal(was.URLs, is.URLs),
		"spool.jetstream.name":          was.Name == is.Name,
		"spool.jetstream.relay":         was.Relay == is.Relay,
		"spool.jetstream.credentials":   was.Credentials == is.Credentials,
		"spool.jetstream.ca_file":       bytes.Equal(was.PEM.CA, is.PEM.CA),
		"spool.jetstream.client_cert":   bytes.Equal(was.PEM.Cert, is.PEM.Cert),
		"spool.jetstream.client_key":    bytes.Equal(was.PEM.Key, is.PEM.Key),
		"spool.jetstream.replicas":      was.Replicas == is.Replicas,
		"spool.jetstream.monitor_url":   was.MonitorURL == is.MonitorURL,
		"spool.jetstream.compare_every": was.CompareEvery == is.CompareEvery,
		"spool.jetstream.accept_unsafe": was.AcceptUnsafe == is.AcceptUnsafe,
	} {
		if !same {
			fixed = append(fixed, key)
		}
	}
	sort.Strings(fixed)
	return fixed
}

// watchLoop compares the content of the config and of all files that it names every
// server.reload_check. Config maps and editors replace files, so neither inotify nor the time of
// change can be trusted.
func (l *reloader) watchLoop() {
	r := l.r
	wait := time.Duration(0)
	for {
		every := r.setup.Load().cfg.Server.ReloadCheck
		if every <= 0 {
			wait = time.Second // a reload by other means may switch it on
		} else if wait == 0 {
			wait = every
		}
		timer := time.NewTimer(wait)
		select {
		case <-r.stopping:
			timer.Stop()
			return
		case <-timer.C:
		}
		if wait = 0; every <= 0 {
			continue
		}
		began := time.Now()
		if l.look() {
			wait = min(every, settlePause)
		}
		if pause := lookShare * time.Since(began); pause > every {
			wait = max(wait, pause)
		}
	}
}

// look reloads when something has changed and come to rest, or when the last reload failed for a
// reason that may have gone. It reports that there is something to look at again soon.
func (l *reloader) look() (soon bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sources == nil {
		return false
	}
	now := l.sources.Again(&l.files)
	switch {
	case closed(l.r.stopping):
	case now.Equal(l.sources):
		l.changed, l.looks = nil, 0
		if l.failed != nil {
			_, _ = l.againLocked() // it says what is wrong, if that is new
		}
	case l.looks < settleLooks && (l.changed == nil || !now.Equal(l.changed)):
		l.changed = now
		l.looks++
		return true
	default:
		l.failed = nil
		_, _ = l.againLocked() // it says what is wrong
	}
	return false
}
