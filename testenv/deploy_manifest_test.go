package testenv

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// configs are the config files of deploy/, by where they come from.
func configs(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{
		"systemd":    deployed(t, "systemd/hookspool.toml"),
		"compose":    deployed(t, "compose/config/hookspool.toml"),
		"kubernetes": inMap(t, "kubernetes/config.yml", "hookspool.toml"),
	}
}

// inMap is a file in the ConfigMap of a manifest.
func inMap(t *testing.T, manifest, name string) string {
	t.Helper()
	_, text, _ := strings.Cut(deployed(t, manifest), "  "+name+": |\n")
	text, _, _ = strings.Cut(text, "\n---")
	return strings.ReplaceAll("\n"+text, "\n    ", "\n")
}

// TestDeployConfigs asserts that the config files of deploy/ are ones that serve would start with,
// given the secrets that they name, also when these are the credentials of the unit.
func TestDeployConfigs(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	all := configs(t)
	all["systemd, with the credential"] = strings.Replace(all["systemd"], "#secret =", "secret =", 1)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		checkDeployed(t, name, all[name])
	}
}

// checkDeployed has check look at a config file where its secrets are, and returns what it says.
func checkDeployed(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	secret := regexp.MustCompile(`file:(/run/[^"]+)`)
	for _, m := range secret.FindAllStringSubmatch(text, -1) {
		value := "0123456789abcdef0123456789abcdef"
		if strings.HasSuffix(m[1], "crm_secret") {
			value = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		}
		file := filepath.Join(dir, m[1])
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "hookspool.toml")
	// check binds what serve would bind, and the ports may be taken here.
	text = strings.NewReplacer("file:/run/", "file:"+dir+"/run/", "unix:/run/hookspool/",
		"unix:"+dir+"/", ":8470\"", ":0\"", ":8471\"", ":0\"").Replace(text)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := CLI(t, nil, "check", "--config", path)
	if out.Code != 0 {
		t.Errorf("the config for %s is refused:\n%s%s", name, out.Stdout, out.Stderr)
	}
	return out.Stdout + out.Stderr
}

func deployedUnit(t *testing.T) string { return deployed(t, "systemd/hookspool.service") }

// TestDeployRestarts asserts that nothing that ends a relay leaves it down: whatever the exit code or
// signal, as often as it takes. Only an operator stops it.
func TestDeployRestarts(t *testing.T) {
	t.Parallel()
	settings := map[string][]string{}
	for line := range strings.Lines(deployedUnit(t)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && name[0] != '#' {
			settings[name] = append(settings[name], value)
		}
	}
	f := func(name string, want ...string) {
		t.Helper()
		if got := settings[name]; !slices.Equal(got, want) {
			t.Errorf("the unit has %s = %q, want %q", name, got, want)
		}
	}
	f("Restart", "always")
	f("StartLimitIntervalSec", "0")
	f("RestartPreventExitStatus")
	f("SuccessExitStatus")
	compose := deployed(t, "compose/compose.yml")
	if !strings.Contains(compose, "restart: unless-stopped") {
		t.Error("the Compose file leaves a relay down")
	}
}

// TestDeployUnit has systemd-analyze verify the unit with the real binary, and judge how exposed
// the service is: 0 is nothing, 10 is everything.
func TestDeployUnit(t *testing.T) {
	effort.OnlyLong(t, "it runs programs that few machines have")
	effort.WithoutRace(t)
	t.Parallel()
	analyze, ok := tool(t, "SYSTEMD_ANALYZE", "systemd-analyze", "systemd")
	if !ok {
		return
	}
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "hookspool.service")
	text := strings.ReplaceAll(deployedUnit(t), "/usr/local/bin/hookspool", bin)
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20",
		unit).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security, at most 2.0: %v\n%s", err, out)
	}
}

// long says that a test takes minutes of two cores and runs only when asked for.
func long(t *testing.T) {
	t.Helper()
	if !effort.Long() {
		t.Skip("it takes minutes: HOOKSPOOL_LONG=1 go test ./testenv -run 'Deploy|Clients'")
	}
}

// TestDeployManifests holds the Compose file and the Kubernetes manifests against the types of
// Compose and Kubernetes themselves, with a module of its own.
func TestDeployManifests(t *testing.T) {
	long(t)
	t.Parallel()
	dir := filepath.Join(mustRoot(t), "testenv/deploycheck")
	fetch := exec.Command("go", "mod", "download")
	fetch.Dir = dir
	if out, err := fetch.CombinedOutput(); err != nil {
		SkipLoudly(t, "the modules of deploycheck cannot be had: %v\n%s", err, out)
	}
	cmd := exec.Command("go", "run", ".", "../../deploy")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
