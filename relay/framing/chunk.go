package framing

import "bytes"

// takeChunkSize reads the line before a chunk (RFC 9112 §7.1):
//
//	1*HEXDIG *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
func (g *Guard) takeChunkSize(text []byte) error {
	var size int64
	at := 0
	for ; at < len(text) && hexDigit(text[at]) >= 0; at++ {
		if size > lengthMax {
			return fault("the size of a chunk is beyond all bounds")
		}
		size = size<<4 | int64(hexDigit(text[at]))
	}
	if at == 0 || !areExtensions(text[at:]) {
		return fault("the size line of a chunk is malformed")
	}
	if size == 0 {
		g.state = trailer
	} else {
		g.state, g.left = chunkData, size
	}
	return nil
}

// areExtensions reports whether what follows a size is extensions and nothing else.
func areExtensions(text []byte) bool {
	for len(text) > 0 {
		rest, ok := bytes.CutPrefix(skipSpace(text), []byte{';'})
		if !ok {
			return false
		}
		if text, ok = skipToken(skipSpace(rest)); !ok {
			return false
		}
		if rest, ok = bytes.CutPrefix(skipSpace(text), []byte{'='}); !ok {
			continue
		}
		if text, ok = skipValue(skipSpace(rest)); !ok {
			return false
		}
	}
	return true
}

func skipSpace(text []byte) []byte { return bytes.TrimLeft(text, " \t") }

// skipToken passes over a token; false if there is none.
func skipToken(text []byte) ([]byte, bool) {
	n := 0
	for n < len(text) && isTokenByte(text[n]) {
		n++
	}
	return text[n:], n > 0
}

// skipValue passes over a token or a quoted string.
func skipValue(text []byte) ([]byte, bool) {
	if len(text) == 0 || text[0] != '"' {
		return skipToken(text)
	}
	for at := 1; at < len(text); at++ {
		switch c := text[at]; {
		case c == '"':
			return text[at+1:], true
		case c == '\\':
			at++
		case c < ' ' && c != '\t' || c == 0x7f:
			return nil, false
		}
	}
	return nil, false
}

func fault(reason string) error { return &Error{reason: reason} }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// hexDigit is the value of a digit, -1 if it is none.
func hexDigit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

func isToken(name []byte) bool {
	rest, ok := skipToken(name)
	return ok && len(rest) == 0
}

// isTokenByte is true for a tchar (RFC 9110 §5.6.2): a letter, a digit, or one of !#$%&'*+-.^_`|~.
// The masks have a bit for each of them, below and from 64 on.
func isTokenByte(c byte) bool {
	const low, high = 0x3ff6cfa00000000, 0x57ffffffc7fffffe
	switch {
	case c < 64:
		return low>>c&1 != 0
	case c < 128:
		return high>>(c-64)&1 != 0
	}
	return false
}
