package main

import (
	"context"
	"errors"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/catalogue"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/sample"
)

func (c *cli) typesCommand() *cobra.Command {
	print := false
	cmd := &cobra.Command{
		Use:   "types [TYPE]",
		Short: "Show the event types: when each is sent, its fields, what it does to a session",
		Long: "Show the catalogue of event types: when each is sent, who wrote, and how many targets\n" +
			"want it. With a TYPE: its fields with an example of each, what it does to the session of\n" +
			"its conversation, which targets would get it and why not, and the sample. --print writes\n" +
			"the sample's bytes and nothing else.\n\n" +
			"A running relay is asked for its rules and targets, else the config, else the defaults.",
		Example: "  hookspool types\n  hookspool types templateMessageSent_v2\n" +
			"  hookspool types message --print >edited.json\n" +
			"  hookspool types --json | jq -r '.types[] | select(.side == \"business\").type'",
		Args:              arguments(0, "TYPE"),
		ValidArgsFunction: completeType,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case print && len(args) == 0:
				return misuse("hookspool types TYPE --print", "--print wants a TYPE")
			case len(args) > 0 && args[0] == "":
				return misuse("hookspool types lists them", "%q is no event type", args[0])
			case print:
				return printPayload(c, args[0])
			case len(args) == 0:
				return showTypes(cmd.Context(), c)
			}
			return showType(cmd.Context(), c, args[0])
		},
	}
	cmd.Flags().BoolVar(&print, "print", false, "write the sample of the TYPE, nothing else")
	return c.addAdminFlag(cmd)
}

// completeType offers the types of the catalogue for the first argument.
func completeType(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return sample.Types(), cobra.ShellCompDirectiveNoFileComp
}

// printPayload writes the bytes of a sample.
func printPayload(c *cli, typ string) error {
	payload, ok := sample.Payload(typ)
	if !ok {
		return noSample(typ)
	}
	c.print("%s", payload)
	return nil
}

// noSample refuses a type that is not in the catalogue.
func noSample(typ string) error {
	hint := "hookspool types lists them"
	if near := catalogue.Near(typ); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return fail(hint, "there is no sample of type %q", typ)
}

func showTypes(ctx context.Context, c *cli) error {
	var list admin.TypeList
	err := askOrRead(ctx, c, "/v1/types", &list, func(cfg *config.Config) error {
		list.Types = catalogue.Answer(cfg)
		return nil
	})
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(list)
	}
	t := &table{columns: []column{{name: "TYPE", flex: true, min: 30}, {name: "WROTE"},
		{name: "TARGETS", right: true}, {name: "WHEN", flex: true, min: 20}}}
	for i := range list.Types {
		e := &list.Types[i]
		t.add(e.Type, e.Side, strconv.Itoa(e.WantedBy), e.When)
	}
	c.printTable(t)
	return nil
}

// askOrRead asks a running relay. Where none runs and none was named, it reads the config, or takes
// the defaults if there is none.
func askOrRead(ctx context.Context, c *cli, path string, into any,
	read func(*config.Config) error) error {
	peer, err := c.admin()
	if err == nil {
		err = peer.call(ctx, "GET", path, into)
	}
	var absent *unreachable
	if !errors.As(err, &absent) || !absent.absent || c.adminURL != "" {
		return c.explain(err)
	}
	cfg := config.Default()
	if c.configPath() != "" {
		loaded, err := c.loadConfig()
		if err != nil {
			return err
		}
		cfg = *loaded
		c.say("no relay runs at %s; %s answers", absent.shown, c.configPath())
	}
	return plainRefusal(read(&cfg))
}

// plainRefusal shows what a relay would refuse as it would.
func plainRefusal(err error) error {
	var no *admin.Error
	if errors.As(err, &no) {
		return fail(no.Hint, "%s", no.Detail)
	}
	return err
}

func showType(ctx context.Context, c *cli, typ string) error {
	var d admin.TypeDetail
	path := "/v1/types/" + url.PathEscape(typ)
	err := askOrRead(ctx, c, path, &d, func(cfg *config.Config) error {
		var err error
		d, err = catalogue.Detail(cfg, typ, func(q admin.ExplainQuery) (admin.Explanation, error) {
			return relay.ExplainByConfig(cfg, build().Version, q)
		})
		return err
	})
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(d)
	}
	c.printRows([][2]string{{"type", d.Type}, {"when", d.When}, {"session", d.Session}})
	if len(d.Targets) > 0 {
		c.print("\n")
		c.printTable(typeTargets(d.Targets))
	}
	c.print("\n")
	t := &table{columns: []column{{name: "FIELD", flex: true}, {name: "TYPE"},
		{name: "EXAMPLE", flex: true, min: 16}}}
	for _, f := range d.Fields {
		t.add(f.Name, f.Type, dash(f.Example))
	}
	c.printTable(t)
	c.print("\n%s\n%s", c.paint(c.out, bold, "sample"), clean(d.Payload))
	return nil
}

func typeTargets(list []admin.TypeTarget) *table {
	t := &table{columns: []column{
		{name: "TARGET", flex: true}, {name: "STATUS", color: statusColor},
		{name: "GETS-IT", color: getsColor}, {name: "BECAUSE", flex: true, min: 20},
	}}
	for i := range list {
		gets := "no"
		if list[i].Wanted {
			gets = "yes"
		}
		t.add(list[i].Target, list[i].Status, gets, list[i].Note)
	}
	return t
}
