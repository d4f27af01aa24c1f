package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

const (
	// momentsMax bounds the events of a conversation that are kept for the answer, the newest;
	// momentsShown those of its table.
	momentsMax   = 10_000
	momentsShown = 40
	// beginningsMax bounds the ids that are offered for one that there is none of, and
	// beginningsPatience how long they are looked for.
	beginningsMax      = 5
	beginningsPatience = 3 * time.Second
)

// eventsOf is the answer of a search in JSON: with --conversation there is one in it.
type eventsOf struct {
	Conversation *admin.Conversation `json:"conversation,omitempty"`
	admin.Events
}

// showConversation reads what is known of a conversation, and shows it unless it is wanted as JSON.
func showConversation(parent context.Context, c *cli, relay *peer, f *filter) (*admin.Conversation,
	error) {
	ctx, stop := c.untilStopped(parent, func(os.Signal) {})
	defer stop()
	show, end := c.counter("its timeline")
	defer end()
	sum := &admin.Conversation{}
	for after := ""; ; {
		values := url.Values{"limit": {strconv.Itoa(pageMax)}}
		for name, value := range map[string]string{"since": f.since, "after": after} {
			if value != "" {
				values.Set(name, value)
			}
		}
		var p admin.Conversation
		path := "/v1/conversations/" + pathPart(f.conversation) + "?" + values.Encode()
		if err := relay.call(ctx, "GET", path, &p); err != nil {
			if ctx.Err() != nil {
				return nil, fail("run it again", "stopped")
			}
			return nil, c.explain(err)
		}
		keys := slices.Sorted(slices.Values(append(p.Keys, sum.Keys...)))
		p.Keys, p.Timeline = slices.Compact(keys), append(sum.Timeline, p.Timeline...)
		p.Timeline = p.Timeline[max(len(p.Timeline)-momentsMax, 0):]
		addLooked(&sum.Looked, &p.Looked)
		p.Looked, after = sum.Looked, p.Next
		*sum = p
		if after == "" {
			break
		}
		show(len(sum.Timeline), p.Looked)
	}
	end()
	if !c.json {
		printConversation(c, sum, time.Now())
	}
	return sum, nil
}

func printConversation(c *cli, t *admin.Conversation, now time.Time) {
	if len(t.Timeline) == 0 && t.OpenedAt == nil && t.LastUserAt == nil {
		c.print("nothing is known of this conversation\n\n")
		return
	}
	state := "no session is open"
	if t.Until != nil {
		state = "session " + t.State + " until " + t.Until.UTC().Format(time.RFC3339) + ", in " +
			age(&now, *t.Until)
	}
	c.print("%s: %s\n", c.paint(c.out, bold, clean(t.Key)), state)
	rows := [][2]string{{"opened", ago(t.OpenedAt, now)}, {"user wrote", ago(t.LastUserAt, now)}}
	if others := slices.DeleteFunc(slices.Clone(t.Keys), func(k string) bool {
		return k == t.Key
	}); len(others) > 0 {
		rows = append(rows, [2]string{"also", clean(strings.Join(others, ", "))})
	}
	c.printRows(rows)
	list := slices.DeleteFunc(slices.Clone(t.Timeline), func(m admin.Moment) bool {
		return m.Side == "" && m.What == ""
	})
	table := &table{columns: []column{{name: "AT", right: true}, {name: "WHO"},
		{name: "TYPE", flex: true, min: 12}, {name: "EVENT", flex: true, spare: 1},
		{name: "SESSION"}, {name: "WHAT", flex: true, min: 12}}}
	left := max(len(list)-momentsShown, 0)
	for i := range list[left:] {
		m := &list[left+i]
		table.add(m.At.UTC().Format(time.DateTime), dash(m.Side), dash(m.Type), m.ID, dash(m.Session),
			momentText(m))
	}
	if left > 0 {
		c.print("\n%s before these\n", count(left, "message"))
	}
	c.print("\n")
	if len(list) > 0 {
		c.printTable(table)
		c.print("\n")
	}
}

// momentText says what an event did to its conversation.
func momentText(m *admin.Moment) string {
	text := ""
	switch m.What {
	case "opened":
		text = "opens a session"
		if m.Until != nil {
			text += " until " + m.Until.UTC().Format(time.DateTime)
		}
	case "activated":
		text = "makes it active"
	}
	if m.Differs {
		text = strings.TrimPrefix(text+"; after events that are not kept", "; ")
	}
	return dash(text)
}

// pathPart is one part of a path, whatever is in it.
func pathPart(text string) string {
	return strings.ReplaceAll(url.PathEscape(text), ".", "%2E")
}

// withBeginnings adds to a refusal because there is no such event which ids begin like it.
func withBeginnings(ctx context.Context, relay *peer, id string, err error) error {
	f, is := errors.AsType[*failure](err)
	if !is || f.status != http.StatusNotFound {
		return err
	}
	until := time.Now().Add(beginningsPatience)
	var ids []string
	asked := filter{id: id + "*"}
	for after := ""; len(ids) <= beginningsMax && time.Now().Before(until); {
		var p admin.Events
		if relay.page(ctx, "/v1/events", &asked, beginningsMax+1, after, &p) != nil {
			break
		}
		for i := range p.Events {
			ids = append(ids, p.Events[i].ID)
		}
		if after = p.Next; after == "" {
			break
		}
	}
	if len(ids) == 0 {
		return err
	}
	n := strconv.Itoa(len(ids))
	if len(ids) > beginningsMax {
		ids, n = ids[:beginningsMax], "more than "+strconv.Itoa(beginningsMax)
	}
	verb := " begin"
	if n == "1" {
		verb = " begins"
	}
	more := fail("hookspool events "+shellQuote(id+"*"), "there is no event %q; %s%s with it: %s", id,
		n, verb, strings.Join(ids, ", "))
	more.status = f.status
	return more
}
