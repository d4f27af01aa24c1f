package testenv

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestOlderRelay asserts that verbs whose calls, or parameters, an older relay does not have say
// that, and where its version is seen, and nothing of paths that the user never wrote; and that
// what it has works.
func TestOlderRelay(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Start()
	j.Ledger.AllowForeign()
	j.SendIDs("x", 1)
	f := startFront(t, j)
	f.answer(func(w http.ResponseWriter, r *http.Request) bool {
		status, detail := 0, ""
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1/actions"), strings.HasPrefix(r.URL.Path, "/v1/types"),
			strings.HasPrefix(r.URL.Path, "/v1/history"), strings.HasSuffix(r.URL.Path, "/failures"),
			strings.HasPrefix(r.URL.Path, "/v1/conversations"):
			status, detail = 404, `there is nothing at "`+r.URL.Path+`"`
		case r.URL.Query().Has("where"):
			status, detail = 400, `"where" is not a parameter of this call`
		case r.URL.Query().Get("actions") == "true":
			status, detail = 400, `"actions" is not a parameter of this call`
		default:
			return false
		}
		body, err := json.Marshal(map[string]any{"status": status, "detail": detail,
			"code": map[int]string{404: "not_found", 400: "malformed"}[status],
			"hint": "events are posted to server.listen; the API here begins with /v1"})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return true
	})
	for _, args := range [][]string{{"actions"}, {"types"}, {"types", "message"}, {"history"},
		{"failures", "crm"}, {"events", "--conversation", "waId=1"}, {"events", "--where", "waId=1"},
		{"replay", "--target", "crm", "--where", "waId=1", "--yes"},
		{"purge", "--target", "crm", "--where", "waId=1", "--yes"},
		{"spool", "export", "--actions"}} {
		out := j.CLI(append(args, "--admin", f.URL())...)
		if out.Code != 1 || !strings.Contains(out.Stderr, "error: the relay at "+f.URL()+
			" is older than this hookspool: ") || strings.Contains(out.Stderr, "server.listen") ||
			!strings.Contains(out.Stderr, "hint: upgrade the relay: hookspool status has its version") {
			t.Errorf("hookspool %q says %+v", args, out)
		}
	}
	for _, args := range [][]string{{"events"}, {"deliveries"}, {"targets"}, {"spool", "export"},
		{"purge", "--target", "crm", "--yes"}} {
		if out := j.CLI(append(args, "--admin", f.URL())...); out.Code != 0 {
			t.Errorf("hookspool %q says %+v", args, out)
		}
	}
}
