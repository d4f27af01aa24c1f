package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestUsualAddress asserts that without a config the verbs of a spool find the relay that listens at
// the usual address, as all others do, and say what is missing where none does. It needs a network
// of its own, since another relay may have that address.
func TestUsualAddress(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	alone := []string{"unshare", "-n", "sh", "-ec", "ip link set lo up\n" + `cd "$1"; "$0" "$2"`}
	if out, err := exec.Command(alone[0], append(alone[1:], bin, "/", "version")...).
		CombinedOutput(); err != nil {
		SkipLoudly(t, "no network namespace, so nobody looked at the usual address: %v %s", err, out)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "relay.toml")
	text := `[spool]
dir = "` + filepath.Join(dir, "data") + `"
[target.crm]
url = "http://127.0.0.1:9/"
events = ["*"]
`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `ip link set lo up
cd "$1"
for verb in stat verify export "backup none.bak" "import -"; do
	echo "== $verb"
	"$0" spool $verb 2>&1 </dev/null && exit 9
done
"$0" serve --config "$2" 2>serve.log &
trap 'kill $!; wait $!' EXIT
"$0" healthcheck --wait 60s
echo '{"eventType":"message"}' | "$0" send --id one -
for verb in stat verify export "backup some.bak"; do
	echo "== $verb"
	"$0" spool $verb 2>&1
done
`
	out, err := exec.Command("unshare", "-n", "sh", "-ec", script, bin, t.TempDir(), config).
		CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const none = "error: there is no config: neither ./hookspool.toml nor " +
		"/etc/hookspool/hookspool.toml, and $HOOKSPOOL_CONFIG is not set, and nothing listens at " +
		"http://127.0.0.1:8471\nhint: write one "
	if n := bytes.Count(out, []byte(none)); n != 5 {
		t.Errorf("%d of 5 verbs say what is missing:\n%s", n, out)
	}
	for _, want := range []string{"\nevents       1 kept", "\nok: ", `{"id":"one",`,
		"\nexported 1 event\n", "\nbacked up "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}
