package jetstream

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	cluster "github.com/hookspool/hookspool/testenv/nats"
)

// TestCredentials asserts that what a .creds file holds lets a relay in where an operator's accounts
// do, that another user's does not, and that a seed is never shown.
func TestCredentials(t *testing.T) {
	t.Parallel()
	operator, account := mustKey(t, nkeys.CreateOperator), mustKey(t, nkeys.CreateAccount)
	system, stranger := mustKey(t, nkeys.CreateAccount), mustKey(t, nkeys.CreateAccount)
	op := jwt.NewOperatorClaims(operator.public)
	claims := jwt.NewAccountClaims(account.public)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit,
		MemoryStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	c := cluster.StartInProcess(t, cluster.Options{Nodes: 1, Config: fmt.Sprintf(
		"operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\n",
		operator.sign(t, op), system.public, account.public, operator.sign(t, claims), system.public,
		operator.sign(t, jwt.NewAccountClaims(system.public)))})
	f := func(what string, want error, credentials []byte) {
		t.Helper()
		err := open(t, Options{URL: c.URL(), Credentials: credentials, OpenMax: 5 * time.Second})
		if !errors.Is(err, want) || strings.Contains(err.Error(), "SU") {
			t.Errorf("%s: %v; want %v", what, err, want)
		}
	}
	user := mustKey(t, nkeys.CreateUser)
	token := account.sign(t, jwt.NewUserClaims(user.public))
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	held, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	f("ours", errReached, held)
	theirs, err := jwt.FormatUserConfig(stranger.sign(t, jwt.NewUserClaims(user.public)), seed)
	if err != nil {
		t.Fatal(err)
	}
	f("of another account", ErrCredentials, theirs)
	f("none", ErrCredentials, nil)
	if err := open(t, Options{URL: c.URL(), Credentials: held[:len(held)/2],
		OpenMax: 5 * time.Second}); strings.Contains(err.Error(), "SU") {
		t.Errorf("half of a file: %v", err)
	}
}

type keyPair struct {
	nkeys.KeyPair
	public string
}

func mustKey(t *testing.T, create func() (nkeys.KeyPair, error)) keyPair {
	t.Helper()
	k, err := create()
	if err != nil {
		t.Fatal(err)
	}
	public, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{k, public}
}

func (k keyPair) sign(t *testing.T, claims jwt.Claims) string {
	t.Helper()
	token, err := claims.Encode(k)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
