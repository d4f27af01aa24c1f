package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// check finds what no key can know alone: combinations that cannot work. It looks only at keys that
// are sound, so that one slip is one fault.
func (d *decoder) check(c *Config) {
	d.checkListeners(&c.Server)
	d.checkRoom(c)
	d.checkEngine(&c.Spool)
	if d.sound("session") && c.Session.Enabled {
		d.checkSession(&c.Session)
	}
	d.checkEmail(&c.Alert.Email)
	c.Alert.Webhook.PEM = d.checkTLS(keyPath{"alert", "webhook"}, c.Alert.Webhook.Target())
	d.checkLog(&c.Log)
	for i := range c.Targets {
		t := &c.Targets[i]
		at := keyPath{"target", t.Name}
		if !c.Session.Enabled && d.sound("session", "enabled") && t.Session != "any" {
			d.fault(at.key("session"), problem{
				fmt.Sprintf("is %q, but session.enabled is false: no event would pass", t.Session),
				`write session = "any", or enable sessions`})
		}
		t.PEM = d.checkTLS(at, t)
		d.checkEarly(at.key("early_retries"), t, &c.Retry)
		d.checkOAuth2(at.key("oauth2"), t)
		d.checkBatch(at, t)
		d.checkHTTP(at, t)
		d.checkProxy(at.key("proxy"), t)
	}
}

// checkEarly refuses early retries that can never be made.
func (d *decoder) checkEarly(at keyPath, t *Target, r *Retry) {
	if !d.sound(at...) || !d.sound("retry") {
		return
	}
	if most := t.Retries(r); len(t.EarlyRetries) > most {
		d.fault(at, problem{fmt.Sprintf("has %d items, but a delivery is retried %d times at most",
			len(t.EarlyRetries), most), "each is one of max_attempts"})
	}
	for i, wait := range t.EarlyRetries {
		if between := t.Between(r); wait >= between {
			d.fault(at.item(i), problem{fmt.Sprintf("is %s, but there is a job every %s",
				durationText(wait), durationText(between)), "an early retry comes before the tick"})
		}
	}
}

// checkBatch refuses to let what is acknowledged or fails together wait for each other.
func (d *decoder) checkBatch(at keyPath, t *Target) {
	if t.Batch.Format != "" && t.Order != (Order{}) {
		d.fault(at.key("batch"), problem{fmt.Sprintf("cannot go with order = %q: the deliveries of a "+
			"batch are made at once", t.Order.String()), "leave one of the two"})
	}
}

// checkHTTP refuses to let a target choose where there is no handshake to choose in.
func (d *decoder) checkHTTP(at keyPath, t *Target) {
	if t.HTTP == httpAuto && t.URL != nil && t.URL.Scheme == "http" {
		d.fault(at.key("http"), problem{`is "auto", but the url is http://: only TLS tells what a ` +
			"target speaks", `write http = "2" if the target speaks HTTP/2 without TLS, or "1.1"`})
	}
}

func (d *decoder) checkListeners(s *Server) {
	if !d.sound("server", "listen") || !d.sound("server", "admin_listen") {
		return
	}
	listen := keyPath{"server", "listen"}
	for i, address := range s.Listen {
		if slices.Contains(s.Listen[:i], address) {
			continue // that is said, and the first of them stands for both
		}
		at := listen
		if len(s.Listen) > 1 { // one may be written without a list
			at = listen.item(i)
		}
		for _, before := range s.Listen[:i] {
			if collide(address, before) {
				d.fault(at, problem{
					fmt.Sprintf("%q cannot be bound beside %q", address, before), "leave one"})
				break
			}
		}
		if collide(address, s.AdminListen) {
			d.fault(at, problem{
				fmt.Sprintf("%q cannot be bound beside admin_listen, %q", address, s.AdminListen),
				"events and admin need addresses of their own"})
		}
	}
	if !isLocal(s.AdminListen) && s.AdminToken == "" && d.sound("server", "admin_token") {
		d.fault(keyPath{"server", "admin_listen"}, problem{
			fmt.Sprintf("%q can be reached from other machines, but admin_token is empty",
				s.AdminListen), "set admin_token, or listen on 127.0.0.1 or a unix socket"})
	}
}

