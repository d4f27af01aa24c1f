package attempt

// This file holds what HTTP says about single bytes (RFC 9110 §5.5, §5.6), for the heads we
// write and the heads we read.

// isToken reports a legal field name.
func isToken[T string | []byte](name T) bool {
	for i := range len(name) {
		if !isTokenByte(name[i]) {
			return false
		}
	}
	return len(name) > 0
}

// isTokenByte reports a tchar.
func isTokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c):
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

// isDigit reports 0 to 9.
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// hasControl reports a byte that no field value may hold: CR, LF, NUL and every other
// control character but the tab.
func hasControl[T string | []byte](value T) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// equalFold compares without regard to ASCII case; lower is in lower case.
func equalFold[T string | []byte](name T, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trim cuts optional white space: spaces and tabs, nothing else.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
