package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// drainMost is what a grace period must exceed: server.drain_timeout's default.
const drainMost = 25 * time.Second

// checkCompose loads a file as `docker compose config` does: schema, references, interpolation.
func checkCompose(ctx context.Context, path string) error {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithResolvedPaths(true))
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return fmt.Errorf("cannot load %s: %w", path, err)
	}
	relay, err := project.GetService("hookspool")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return errors.Join(checkService(relay), checkBuild(relay))
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