// checkRoom refuses a spool that would answer 507 to an event that max_body_size lets through,
// however empty it is.
func (d *decoder) checkRoom(c *Config) {
	body, room := keyPath{"server", "max_body_size"}, keyPath{"spool", "max_size"}
	need := spoolBodiesMin * c.Server.MaxBodySize
	if c.Spool.MaxSize >= need || !d.sound(body...) || !d.sound(room...) {
		return
	}
	where := "by default"
	if at := d.places.find(body); at != d.places.find(body[:1]) {
		where = fmt.Sprintf("in line %d", at.line)
	}
	d.fault(room, problem{fmt.Sprintf("%s is less than %d times server.max_body_size, which is %s %s",
		sizeText(c.Spool.MaxSize), spoolBodiesMin, sizeText(c.Server.MaxBodySize), where),
		fmt.Sprintf("delivered events go by files, not one by one; write %q or more, or take smaller "+
			"events", sizeText(need))})
}

func (d *decoder) checkSession(s *Session) {
	at := keyPath{"session"}
	if len(s.KeyFields) == 0 {
		d.fault(at.key("key_fields"), problem{"cannot be empty while sessions are enabled",
			"no event would have a conversation; or write enabled = false"})
	}
	for i, user := range s.UserEvents {
		if slices.Contains(s.BusinessEvents, user) && !slices.Contains(s.UserEvents[:i], user) {
			d.fault(at.key("user_events").item(i), problem{
				fmt.Sprintf("%q is among business_events too", user),
				"an event is the user's or the business's"})
		}
	}
}

func (d *decoder) checkEmail(e *Email) {
	at := keyPath{"alert", "email"}
	sound := func(key string) bool { return d.sound("alert", "email", key) }
	if e.SMTP != "" && len(e.To) == 0 && sound("to") {
		d.fault(at.key("to"), problem{"cannot be empty when smtp is set",
			`write who shall hear of a defect: ["oncall@example.com"]`})
	}
	if sound("username") && sound("password") {
		if e.Username != "" && e.Password == "" {
			d.fault(at.key("username"), problem{"is set, but password is empty",
				`set password, such as "env:SMTP_PASSWORD", or remove both`})
		}
		if e.Username == "" && e.Password != "" {
			d.fault(at.key("password"), problem{"is set, but username is empty",
				"set username, or remove both"})
		}
	}
}

// checkLog refuses lines that the level would leave out.
func (d *decoder) checkLog(l *Log) {
	if l.Deliveries && l.Level > slog.LevelInfo && d.sound("log") {
		d.fault(keyPath{"log", "deliveries"}, problem{
			"is true, but log.level leaves out what has level info: there would be no such line",
			`write level = "info", or deliveries = false`})
	}
}

// checkTLS reads the certificates, so that a config that passes is one that serve can start with:
// what was read here is what is used, whatever happens to the files after.
func (d *decoder) checkTLS(at keyPath, t *Target) PEM {
	content := map[string][]byte{}
	for _, file := range []struct{ key, path string }{
		{"ca_file", t.CAFile}, {"client_cert", t.ClientCert}, {"client_key", t.ClientKey}} {
		if file.path == "" {
			continue
		}
		if t.URL != nil && t.URL.Scheme == "http" {
			d.fault(at.key(file.key), problem{"has no meaning for an http:// url",
				"write https:// in the url, or remove it"})
			continue
		}
		pem, p := d.readPEM(file.path)
		if p != (problem{}) {
			d.fault(at.key(file.key), p)
			continue
		}
		content[file.key] = pem
	}
	if pem, ok := content["ca_file"]; ok && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		d.fault(at.key("ca_file"), problem{
			fmt.Sprintf("no certificate in file %q", t.CAFile), "it must be PEM"})
	}
	d.checkClientCert(at, t, content)
	return PEM{content["ca_file"], content["client_cert"], content["client_key"]}
}

func (d *decoder) readPEM(path string) ([]byte, problem) {
	pem, err := d.readFile(path)
	if err != nil {
		return nil, problem{fmt.Sprintf("cannot read file %q: %s", path, withoutPath(err)),
			"paths are relative to the working directory"}
	}
	if len(pem) > pemBytesMax {
		return nil, problem{fmt.Sprintf("file %q is larger than %s", path, sizeText(pemBytesMax)),
			"it must be PEM"}
	}
	return trimEnd(pem), problem{} // so that equal means what it means for Sources
}

