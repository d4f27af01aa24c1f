package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/cmd/hookspool/manual"
	"github.com/hookspool/hookspool/relay"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

const lossFlag = "accept-data-loss"

func (c *cli) serveCommand() *cobra.Command {
	acceptLoss := false
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the relay",
		Long: "Run the relay until SIGTERM or SIGINT; a second signal ends it at once. SIGHUP reads " +
			"the\n" +
			"config again; a bad one changes nothing. Under systemd use Type=notify.\n\n" +
			"The log goes to stderr. Nothing accepted is lost by any way of stopping it.",
		Example: "  hookspool serve\n" +
			"  hookspool serve --config /etc/hookspool/hookspool.toml",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.serve(cmd.Context(), acceptLoss)
		},
	}
	cmd.Flags().BoolVar(&acceptLoss, lossFlag, false, "start although the spool has lost events that "+
		"it had acknowledged")
	return cmd
}

// serve wires the process around a relay: its log, its signals and its service manager.
func (c *cli) serve(parent context.Context, acceptLoss bool) error {
	setUmask()
	ignoreTerminal()
	c.neverWait(nil)
	cfg, err := c.loadConfig()
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Log.Level)
	log := slog.New(logHandler(c.errOut, cfg.Log.Format, level))
	hearLibraries(log)
	dropped := c.noteInLog(cfg.Log.Format)
	for _, warning := range c.surroundings(cfg) {
		log.Warn("environment: " + warning)
	}
	limits := c.readLimits()
	budget := limits.budget()
	logMemory(log, budget)
	defer limitMemory(budget.Heap, limits.heap > 0)()
	signalled := func(s os.Signal) { log.Info("a signal came", "signal", s.String()) }
	ctx, stop := parent, func() {}
	if cfg.Spool.Shared() { // its start may wait for servers; that of another is ended by the signal
		ctx, stop = c.untilSignal(parent, signalled)
	}
	defer func() { stop() }()
	r, err := relay.New(relay.Options{Config: cfg, Version: build().Version, Log: log, Level: level,
		Budget: budget, Starting: ctx,
		AcceptLoss: acceptLoss, OnCompaction: shareCPUs(), LogDropped: dropped, Manual: manual.HTML})
	if err != nil && ctx.Err() != nil {
		log.Info("stopped before it was ready", "reason", err)
		return nil
	}
	if err != nil {
		return startFailure(err)
	}
	logStart(log, r, cfg)
	r.OnReady(func() {
		log.Info("ready")
		notify(log, daemon.SdNotifyReady)
	})
	if !cfg.Spool.Shared() {
		ctx, stop = c.untilSignal(parent, signalled)
	}
	// Beside the relay's leaving, which must not wait for a service manager.
	defer context.AfterFunc(ctx, func() { notify(log, daemon.SdNotifyStopping) })()
	defer onHangup(r, log)()
	if err := r.Run(ctx); err != nil {
		return runFailure(r, err)
	}
	return nil
}

func logHandler(to io.Writer, format string, level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(to, options)
	}
	return slog.NewTextHandler(to, options)
}

// hearLibraries has what libraries write to the log of the process come as lines of level debug:
// net/http tells there what a target sends that HTTP/2 does not know, as often as it is sent.
func hearLibraries(log *slog.Logger) {
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer())
}

// noteInLog has the log say in its own format how many of its lines are missing, whatever its
// level, and returns what counts them.
func (c *cli) noteInLog(format string) (dropped func() uint64) {
	s := c.errOut.(*sink)
	s.tell(func(lines int) []byte {
		var b bytes.Buffer
		slog.New(logHandler(&b, format, slog.LevelWarn)).Warn(
			"lines of the log were dropped here: it was not read, or could not be written",
			"lines", lines)
		return b.Bytes()
	})
	return s.dropped
}

func logStart(log *slog.Logger, r *relay.Relay, cfg *config.Config) {
	events, admin := r.Addresses()
	log.Info("hookspool starts", "version", build().Version, "events", events, "admin", admin,
		"spool", cfg.Spool.Dir, "config", cfg.Path, "targets", len(cfg.Targets))
	for _, t := range cfg.Targets {
		log.Info("target", "name", t.Name, "url", config.MaskURL(t.URL), "status", t.Status.String())
	}
	for _, warning := range cfg.Warnings() {
		log.Warn("config: " + warning)
	}
}

