package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
)

// tokenBytesMin is what a token should have: 16 characters of base64 are 96 bits, beyond guessing.
const tokenBytesMin = 16

// Warnings returns what is legal but worth saying once at start and by check. The order is that of
// the file. No secret is in it.
func (c *Config) Warnings() []string {
	var w []string
	if len(c.Targets) == 0 {
		w = append(w, "there is no [target.NAME]: every event will be unmatched and not spooled")
	}
	w = append(w, c.Server.warnings()...)
	if good := spoolBodiesGood * c.Server.MaxBodySize; c.Spool.MaxSize < good {
		w = append(w, fmt.Sprintf("spool.max_size %s is less than %d times server.max_body_size: "+
			"the largest events may be refused as spool_full although there is little in it",
			sizeText(c.Spool.MaxSize), spoolBodiesGood))
	}
	w = append(w, c.Spool.engineWarnings()...)
	w = append(w, c.Session.warnings()...)
	w = append(w, c.Alert.warnings()...)
	seen := map[string]string{}
	for _, t := range c.Targets {
		if t.URL == nil {
			continue // not from Parse
		}
		if other, ok := seen[t.URL.String()]; ok {
			w = append(w, fmt.Sprintf("targets %s and %s have one url: "+
				"an event that both want is sent twice", other, t.Name))
		} else {
			seen[t.URL.String()] = t.Name
		}
		w = append(w, t.warnings()...)
	}
	return w
}

func (s *Server) warnings() []string {
	var w []string
	for _, address := range s.Listen {
		if s.EventToken == "" && !isLocal(address) {
			w = append(w, fmt.Sprintf("server.listen %s can be reached from other machines and "+
				"server.event_token is empty: anybody there can send events", address))
		}
	}
	tokens := []struct {
		key   string
		token Secret
	}{{"event_token", s.EventToken}, {"admin_token", s.AdminToken}}
	for _, t := range tokens {
		if t.token != "" && len(t.token) < tokenBytesMin {
			w = append(w, fmt.Sprintf("server.%s is shorter than %d characters: "+
				"it can be guessed", t.key, tokenBytesMin))
		}
	}
	if s.EventToken != "" && s.EventToken == s.AdminToken {
		w = append(w, "server.event_token and server.admin_token are the same: "+
			"whoever may send events may also purge them")
	}
	return w
}

func (s *Session) warnings() []string {
	if !s.Enabled {
		return nil
	}
	var w []string
	if len(s.UserEvents) == 0 || len(s.BusinessEvents) == 0 {
		w = append(w, "session.user_events or session.business_events is empty: "+
			"unless events tell their owner, no session becomes active")
	}
	w = append(w, patternWarnings("session.user_events", s.UserEvents)...)
	return append(w, patternWarnings("session.business_events", s.BusinessEvents)...)
}

func (a *Alert) warnings() []string {
	var w []string
	switch e := &a.Email; {
	case e.SMTP == "" && a.Webhook.URL != nil:
		w = append(w, "alert.email.smtp is empty: alerts are posted to alert.webhook.url, "+
			"and nobody gets a mail")
	case e.SMTP == "":
		w = append(w, "alert.email.smtp is empty: nobody gets a mail when a target is Defective")
	case e.TLS == "none" && e.Username != "":
		w = append(w, `alert.email.tls is "none": the password goes over the wire in clear`)
	}
	return append(w, a.Webhook.warnings()...)
}

func (h *Webhook) warnings() []string {
	w := openWarnings("alert.webhook.allow_addresses", h.AllowAddresses, "this url")
	set := len(h.Secrets) > 0 || len(h.Headers) > 0 || len(h.AllowAddresses) > 0 || h.CAFile != ""
	if h.URL == nil && set {
		w = append(w, "alert.webhook.url is empty: the rest of [alert.webhook] has no effect")
	}
	return w
}

func (t *Target) warnings() []string {
	w := patternWarnings("target."+t.Name+".events", t.Events)
	w = append(w, t.OAuth2.warnings(t.Name)...)
	if t.URL.User != nil {
		for _, h := range t.Headers {
			if strings.EqualFold(h.Name, "Authorization") {
				w = append(w, fmt.Sprintf("target.%s.headers sets Authorization: "+
					"the user-info of its url is not sent", t.Name))
			}
		}
	}
	return append(w, openWarnings("target."+t.Name+".allow_addresses", t.AllowAddresses,
		"this target")...)
}

// openWarnings points at prefixes that are everything.
func openWarnings(key string, prefixes []netip.Prefix, whose string) []string {
	var w []string
	for _, prefix := range prefixes {
		if prefix.Bits() == 0 {
			w = append(w, fmt.Sprintf("%s has %s: it lifts the protection of cloud metadata and "+
				"private networks for %s", key, familyOf(prefix), whose))
		}
	}
	return w
}

func familyOf(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "all of IPv4"
	}
	return "all of IPv6"
}

// patternWarnings points at patterns that match no known type but nearly do: a name that is off by
// a letter is a filter that never passes anything, and nobody is told.
func patternWarnings(key string, patterns []Pattern) []string {
	known := KnownTypes()
	var w []string
	for _, p := range patterns {
		if better, ok := p.meant(known); ok {
			w = append(w, fmt.Sprintf("%s: %q matches no event type that Wati documents; "+
				"did you mean %q?", key, string(p), better))
		}
	}
	return w
}

// meant returns a pattern near to p that matches a known type, if p itself matches none.
func (p Pattern) meant(known []string) (string, bool) {
	for _, k := range known {
		if p.Match(k) {
			return "", false
		}
	}
	stem, rest, starred := strings.Cut(string(p), "*")
	if !starred {
		return nearestType(string(p), known)
	}
	if rest != "" {
		return "", false // a pattern with a tail has too many meanings to guess
	}
	var beginnings []string
	for _, k := range known {
		for length := max(len(stem)-1, 1); length <= min(len(stem)+1, len(k)); length++ {
			beginnings = append(beginnings, k[:length])
		}
	}
	best, ok := nearestType(stem, beginnings)
	return best + "*", ok
}

// nearestType forgives case altogether and else what nearest does, but never more than two edits:
// types are long, and an app may well have types of its own.
func nearestType(word string, known []string) (string, bool) {
	for _, k := range known {
		if strings.EqualFold(word, k) {
			return k, true
		}
	}
	best, ok := nearest(word, known)
	return best, ok && edits(word, best) <= 2
}

// engineWarnings are those of [spool.jetstream].
func (s *Spool) engineWarnings() (w []string) {
	j := &s.JetStream
	if !s.Shared() {
		if !reflect.DeepEqual(*j, defaultJetStream()) {
			w = append(w, fmt.Sprintf("spool.engine is %q: [spool.jetstream] has no effect", s.Engine))
		}
		return w
	}
	if j.AcceptUnsafe {
		w = append(w, "spool.jetstream.accept_unsafe is true: what was acknowledged may be lost with "+
			"one server; this is for development")
	}
	if j.MonitorURL == "" {
		w = append(w, "spool.jetstream.monitor_url is empty: whether the servers sync before they "+
			"answer (sync_interval: always) cannot be seen")
	}
	for _, u := range j.URLs {
		parsed, err := url.Parse(u.Reveal())
		if err == nil && parsed.Scheme != "tls" && j.CAFile == "" &&
			!isLocal(net.JoinHostPort(parsed.Hostname(), "0")) {
			return append(w, fmt.Sprintf("spool.jetstream.urls: unless the server at %s insists on TLS, "+
				"events and passwords go over the wire in clear; write tls://", MaskURL(parsed)))
		}
	}
	return w
}
