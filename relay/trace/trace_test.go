package trace

import "testing"

// TestSettings is the table of what turns tracing on.
func TestSettings(t *testing.T) {
	f := func(want bool, env map[string]string) {
		t.Helper()
		s := readSettings(func(name string) string { return env[name] })
		if s.wanted() != want {
			t.Errorf("with %v spans are wanted: %v", env, !want)
		}
	}
	const endpoint = "http://localhost:4318"
	// Off by default.
	f(false, nil)
	// A variable that is empty is the same as one that is not set.
	f(false, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": ""})
	f(true, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
	f(true, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint + "/v1/traces"})
	// The standard's switches, in any case.
	f(false, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "True"})
	f(true, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "no"})
	f(false, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
		"OTEL_TRACES_EXPORTER": "none"})
	f(true, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
		"OTEL_TRACES_EXPORTER": "otlp"})
	// Metrics and logs are not traces.
	f(false, map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": endpoint})
}
