package latchbolt

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every way of printing a secret gives.
const redacted = "[redacted]"

// redact is embedded in the types that hold a secret. It answers the
// formatting verbs (but %p, for which fmt asks nobody and go vet complains), slog, JSON and text encoding with the same word. The real
// value is had only from a method that says so in its name.
type redact struct{}

func (redact) String() string               { return redacted }
func (redact) GoString() string             { return redacted }
func (redact) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (redact) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (redact) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (redact) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
