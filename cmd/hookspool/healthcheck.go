package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	healthTimeout = 4 * time.Second // below Docker's and Kubernetes' habits of 5s and more
	healthEvery   = 100 * time.Millisecond
)

func (c *cli) healthcheckCommand() *cobra.Command {
	live, wait := false, time.Duration(0)
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Exit 0 if the relay is ready, else 1",
		Long: "Ask a running relay whether it is ready, for the HEALTHCHECK of an image without a " +
			"shell.\n" +
			"With --wait it asks until it is, so that an app can start after it.",
		Example: "  HEALTHCHECK CMD [\"/hookspool\", \"healthcheck\"]\n" +
			"  hookspool healthcheck --wait 30s && start-the-app",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/readyz"
			if live {
				path = "/livez"
			}
			return c.healthcheck(cmd.Context(), path, wait)
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask whether it lives (/livez) rather than is ready")
	cmd.Flags().DurationVar(&wait, "wait", 0, "ask again until it is, for this `DURATION` at most")
	return c.addAdminFlag(cmd)
}

func (c *cli) healthcheck(ctx context.Context, path string, wait time.Duration) error {
	relay, err := c.admin()
	if err != nil {
		return err
	}
	end := time.Now().Add(wait)
	ticker := time.NewTicker(healthEvery)
	defer ticker.Stop()
	for {
		text, err := relay.health(ctx, path)
		if err == nil {
			if c.json {
				return c.printJSON(map[string]bool{"ok": true})
			}
			c.print("%s\n", clean(text))
			return nil
		}
		if time.Now().After(end) {
			return c.explain(err)
		}
		<-ticker.C
	}
}

// health asks once. No token is sent: health needs none, and the listener may not be ours.
func (p *peer) health(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	r, err := http.NewRequest(http.MethodGet, p.base+path, bytes.NewReader(nil))
	if err != nil {
		return "", err
	}
	open := *p
	open.token = ""
	status, header, body, err := open.do(ctx, r)
	text := strings.TrimSpace(string(body))
	switch {
	case err != nil:
		return "", err
	case status == http.StatusOK:
		return text, nil
	case status == http.StatusServiceUnavailable && text != "":
		return "", fail("--wait 30s waits until it is", "the relay is not ready: %s",
			strings.ReplaceAll(text, "\n", "; "))
	}
	return "", refusalOf(p, status, header, body)
}
