package token

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

const (
	// renewAhead is how long before its end a token is renewed.
	renewAhead = time.Minute
	// lifeMin is the least life of a token, whatever the server says.
	lifeMin = time.Second
	// refusedPause is how long a token that came after a 401 is kept although it is refused, too.
	refusedPause = time.Minute
	// pauseMin and pauseMax are how long nobody asks after a failure; it doubles with each.
	pauseMin = time.Second
	pauseMax = 8 * time.Second
)

// Options describe how to get tokens.
type Options struct {
	// URL is the token endpoint, without user-info.
	URL *url.URL
	// ClientID and ClientSecret go as Basic auth, or in the body where the server refuses that.
	ClientID, ClientSecret string
	// Scopes are asked for; none: those that the server gives by itself.
	Scopes []string
	// Params go into the body as well, such as an audience.
	Params map[string]string
	// Client asks. It must not follow redirects.
	Client *http.Client
}

// Source gives tokens to the attempts of one target. It is an attempt.Credential, safe for
// concurrent use. New makes real ones.
type Source struct {
	asker asker
	fixed []string // secrets that it is made of
	now   func() time.Time

	mu    sync.Mutex // guards below
	value string     // of the Authorization; empty: there is none
	// renew is from when another is fetched, end until when this one is good; zero: nobody knows.
	renew, end time.Time
	droppedAt  time.Time // when one was dropped for a 401
	failure    error     // why there is none; nil: nobody has asked, or there is one
	pause      time.Duration
	askAgain   time.Time
	busy       chan struct{} // one attempt asks, which closes it; nil: none does
	secrets    []string
}

// New makes a Source. It asks for nothing yet.
func New(o Options) *Source {
	s := &Source{now: time.Now}
	pair := url.QueryEscape(o.ClientID) + ":" + url.QueryEscape(o.ClientSecret)
	s.fixed = []string{o.ClientSecret, url.QueryEscape(o.ClientSecret),
		base64.StdEncoding.EncodeToString([]byte(pair))}
	for _, value := range o.Params {
		s.fixed = append(s.fixed, value, url.QueryEscape(value))
	}
	s.secrets, s.asker = s.fixed, asker{o: o, secrets: s.fixed}
	return s
}

// String tells where it asks, and no secret.
func (s *Source) String() string { return "tokens of " + s.asker.host() }

// GoString is String.
func (s *Source) GoString() string { return s.String() }

// Secrets is part of attempt.Credential.
func (s *Source) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secrets
}

// Authorization is part of attempt.Credential.
func (s *Source) Authorization(ctx context.Context, deadline time.Time) (string, error) {
	value, busy, err := s.look()
	if value != "" || err != nil {
		return value, err
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for value == "" && err == nil {
		if busy == nil {
			return s.ask(ctx)
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return "", &failure{"waited in vain for " + s.String(), ctx.Err()}
		}
		value, busy, err = s.look()
	}
	return value, err
}

// look returns what is known: a value, or a failure that is new, or what to wait for. With none of
// them the caller is the one who asks, and has to.
func (s *Source) look() (value string, busy chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	good := s.goodLocked(now)
	fresh := good && (s.renew.IsZero() || now.Before(s.renew))
	paused := s.failure != nil && now.Before(s.askAgain)
	switch {
	case fresh, good && (s.busy != nil || paused):
		return s.value, nil, nil
	case s.busy != nil:
		return "", s.busy, nil
	case paused:
		return "", nil, s.failure
	}
	s.busy = make(chan struct{})
	return "", nil, nil
}

// goodLocked reports that there is a token that has not ended.
func (s *Source) goodLocked(now time.Time) bool {
	return s.value != "" && (s.end.IsZero() || now.Before(s.end))
}

// ask gets a token for all who wait. As long as there is a good one, half of the time is spared for
// the request that goes out with that if there is no other.
func (s *Source) ask(ctx context.Context) (string, error) {
	deadline, _ := ctx.Deadline()
	within := ctx
	s.mu.Lock()
	good := s.goodLocked(s.now())
	s.mu.Unlock()
	if good {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	t, err := s.asker.ask(within)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.busy)
	s.busy = nil
	switch {
	case err == nil:
		s.keepLocked(t)
		return s.value, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return "", err // our own stopping, from which nothing is learned
	}
	s.pause = min(max(2*s.pause, pauseMin), pauseMax)
	s.failure, s.askAgain = err, s.now().Add(s.pause)
	if s.goodLocked(s.now()) {
		return s.value, nil
	}
	return "", err
}

// keepLocked takes a token that has just come. The one before it may be under way still.
func (s *Source) keepLocked(t *oauth2.Token) {
	before := s.value
	s.value, s.failure, s.pause = "Bearer "+t.AccessToken, nil, 0
	s.renew, s.end = time.Time{}, time.Time{}
	if !t.Expiry.IsZero() {
		life := max(time.Until(t.Expiry), lifeMin)
		s.end = s.now().Add(life)
		s.renew = s.end.Add(-min(renewAhead, life/2))
	}
	s.secrets = append([]string{s.value}, s.fixed...)
	if before != "" {
		s.secrets = append(s.secrets, before)
	}
}

// Refused is part of attempt.Credential. 403 says that the token is good and the client may not.
func (s *Source) Refused(value string, status int) {
	if status != http.StatusUnauthorized {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if value != s.value || !s.droppedAt.IsZero() && now.Sub(s.droppedAt) < refusedPause {
		return
	}
	s.droppedAt, s.end = now, now // it is kept as a secret
}
