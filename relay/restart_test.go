package relay

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/relay/config"
)

// TestEngineNeedsRestart changes every key of [spool.jetstream] and asserts that a reload says so:
// the engine is opened once.
func TestEngineNeedsRestart(t *testing.T) {
	t.Parallel()
	before := config.Default()
	f := func(key string, change func(*config.Config)) {
		t.Helper()
		after := config.Default()
		change(&after)
		if got := needRestart(&before, &after); !slices.Equal(got, []string{key}) {
			t.Errorf("%s changes, and %q need a restart", key, got)
		}
	}
	f("spool.engine", func(c *config.Config) { c.Spool.Engine = config.EngineJetStream })
	f("spool.jetstream.ca_file", func(c *config.Config) { c.Spool.JetStream.PEM.CA = []byte("x") })
	f("spool.jetstream.client_cert", func(c *config.Config) {
		c.Spool.JetStream.PEM.Cert = []byte("x")
	})
	f("spool.jetstream.client_key", func(c *config.Config) { c.Spool.JetStream.PEM.Key = []byte("x") })
	keys := map[string]string{"URLs": "urls", "MonitorURL": "monitor_url",
		"CompareEvery": "compare_every", "AcceptUnsafe": "accept_unsafe"}
	for field := range reflect.TypeFor[config.JetStream]().Fields() {
		if field.Name == "PEM" || strings.HasSuffix(field.Name, "File") ||
			strings.HasPrefix(field.Name, "Client") {
			continue // that is the content of these files
		}
		key := keys[field.Name]
		if key == "" {
			key = strings.ToLower(field.Name)
		}
		f("spool.jetstream."+key, func(c *config.Config) {
			v := reflect.ValueOf(&c.Spool.JetStream).Elem().FieldByName(field.Name)
			switch v.Kind() {
			case reflect.String:
				v.SetString("x")
			case reflect.Int, reflect.Int64:
				v.SetInt(5)
			case reflect.Bool:
				v.SetBool(true)
			default:
				v.Set(reflect.ValueOf([]config.Secret{"nats://x"}))
			}
		})
	}
}
