package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/sharing"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
)

// spoolVerb is what the spool verbs share: which spool, and its key.
type spoolVerb struct {
	*cli
	dir string // --dir; empty: spool.dir of the config
	key []byte
	// ofConfig: dir is the config's, so the relay of the config is the one that uses it.
	ofConfig bool
	// locked: somebody uses it.
	locked bool
	// targets are the names of the config's, if one was read.
	targets map[string]bool
	// cfg is the config, if one was read.
	cfg *config.Config
}

// shared reports whether the spool is one that servers keep: that of the config, not of --dir.
func (k *spoolVerb) shared() bool { return k.ofConfig && k.cfg.Spool.Shared() }

// atRest is a spool that can be read while no relay uses it.
type atRest interface {
	care.Source
	Close() error
}

// copied is the copy of a spool that servers keep.
type copied struct {
	engine.Engine
	dir string
}

// Reading is part of care.Source.
func (c *copied) Reading(ctx context.Context, look func(context.Context, engine.Look) error) error {
	l := c.Look()
	defer l.Close()
	return look(ctx, l)
}

// Home is part of care.Source. What is read of the copy is not encrypted any more.
func (c *copied) Home() (dir string, key []byte) { return c.dir, nil }

// openEngine opens the engine of a spool that servers keep, under a name of its own.
func (k *spoolVerb) openEngine(ctx context.Context, verb string) (engine.Engine, error) {
	o := sharing.Options{Config: k.cfg, Log: k.log(), Context: ctx, ReadOnly: verb == ""}
	if verb != "" {
		options, err := sharing.JetStream(k.cfg, o.Log)
		if err != nil {
			return nil, err
		}
		o.Name = fmt.Sprintf("%s-%s-%d", options.Relay, verb, os.Getpid())
	}
	k.say("reading the stream %s of %s", k.cfg.Spool.JetStream.Name,
		strings.Join(k.cfg.Spool.JetStream.Servers(), ", "))
	e, err := sharing.Open(o)
	if err != nil {
		return nil, k.explainSpool(interrupted(ctx, err))
	}
	return e, nil
}

func (c *cli) spoolCommand() *cobra.Command {
	k := &spoolVerb{cli: c}
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "Look after a spool: stat, verify, export, import, backup, restore",
		Long: "Look after the spool of the config, or of --dir. When a relay is running on the spool " +
			"of\n" +
			"the config, or --admin names one, it is asked, and goes on meanwhile. Otherwise the spool\n" +
			"is at rest: it is opened, which keeps a relay from starting until the verb is done.",
		Example: "  hookspool spool stat\n  hookspool spool verify\n" +
			"  hookspool spool export --out undelivered.ndjson\n" +
			"  hookspool spool backup spool.bak\n  hookspool spool restore spool.bak --dir ./restored",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&k.dir, "dir", "", "the spool's `DIRECTORY` (default: spool.dir "+
		"of the config)")
	for _, verb := range []func() *cobra.Command{k.statCommand, k.verifyCommand, k.exportCommand,
		k.importCommand, k.backupCommand, k.restoreCommand} {
		cmd.AddCommand(verb())
	}
	return cmd
}

// find settles directory and key. Without --dir a config is needed; with it one is read for the key
// if it is named.
func (k *spoolVerb) find() error {
	if k.dir != "" && k.config == "" && k.getenv(configEnv) == "" {
		return nil
	}
	cfg, err := k.loadConfig()
	if err != nil {
		return err
	}
	k.cfg, k.key, k.targets = cfg, cfg.Spool.Key, make(map[string]bool)
	for i := range cfg.Targets {
		k.targets[cfg.Targets[i].Name] = true
	}
	if k.dir == "" {
		k.dir, k.ofConfig = cfg.Spool.Dir, true
	}
	if err := care.CheckHome(k.dir, k.shared()); err != nil {
		return k.explainSpool(err)
	}
	return nil
}

func (k *spoolVerb) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(k.errOut, &slog.HandlerOptions{Level: slog.LevelError}))
}

