package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/spf13/cobra"
)

func (k *spoolVerb) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a consistent copy of a spool, running or at rest, into one file",
		Long: "Write the spool as of one instant into a new file, and read it back to its end. A " +
			"running\n" +
			"relay is asked for it and goes on meanwhile; everything acknowledged before is in it.\n" +
			"The backup of an encrypted spool is encrypted with its key.",
		Example: "  hookspool spool backup spool-$(date +%F).bak\n" +
			"  hookspool spool backup --admin http://127.0.0.1:8471 spool.bak",
		Args: arguments(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := k.untilStopped(cmd.Context(), func(os.Signal) {})
			defer stop()
			return k.backup(ctx, args[0])
		},
	}
	return k.addAdminFlag(cmd)
}

func (k *spoolVerb) backup(ctx context.Context, name string) error {
	if name == "-" && k.json {
		return misuse("name a file", "--json would write into the backup on stdout")
	}
	w, err := k.output(name)
	if err != nil {
		return err
	}
	var info care.BackupInfo
	if err = k.writeBackup(ctx, w); err == nil && w.file != nil {
		info, err = k.checkBackup(w.file.Name())
	}
	if err = w.end(err); err != nil {
		return err // half a backup is none
	}
	switch {
	case k.json:
		return k.printJSON(info)
	case w.file == nil:
		k.say("backed up to stdout")
	default:
		k.say("backed up %s, %s, newest event %d", count(int(info.Records), "record"),
			bytesText(info.Bytes), info.Head)
	}
	return nil
}

// writeBackup asks the relay if one is running, else reads the spool.
func (k *spoolVerb) writeBackup(ctx context.Context, w io.Writer) error {
	relay, err := k.relay()
	if err != nil {
		return err
	}
	if relay != nil {
		k.say("backing up the spool of the running relay at %s", relay.shown)
		answer, err := relay.open(ctx, "/v1/spool/backup", nil)
		if err != nil {
			return k.explain(err)
		}
		defer answer.Close()
		if _, err := io.Copy(w, answer); err != nil {
			return brokeOff(ctx, relay, err)
		}
		return nil
	}
	if k.shared() {
		return k.noBackup()
	}
	r, err := k.reader(ctx)
	if err != nil {
		return err
	}
	k.say("backing up the spool at rest in %q", k.dir)
	_, err = care.Backup(ctx, r, w)
	if err = errors.Join(err, r.Close()); err != nil {
		return k.explainSpool(err)
	}
	return nil
}

// noBackup says what to do instead, of a spool that servers keep.
func (k *spoolVerb) noBackup() error {
	return fail("hookspool spool export --all writes its events; nats stream backup "+
		k.cfg.Spool.JetStream.Name+" DIRECTORY copies the stream",
		"the spool is kept by servers, and spool backup copies a spool of this disk")
}

func (k *spoolVerb) checkBackup(name string) (care.BackupInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return care.BackupInfo{}, fail("", "cannot read %q: %w", name, cause(err))
	}
	info, err := care.CheckBackup(f, k.key)
	if err = errors.Join(err, f.Close()); err != nil {
		return info, k.explainSpool(fmt.Errorf("cannot read back %q: %w", name, err))
	}
	return info, nil
}

func (k *spoolVerb) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a spool of a backup, and verify it",
		Long: "Make a spool of a backup, in a directory that is missing or empty, and verify it " +
			"before it\n" +
			"is put into place. What was acknowledged after the backup is not in it; what was delivered\n" +
			"after it is delivered again. The new spool has an id of its own.",
		Example: "  hookspool spool restore spool.bak\n" +
			"  hookspool spool restore spool.bak --dir ./restored",
		Args: arguments(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := k.find(); err != nil {
				return err
			}
			if k.shared() {
				return fail("restore it with --dir DIRECTORY, then hookspool spool export --dir DIRECTORY | "+
					"hookspool spool import -",
					"the spool is kept by servers, and a backup is of a spool on a disk")
			}
			return k.restore(cmd.Context(), args[0])
		},
	}
}

func (k *spoolVerb) restore(parent context.Context, name string) error {
	f, err := os.Open(name) // before signals are held back: a pipe may wait for its other end
	if err != nil {
		return fail("", "cannot read %q: %w", name, cause(err))
	}
	ctx, stop := k.untilStopped(parent, func(os.Signal) {})
	defer stop()
	setUmask()
	info, _, err := care.Restore(ctx, untilDone(ctx, f), care.RestoreOptions{Dir: k.dir,
		EncryptionKey: k.key, Log: k.log()})
	size := int64(0)
	if at, err := f.Stat(); err == nil {
		size = at.Size() // 0 of a pipe
	}
	if err = errors.Join(err, f.Close()); errors.Is(err, spool.ErrFull) && size > 0 {
		return fail(fmt.Sprintf("make %s free there, or name a larger disk with --dir DIRECTORY",
			bytesText(size+care.RestoreSpare)), "%w", err)
	}
	if err != nil {
		return k.explainSpool(err)
	}
	if k.json {
		return k.printJSON(info)
	}
	k.print("restored %s into %s, as of %s\n", count(int(info.Records), "record"), k.dir,
		info.At.Local().Format("2006-01-02 15:04:05"))
	return nil
}
