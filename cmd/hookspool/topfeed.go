package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/hookspool/hookspool/cmd/hookspool/top"
	"github.com/hookspool/hookspool/relay/admin"
)

const (
	// topSilence is how long a stream, which speaks every second, may say nothing: whoever was at its
	// other end is gone then.
	topSilence = 10 * time.Second
	// topAgain lies between two tries to reach the relay.
	topAgain = time.Second
	// topPolls are the times that a relay without a stream is asked before the stream is tried again.
	topPolls = 15
)

// topNews is something that top is told: the state of the relay, or why there is none, or the
// attempts of one target.
type topNews struct {
	at      time.Time // of the state
	status  *admin.Status
	targets []admin.Target
	way     string // how it came: live or polling
	err     error  // the relay is away

	of          string // the target of the attempts; empty: there are none in this
	attempts    []admin.RecentAttempt
	attemptsErr error
}

// tell sends unless it is over.
func tell(ctx context.Context, to chan<- topNews, n topNews) {
	select {
	case to <- n:
	case <-ctx.Done():
	}
}

// ask asks for the state once.
func (p *peer) ask(ctx context.Context) (topNews, error) {
	ctx, cancel := context.WithTimeout(ctx, topSilence)
	defer cancel()
	n := topNews{status: new(admin.Status), way: "polling"}
	var list admin.TargetList
	if err := p.call(ctx, "GET", "/v1/status", n.status); err != nil {
		return n, err
	}
	if err := p.call(ctx, "GET", "/v1/targets", &list); err != nil {
		return n, err
	}
	n.targets, n.at = array(list.Targets), time.Now()
	return n, nil
}

// followRelay tells the state of the relay as its stream does, again and again, and asks for it
// where the stream is refused.
func followRelay(ctx context.Context, screen *top.Screen, relay *peer, to chan<- topNews) {
	defer screen.Guard()
	for ctx.Err() == nil {
		err := followStream(ctx, relay, to)
		var refusal *failure
		if errors.As(err, &refusal) {
			err = pollRelay(ctx, relay, to)
		}
		if err == nil {
			continue // after as many polls, or with the end of ctx
		}
		tell(ctx, to, topNews{err: err})
		wait(ctx, topAgain)
	}
}

// errStreamEnd is the end of a stream: the relay stops, or wants another token.
var errStreamEnd = errors.New("the relay ended its stream")

// followStream tells what the stream does until that ends, which is an error.
func followStream(parent context.Context, relay *peer, to chan<- topNews) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	silence := time.AfterFunc(topSilence, cancel)
	defer silence.Stop()
	var status *admin.Status // waits for the targets, which follow it
	err := relay.tail(ctx, func(name string, data []byte) error {
		silence.Reset(topSilence)
		switch name {
		case "status":
			status = new(admin.Status)
			return json.Unmarshal(data, status)
		case "targets":
			var list admin.TargetList
			if err := json.Unmarshal(data, &list); err != nil {
				return err
			}
			tell(ctx, to, topNews{at: time.Now(), way: "live", status: status,
				targets: array(list.Targets)})
		}
		return nil
	})
	switch {
	case parent.Err() != nil:
		return nil
	case err == nil:
		return errStreamEnd
	case ctx.Err() != nil:
		return fmt.Errorf("%s has said nothing for %s", relay.shown, durationText(topSilence))
	}
	return err
}

// pollRelay asks for the state, as often as topPolls.
func pollRelay(ctx context.Context, relay *peer, to chan<- topNews) error {
	for range topPolls {
		n, err := relay.ask(ctx)
		if err != nil {
			return err
		}
		tell(ctx, to, n)
		if wait(ctx, watchEvery) != nil {
			return nil
		}
	}
	return nil
}

// wait waits so long, or until the end of ctx, which is an error.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attemptsPath asks for the recent attempts at one target.
func attemptsPath(target string, limit int) string {
	return "/v1/targets/" + url.PathEscape(target) + "/attempts?limit=" + strconv.Itoa(limit)
}
