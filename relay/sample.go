package relay

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/sample"
)

// Sample sends one sample callback to a target, whatever its status, and waits for the outcome. It
// touches no counter, standing or spool: a test is not an event, and an operator who pokes a dead
// target must not push it to Defective, nor a lucky 200 hide a real fault.
func (r desk) Sample(ctx context.Context, name, typ string) (admin.Sample, error) {
	l := r.laneNamed(name)
	if l == nil || !r.shown(l) {
		return admin.Sample{}, noTarget(name)
	}
	w := l.work.Load()
	if w == nil {
		return admin.Sample{}, orphaned(name)
	}
	if typ == "" {
		typ = FirstSample(w.target)
	}
	payload, err := SamplePayload(typ, r.now())
	if err != nil {
		return admin.Sample{}, err
	}
	out := SendSample(ctx, w.client, name, typ, payload, r.now())
	if c := l.m().samples[out.Outcome]; c != nil { // aborted and withheld ones were none
		c.Inc()
	}
	return out, nil
}

// SendSample makes the one request of a sample callback.
func SendSample(ctx context.Context, c *attempt.Client, target, typ string, payload []byte,
	now time.Time) admin.Sample {
	id := "sample_" + uuid.Must(uuid.NewV7()).String()
	out := c.Do(ctx, &attempt.Request{ID: id, Type: typ, ContentType: "application/json",
		Payload: payload, Sample: true, At: now})
	return admin.Sample{
		Target: target, Type: typ, ID: id, Acknowledged: out.Kind == attempt.Success,
		Outcome: out.Kind.String(), Status: out.Status, StatusLine: out.StatusLine,
		Error: out.Error, Latency: out.Duration.Seconds(), Remote: out.Remote, TLS: out.TLS,
		Body: strings.ToValidUTF8(string(out.Snippet), "\uFFFD"),
	}
}

// SamplePayload is the catalogue's sample of a type, or one made for it. The error is an
// *admin.Error about a type that no event can have.
func SamplePayload(typ string, now time.Time) ([]byte, error) {
	if payload, ok := sample.Payload(typ); ok {
		return payload, nil
	}
	if r := accept.CheckName("type", typ, false); r != nil {
		return nil, admin.Refuse(400, accept.CodeMalformed, "%s", r.Detail)
	}
	return sample.Generic(typ, now), nil
}

// FirstSample is the first sample type that the target's events match, in the order in which they
// are written; of a target that wants nothing of the catalogue the first type that it names.
func FirstSample(t *config.Target) string {
	for _, p := range t.Events {
		if p.Match("message") {
			return "message"
		}
		for _, typ := range sample.Types() {
			if p.Match(typ) {
				return typ
			}
		}
	}
	for _, p := range t.Events {
		if !strings.Contains(string(p), "*") {
			return string(p)
		}
	}
	return "message"
}

func noTarget(name string) *admin.Error {
	e := admin.Refuse(404, accept.CodeNotFound, "there is no target %.100q", name)
	e.Hint = "hookspool targets lists them"
	return e
}