func (d *decoder) checkClientCert(at keyPath, t *Target, content map[string][]byte) {
	if !d.sound(at.key("client_cert")...) || !d.sound(at.key("client_key")...) {
		return
	}
	switch {
	case t.ClientCert == "" && t.ClientKey == "":
	case t.ClientKey == "":
		d.fault(at.key("client_cert"), problem{"is set, but client_key is empty",
			"mutual TLS needs both"})
	case t.ClientCert == "":
		d.fault(at.key("client_key"), problem{"is set, but client_cert is empty",
			"mutual TLS needs both"})
	default:
		_, err := tls.X509KeyPair(content["client_cert"], content["client_key"])
		if err != nil {
			d.fault(at.key("client_cert"), problem{
				fmt.Sprintf("cannot use it with client_key: %s", err),
				"both must be PEM, and the key must be that of the certificate"})
		}
	}
}

// checkOAuth2 finds what no key of it can know alone.
func (d *decoder) checkOAuth2(at keyPath, t *Target) {
	o := &t.OAuth2
	if !d.sound(at...) {
		return
	}
	needs := []struct {
		key string
		set bool
	}{{"token_url", o.TokenURL != nil}, {"client_id", o.ClientID != ""},
		{"client_secret", o.ClientSecret != ""}}
	var set, missing []string
	for _, n := range needs {
		if n.set {
			set = append(set, n.key)
		} else {
			missing = append(missing, n.key)
		}
	}
	if len(o.Scopes)+len(o.Params) > 0 {
		set = append(set, "scopes or params")
	}
	if len(set) == 0 {
		return
	}
	for _, key := range missing {
		d.fault(at.key(key), problem{"is empty, but " + set[0] + " is set",
			"token_url, client_id and client_secret are needed, all three or none"})
	}
	if o.TokenURL != nil && o.TokenURL.User != nil {
		d.fault(at.key("token_url"), problem{"has user-info, which is not sent",
			"write it as client_id and client_secret"})
	}
	d.checkOnlyOAuth2(at, t)
}

// checkProxy refuses a header that the proxy never sees, or sees twice.
func (d *decoder) checkProxy(at keyPath, t *Target) {
	if t.Proxy == (Proxy{}) || !d.sound(at...) {
		return
	}
	if t.HTTP == "2" && t.URL != nil && t.URL.Scheme == "http" {
		d.fault(at, problem{`cannot carry http = "2" to an http:// url: what goes through it in clear ` +
			"is HTTP/1.1", `write http = "1.1", or an https:// url`})
	}
	for _, h := range t.Headers {
		if strings.EqualFold(h.Name, "Proxy-Authorization") {
			d.fault(at, problem{"is set, and headers sets Proxy-Authorization, which goes to the target",
				`write it as user-info: proxy = "http://user:password@host:port"`})
		}
	}
}

// checkOnlyOAuth2 refuses a second Authorization.
func (d *decoder) checkOnlyOAuth2(at keyPath, t *Target) {
	const hint = "a request has one Authorization: leave one of them"
	if t.URL != nil && t.URL.User != nil {
		d.fault(at, problem{"gives an Authorization, and the user-info of url does as well", hint})
	}
	for _, h := range t.Headers {
		if strings.EqualFold(h.Name, "Authorization") {
			d.fault(at, problem{"gives an Authorization, and headers sets one as well", hint})
		}
	}
}

// checkEngine finds what no key of the engine's can know alone.
func (d *decoder) checkEngine(s *Spool) {
	j, at := &s.JetStream, keyPath{"spool", "jetstream"}
	j.PEM = d.checkTLS(at, &Target{CAFile: j.CAFile, ClientCert: j.ClientCert,
		ClientKey: j.ClientKey})
	if !s.Shared() || !d.sound(at.key("replicas")...) || !d.sound(at.key("accept_unsafe")...) {
		return
	}
	if j.Replicas < replicasSafe && !j.AcceptUnsafe {
		d.fault(at.key("replicas"), problem{
			fmt.Sprintf("is %d: what is acknowledged would not outlive the loss of one server",
				j.Replicas),
			fmt.Sprintf("write replicas = %d; for development only: accept_unsafe = true", replicasSafe)})
	}
}
