package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/book"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
)

const (
	// importBatch events, or so many bytes of lines, are written at once. A relay that runs gets
	// smaller batches: one fits into a commit, so that accepting waits for one sync at most.
	importBatch     = 500
	importRestBytes = 8 << 20
	importLiveBytes = 1 << 20
	// importLineMax bounds a line. JSON makes six bytes of a control character, so that is what the
	// largest payload may grow to.
	importLineMax = 8 << 20
)

func (k *spoolVerb) importCommand() *cobra.Command {
	return k.addAdminFlag(&cobra.Command{
		Use:   "import [FILE|-]",
		Short: "Put exported events into a spool",
		Long: "Put the events of an export into a spool: a running relay is asked to take them, one " +
			"at\n" +
			"rest is written, and made if there is none. Each event becomes pending for the targets\n" +
			"that it was not delivered to; attempts start again. One that the spool holds already is\n" +
			"skipped, so that it is safe to run twice. A batch with a bad line is not written. What POST\n" +
			"would refuse is refused here, as is a target that no config could name; of targets that are\n" +
			"not in the config there may be 1,000, which purge --forget removes. What operators did\n" +
			"(export --actions) is told here too then, as imported.",
		Example: "  hookspool spool import undelivered.ndjson\n" +
			"  hookspool spool export --dir old | hookspool spool import -",
		Args: arguments(0, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, size, closeIn := k.in, int64(0), func() error { return nil }
			if len(args) > 0 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fail("", "cannot read %q: %w", args[0], cause(err))
				}
				in, closeIn = f, f.Close
				if info, err := f.Stat(); err == nil {
					size = info.Size()
				}
			}
			ctx, stop := k.untilStopped(cmd.Context(), func(os.Signal) {})
			defer stop()
			return errors.Join(k.importFrom(ctx, in, size), closeIn())
		},
	})
}

// importer writes batches of lines, each all or none.
type importer interface {
	// add takes a line into the batch, or says what is wrong with it.
	add(line []byte) error
	// write writes the batch and begins the next. A *care.ImportError names lines of it.
	write(ctx context.Context) (care.ImportCount, error)
	close() error
}

func (k *spoolVerb) importFrom(ctx context.Context, in io.Reader, size int64) error {
	into, bytesMax, err := k.openImporter(ctx)
	if err != nil {
		return err
	}
	show, end := k.bar("importing")
	b := importing{into: into, bytesMax: bytesMax,
		show: func(done int64) { show(done, max(done, size)) }}
	err = b.all(ctx, in)
	end()
	if err = errors.Join(err, into.close()); err != nil {
		err = k.explainImport(err)
	}
	if k.json {
		return errors.Join(k.printJSON(b.total), err)
	}
	k.print("imported %d, deliveries %d, held already %d, owing nothing %d", b.total.Imported,
		b.total.Deliveries, b.total.Duplicates, b.total.Finished)
	if n := &b.total; n.Actions+n.ActionsSkipped > 0 {
		k.print(", actions %d, held already or too old %d", n.Actions, n.ActionsSkipped)
	}
	k.print("\n")
	return err
}

// openImporter chooses the relay if one is running, else the spool.
func (k *spoolVerb) openImporter(ctx context.Context) (into importer, bytesMax int, err error) {
	relay, err := k.relay()
	if err != nil {
		return nil, 0, err
	}
	if relay != nil {
		k.say("importing into the running relay at %s", relay.shown)
		return &liveImporter{relay: relay}, importLiveBytes, nil
	}
	setUmask()
	o := spool.Options{Dir: k.dir, EncryptionKey: k.key, Log: k.log()}
	if k.shared() {
		if o.Engine, err = k.openEngine(ctx, "import"); err != nil {
			return nil, 0, err
		}
	}
	s, err := spool.Open(o)
	if err != nil {
		return nil, 0, k.explainSpool(err)
	}
	s.Start()
	into = &restImporter{s: s, targets: k.targets,
		book: &book.Book{Spool: s, Log: k.log(), Now: time.Now}}
	if k.shared() {
		return into, importLiveBytes, nil
	}
	k.say("importing into the spool at rest in %q", k.dir)
	return into, importRestBytes, nil
}

func (k *spoolVerb) explainImport(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	return k.explain(k.explainSpool(err))
}

