package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

func (c *cli) eventsCommand() *cobra.Command {
	var f filter
	payload := false
	states := []string{statePending, stateDelivered, stateExhausted}
	cmd := &cobra.Command{
		Use:   "events [ID]",
		Short: "Show where an event is, or search for events",
		Long: "With an ID, show where this event is: what it is, and of each of its deliveries the " +
			"state,\n" +
			"how often it was tried, what came back last, and what happens next. --payload writes its\n" +
			"bytes instead, as they came in. Without an ID, search, newest first; --state and --target\n" +
			"find events with such a delivery.",
		Example: "  hookspool events order-17\n" +
			"  hookspool events order-17 --payload >payload.json\n" +
			"  hookspool events --type 'templateMessage*' --since 1h\n" +
			"  hookspool events --target crm --state pending --json | jq -r '.events[].id'\n" +
			"  hookspool events --since 24h --all --json >today.ndjson",
		Args: arguments(0, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && payload:
				return misuse("hookspool events ID --payload", "--payload wants the ID of an event")
			case len(args) == 0:
				if err := f.check(time.Now(), states...); err != nil {
					return err
				}
				return c.searchEvents(cmd.Context(), &f)
			}
			if err := onlyWithoutID(cmd); err != nil {
				return err
			}
			return c.showEvent(cmd.Context(), args[0], payload)
		},
	}
	f.addFilter(cmd.Flags(), states...)
	f.addPaging(cmd.Flags())
	c.completeFlags(cmd, states...)
	cmd.Flags().BoolVar(&payload, "payload", false, "write the payload of the event, nothing else")
	return c.addAdminFlag(cmd)
}

// onlyWithoutID refuses the flags of a search beside the ID of one event.
func onlyWithoutID(cmd *cobra.Command) error {
	for _, name := range []string{"target", "state", "type", "since", "until", "limit", "all",
		"after"} {
		if cmd.Flags().Changed(name) {
			return misuse("leave out one of the two", "--%s searches; an ID names one event", name)
		}
	}
	return nil
}

func (c *cli) searchEvents(ctx context.Context, f *filter) error {
	relay, err := c.admin()
	if err != nil {
		return err
	}
	return list(ctx, c, f, &listing[admin.Event]{
		verb: "events",
		noun: "event",
		fetch: func(ctx context.Context, limit int, after string) (page[admin.Event], error) {
			var p admin.Events
			err := relay.page(ctx, "/v1/events", f, limit, after, &p)
			return page[admin.Event]{p.Events, p.Next}, err
		},
		table: eventTable(),
		row:   addEvent,
		whole: func(p page[admin.Event]) any {
			return admin.Events{Events: array(p.elements), Next: p.next}
		},
	})
}

func eventTable() *table {
	return &table{columns: []column{
		{name: "EVENT", flex: true, min: idMin}, {name: "TYPE", flex: true, min: 12},
		{name: "ACCEPTED", right: true}, {name: "BYTES", right: true, spare: 2},
		{name: "SESSION", spare: 1}, {name: "DELIVERIES", flex: true, color: eventColor},
	}}
}

func addEvent(t *table, e *admin.Event, now time.Time) {
	t.add(e.ID, dash(e.Type), age(&e.AcceptedAt, now), strconv.Itoa(e.Bytes), dash(e.Session),
		deliveriesText(e.Deliveries))
}

// deliveriesText names the targets of an event by state, what needs a look first.
func deliveriesText(deliveries []admin.DeliveryState) string {
	var parts []string
	for _, state := range []string{stateExhausted, statePending, statePurged, stateDelivered} {
		var names []string
		for _, d := range deliveries {
			if d.State == state {
				names = append(names, d.Target)
			}
		}
		if len(names) > 0 {
			parts = append(parts, state+": "+strings.Join(names, ", "))
		}
	}
	return dash(strings.Join(parts, "; "))
}

func eventColor(cell string) string {
	if cell == "-" {
		return ""
	}
	return stateColor(cell)
}

func (c *cli) showEvent(ctx context.Context, id string, payload bool) error {
	path, err := idPath("/v1/events/", id)
	if err != nil {
		return err
	}
	relay, err := c.admin()
	if err != nil {
		return err
	}
	if payload {
		return c.explain(c.showPayload(ctx, relay, path))
	}
	var e admin.Event
	if err := relay.call(ctx, "GET", path, &e); err != nil {
		return c.explain(err)
	}
	if c.json {
		return c.printJSON(e)
	}
	c.printEvent(ctx, relay, &e)
	return nil
}

