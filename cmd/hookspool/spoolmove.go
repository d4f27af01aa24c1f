package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/spool"
)

const (
	// importBatch events, or importBytes of lines, are written at once.
	importBatch = 500
	importBytes = 8 << 20
	// importLineMax bounds a line. JSON makes six bytes of a control character, so that is what the
	// largest payload may grow to.
	importLineMax = 8 << 20
)

func (k *care) exportCommand() *cobra.Command {
	var x spool.Export
	out := ""
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write events as NDJSON: what is undelivered, or all",
		Long: "Write the events of a spool at rest as lines of JSON, oldest first: those with a " +
			"pending\n" +
			"or exhausted delivery, or all that are kept. hookspool spool import reads it.",
		Example: "  hookspool spool export > undelivered.ndjson\n" +
			"  hookspool spool export --all --target crm --out crm.ndjson",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := k.untilSignal(cmd.Context(), func(os.Signal) {})
			defer stop()
			return k.export(ctx, x, out)
		},
	}
	cmd.Flags().BoolVar(&x.All, "all", false, "all events that are kept, delivered ones too")
	cmd.Flags().StringVar(&x.Target, "target", "", "only what this `TARGET` is owed")
	cmd.Flags().StringVarP(&out, "out", "o", "", "write to this new `FILE` (default: stdout)")
	return cmd
}

func (k *care) export(ctx context.Context, x spool.Export, out string) error {
	r, err := k.reader()
	if err != nil {
		return err
	}
	w, closeOut, err := k.output(out)
	if err != nil {
		return errors.Join(err, r.Close())
	}
	show, end := k.bar("exporting")
	x.Progress = show
	buffer := bufio.NewWriterSize(w, 256<<10)
	n, err := r.Export(ctx, buffer, x)
	end()
	if err = errors.Join(err, buffer.Flush(), closeOut(), r.Close()); err != nil {
		return k.explainSpool(err)
	}
	k.say("exported %s", count(int(n.Events), "event"))
	if n.Unreadable > 0 {
		return fail("hookspool spool verify names them", "%s cannot be read and was left out",
			count(int(n.Unreadable), "event"))
	}
	return nil
}

func (k *care) importCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import [FILE|-]",
		Short: "Put exported events into a spool at rest",
		Long: "Put the events of an export into a spool at rest, which is made if there is none. Each\n" +
			"becomes pending for the targets that it was not delivered to; attempts start anew. An event\n" +
			"that the spool holds already is skipped, so that it is safe to run twice. A batch with a\n" +
			"bad line is not written.",
		Example: "  hookspool spool import undelivered.ndjson\n" +
			"  hookspool spool export --dir old | hookspool spool import --dir new -",
		Args: arguments(0, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, closeIn := io.Reader(k.in), func() error { return nil }
			if len(args) > 0 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fail("", "cannot read %q: %w", args[0], cause(err))
				}
				in, closeIn = f, f.Close
			}
			ctx, stop := k.untilSignal(cmd.Context(), func(os.Signal) {})
			defer stop()
			return errors.Join(k.importFrom(ctx, in), closeIn())
		},
	}
}

func (k *care) importFrom(ctx context.Context, in io.Reader) error {
	if err := k.find(); err != nil {
		return err
	}
	setUmask()
	m, err := spool.OpenImporter(spool.Options{Dir: k.dir, EncryptionKey: k.key, Log: k.log()})
	if err != nil {
		return k.explainSpool(err)
	}
	var total spool.ImportCount
	err = k.importLines(ctx, m, in, &total)
	if cerr := m.Close(); cerr != nil && err == nil {
		err = k.explainSpool(cerr)
	}
	if k.json {
		return errors.Join(k.printJSON(total), err)
	}
	k.print("imported %d, deliveries %d, held already %d, owing nothing %d\n", total.Imported,
		total.Deliveries, total.Duplicates, total.Finished)
	return err
}

// importLines reads batch by batch; what came before a bad batch stays.
func (k *care) importLines(ctx context.Context, m *spool.Importer, in io.Reader,
	total *spool.ImportCount) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), importLineMax)
	b := importing{m: m, total: total}
	for ctx.Err() == nil && lines.Scan() {
		b.line++
		if len(lines.Bytes()) == 0 {
			continue
		}
		if full := b.add(lines.Bytes()); full {
			if err := b.flush(); err != nil {
				return k.explainImport(err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fail("", "cannot read line %d: %w", b.line+1, err)
	}
	if ctx.Err() != nil {
		return fail("run it again: what is held already is skipped", "the import was interrupted")
	}
	return k.explainImport(b.flush())
}

func (k *care) explainImport(err error) error {
	var f *failure
	if err == nil || errors.As(err, &f) {
		return err
	}
	return k.explainSpool(err)
}

// importing is one batch in the making.
type importing struct {
	m      *spool.Importer
	total  *spool.ImportCount
	line   int
	events []*spool.Exported
	at     []int // the lines of events
	bytes  int
	bad    []string
}

func (b *importing) add(line []byte) (full bool) {
	x, err := spool.ParseExported(line)
	if err != nil {
		b.bad = append(b.bad, fmt.Sprintf("line %d: %s", b.line, err))
	} else {
		b.events, b.at = append(b.events, x), append(b.at, b.line)
	}
	b.bytes += len(line)
	return len(b.events)+len(b.bad) >= importBatch || b.bytes >= importBytes
}

func (b *importing) flush() error {
	if len(b.bad) == 0 {
		n, err := b.m.Import(b.events)
		var refused *spool.ImportError
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		if refused == nil {
			b.total.Add(n)
		} else {
			for i, at := range b.at {
				if reason := refused.Reasons[i]; reason != "" {
					b.bad = append(b.bad, fmt.Sprintf("line %d: %s", at, reason))
				}
			}
		}
	}
	if len(b.bad) > 0 {
		f := fail("mend the lines and run it again: what is held already is skipped",
			"%s cannot be imported; nothing of their batch was written",
			count(len(b.bad), "line"))
		f.detail = b.bad
		return f
	}
	b.events, b.at, b.bytes = b.events[:0], b.at[:0], 0
	return nil
}

func (k *care) backupCommand() *cobra.Command {
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
			ctx, stop := k.untilSignal(cmd.Context(), func(os.Signal) {})
			defer stop()
			return k.backup(ctx, args[0])
		},
	}
	return k.addAdminFlag(cmd)
}

func (k *care) backup(ctx context.Context, name string) error {
	w, closeOut, err := k.output(name)
	if err != nil {
		return err
	}
	err = k.writeBackup(ctx, w)
	if cerr := closeOut(); err == nil && cerr != nil {
		err = fail("", "cannot write %q: %w", name, cause(cerr))
	}
	var info spool.BackupInfo
	if err == nil && name != "-" {
		info, err = k.checkBackup(name)
	}
	if err != nil {
		if name != "-" {
			_ = os.Remove(name) // half a backup is none
		}
		return err
	}
	if k.json {
		return k.printJSON(info)
	}
	k.say("backed up %s, %s, newest event %d", count(int(info.Records), "record"),
		bytesText(info.Bytes), info.Head)
	return nil
}

// writeBackup asks the relay if one is running, else reads the spool.
func (k *care) writeBackup(ctx context.Context, w io.Writer) error {
	if k.adminURL == "" {
		r, err := k.reader()
		if err == nil {
			_, err = r.Backup(ctx, w, k.key)
			if err = errors.Join(err, r.Close()); err != nil {
				return k.explainSpool(err)
			}
			return nil
		}
		if !k.ofConfig || !errors.Is(err, spool.ErrInUse) {
			return err
		}
	} else if err := k.find(); err != nil && k.config != "" {
		return err
	}
	relay, err := k.admin()
	if err != nil {
		return err
	}
	return k.explain(relay.stream(ctx, "POST", "/v1/spool/backup", w))
}

// stream copies the answer of a call.
func (p *peer) stream(ctx context.Context, method, path string, w io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, method, p.base+path, nil)
	if err != nil {
		return fmt.Errorf("cannot make a request: %w", err)
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	answer, err := p.http.Do(r)
	if err != nil {
		return newUnreachable(p, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
		return refusalOf(p, answer.StatusCode, answer.Header, body)
	}
	if _, err := io.Copy(w, answer.Body); err != nil {
		return newUnreachable(p, err)
	}
	return nil
}

func (k *care) checkBackup(name string) (spool.BackupInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return spool.BackupInfo{}, fail("", "cannot read %q: %w", name, cause(err))
	}
	info, err := spool.CheckBackup(f, k.key)
	if err = errors.Join(err, f.Close()); err != nil {
		return info, k.explainSpool(fmt.Errorf("cannot read back %q: %w", name, err))
	}
	return info, nil
}

func (k *care) restoreCommand() *cobra.Command {
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
			ctx, stop := k.untilSignal(cmd.Context(), func(os.Signal) {})
			defer stop()
			return k.restore(ctx, args[0])
		},
	}
}

func (k *care) restore(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fail("", "cannot read %q: %w", name, cause(err))
	}
	setUmask()
	info, _, err := spool.Restore(ctx, f, spool.RestoreOptions{Dir: k.dir, EncryptionKey: k.key,
		Log: k.log()})
	if err = errors.Join(err, f.Close()); err != nil {
		return k.explainSpool(err)
	}
	if k.json {
		return k.printJSON(info)
	}
	k.print("restored %s into %s, as of %s\n", count(int(info.Records), "record"), k.dir,
		info.At.Local().Format("2006-01-02 15:04:05"))
	return nil
}
