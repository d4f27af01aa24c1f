package config

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// resolve returns a string as it is, or what "env:NAME" or "file:/path" stand for. What comes out
// is not resolved again.
func (d *decoder) resolve(at keyPath, s string) (string, bool) {
	value, p := s, problem{}
	if name, ok := strings.CutPrefix(s, "env:"); ok {
		value, p = d.fromEnv(name)
	} else if path, ok := strings.CutPrefix(s, "file:"); ok {
		value, p = d.fromFile(path)
	}
	if p != (problem{}) {
		d.fault(at, p)
		return "", false
	}
	return value, true
}

// fromEnv takes a variable's value as it is. An empty one is refused: a token that silently became
// empty would open the door.
func (d *decoder) fromEnv(name string) (string, problem) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isBare(r) }) {
		return "", problem{"env: is not followed by the name of an environment variable",
			`write "env:NAME"`}
	}
	value, ok := d.getenv(name)
	if !ok {
		return "", problem{fmt.Sprintf("environment variable %s is not set", name),
			"set it for the process that runs hookspool"}
	}
	if value == "" {
		return "", problem{fmt.Sprintf("environment variable %s is empty", name),
			`to leave the key unset, write ""`}
	}
	return value, problem{}
}

// fromFile takes a file's content without the newlines at its end.
func (d *decoder) fromFile(path string) (string, problem) {
	content, err := d.readFile(path)
	if err != nil {
		return "", problem{fmt.Sprintf("cannot read file %q: %s", path, withoutPath(err)),
			"it must be a regular file that the user who runs hookspool can read"}
	}
	if len(content) > secretBytesMax {
		return "", problem{fmt.Sprintf("file %q is larger than %s", path, sizeText(secretBytesMax)),
			"it holds the value alone"}
	}
	value := string(trimEnd(content))
	if value == "" {
		return "", problem{fmt.Sprintf("file %q is empty", path),
			`to leave the key unset, write ""`}
	}
	return value, problem{}
}

// resolved takes a string that may come from env: or file:, and never quotes it. An empty string
// is always legal: it means unset.
func resolved[T ~string](to *T, check func(string) problem) setter {
	return func(d *decoder, at keyPath, raw any) {
		s, ok := raw.(string)
		if !ok {
			d.wrongType(at, raw, "a string", `in quotes; "env:NAME" and "file:/path" are read`)
			return
		}
		if s, ok = d.resolve(at, s); !ok {
			return
		}
		if s != "" {
			if p := check(s); p != (problem{}) {
				d.fault(at, p)
				return
			}
		}
		*to = T(s)
	}
}

// checkToken wants what an Authorization header can carry. RFC 6750 allows less, but some senders
// have tokens of their own making.
func checkToken(s string) problem {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return problem{"holds a character that cannot stand in an Authorization header",
			"use letters, digits and ASCII punctuation, without spaces"}
	}
	return problem{}
}

// checkCredential wants text without control characters, as SMTP's AUTH is line by line.
func checkCredential(s string) problem {
	if hasControl(s) || !utf8.ValidString(s) {
		return problem{"holds a control character or is not UTF-8", ""}
	}
	return problem{}
}

// encryptionKey takes base64 of 16, 24 or 32 bytes: AES-128, -192 or -256.
func encryptionKey(to *Spool) setter {
	return func(d *decoder, at keyPath, raw any) {
		var key []byte
		check := func(s string) (p problem) {
			key, p = decodeKey(s)
			return p
		}
		resolved(&to.EncryptionKey, check)(d, at, raw)
		if len(key) > 0 && to.EncryptionKey != "" {
			to.Key = key
		}
	}
}

func decodeKey(s string) ([]byte, problem) {
	const hint = "make one with: openssl rand -base64 32"
	key, ok := decodeBase64(s)
	if !ok {
		return nil, problem{"is not base64", hint}
	}
	if n := len(key); n != 16 && n != 24 && n != 32 {
		return nil, problem{fmt.Sprintf("must be 16, 24 or 32 bytes, but is %d", n), hint}
	}
	return key, problem{}
}

// decodeBase64 is strict where Go is not: newlines inside are refused.
func decodeBase64(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	return raw, err == nil
}

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }
