package main

import (
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/hookspool/hookspool/relay/signature"
)

// secretHelp ends the help of every flag that takes a secret.
const secretHelp = "env:NAME and file:/path are read, so that it need not stand in the shell's " +
	"history"

// addSecretFlag gives a verb --secret, which may be repeated.
func addSecretFlag(flags *pflag.FlagSet, to *[]string, what string) {
	flags.StringArrayVar(to, "secret", nil, what+"; may be repeated; "+secretHelp)
}

// keys reads the values of --secret. No error shows a secret.
func (c *cli) keys(secrets []string) ([]signature.Key, error) {
	keys := make([]signature.Key, 0, len(secrets))
	for _, text := range secrets {
		value, err := c.secret(text)
		if err != nil {
			return nil, err
		}
		key, err := signature.ParseKey(value)
		if err != nil {
			return nil, misuse("make one with: hookspool keygen", "cannot use --secret: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// secret returns a secret as it is, or what env:NAME or file:/path stand for, as in the config.
func (c *cli) secret(text string) (string, error) {
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		value := c.getenv(name)
		if value == "" {
			return "", misuse("set it, or write file:/path", "environment variable %s is not set or empty",
				name)
		}
		return value, nil
	}
	path, ok := strings.CutPrefix(text, "file:")
	if !ok {
		return text, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fail("file:/path names a file with the secret alone", "cannot read %q: %w", path,
			cause(err))
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}