func (k *spoolVerb) reader(ctx context.Context) (atRest, error) {
	if err := k.find(); err != nil {
		return nil, err
	}
	if k.shared() {
		e, err := k.openEngine(ctx, "")
		if err != nil {
			return nil, err
		}
		return &copied{e, k.dir}, nil
	}
	r, err := care.OpenReader(care.ReaderOptions{Dir: k.dir, EncryptionKey: k.key, Log: k.log()})
	if err != nil {
		return nil, k.explainSpool(err)
	}
	return r, nil
}

// explainSpool adds what to do.
func (k *spoolVerb) explainSpool(err error) error {
	var f *failure
	if err == nil || errors.As(err, &f) {
		return err
	}
	hint := ""
	switch {
	case engineAdvice(err) != "":
		hint = engineAdvice(err)
	case errors.Is(err, spool.ErrInUse):
		hint = "a relay is running on it: stop it, or name it with --admin URL"
	case errors.Is(err, spool.ErrNoSpool):
		hint = "name another with --dir DIRECTORY or --config FILE"
	case errors.Is(err, spool.ErrWrongKey):
		hint = "set spool.encryption_key in the config that --config names"
	case errors.Is(err, spool.ErrDamaged), errors.Is(err, spool.ErrLoss),
		errors.Is(err, care.ErrBadBackup):
		hint = "hookspool spool verify names what is wrong; a backup that verifies can be restored"
	case errors.Is(err, care.ErrNotEmpty):
		hint = "restore into a directory that is missing or empty, and move it into place"
	case errors.Is(err, spool.ErrAway), errors.Is(err, spool.ErrMoved):
		hint = "move it back to where it was, and run it again"
	default:
		hint = systemAdvice(err)
	}
	return fail(hint, "%w", err)
}

// bar is progress on a terminal.
func (k *spoolVerb) bar(what string) (show func(done, total int64), end func()) {
	if !isTerminal(k.errOut) {
		return func(int64, int64) {}, func() {}
	}
	b := progressbar.NewOptions64(1, progressbar.OptionSetWriter(k.errOut),
		progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	show = func(done, total int64) {
		b.ChangeMax64(max(total, done, 1))
		_ = b.Set64(done) // a bar that cannot be drawn stops nothing
	}
	return show, func() { _ = b.Finish() }
}

func (k *spoolVerb) statCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stat",
		Short: "Show the spool in numbers",
		Long: "Show what the spool holds. A running relay is asked; a spool at rest is read. Of each\n" +
			"target: the deliveries that are pending; those of them that failed before, or are replays,\n" +
			"and wait for a job (RETRYING); what is kept as exhausted; how many were delivered, and\n" +
			"purged, ever; and its failed jobs in a row.",
		Example: "  hookspool spool stat\n" +
			"  hookspool spool stat --dir /var/lib/hookspool/hookspool-data\n" +
			"  hookspool spool stat --json | jq '.targets[].pending'",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := k.stat(cmd.Context())
			if err != nil {
				return err
			}
			if k.json {
				return k.printJSON(st)
			}
			k.printStat(st)
			return nil
		},
	}
	return k.addAdminFlag(cmd)
}

func (k *spoolVerb) stat(ctx context.Context) (*care.Stat, error) {
	relay, err := k.relay()
	if err != nil {
		return nil, err
	}
	if relay != nil {
		st := new(care.Stat)
		return st, k.explain(relay.callLong(ctx, "GET", "/v1/spool", st))
	}
	r, err := k.reader(ctx)
	if err != nil {
		return nil, err
	}
	st, err := care.StatOf(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, k.explainSpool(err)
	}
	return st, nil
}