// importing is an import under way, and the batch in the making.
type importing struct {
	into     importer
	bytesMax int
	show     func(done int64)
	total    care.ImportCount
	line     int
	at       []int // the lines of the batch
	bytes    int   // of them
	read     int64
	bad      []string
}

// all imports batch by batch; what came before a bad batch stays.
func (b *importing) all(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(untilDone(ctx, in))
	lines.Buffer(make([]byte, 64<<10), importLineMax)
	for ctx.Err() == nil && lines.Scan() {
		b.line++
		b.read += int64(len(lines.Bytes())) + 1
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if full := b.add(line); full {
			if err := b.write(ctx); err != nil {
				return interrupted(ctx, err)
			}
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fail("", "cannot read line %d: %w", b.line+1, err)
	}
	if ctx.Err() != nil {
		return interrupted(ctx, nil)
	}
	return interrupted(ctx, b.write(ctx))
}

// interrupted replaces what somebody who stopped a verb already knows.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fail("run it again; nothing is left half done", "interrupted")
}

func (b *importing) add(line []byte) (full bool) {
	if err := b.into.add(line); err != nil {
		b.bad = append(b.bad, fmt.Sprintf("line %d: %s", b.line, err))
	}
	b.at = append(b.at, b.line)
	b.bytes += len(line)
	return len(b.at) >= importBatch || b.bytes >= b.bytesMax
}

func (b *importing) write(ctx context.Context) error {
	if len(b.at) == 0 {
		return nil
	}
	if len(b.bad) == 0 {
		n, err := b.into.write(ctx)
		var refused *care.ImportError
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
	b.show(b.read)
	b.at, b.bytes = b.at[:0], 0
	return nil
}

// restImporter writes into a spool at rest.
type restImporter struct {
	s *spool.Spool
	// targets are those of the config; nil: none was read.
	targets map[string]bool
	book    *book.Book
	lines   int // of the batch
	events  []*care.Exported
	at      []int // where in the batch the events are
	actions []*action.Action
}

func (m *restImporter) add(line []byte) error {
	m.lines++
	if action.IsLine(line) {
		a, err := action.ParseLine(line, time.Now())
		m.actions = append(m.actions, a)
		return err
	}
	x, err := accept.ParseImported(line)
	if err == nil {
		m.events, m.at = append(m.events, x), append(m.at, m.lines-1)
	}
	return err
}

func (m *restImporter) write(context.Context) (care.ImportCount, error) {
	n, err := care.Import(m.s, m.events, func(name string) bool { return m.targets[name] })
	var refused *care.ImportError
	if errors.As(err, &refused) {
		err = refused.At(m.at)
	}
	m.lines, m.events, m.at = 0, m.events[:0], m.at[:0]
	if err != nil {
		return n, err
	}
	taken, skipped, err := m.book.Bring(m.actions)
	n.Actions, n.ActionsSkipped, m.actions = int64(taken), int64(skipped), m.actions[:0]
	return n, err
}

func (m *restImporter) close() error { return m.s.Close() }

// liveImporter posts to a relay, which looks at the lines.
type liveImporter struct {
	relay *peer
	body  []byte
	run   string // what the calls before were; empty: this is the first
}

func (m *liveImporter) add(line []byte) error {
	m.body = append(append(m.body, line...), '\n')
	return nil
}

func (m *liveImporter) write(ctx context.Context) (care.ImportCount, error) {
	var n struct {
		care.ImportCount
		Run string `json:"run"`
	}
	path := "/v1/spool/import"
	if m.run != "" {
		path += "?run=" + m.run
	}
	answer, err := m.relay.open(ctx, path, m.body)
	m.body = m.body[:0]
	var refused *refusedLines
	if errors.As(err, &refused) {
		return n.ImportCount, refused.importError()
	}
	if err != nil {
		return n.ImportCount, err
	}
	defer answer.Close()
	err = decodeAnswer(m.relay, answer, &n)
	if n.Run != "" {
		m.run = n.Run
	}
	return n.ImportCount, err
}

func (m *liveImporter) close() error { return nil }

// refusedLines are what a relay says about lines of an import.
type refusedLines struct {
	*failure
	problem admin.Problem
}

func (r *refusedLines) Unwrap() error { return r.failure }

func (r *refusedLines) importError() error {
	e := &care.ImportError{Reasons: make(map[int]string)}
	for i, line := range r.problem.Lines {
		if i < len(r.problem.Faults) {
			e.Reasons[line-1] = clean(r.problem.Faults[i])
		}
	}
	return e
}
