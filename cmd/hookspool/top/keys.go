package top

import "unicode/utf8"

// Key is one key: a character, or one of the constants, which no character has.
type Key rune

// The keys that are no characters.
const (
	Other Key = -1 - iota // one that means nothing here
	Up
	Down
	PageUp
	PageDown
	Home
	End
	Enter
	Escape
	Backspace
	Interrupt // Ctrl-C
	Suspend   // Ctrl-Z
	Redraw    // Ctrl-L
	Clear     // Ctrl-U
)

const escape = 0x1b

// Decode reads the keys of what a terminal sent; rest is the beginning of one whose end has not
// come. An escape character alone is the key, since what begins with one comes in one piece.
func Decode(text []byte) (keys []Key, rest []byte) {
	for len(text) > 0 {
		key, n := decodeOne(text)
		if n == 0 {
			return keys, text
		}
		keys, text = append(keys, key), text[n:]
	}
	return keys, nil
}

// decodeOne returns a key and its bytes; 0: it is not whole.
func decodeOne(text []byte) (Key, int) {
	switch c := text[0]; {
	case c == escape:
		return decodeEscape(text)
	case c < ' ' || c == 0x7f:
		return control(c), 1
	case !utf8.FullRune(text):
		return Other, 0
	}
	r, n := utf8.DecodeRune(text)
	if r == utf8.RuneError {
		return Other, n
	}
	return Key(r), n
}

func control(c byte) Key {
	switch c {
	case '\r', '\n':
		return Enter
	case 0x7f, '\b':
		return Backspace
	case 0x03:
		return Interrupt
	case 0x0c:
		return Redraw
	case 0x15:
		return Clear
	case 0x1a:
		return Suspend
	}
	return Other
}

// decodeEscape reads what begins with an escape: ECMA-48 control sequences (ESC [ … final) and
// those of the keypad (ESC O final).
func decodeEscape(text []byte) (Key, int) {
	switch {
	case len(text) == 1:
		return Escape, 1
	case text[1] == 'O' && len(text) == 2:
		return Other, 0
	case text[1] == 'O':
		return named(text[2], ""), 3
	case text[1] != '[':
		return Escape, 1 // and then another key
	}
	for i := 2; i < len(text); i++ {
		if c := text[i]; c >= 0x40 && c <= 0x7e {
			return named(c, string(text[2:i])), i + 1
		}
	}
	return Other, 0
}

// named is the key of a final byte and the parameters before it.
func named(final byte, parameters string) Key {
	switch final {
	case 'A':
		return Up
	case 'B':
		return Down
	case 'H':
		return Home
	case 'F':
		return End
	case 'M':
		return Enter
	case '~':
		switch parameters {
		case "1", "7":
			return Home
		case "4", "8":
			return End
		case "5":
			return PageUp
		case "6":
			return PageDown
		}
	}
	return Other
}
