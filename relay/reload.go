package relay

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
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

// reload is what the last reload has left.
type reload struct {
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
	r.reloading.Lock()
	defer r.reloading.Unlock()
	r.reload.failed = nil
	return r.reloadLocked()
}

func (r *Relay) reloadLocked() (restart []string, err error) {
	path, before := r.setup.Load().cfg.Path, r.reload.failed
	cfg, sources, err := r.files.Load(path)
	if closed(r.stopping) {
		return nil, reloadError(errStopping)
	}
	r.reload = reload{sources: sources, restart: r.reload.restart}
	if err == nil {
		err = r.apply(cfg)
		r.reload.failed = err
	}
	if err != nil {
		r.reloadBad.Store(true)
		r.metrics.reloadOK.Set(0)
		if before == nil || before.Error() != err.Error() {
			r.log.Error("cannot reload the config; the running one stays", "path", path, "error", err)
		}
		return nil, reloadError(err)
	}
	restart = r.needRestart(cfg)
	if len(restart) > 0 && !slices.Equal(restart, r.reload.restart) {
		r.log.Warn("these settings changed but need a restart", "keys", restart)
	}
	r.reload.restart = restart
	r.log.Info("config reloaded", "path", path, "targets", len(cfg.Targets))
	return restart, nil
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

// needRestart are the keys whose value is not the one at work, by name.
func (r *Relay) needRestart(cfg *config.Config) []string {
	bound := r.servers.cfg
	var fixed []string
	for key, same := range map[string]bool{
		"server.listen":        reflect.DeepEqual(bound.Server.Listen, cfg.Server.Listen),
		"server.admin_listen":  bound.Server.AdminListen == cfg.Server.AdminListen,
		"server.read_timeout":  bound.Server.ReadTimeout == cfg.Server.ReadTimeout,
		"spool.dir":            bound.Spool.Dir == cfg.Spool.Dir,
		"spool.encryption_key": bytes.Equal(bound.Spool.Key, cfg.Spool.Key),
		"log.format":           bound.Log.Format == cfg.Log.Format,
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
func (r *Relay) watchLoop() {
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
		if r.look() {
			wait = min(every, settlePause)
		}
		if pause := lookShare * time.Since(began); pause > every {
			wait = max(wait, pause)
		}
	}
}

// look reloads when something has changed and come to rest, or when the last reload failed for a
// reason that may have gone. It reports that there is something to look at again soon.
func (r *Relay) look() (soon bool) {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	last := &r.reload
	if last.sources == nil {
		return false
	}
	now := last.sources.Again(&r.files)
	switch {
	case closed(r.stopping):
	case now.Equal(last.sources):
		last.changed, last.looks = nil, 0
		if last.failed != nil {
			_, _ = r.reloadLocked() // it says what is wrong, if that is new
		}
	case last.looks < settleLooks && (last.changed == nil || !now.Equal(last.changed)):
		last.changed = now
		last.looks++
		return true
	default:
		last.failed = nil
		_, _ = r.reloadLocked() // it says what is wrong
	}
	return false
}
