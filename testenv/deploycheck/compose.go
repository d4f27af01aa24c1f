package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// drainMost is what a grace period must exceed: server.drain_timeout's default.
const drainMost = 25 * time.Second

// leaveMost is the same for a NATS server, which leaves within seconds.
const leaveMost = 20 * time.Second

// checkCompose loads a file as `docker compose config` does: schema, references, interpolation. The
// relays are services of it.
func checkCompose(ctx context.Context, path string, relays ...string) error {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithResolvedPaths(true))
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return fmt.Errorf("cannot load %s: %w", path, err)
	}
	var errs []error
	for _, name := range relays {
		relay, err := project.GetService(name)
		if err == nil {
			err = errors.Join(checkService(relay), checkBuild(relay))
		}
		errs = append(errs, err)
	}
	errs = append(errs, checkNodes(project))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// checkNodes wants of each NATS server a volume that no other has, and time to leave.
func checkNodes(project *types.Project) error {
	var errs []error
	stores := map[string]string{}
	for name, s := range project.Services {
		if !strings.HasPrefix(s.Image, "nats:") {
			continue
		}
		store := ""
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeVolume && v.Target == "/data" {
				store = v.Source
			}
		}
		if other := stores[store]; store == "" || other != "" {
			errs = append(errs, fmt.Errorf("the store of %s is on no volume, or on that of %q", name, other))
		}
		stores[store] = name
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) <= leaveMost {
			errs = append(errs, fmt.Errorf("the stop_grace_period of %s does not exceed %s", name,
				leaveMost))
		}
		if s.HealthCheck == nil || s.MemLimit == 0 {
			errs = append(errs, fmt.Errorf("%s has no healthcheck or no mem_limit", name))
		}
	}
	return errors.Join(errs...)
}

func checkService(s types.ServiceConfig) error {
	var errs []error
	if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) <= drainMost {
		errs = append(errs, fmt.Errorf("the service's stop_grace_period does not exceed %s", drainMost))
	}
	if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
		errs = append(errs, errors.New("the service has no healthcheck"))
	}
	spool := false
	for _, v := range s.Volumes {
		spool = spool || v.Type == types.VolumeTypeVolume && v.Target == "/var/lib/hookspool"
		if v.Type == types.VolumeTypeBind {
			if _, err := os.Stat(v.Source); err != nil {
				errs = append(errs, fmt.Errorf("cannot mount: %w", err))
			}
		}
	}
	if !spool {
		errs = append(errs, errors.New("the spool is on no volume"))
	}
	return errors.Join(errs...)
}

// checkBuild wants a Dockerfile where the file says.
func checkBuild(s types.ServiceConfig) error {
	if s.Build == nil {
		return errors.New("the service is not built")
	}
	_, err := os.Stat(filepath.Join(s.Build.Context, "Dockerfile"))
	return err
}
