package testenv

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeployRelease builds a release of the last commit twice, in directories of different names,
// and asserts that all files are the same byte for byte; then that the archives hold what they
// should: binaries for their machines that know their version, nothing of the builder's
// directories, and an SBOM that tells of the exporter only where it is.
func TestDeployRelease(t *testing.T) {
	long(t)
	t.Parallel()
	root := mustRoot(t)
	if out, err := exec.Command("git", "-C", root, "rev-parse", "HEAD").CombinedOutput(); err != nil {
		SkipLoudly(t, "this tree is none of git's: %s", out)
	}
	dir := keptDir(t)
	first := release(t, root, filepath.Join(dir, "one"))
	second := release(t, root, filepath.Join(dir, "a", "longer", "way"))
	if len(first) != 4+4+1 {
		t.Fatalf("the release has %d files", len(first))
	}
	for name, content := range first {
		if !bytes.Equal(content, second[name]) {
			t.Errorf("%s differs between two builds of one commit", name)
		}
		if strings.HasSuffix(name, ".cdx.json") {
			checkSBOM(t, name, content)
		}
	}
	for name := range first {
		if base, ok := strings.CutSuffix(name, ".tar.gz"); ok {
			checkArchive(t, filepath.Join(dir, "one", "dist"), base, dir)
		}
	}
	sums := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	sums.Dir = filepath.Join(dir, "one", "dist")
	if out, err := sums.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// release clones the repository to a directory, builds there and returns what came out.
func release(t *testing.T, root, dir string) map[string][]byte {
	t.Helper()
	mustRun(t, "", "git", "clone", "--quiet", root, dir)
	cmd := exec.Command("deploy/release.sh")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("deploy/release.sh: %v\n%s", err, out)
	}
	files := map[string][]byte{}
	entries, err := os.ReadDir(filepath.Join(dir, "dist"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files[e.Name()] = []byte(readFile(t, filepath.Join(dir, "dist", e.Name())))
	}
	return files
}

func mustRun(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}

func checkSBOM(t *testing.T, name string, content []byte) {
	t.Helper()
	var bom struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name string }
	}
	if err := json.Unmarshal(content, &bom); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	exporter := false
	for _, c := range bom.Components {
		exporter = exporter || strings.HasSuffix(c.Name, "otlptracehttp")
	}
	if bom.BOMFormat != "CycloneDX" || bom.Metadata.Component.Name != module ||
		len(bom.Components) < 20 || exporter != strings.Contains(name, "-otel_") {
		t.Errorf("%s is %s of %s with %d components; the exporter is one of them: %v", name,
			bom.BOMFormat, bom.Metadata.Component.Name, len(bom.Components), exporter)
	}
}

// checkArchive unpacks one and looks at its binary.
func checkArchive(t *testing.T, dist, base, builder string) {
	t.Helper()
	for line := range strings.Lines(string(mustRun(t, dist, "tar", "--numeric-owner", "-tvzf",
		base+".tar.gz"))) {
		if !strings.Contains(line, " 0/0 ") || !strings.Contains(line, " "+base+"/") {
			t.Errorf("the archive holds %s", line)
		}
	}
	mustRun(t, dist, "tar", "-C", builder, "-xzf", base+".tar.gz")
	for _, name := range []string{"LICENSE", "THIRD_PARTY_LICENSES", "README.md",
		"config.example.toml", "deploy/systemd/hookspool.service"} {
		if readFile(t, filepath.Join(builder, base, name)) == "" {
			t.Errorf("%s of %s is empty", name, base)
		}
	}
	bin := filepath.Join(builder, base, "hookspool")
	if bytes.Contains([]byte(readFile(t, bin)), []byte(builder)) {
		t.Errorf("the binary of %s holds the path of its builder", base)
	}
	file, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	arch := base[strings.LastIndexByte(base, '_')+1:]
	if file.Machine != machine[arch] {
		t.Errorf("the binary of %s is for %s", base, file.Machine)
	}
	if host, err := elf.Open("/proc/self/exe"); err != nil || host.Machine != file.Machine {
		return // it does not run here
	}
	var told struct {
		Version, Commit, Tags string
		Modified              bool
	}
	if err := json.Unmarshal(mustRun(t, dist, bin, "version", "--json"), &told); err != nil {
		t.Fatal(err)
	}
	otel := strings.Contains(base, "-otel_")
	if !strings.Contains(base, "_"+told.Version+"_") || len(told.Commit) != 40 || told.Modified ||
		(told.Tags == "otel") != otel {
		t.Errorf("the binary of %s says of itself: %+v", base, told)
	}
}
