// Go uses a relay through the client that oapi-codegen makes of its OpenAPI document, whole: every
// call but the stream, the console and the document itself, with the answers as they were
// described. It is a module of its own, because hookspool must not depend on a generator; the
// test TestClients of testenv generates the client, and runs this.
//
//	go run . ADMIN_URL EVENTS_URL TOKEN
//
// The relay has the targets "good", which acknowledges, and "bad", which answers 503.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hookspool/hookspool/testenv/clients/go/client"
)

// id is that of the one event.
const id = "from-go"

const patience = 30 * time.Second

// relay is the client, and what was wrong so far.
type relay struct {
	*client.ClientWithResponses
	ctx    context.Context
	faults []error
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go run . ADMIN_URL EVENTS_URL TOKEN")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Println("the relay is as its document says")
}

func run(admin, events, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	bearer := client.WithRequestEditorFn(func(_ context.Context, req *http.Request) error {
		req.Header.Set("Authorization", "Bearer "+token)
		return nil
	})
	c, err := client.NewClientWithResponses(admin, bearer)
	if err != nil {
		return err
	}
	r := &relay{ClientWithResponses: c, ctx: ctx}
	if err := post(ctx, events); err != nil {
		return err
	}
	if err := r.await(); err != nil {
		return err
	}
	r.look()
	r.list()
	r.steer()
	r.again()
	r.care()
	r.refused(admin)
	return errors.Join(r.faults...)
}

// post sends the event; the document is about the admin listener only.
func post(ctx context.Context, events string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, events+"/v1/events/message",
		strings.NewReader(`{"n":1}`))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("webhook-id", id)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the event was answered %s", res.Status)
	}
	return nil
}

// must notes that a call failed or something else than what was wanted came of it.
func (r *relay) must(call string, err error, holds func() bool) {
	switch {
	case err != nil:
		r.faults = append(r.faults, fmt.Errorf("%s: %w", call, err))
	case !holds():
		r.faults = append(r.faults, fmt.Errorf("%s: not what was wanted", call))
	}
}

// await waits until both deliveries were attempted and settled.
func (r *relay) await() error {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got, err := r.GetEventWithResponse(r.ctx, id)
		if err != nil {
			return err
		}
		if e := got.JSON200; e != nil && len(e.Deliveries) == 2 && settled(e.Deliveries) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the event is not settled: %s", got.Body)
		}
	}
}

func settled(list []client.DeliveryProgress) bool {
	for _, d := range list {
		if d.Target == "good" && d.State != client.StateDelivered ||
			d.Target == "bad" && (d.State != client.StatePending || d.Attempts == 0) {
			return false
		}
	}
	return true
}
