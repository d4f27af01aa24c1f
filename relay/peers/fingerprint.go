package peers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"
	"net/url"
	"reflect"
	"time"

	"github.com/hookspool/hookspool/relay/config"
)

// agreed is what relays that share a spool must agree on. Where one listens, what it logs, who may
// ask it, and where its files are, is its own business.
type agreed struct {
	MaxBodySize                  int64
	Event                        config.Event
	SpoolSize                    int64
	KeepDelivered, KeepExhausted time.Duration
	Retry                        config.Retry
	Defect                       config.Defect
	Session                      config.Session
	Alert                        config.Alert
	Targets                      []config.Target
}

// Fingerprint tells configs apart that relays of one spool must not have side by side. It says
// nothing of the secrets in them to whoever does not know the spool: its id is the key.
func Fingerprint(spool string, cfg *config.Config) string {
	h := hmac.New(sha256.New, []byte(spool))
	write(h, "", reflect.ValueOf(agreed{
		MaxBodySize: cfg.Server.MaxBodySize, Event: cfg.Event, SpoolSize: cfg.Spool.MaxSize,
		KeepDelivered: cfg.Spool.KeepDelivered, KeepExhausted: cfg.Spool.KeepExhausted,
		Retry: cfg.Retry, Defect: cfg.Defect, Session: cfg.Session, Alert: cfg.Alert,
		Targets: cfg.Targets,
	}))
	return hex.EncodeToString(h.Sum(nil))
}

// local are paths on a machine; what the files hold is compared.
func local(field string) bool {
	return field == "CAFile" || field == "ClientCert" || field == "ClientKey"
}

// write writes a value with its place, so that no two configs read alike.
func write(h hash.Hash, at string, v reflect.Value) {
	if text, ok := plain(v); ok {
		fmt.Fprintf(h, "%s=%d:%s\n", at, len(text), text)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			write(h, at, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); !local(field.Name) {
				write(h, at+"."+field.Name, v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		fmt.Fprintf(h, "%s#%d\n", at, v.Len())
		for i := range v.Len() {
			write(h, fmt.Sprintf("%s[%d]", at, i), v.Index(i))
		}
	case reflect.Bool:
		fmt.Fprintf(h, "%s=%t\n", at, v.Bool())
	case reflect.Int, reflect.Int64:
		fmt.Fprintf(h, "%s=%d\n", at, v.Int())
	case reflect.Uint8, reflect.Uint64:
		fmt.Fprintf(h, "%s=%d\n", at, v.Uint())
	default:
		panic("BUG: a config has a value of a kind that has no fingerprint: " + v.Type().String())
	}
}

// plain is a value that is one text. Of secrets it is what they hide everywhere else.
func plain(v reflect.Value) (string, bool) {
	if v.Kind() == reflect.String {
		return v.String(), true // config.Secret is one
	}
	if !v.CanInterface() {
		return "", false
	}
	switch x := v.Interface().(type) {
	case config.SecretBytes:
		return string(x), true
	case []byte:
		return string(x), true
	case *url.URL:
		if x == nil {
			return "", true
		}
		return x.String(), true
	case encoding.TextMarshaler: // of addresses
		text, err := x.MarshalText()
		return string(text), err == nil
	}
	return "", false
}