// idPath is the path of one event, whose id may hold anything but dots.
func idPath(prefix, id string) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", misuse("hookspool events lists them", "%q is not the ID of an event", id)
	}
	return prefix + url.PathEscape(id), nil
}

// showPayload writes the bytes as they are, except to a terminal, which would obey them.
func (c *cli) showPayload(ctx context.Context, relay *peer, path string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, relay.base+path+"/payload", nil)
	if err != nil {
		return fmt.Errorf("cannot make a request: %w", err)
	}
	status, header, body, err := relay.do(ctx, r)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return refusalOf(relay, status, header, body)
	}
	if isTerminal(c.out) {
		c.print("%s\n", clean(string(body)))
		return nil
	}
	c.print("%s", body)
	return nil
}

func (c *cli) printEvent(ctx context.Context, relay *peer, e *admin.Event) {
	now := time.Now()
	c.print("%s\n", c.paint(c.out, bold, clean(e.ID)))
	session := e.Session
	if session == "" {
		session = "no conversation"
	}
	c.printRows([][2]string{
		{"type", dash(e.Type)},
		{"accepted", fmt.Sprintf("%s, %s", ago(&e.AcceptedAt, now),
			e.AcceptedAt.UTC().Format(time.RFC3339))},
		{"session", session},
		{"payload", fmt.Sprintf("%s, %s", bytesText(int64(e.Bytes)), dash(e.ContentType))},
	})
	if len(e.Deliveries) == 0 {
		c.print("\nno target wanted it\n")
		return
	}
	c.print("\n")
	t := stateTable()
	for i := range e.Deliveries {
		addState(t, &e.Deliveries[i], now)
	}
	c.printTable(t)
	c.printNext(ctx, relay, e, now)
}

func stateTable() *table {
	return &table{columns: []column{
		{name: "TARGET", flex: true}, {name: "STATE", color: stateColor},
		{name: "FAILED", right: true}, {name: "SINCE", right: true, spare: 2},
		{name: "LAST", right: true, spare: 1}, {name: "ERROR", flex: true, min: 12},
	}}
}

func addState(t *table, d *admin.DeliveryState, now time.Time) {
	t.add(d.Target, stateText(d), strconv.Itoa(d.Attempts), age(d.FirstFailure, now),
		age(d.LastAttempt, now), dash(d.LastError))
}

// nextMax bounds the targets that are asked what happens next.
const nextMax = 10

// printNext says of every delivery that has not arrived what happens next and what can be done. It
// is an extra: a relay that does not answer any more spoils nothing.
func (c *cli) printNext(ctx context.Context, relay *peer, e *admin.Event, now time.Time) {
	var status *admin.Status
	asked, head := 0, "\n"
	for i := range e.Deliveries {
		d := &e.Deliveries[i]
		next := ""
		switch {
		case d.State == stateExhausted:
			next = "exhausted; send it again: hookspool replay --target " + d.Target + " --id " +
				shellQuote(e.ID)
		case d.State == statePending && asked < nextMax:
			if asked++; status == nil {
				status = new(admin.Status)
				if relay.call(ctx, "GET", "/v1/status", status) != nil {
					return
				}
			}
			var target admin.Target
			if relay.call(ctx, "GET", "/v1/targets/"+url.PathEscape(d.Target), &target) != nil {
				return
			}
			next = nextOf(d, &target, status, now)
		}
		if next != "" {
			c.print("%s%s: %s\n", head, clean(d.Target), clean(next))
			head = ""
		}
	}
}

// nextOf is what a pending delivery waits for.
func nextOf(d *admin.DeliveryState, t *admin.Target, s *admin.Status, now time.Time) string {
	tick := "at the next tick"
	if s.NextTick != nil {
		tick = "in " + age(&now, *s.NextTick)
	}
	switch {
	case t.Orphan:
		return "not in the config any more; put its table back and reload, or purge it"
	case t.Status == "Paused":
		return "Paused; release it: hookspool resume " + t.Name
	case t.Status == "Disabled":
		return "Disabled by the config; what is spooled is frozen"
	case t.JobRunning:
		return "a job runs now, oldest first"
	case t.Status == "Defective":
		return "Defective; the next job is " + tick + "; now: hookspool enable " + t.Name
	case d.Attempts == 0 && !d.Replay:
		return "it waits for its turn; " + strconv.FormatUint(t.Pending, 10) + " are pending"
	}
	return "the next job is " + tick + "; now: hookspool retry " + t.Name
}
