package main

import (
	"cmp"
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
	states := []string{statePending, stateDelivered, stateExhausted, stateExpired}
	cmd := &cobra.Command{
		Use:   "events [ID]",
		Short: "Show where an event is, or search for events",
		Long: "With an ID, show where this event is: what it is, and of each of its deliveries the " +
			"state,\n" +
			"how often it was tried, what came back last, and in one sentence why it is there and what\n" +
			"comes next. Of one that was delivered it says when (UTC), with which status, and how long\n" +
			"the request took; of one that no target wanted, why not, as long as that is remembered.\n" +
			"--payload writes its bytes instead, as they came in. Without an ID, search, newest first;\n" +
			"--state, --target, --status and --error find events with such a delivery. --where looks\n" +
			"into payloads, page by page: Ctrl-C ends it and says how to go on. --conversation shows\n" +
			"first what is known of a conversation and who wrote when.",
		Example: "  hookspool events order-17\n" +
			"  hookspool events order-17 --payload >payload.json\n" +
			"  hookspool events --type 'templateMessage*' --since 1h\n" +
			"  hookspool events --target crm --state pending --json | jq -r '.events[].id'\n" +
			"  hookspool events --where waId=491701234567 --since 22:00 --until 06:00\n" +
			"  hookspool events --where '.amount > 100 and $session == \"active\"'\n" +
			"  hookspool events --conversation 491701234567\n" +
			"  hookspool events 'send_fd32*'\n" +
			"  hookspool events --since 24h --all --json >today.ndjson",
		Args: arguments(0, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && strings.HasSuffix(args[0], "*") && f.id == "" && !payload {
				f.id, args = args[0], nil
			}
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
		"after", "where", "conversation", "session", "status", "error", "failure",
		"id"} {
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
	var talk *admin.Conversation
	if f.conversation != "" && !(c.json && f.all) && f.after == "" {
		if talk, err = showConversation(ctx, c, relay, f); err != nil {
			return err
		}
	}
	return list(ctx, c, f, &listing[admin.Event]{
		verb: "events",
		noun: "event",
		fetch: func(ctx context.Context, limit int, after string) (page[admin.Event], error) {
			var p admin.Events
			err := relay.page(ctx, "/v1/events", f, limit, after, &p)
			return page[admin.Event]{p.Events, p.Next, p.Looked}, err
		},
		table: eventTable(),
		row:   addEvent,
		whole: func(p page[admin.Event]) any {
			return eventsOf{talk, admin.Events{Events: array(p.elements), Next: p.next,
				Looked: p.looked}}
		},
	})
}

func eventTable() *table {
	return &table{columns: []column{
		{name: "EVENT", flex: true, min: idMin}, {name: "TYPE", flex: true, min: typeMin},
		{name: "AGE", right: true}, {name: "BYTES", right: true, spare: 2},
		{name: "SESSION", spare: 1},
		{name: "DELIVERIES", flex: true, min: 14, color: eventColor}, // "delivered: crm"
	}}
}

func addEvent(t *table, e *admin.Event, now time.Time) {
	t.add(e.ID, dash(e.Type), age(&e.AcceptedAt, now), strconv.Itoa(e.Bytes), dash(e.Session),
		deliveriesText(e.Deliveries, now))
}

// deliveriesText names the targets of an event by state, what needs a look first, and says when it
// was delivered.
func deliveriesText(deliveries []admin.DeliveryState, now time.Time) string {
	var parts []string
	for _, state := range []string{stateExhausted, stateExpired, statePending, statePurged,
		stateDelivered} {
		var names []string
		for _, d := range deliveries {
			if d.State == state && d.DeliveredAt != nil {
				names = append(names, d.Target+" "+clockText(*d.DeliveredAt, now))
			} else if d.State == state {
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
		return c.explain(withBeginnings(ctx, relay, id, err))
	}
	if c.json {
		return c.printJSON(e)
	}
	c.printEvent(&e)
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

func (c *cli) printEvent(e *admin.Event) {
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
		c.print("\n%s\n", clean(cmp.Or(e.Why, "the targets that it was owed to were forgotten")))
		if len(e.Unwanted) > 0 {
			c.print("\n")
			c.printTable(unwantedTable(e.Unwanted))
		}
		return
	}
	c.print("\n")
	t := stateTable()
	for i := range e.Deliveries {
		addState(t, &e.Deliveries[i], now)
	}
	c.printTable(t)
	c.printWhy(e.Deliveries)
}

// unwantedTable says why an event has no deliveries, target by target.
func unwantedTable(list []admin.NotWanted) *table {
	t := &table{columns: []column{{name: "TARGET", flex: true}, {name: "REFUSED BY"},
		{name: "NOTE", flex: true, min: 12}}}
	for i := range list {
		t.add(list[i].Target, list[i].RefusedBy, list[i].Note)
	}
	return t
}

func stateTable() *table {
	return &table{columns: []column{
		{name: "TARGET", flex: true}, {name: "STATE", color: stateColor},
		{name: "ATTEMPTS", right: true}, {name: "SINCE", right: true, spare: 2},
		{name: "LAST", right: true, spare: 1}, {name: "RESULT", flex: true, min: 12},
	}}
}

func addState(t *table, d *admin.DeliveryState, now time.Time) {
	t.add(d.Target, stateText(d), attemptsText(d), age(d.FirstFailure, now),
		age(d.LastAttempt, now), resultText(d, now))
}

// resultText is what came back last: of a delivery that was delivered when, with which status, and
// how long it took.
func resultText(d *admin.DeliveryState, now time.Time) string {
	if d.DeliveredAt == nil || d.Status == nil || d.Duration == nil {
		return dash(d.LastError)
	}
	digits := 0
	if *d.Duration < 10 {
		digits = 1
	}
	return clockText(*d.DeliveredAt, now) + d.DeliveredAt.UTC().Format(".000") + ", " +
		strconv.Itoa(*d.Status) + ", " + strconv.FormatFloat(*d.Duration, 'f', digits, 64) + " ms"
}

// clockText is an instant on the clock, with its day if that is another than today; in UTC, as all
// instants of the tables.
func clockText(at, now time.Time) string {
	at, now = at.UTC(), now.UTC()
	if at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format(time.TimeOnly)
	}
	return at.Format(time.DateTime)
}

// printWhy says of every delivery in one sentence where it is, why, and what comes next, and below
// it what helps.
func (c *cli) printWhy(deliveries []admin.DeliveryState) {
	head := "\n"
	for i := range deliveries {
		d := &deliveries[i]
		c.print("%s%s: %s\n", head, clean(d.Target), clean(d.Why))
		head = ""
		if d.Hint != "" {
			c.print("%*s  %s\n", len(clean(d.Target)), "", clean(d.Hint))
		}
	}
}