// onHangup reloads on every SIGHUP until the function returned is called, which waits for a reload
// under way.
func onHangup(r *relay.Relay, log *slog.Logger) func() {
	hangups := make(chan os.Signal, 1) // one that is waiting stands for all that follow
	signal.Notify(hangups, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range hangups {
			notify(log, "RELOADING=1\n"+daemon.SdNotifyMonotonicUsec())
			// A failure is logged and counted by the relay, which goes on with what it has.
			_, _ = r.Reload()
			notify(log, daemon.SdNotifyReady)
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-ended
	}
}

// notifyPatience is for a service manager whose socket is full because it does not read.
const notifyPatience = 5 * time.Second

// notify tells a service manager; without one it does nothing.
func notify(log *slog.Logger, state string) {
	if err := notifySocket(os.Getenv("NOTIFY_SOCKET"), state); err != nil {
		log.Warn("cannot notify the service manager; the relay goes on", "error", err)
	}
}

// notifySocket is sd_notify(3), as in package daemon, but never waits for longer than
// notifyPatience.
func notifySocket(path, state string) error {
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(notifyPatience)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(state))
	return err
}

// startFailure is why New failed, with what to do.
func startFailure(err error) *failure { return fail(startAdvice(err), "%w", err) }

// startAdvice says what to do about an error that keeps a relay from starting.
func startAdvice(err error) string {
	switch {
	case engineAdvice(err) != "":
		return engineAdvice(err)
	case errors.Is(err, spool.ErrInUse):
		return "is another hookspool running? each needs a spool.dir of its own, and those that share " +
			"a spool a spool.jetstream.relay"
	case errors.Is(err, spool.ErrAway):
		return "move it back to spool.dir and start again; if it is to be given up: hookspool serve --" +
			lossFlag
	case errors.Is(err, spool.ErrWrongKey):
		return "set spool.encryption_key to the key that the spool was made with; if it is that, " +
			"db/KEYREGISTRY is damaged: restore it from a backup"
	case errors.Is(err, spool.ErrLoss):
		return "restore spool.dir from a backup, or go on without what is gone: hookspool serve --" +
			lossFlag
	case errors.Is(err, spool.ErrDamaged):
		return "look after the disk; keep a copy of spool.dir as it is, and restore it from a backup"
	case systemAdvice(err) != "":
		return systemAdvice(err)
	case errors.Is(err, syscall.EADDRINUSE), strings.Contains(err.Error(), "in use by another"):
		return "is another hookspool running? or change server.listen and server.admin_listen"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has that address: change server.listen or " +
			"server.admin_listen; :PORT is all interfaces"
	case errors.Is(err, spool.ErrDirectory):
		return "name in spool.dir a directory that is hookspool's own or can be made; no link is followed"
	case strings.HasPrefix(err.Error(), "cannot listen"):
		return "change server.listen or server.admin_listen; " + configExample()
	}
	return "hookspool check tells whatever else keeps it from starting"
}

// runFailure is why the relay stopped by itself or could not stop cleanly.
func runFailure(r *relay.Relay, err error) *failure {
	if errors.Is(r.Dead(), spool.ErrMoved) {
		return fail("move it back to where it was and start again: what was acknowledged is in it; what "+
			"was removed for good is lost", "%w", err)
	}
	if errors.Is(r.Dead(), spool.ErrFailed) {
		return fail(deadAdvice(r.Dead()), "%w", err)
	}
	return fail("nothing accepted is lost; start again", "%w", err)
}

// deadAdvice says what to do about an error that has stopped the spool of a running relay.
func deadAdvice(err error) string {
	const begin = "start again: what was acknowledged is read from the disk, what was not was refused"
	if advice := systemAdvice(err); advice != "" {
		return advice + ". Then " + begin
	}
	return "look after the disk of spool.dir and " + begin
}
