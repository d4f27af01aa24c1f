package main

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

func (c *cli) deliveriesCommand() *cobra.Command {
	var f filter
	states := []string{statePending, stateDelivered, stateExhausted, stateExpired}
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "List deliveries: pending, delivered, exhausted or expired",
		Long: "List the deliveries of a running relay, pending ones unless --state says otherwise: " +
			"the\n" +
			"event, how often it was tried, when last, why it is where it is and what comes next.\n" +
			"Delivered ones come newest first, the others oldest first.",
		Example: "  hookspool deliveries --target crm\n" +
			"  hookspool deliveries --target crm --state delivered --since 15m\n" +
			"  hookspool deliveries --target crm --status 5xx --where waId=491701234567\n" +
			"  hookspool deliveries --target crm --type 'templateMessage*' --all --json >pending.ndjson",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(time.Now(), states...); err != nil {
				return err
			}
			return c.listDeliveries(cmd.Context(), "deliveries", &f)
		},
	}
	f.addFilter(cmd.Flags(), states...)
	f.addPaging(cmd.Flags())
	c.completeFlags(cmd, states...)
	return c.addAdminFlag(cmd)
}

func (c *cli) exhaustedCommand() *cobra.Command {
	f := filter{state: stateExhausted}
	cmd := &cobra.Command{
		Use:   "exhausted",
		Short: "List exhausted deliveries",
		Long: "List the deliveries that failed with every attempt. They are never sent again by " +
			"themselves;\n" +
			"hookspool replay takes the same flags and sends them. They are kept for\n" +
			"spool.keep_exhausted.",
		Example: "  hookspool exhausted\n  hookspool exhausted --target crm --since 24h\n" +
			"  hookspool exhausted --target crm --all --json | jq -r .id",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(time.Now(), stateExhausted); err != nil {
				return err
			}
			return c.listDeliveries(cmd.Context(), stateExhausted, &f)
		},
	}
	f.addFilter(cmd.Flags())
	f.addPaging(cmd.Flags())
	c.completeFlags(cmd)
	return c.addAdminFlag(cmd)
}

func (c *cli) listDeliveries(ctx context.Context, verb string, f *filter) error {
	relay, err := c.admin()
	if err != nil {
		return err
	}
	return list(ctx, c, f, &listing[admin.Delivery]{
		verb: verb,
		noun: "delivery",
		fetch: func(ctx context.Context, limit int, after string) (page[admin.Delivery], error) {
			var p admin.Deliveries
			err := relay.page(ctx, "/v1/deliveries", f, limit, after, &p)
			return page[admin.Delivery]{p.Deliveries, p.Next, p.Looked}, err
		},
		table: deliveryTable(f),
		row:   addDelivery,
		whole: func(p page[admin.Delivery]) any {
			return admin.Deliveries{Deliveries: array(p.elements), Next: p.next, Looked: p.looked}
		},
	})
}

// page makes one call of a listing.
func (p *peer) page(ctx context.Context, path string, f *filter, limit int, after string,
	into any) error {
	values := f.values()
	values.Set("limit", strconv.Itoa(limit))
	if after != "" {
		values.Set("after", after)
	}
	return p.call(ctx, "GET", path+"?"+values.Encode(), into)
}

// idMin holds an id made by a relay, so that it can be copied from a table.
const idMin = 33

// typeMin tells the types of the catalogue apart: sentMessageDELIVERED from sentMessageREPLIED.
const typeMin = 21

// deliveryTable gives up first, on a narrow screen, what is the same in every row: the target and
// the state that were asked for.
func deliveryTable(f *filter) *table {
	t := &table{columns: []column{
		{name: "EVENT", flex: true, min: idMin}, {name: "TYPE", flex: true, min: typeMin, spare: 3},
		{name: "SESSION", spare: 7, wide: true},
		{name: "TARGET", flex: true}, {name: "STATE", color: stateColor, spare: 6},
		{name: "AGE", right: true, spare: 5}, {name: "ATTEMPTS", right: true, spare: 1},
		{name: "LAST", right: true, spare: 4}, {name: "WHY", flex: true, min: 12},
	}}
	if f.target != "" {
		t.columns[3].spare = 8
	}
	return t
}

func addDelivery(t *table, d *admin.Delivery, now time.Time) {
	id := d.ID
	if id == "" {
		id = "(unreadable)"
	}
	t.add(id, d.Type, dash(d.Session), d.Target, stateText(&d.DeliveryState), age(&d.AcceptedAt, now),
		attemptsText(&d.DeliveryState), age(d.LastAttempt, now), dash(cmp.Or(d.Why, d.LastError)))
}

// attemptsText is how many requests were made; what was delivered took at least one, so that none
// means that it is not known any more.
func attemptsText(d *admin.DeliveryState) string {
	if d.State == stateDelivered && d.Attempts == 0 {
		return "-"
	}
	return strconv.Itoa(d.Attempts)
}

// stateText is the state of a delivery, and that it is a replay.
func stateText(d *admin.DeliveryState) string {
	if d.Replay {
		return d.State + " (replay)"
	}
	return d.State
}

func stateColor(state string) string {
	switch {
	case strings.HasPrefix(state, stateDelivered):
		return green
	case strings.HasPrefix(state, stateExhausted), strings.HasPrefix(state, stateExpired):
		return red
	}
	return yellow
}

// dash stands for nothing in a table.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// array makes of no list an empty one: in JSON [] and not null.
func array[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
