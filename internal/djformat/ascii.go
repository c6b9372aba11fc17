package djformat

import (
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// asciiJSON returns a JSON value as Python's json.dumps writes it with the
// separators "," and ":": without white space and in ASCII. Numbers, the order
// of members and halves of surrogate pairs stay as they are.
func asciiJSON(value json.RawMessage) ([]byte, error) {
	if !json.Valid(value) || !utf8.Valid(value) {
		return nil, fmt.Errorf("%w: it is not JSON in UTF-8", ErrPayload)
	}
	out := make([]byte, 0, len(value))
	inString := false
	for i := 0; i < len(value); {
		c := value[i]
		switch {
		case c == '"':
			inString = !inString
			out = append(out, c)
			i++
		case !inString:
			if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				out = append(out, c)
			}
			i++
		case c == '\\' && value[i+1] == 'u':
			out = appendCodeUnit(out, uint16(codeUnit(value[i:])))
			i += 6
		case c == '\\' && value[i+1] == '/': // Python does not escape it
			out = append(out, '/')
			i += 2
		case c == '\\':
			out = append(out, c, value[i+1])
			i += 2
		default:
			r, n := utf8.DecodeRune(value[i:])
			if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
				out = appendCodeUnit(out, uint16(r1))
				out = appendCodeUnit(out, uint16(r2))
			} else {
				out = appendCodeUnit(out, uint16(r))
			}
			i += n
		}
	}
	return out, nil
}

// appendCodeUnit appends one UTF-16 code unit of a string, escaped unless it is
// printable ASCII.
func appendCodeUnit(b []byte, unit uint16) []byte {
	if unit < 0x7f {
		return appendPythonByte(b, byte(unit))
	}
	return fmt.Appendf(b, `\u%04x`, unit)
}
