package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
)

const (
	tokenEnv       = "HOOKSPOOL_ADMIN_TOKEN"
	dialTimeout    = 5 * time.Second
	callTimeout    = 30 * time.Second
	answerBytesMax = 64 << 20
)

// peer is a listener of a relay that can be called.
type peer struct {
	base  string // http://host:port, without a slash at its end
	shown string // as a person would name it
	token string
	user  string // who is said to call; empty: nobody says so
	http  *http.Client
}

// newPeer reads "http://host:port", "https://…", "host:port" or "unix:/path".
func newPeer(address, token string) (*peer, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	// Proxies of the environment are for the world outside, not for a neighbour.
	transport := &http.Transport{DialContext: dialer.DialContext, Proxy: nil}
	p := &peer{shown: address, token: token, http: &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a token must not travel on
		},
	}}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
		p.base = "http://localhost"
		return p, nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, misuse(`write http://host:port or unix:/path`, "cannot use address %q", p.shown)
	}
	p.base = strings.TrimSuffix(u.Scheme+"://"+u.Host+u.EscapedPath(), "/")
	p.shown = p.base
	return p, nil
}

// reachable turns a listen address into one that can be called: a relay that listens everywhere
// listens on loopback too.
func reachable(listen string) (string, error) {
	network, where := config.ListenNetwork(listen)
	if network == "unix" {
		return listen, nil
	}
	host, port, err := net.SplitHostPort(where)
	if err != nil {
		return "", fmt.Errorf("cannot use address %q: %w", listen, err)
	}
	if port == "0" {
		return "", errPortZero
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}

var errPortZero = errors.New("its port is 0: only the relay knows which one the system gave it")

// addAdminFlag gives a verb --admin.
func (c *cli) addAdminFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&c.adminURL, "admin", "", "the `URL` of the relay's admin listener, or "+
		"unix:/path (default: admin_listen of the config)")
	return cmd
}

// admin finds the admin listener of the relay. The token comes from the environment, else from the
// config; a config that was merely lying around does not give its token to a URL of --admin.
func (c *cli) admin() (*peer, error) {
	token := c.getenv(tokenEnv)
	if c.adminURL != "" && (token != "" || c.config == "" && c.getenv(configEnv) == "") {
		return claiming(newPeer(c.adminURL, token))
	}
	server, err := c.loadServer()
	if err != nil {
		return nil, err
	}
	if token == "" {
		token = server.AdminToken.Reveal()
	}
	if c.adminURL != "" {
		return claiming(newPeer(c.adminURL, token))
	}
	address, err := reachable(server.AdminListen)
	if err != nil {
		return nil, fail("the log of serve says it; name it with --admin URL",
			"cannot use server.admin_listen %q: %w", server.AdminListen, err)
	}
	return claiming(newPeer(address, token))
}

// unreachable is the failure to get any answer from a peer.
type unreachable struct {
	shown string
	err   error
	// absent: nobody listens there at all.
	absent bool
}

func (u *unreachable) Error() string {
	if u.absent {
		return "nothing listens at " + u.shown
	}
	return fmt.Sprintf("cannot reach %s: %s", u.shown, u.err)
}

func (u *unreachable) Unwrap() error { return u.err }

func newUnreachable(p *peer, err error) *unreachable {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the method and URL that it quotes
	}
	absent := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
	return &unreachable{shown: p.shown, err: err, absent: absent}
}

// sign says who calls.
func (p *peer) sign(r *http.Request) {
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	if p.user != "" {
		r.Header.Set(action.Header, p.user)
	}
}

// do sends one request and reads the whole answer.
func (p *peer) do(ctx context.Context, r *http.Request) (int, http.Header, []byte, error) {
	p.sign(r)
	answer, err := p.http.Do(r.WithContext(ctx))
	if err != nil {
		return 0, nil, nil, newUnreachable(p, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax))
	if err != nil {
		return 0, nil, nil, newUnreachable(p, err)
	}
	return answer.StatusCode, answer.Header, body, nil
}

// call makes one call of the admin API and decodes its answer.
func (p *peer) call(ctx context.Context, method, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return p.callLong(ctx, method, path, into)
}

// callLong is call without a bound on the time.
func (p *peer) callLong(ctx context.Context, method, path string, into any) error {
	r, err := http.NewRequest(method, p.base+path, bytes.NewReader(nil))
	if err != nil {
		return fmt.Errorf("cannot make a request: %w", err)
	}
	return p.answer(ctx, r, into)
}

// answer sends a request and decodes what a call of the admin API answers.
func (p *peer) answer(ctx context.Context, r *http.Request, into any) error {
	status, header, body, err := p.do(ctx, r)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return refusalOf(p, status, header, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fail("is that the admin listener of a hookspool of this version?",
			"cannot read the answer of %s: %w", p.shown, err)
	}
	return nil
}

// refusalOf makes a failure of an answer that is not 200, in the relay's own words if it has some.
func refusalOf(p *peer, status int, header http.Header, body []byte) *failure {
	var problem admin.Problem
	if !strings.HasPrefix(header.Get("Content-Type"), "application/problem+json") ||
		json.Unmarshal(body, &problem) != nil || problem.Detail == "" {
		return fail("is that a hookspool, and of this version?", "%s answered %d %s", p.shown, status,
			http.StatusText(status))
	}
	f := fail(problem.Hint, "%s", problem.Detail)
	f.status = status
	f.reason = problem.Code
	for _, fault := range problem.Faults {
		f.detail = append(f.detail, clean(fault))
	}
	if older := olderRelay(&problem); older != "" {
		f := fail("upgrade the relay: hookspool status has its version, hookspool version this one's",
			"the relay at %s is older than this hookspool: %s", p.shown, older)
		f.status, f.reason = status, codeOlder
		return f
	}
	if status == http.StatusUnauthorized {
		f.hint = "set " + tokenEnv + ", or admin_token in the config that --config names"
		if p.token != "" {
			f.err = fmt.Errorf("%s, and not the one that was given", problem.Detail)
			f.hint = "the relay has another one; " + tokenEnv + " goes before admin_token of the config"
		}
	}
	if strings.HasPrefix(problem.Detail, "events are taken at") {
		f.hint = "that listener takes events; --admin wants the other one, server.admin_listen"
	}
	return f
}

// olderRelay is what a relay does not know that this program asks it for; empty: it knows it. There
// is no other way to get such a refusal, which every version has in these words.
func olderRelay(p *admin.Problem) string {
	switch {
	case p.Status == http.StatusNotFound && strings.HasPrefix(p.Detail, "there is nothing at"):
		what, _ := strings.CutPrefix(p.Detail, "there is nothing at ")
		return "it has no call " + what
	case p.Status == http.StatusBadRequest &&
		strings.HasSuffix(p.Detail, " is not a parameter of this call"):
		what, _, _ := strings.Cut(p.Detail, " is not")
		return "this call of it has no parameter " + what
	}
	return ""
}

// startHint says how to start what was not found.
func (c *cli) startHint(flag string) string {
	serve := "hookspool serve"
	if path := c.configPath(); path != "" && path != configHere {
		serve += " --config " + path
	}
	return fmt.Sprintf("start the relay with: %s; or name a running one with %s URL", serve, flag)
}

// explain adds the hint to a failure to reach the admin listener.
func (c *cli) explain(err error) error {
	var u *unreachable
	if !errors.As(err, &u) {
		return err
	}
	return fail(c.startHint("--admin"), "%w", err)
}
