package relay

import (
	"context"

	"github.com/hookspool/hookspool/relay/admin"
)

func notYet() *admin.Error { return admin.Refuse(501, "not_implemented", "not built yet") }

// Events is part of admin.Finder.
func (r *Relay) Events(admin.EventQuery) (admin.Events, error) { return admin.Events{}, notYet() }

// Payload is part of admin.Finder.
func (r *Relay) Payload(string) ([]byte, error) { return nil, notYet() }

// Attempts is part of admin.Finder.
func (r *Relay) Attempts(string, string) (admin.Attempts, error) {
	return admin.Attempts{}, notYet()
}

// RecentAttempts is part of admin.Finder.
func (r *Relay) RecentAttempts(string, int) (admin.RecentAttempts, error) {
	return admin.RecentAttempts{}, notYet()
}

// Replay is part of admin.Replayer.
func (r *Relay) Replay(context.Context, admin.ReplayQuery) (admin.Replayed, error) {
	return admin.Replayed{}, notYet()
}

// Retry is part of admin.Backend.
func (r *Relay) Retry(string) error { return notYet() }

// Explain is part of admin.Explainer.
func (r *Relay) Explain(admin.ExplainQuery) (admin.Explanation, error) {
	return admin.Explanation{}, notYet()
}

// BodyBytesMax is part of admin.Explainer.
func (r *Relay) BodyBytesMax() int { return int(r.setup.Load().cfg.Server.MaxBodySize) }

// Follow is part of admin.Backend.
func (r *Relay) Follow() func(most int) ([]admin.RecentAttempt, uint64) {
	return func(int) ([]admin.RecentAttempt, uint64) { return nil, 0 }
}
