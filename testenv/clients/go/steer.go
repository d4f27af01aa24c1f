package main

import (
	"strings"

	"github.com/hookspool/hookspool/testenv/clients/go/client"
)

// steer changes what the targets do.
func (r *relay) steer() {
	is := func(t *client.Target, status client.TargetStatus) bool {
		return t != nil && t.Status == status
	}
	paused, err := r.PauseWithResponse(r.ctx, "good")
	r.must("pause", err, func() bool { return is(paused.JSON200, client.TargetStatusPaused) })
	resumed, err := r.ResumeWithResponse(r.ctx, "good")
	r.must("resume", err, func() bool { return is(resumed.JSON200, client.TargetStatusEnabled) })
	retried, err := r.RetryWithResponse(r.ctx, "bad")
	r.must("retry", err, func() bool { return is(retried.JSON200, client.TargetStatusEnabled) })
	enabled, err := r.EnableWithResponse(r.ctx, "bad", nil)
	r.must("enable", err, func() bool { return is(enabled.JSON200, client.TargetStatusEnabled) })
	reloaded, err := r.ReloadWithResponse(r.ctx)
	r.must("reload", err, func() bool {
		return reloaded.JSON200 != nil && !reloaded.JSON200.ReloadFailed
	})
	typ := "message"
	sample, err := r.SendSampleWithBodyWithResponse(r.ctx, "bad", &client.SendSampleParams{Type: &typ},
		"application/json", nil)
	r.must("sendSample", err, func() bool {
		s := sample.JSON200
		return s != nil && !s.Acknowledged && s.Status == 503 &&
			s.Outcome == client.SampleOutcomeStatus
	})
	explained, err := r.ExplainWithBodyWithResponse(r.ctx, &client.ExplainParams{Type: &typ},
		"application/json", strings.NewReader(`{"waId":"1"}`))
	r.must("explain", err, func() bool {
		e := explained.JSON200
		return e != nil && len(e.Targets) == 2 && e.Session != nil &&
			e.Session.StateAfter == client.SessionStateInactive
	})
}

// again says what would be sent again and what would be deleted.
func (r *relay) again() {
	good, dry, delivered := "good", true, client.SettledStateDelivered
	replayed, err := r.ReplayWithResponse(r.ctx, &client.ReplayParams{Target: &good,
		State: &delivered, DryRun: &dry})
	r.must("replay", err, func() bool {
		return replayed.JSON200 != nil && replayed.JSON200.Count == 1 && replayed.JSON200.DryRun
	})
	purged, err := r.PurgeWithResponse(r.ctx, "bad", &client.PurgeParams{DryRun: &dry})
	r.must("purge", err, func() bool {
		p := purged.JSON200
		return p != nil && p.Count == 1 && p.DryRun && p.State == client.OwedStatePending
	})
}

// care looks after the spool.
func (r *relay) care() {
	stat, err := r.SpoolStatWithResponse(r.ctx)
	r.must("spoolStat", err, func() bool {
		return stat.JSON200 != nil && stat.JSON200.Events == 1 && len(stat.JSON200.Targets) == 2
	})
	verified, err := r.VerifyWithResponse(r.ctx)
	r.must("verify", err, func() bool { return strings.Contains(string(verified.Body), `"result"`) })
	all := true
	exported, err := r.ExportEventsWithResponse(r.ctx, &client.ExportEventsParams{All: &all})
	r.must("exportEvents", err, func() bool {
		return strings.Count(string(exported.Body), `"id":"`+id+`"`) == 1
	})
	imported, err := r.ImportEventsWithBodyWithResponse(r.ctx, nil, "application/x-ndjson",
		strings.NewReader(string(exported.Body)))
	r.must("importEvents", err, func() bool {
		return imported.JSON200 != nil && imported.JSON200.Duplicates == 1
	})
	backup, err := r.BackupWithResponse(r.ctx)
	r.must("backup", err, func() bool { return backup.StatusCode() == 200 && len(backup.Body) > 0 })
}

// refused asks for what is not there, and without the token.
func (r *relay) refused(admin string) {
	none, err := r.GetTargetWithResponse(r.ctx, "none")
	r.must("getTarget of none", err, func() bool {
		p := none.ApplicationproblemJSON404
		return p != nil && p.Code == client.ProblemCodeNotFound && p.Status == 404
	})
	stranger, err := client.NewClientWithResponses(admin)
	if err != nil {
		r.faults = append(r.faults, err)
		return
	}
	got, err := stranger.GetStatusWithResponse(r.ctx)
	r.must("getStatus without the token", err, func() bool {
		p := got.ApplicationproblemJSON401
		return p != nil && p.Code == client.ProblemCodeUnauthorized
	})
}
