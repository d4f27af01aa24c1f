package main

import (
	"slices"
	"strings"

	"github.com/hookspool/hookspool/testenv/clients/go/client"
)

// look asks for what is there by name.
func (r *relay) look() {
	status, err := r.GetStatusWithResponse(r.ctx)
	r.must("getStatus", err, func() bool {
		s := status.JSON200
		return s != nil && s.Ready && s.Accepted == 1 && s.SpoolLimit > 1<<31 && s.LastEvent != nil
	})
	target, err := r.GetTargetWithResponse(r.ctx, "good")
	r.must("getTarget", err, func() bool {
		t := target.JSON200
		return t != nil && t.Status == client.TargetStatusEnabled && t.Delivered == 1 &&
			t.LastSuccess != nil && t.LastError == nil
	})
	attempts, err := r.GetAttemptsWithResponse(r.ctx, id, &client.GetAttemptsParams{})
	r.must("getAttempts", err, func() bool {
		a := attempts.JSON200
		return a != nil && slices.ContainsFunc(a.Attempts, func(a client.Attempt) bool {
			return a.Target == "bad" && a.Outcome == client.OutcomeStatus && a.Status == 503
		})
	})
	payload, err := r.GetPayloadWithResponse(r.ctx, id)
	r.must("getPayload", err, func() bool { return string(payload.Body) == `{"n":1}` })
	verbose := ""
	live, err := r.LivezWithResponse(r.ctx, &client.LivezParams{Verbose: &verbose})
	r.must("livez", err, func() bool { return live.JSON200 != nil && live.JSON200.Ok })
	ready, err := r.ReadyzWithResponse(r.ctx, &client.ReadyzParams{})
	r.must("readyz", err, func() bool { return ready.StatusCode() == 200 })
	health, err := r.HealthzWithResponse(r.ctx, &client.HealthzParams{Verbose: &verbose})
	r.must("healthz", err, func() bool {
		return health.JSON200 != nil && len(health.JSON200.Checks) > 0
	})
	metrics, err := r.MetricsWithResponse(r.ctx)
	r.must("metrics", err, func() bool {
		return strings.Contains(string(metrics.Body), "hookspool_events_accepted_total 1\n")
	})
	types, err := r.SampleTypesWithResponse(r.ctx)
	r.must("sampleTypes", err, func() bool {
		return types.JSON200 != nil && slices.Contains(*types.JSON200, "message")
	})
}

// list asks for pages, with every kind of parameter.
func (r *relay) list() {
	targets, err := r.ListTargetsWithResponse(r.ctx)
	r.must("listTargets", err, func() bool {
		return targets.JSON200 != nil && len(targets.JSON200.Targets) == 2
	})
	bad, typ, since, limit := "bad", "mess*", "1h", client.LimitQuery(1)
	pending := client.ListedStatePending
	deliveries, err := r.ListDeliveriesWithResponse(r.ctx, &client.ListDeliveriesParams{
		Target: &bad, State: &pending, Type: &typ, Since: &since})
	r.must("listDeliveries", err, func() bool {
		d := deliveries.JSON200
		return d != nil && len(d.Deliveries) == 1 && d.Deliveries[0].Id == id && d.Next == "" &&
			d.Deliveries[0].State == client.StatePending && d.Deliveries[0].LastStatus == 503
	})
	events, err := r.SearchEventsWithResponse(r.ctx, &client.SearchEventsParams{Type: &typ,
		Limit: &limit})
	r.must("searchEvents", err, func() bool {
		e := events.JSON200
		return e != nil && len(e.Events) == 1 && e.Events[0].Id == id
	})
	recent, err := r.ListRecentAttemptsWithResponse(r.ctx, "bad",
		&client.ListRecentAttemptsParams{})
	r.must("listRecentAttempts", err, func() bool {
		a := recent.JSON200
		return a != nil && len(a.Attempts) > 0 && a.Attempts[0].Id == id
	})
}
