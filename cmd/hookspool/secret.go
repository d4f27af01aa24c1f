package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/signature"
)

// secretBytesMax bounds a file with a secret, as in the config.
const secretBytesMax = 64 << 10

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
	// A shell makes a pipe of file:<(command), so pipes are read here, but not waited for for ever.
	const hint = "file:/path names a file with the secret alone"
	content, err := (&config.Files{Pipes: true}).Read(path)
	switch {
	case err != nil:
		return "", fail(hint, "cannot read %q: %w", path, cause(err))
	case len(content) > secretBytesMax:
		return "", fail(hint, "cannot read %q: it has more than %s", path, bytesText(secretBytesMax))
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}