func (k *spoolVerb) printStat(st *care.Stat) {
	k.print("spool        %s (format %d)\n", st.Spool, st.Format)
	k.print("events       %d kept, newest %d, swept to %d\n", st.Events, st.Head, st.Swept)
	k.print("on disk      %s\n", bytesText(st.Bytes))
	k.print("last tick    %s\n", age(st.LastTick, time.Now()))
	k.print("sessions     %d records\n", st.Sessions)
	k.print("alerts owed  %d\n", st.Notices)
	k.print("quarantined  %d records\n", st.Quarantined)
	if len(st.Targets) == 0 {
		return
	}
	t := &table{columns: []column{{name: "TARGET", flex: true, min: 12},
		{name: "PENDING", right: true}, {name: "RETRYING", right: true, spare: 1},
		{name: "EXHAUSTED", right: true}, {name: "DELIVERED", right: true},
		{name: "PURGED", right: true, spare: 2}, {name: "FAILED-JOBS", right: true, spare: 3}}}
	for _, l := range st.Targets {
		n := func(v uint64) string { return strconv.FormatUint(v, 10) }
		t.add(l.Name, n(l.Pending), n(l.Exceptions), n(l.Exhausted), n(l.Delivered), n(l.Purged),
			strconv.Itoa(l.FailedJobs))
	}
	k.print("\n")
	k.printTable(t)
}

func (k *spoolVerb) verifyCommand() *cobra.Command {
	return k.addAdminFlag(&cobra.Command{
		Use:   "verify",
		Short: "Read every record of a spool and prove counts and checksums",
		Long: "Read every record of a spool, check its checksum, and hold every count against what is\n" +
			"there. A running relay does it as of one instant and goes on meanwhile; what cannot be\n" +
			"proven then is said. Exit 1 if anything does not add up. Nothing is repaired or deleted.",
		Example: "  hookspool spool verify\n  hookspool spool verify --json | jq .faults",
		Args:    arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := k.untilStopped(cmd.Context(), func(os.Signal) {})
			defer stop()
			rep, err := k.verify(ctx)
			if err != nil {
				return err
			}
			return k.printReport(rep)
		},
	})
}

// verify asks the relay if one is running, else reads the spool.
func (k *spoolVerb) verify(ctx context.Context) (*care.Report, error) {
	relay, err := k.relay()
	if err != nil {
		return nil, err
	}
	if relay != nil {
		k.say("verifying the spool of the running relay at %s", relay.shown)
		show, end := k.bar("verifying")
		defer end()
		rep := new(care.Report)
		return rep, k.explain(relay.follow(ctx, "/v1/spool/verify",
			&following{events: io.Discard, show: show, result: rep}))
	}
	if k.shared() {
		return k.verifyCopy(ctx)
	}
	k.say("verifying the spool at rest in %q", k.dir)
	show, end := k.bar("verifying")
	rep, err := care.Verify(ctx,
		care.ReaderOptions{Dir: k.dir, EncryptionKey: k.key, Log: k.log()}, show)
	end()
	if err != nil {
		return nil, k.explainSpool(interrupted(ctx, err))
	}
	return rep, nil
}

// verifyCopy reads every record of a spool that servers keep. They check what they have themselves.
func (k *spoolVerb) verifyCopy(ctx context.Context) (*care.Report, error) {
	r, err := k.reader(ctx)
	if err != nil {
		return nil, err
	}
	show, end := k.bar("verifying")
	rep, err := care.VerifyLive(ctx, r, show)
	end()
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, k.explainSpool(interrupted(ctx, err))
	}
	return rep, nil
}

func (k *spoolVerb) printReport(rep *care.Report) error {
	if k.json {
		if err := k.printJSON(rep); err != nil {
			return err
		}
		if rep.FaultCount > 0 {
			return silent()
		}
		return nil
	}
	for _, note := range rep.Notes {
		k.print("note: %s\n", clean(note))
	}
	for _, what := range rep.NotChecked {
		k.print("not checked online: %s\n", clean(what))
	}
	for _, fault := range rep.Faults {
		k.print("fault: %s\n", clean(fault))
	}
	if n := rep.FaultCount; n > 0 {
		return fail("a relay sets aside what it cannot read and delivers the rest; a backup that "+
			"verifies can be restored with hookspool spool restore",
			"the spool does not add up: %s", count(n, "fault"))
	}
	k.print("ok: %s, %s, every checksum and every count fits\n", count(int(rep.Records), "record"),
		count(int(rep.Events), "event"))
	return nil
}
