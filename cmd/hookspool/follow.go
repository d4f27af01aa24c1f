package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

// followAttempts shows attempts as they are made until it is stopped. The relay tells at most 20 a
// second, and how many it left out.
func (c *cli) followAttempts(parent context.Context, target string) error {
	relay, err := c.admin()
	if err != nil {
		return err
	}
	ctx, stop := c.untilStopped(parent, func(os.Signal) {})
	defer stop()
	if target != "" { // a wrong name would show nothing for ever
		var t admin.Target
		if err := relay.call(ctx, "GET", "/v1/targets/"+url.PathEscape(target), &t); err != nil {
			return c.explain(err)
		}
	}
	t := &table{columns: followColumns()}
	err = relay.tail(ctx, func(name string, data []byte) error {
		if name != "attempt" {
			return nil
		}
		var a admin.StreamedAttempt
		if err := json.Unmarshal(data, &a); err != nil {
			return fail("is that a hookspool of this version?", "cannot read its stream: %w", err)
		}
		if a.Dropped > 0 {
			c.say("(%s not shown)", count(int(a.Dropped), "attempt"))
		}
		if target == "" || a.Target == target {
			c.printFollowed(t, &a, data)
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		return fail("run it again when it is back", "the relay stopped")
	}
	return c.explain(err)
}

func followColumns() []column {
	return attemptColumns(column{name: "TIME"}, column{name: "TARGET", flex: true},
		column{name: "EVENT", flex: true, min: idMin})
}

func (c *cli) printFollowed(t *table, a *admin.StreamedAttempt, data []byte) {
	if c.json {
		c.print("%s\n", data)
		return
	}
	made := &a.RecentAttempt.Attempt
	t.add(made.At.Local().Format(time.TimeOnly), made.Target, dash(a.ID), attemptNumber(made),
		outcomeText(made), latencyText(seconds(made.Duration)), dash(made.Remote), dash(made.Error))
	c.printTable(t)
}

// tail calls on for every event of GET /v1/stream until that ends, which is nil.
func (p *peer) tail(ctx context.Context, on func(name string, data []byte) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/v1/stream", nil)
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
		body, _ := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax))
		return refusalOf(p, answer.StatusCode, answer.Header, body)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, answerBytesMax)
	name := ""
	for lines.Scan() {
		if text, ok := bytes.CutPrefix(lines.Bytes(), []byte("event: ")); ok {
			name = string(text)
		} else if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			if err := on(name, data); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return newUnreachable(p, err)
	}
	return nil
}
