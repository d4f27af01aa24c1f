package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/spool/care"
)

func (k *spoolVerb) exportCommand() *cobra.Command {
	var x care.Selection
	out, actions := "", false
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write events as NDJSON: what is undelivered, or all",
		Long: "Write the events of a spool as lines of JSON, oldest first: those with a pending or\n" +
			"exhausted delivery, or all that are kept. A running relay is asked for it, as of one\n" +
			"instant, and goes on meanwhile. hookspool spool import reads it.\n\n" +
			"With --actions, lines of what operators did follow the events. A hookspool that knows no\n" +
			"such lines refuses the batch they are in, and has the events before it; grep -v\n" +
			"'^{\"action\"' leaves them out. The history of targets stays: it is of this spool, and a\n" +
			"backup has it.",
		Example: "  hookspool spool export > undelivered.ndjson\n" +
			"  hookspool spool export --actions --out moving.ndjson\n" +
			"  hookspool spool export --all --target crm --out crm.ndjson",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := k.untilStopped(cmd.Context(), func(os.Signal) {})
			defer stop()
			if actions {
				x.Action = func(body []byte) []byte { return action.Line(body, x.Target) }
			}
			return k.export(ctx, x, out)
		},
	}
	cmd.Flags().BoolVar(&x.All, "all", false, "all events that are kept, delivered ones too")
	cmd.Flags().StringVar(&x.Target, "target", "", "only what this `TARGET` is owed")
	cmd.Flags().BoolVar(&actions, "actions", false, "what operators did, too")
	cmd.Flags().StringVarP(&out, "out", "o", "", "write to this new `FILE` (default: stdout)")
	return k.addAdminFlag(cmd)
}

func (k *spoolVerb) export(ctx context.Context, x care.Selection, out string) error {
	w, err := k.output(out)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriterSize(w, 256<<10)
	n, err := k.writeExport(ctx, buffer, x)
	if err == nil {
		err = buffer.Flush()
	}
	if err = w.end(err); err != nil {
		return err
	}
	if k.json && w.file != nil {
		if err := k.printJSON(n); err != nil {
			return err
		}
	} else {
		what := count(int(n.Events), "event")
		if x.Action != nil {
			what += ", " + count(int(n.Actions), "action")
		}
		k.say("exported %s", what)
	}
	if n.Unreadable > 0 {
		return fail("hookspool spool verify names them", "%s cannot be read and was left out",
			count(int(n.Unreadable), "event"))
	}
	return nil
}

// writeExport asks the relay if one is running, else reads the spool.
func (k *spoolVerb) writeExport(ctx context.Context, w io.Writer, x care.Selection) (
	care.ExportCount, error) {
	var n care.ExportCount
	relay, err := k.relay()
	if err != nil {
		return n, err
	}
	if relay != nil {
		k.say("exporting from the running relay at %s", relay.shown)
		values := url.Values{"all": {strconv.FormatBool(x.All)},
			"target": {x.Target}, "progress": {"true"}, "actions": {strconv.FormatBool(x.Action != nil)}}
		show, end := k.bar("exporting")
		defer end()
		return n, k.explain(relay.follow(ctx, "/v1/spool/export?"+values.Encode(),
			&following{events: w, show: show, result: &n}))
	}
	r, err := k.reader(ctx)
	if err != nil {
		return n, err
	}
	if !k.shared() {
		k.say("exporting from the spool at rest in %q", k.dir)
	}
	show, end := k.bar("exporting")
	x.Progress = show
	n, err = care.Export(ctx, r, w, x)
	end()
	if err = errors.Join(err, r.Close()); err != nil {
		return n, k.explainSpool(interrupted(ctx, err))
	}
	return n, nil
}
