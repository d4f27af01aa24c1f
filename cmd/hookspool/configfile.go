package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hookspool/hookspool/relay/config"
)

const (
	configEnv  = "HOOKSPOOL_CONFIG"
	configHere = "./hookspool.toml"
	configEtc  = "/etc/hookspool/hookspool.toml"
)

// configPath is where the config is: what --config or the environment names, whether it is there
// or not, else the first of the usual places that is. Empty: there is none.
func (c *cli) configPath() string {
	if c.config != "" {
		return c.config
	}
	if path := c.getenv(configEnv); path != "" {
		return path
	}
	for _, path := range []string{configHere, configEtc} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// loadConfig reads the whole config; every fault is a failure.
func (c *cli) loadConfig() (*config.Config, error) {
	path, err := c.needConfigPath()
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return nil, configFailure(path, err)
	}
	return cfg, nil
}

// needConfigPath is configPath for who cannot do without a config.
func (c *cli) needConfigPath() (string, error) {
	path := c.configPath()
	if path == "" {
		return "", noConfig()
	}
	return path, nil
}

func noConfig() *failure {
	return fail("write one (config.example.toml lists every key), name it with --config FILE, or "+
		"try: hookspool demo", "there is no config: neither %s nor %s, and $%s is not set",
		configHere, configEtc, configEnv)
}

// configFailure shows all faults, or says why the file cannot be read.
func configFailure(path string, err error) *failure {
	var faults *config.Faults
	if !errors.As(err, &faults) {
		return fail("name another with --config FILE", "%w", err)
	}
	f := fail("every fault names its place; "+configExample(), "%s has %s", path,
		count(len(faults.List), "fault"))
	for _, line := range strings.Split(faults.Error(), "\n") {
		f.detail = append(f.detail, clean(line))
	}
	return f
}

func configExample() string { return "config.example.toml lists every key with its default" }

// loadServer reads what a verb needs to find a running relay. Such a verb must work while another
// part of the file is at fault: the relay keeps its old config then, and an operator asks why, and
// a health check must not fail for it. So when the whole is refused, [server] is read alone. No
// file at all means the defaults.
func (c *cli) loadServer() (*config.Server, error) {
	path := c.configPath()
	if path == "" {
		cfg := config.Default()
		return &cfg.Server, nil
	}
	files := new(config.Files)
	cfg, _, err := files.Load(path)
	if err == nil {
		return &cfg.Server, nil
	}
	text, readErr := files.Read(path)
	if readErr != nil {
		return nil, configFailure(path, err)
	}
	alone, aloneErr := config.Parse(path, serverTable(text), os.LookupEnv, files.Read)
	if aloneErr != nil {
		return nil, configFailure(path, fmt.Errorf("cannot find the relay: %w", err))
	}
	return &alone.Server, nil
}

// serverTable blanks every line outside of the [server] table, so that the lines left keep their
// numbers.
func serverTable(text []byte) []byte {
	lines := strings.Split(string(text), "\n")
	inside := false
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "[") {
			header, _, _ := strings.Cut(trimmed, "#")
			header = strings.ReplaceAll(header, " ", "")
			// An item of a list that stands on lines of its own is no header of a table.
			inside = header == "[server]" || inside && !isTableHeader(header)
		}
		if !inside {
			lines[i] = ""
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

// isTableHeader tells [table.name] from the beginning of a list inside a list.
func isTableHeader(line string) bool {
	name := strings.TrimSuffix(strings.TrimPrefix(line, "["), "]")
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	return strings.HasSuffix(line, "]") && name != "" && !strings.ContainsAny(name, `,'`) &&
		!strings.HasPrefix(name, `"`)
}
