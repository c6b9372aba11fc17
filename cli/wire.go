package cli

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The control protocol. A connection is one command. Both ends send frames: a byte for the kind, four bytes for the
// length of the payload, big-endian, and the payload. The client sends a hello; from then on the server asks and the client answers
// each question once, but may cancel at any time. The end of the connection cancels as well.
const (
	frameHello  = 'h' // client: hello as JSON
	frameCancel = 'c' // client: the person pressed the interrupt key
	frameAnswer = 'a' // client: the answer to the last question
	frameRefuse = 'r' // client: the last question has no answer; failure as JSON

	frameOut      = 'o' // server: bytes for standard output
	frameErr      = 'e' // server: bytes for standard error
	frameIn       = 'i' // server asks for bytes of standard input; empty answer: the end
	frameLine     = 'l' // server asks for a line; payload: prompt
	framePassword = 'p' // server asks for a password; payload: prompt
	frameOpen     = 'f' // server asks to open a file; payload: name; answer: number and mode, in octal
	frameRead     = 'd' // server asks for bytes of a file; payload: number; empty answer: the end
	frameClose    = 'q' // server is done with a file; payload: number; no answer
	frameExit     = 'x' // server: the end of the command; failure as JSON, or empty
)

const (
	wireVersion = 1
	maxFrame    = 64 << 10 // bytes of payload
	maxHello    = 1 << 20  // bytes of a hello, whose arguments may be many
)

// A hello says what to run and where the person is.
type hello struct {
	Version int       `json:"version"`
	Args    []rawText `json:"args"`
	Place   place     `json:"place"`
}

// A rawText is a string of any bytes, such as an argument or a path: what is not UTF-8 crosses in base64, and not changed.
type rawText string

// MarshalJSON implements json.Marshaler.
func (s rawText) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(s)) {
		return json.Marshal(string(s))
	}
	return json.Marshal([][]byte{[]byte(s)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *rawText) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '[' {
		return json.Unmarshal(b, (*string)(s))
	}
	var list [][]byte
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if len(list) != 1 {
		return errFrame
	}
	*s = rawText(list[0])
	return nil
}

func rawTexts(list []string) []rawText {
	out := make([]rawText, len(list))
	for i, s := range list {
		out[i] = rawText(s)
	}
	return out
}

func stringsOf(list []rawText) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

// A rawPlace is a place as it crosses the socket.
type rawPlace struct {
	plainPlace
	Dir rawText            `json:"dir"`
	Env map[string]rawText `json:"env"`
}

type plainPlace place // without methods

// MarshalJSON implements json.Marshaler.
func (p place) MarshalJSON() ([]byte, error) {
	raw := rawPlace{plainPlace(p), rawText(p.Dir), make(map[string]rawText)}
	for name, value := range p.Env {
		raw.Env[name] = rawText(value)
	}
	return json.Marshal(raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *place) UnmarshalJSON(b []byte) error {
	var raw rawPlace
	if err := unmarshalStrict(b, &raw); err != nil {
		return err
	}
	*p = place(raw.plainPlace)
	p.Dir, p.Env = string(raw.Dir), make(map[string]string)
	for name, value := range raw.Env {
		p.Env[name] = string(value)
	}
	return nil
}

// A failure is an error as it crosses the socket.
type failure struct {
	Code int    `json:"code"`
	Text string `json:"text"`
	EOF  bool   `json:"eof,omitempty"`
	No   bool   `json:"no,omitempty"` // the answer is no and was printed
}

// maxFailure is how many bytes of an error cross the socket. An argument that an error repeats may be longer than a frame, in which a
// byte can take six.
const maxFailure = maxFrame / 8

func failureOf(err error) failure {
	text := err.Error()
	if len(text) > maxFailure {
		text = strings.ToValidUTF8(text[:maxFailure], "") + "…"
	}
	return failure{Code: ExitCode(err), Text: text, EOF: errors.Is(err, io.EOF), No: errors.Is(err, errNo)}
}

func (f failure) err() error {
	if f.EOF {
		return io.EOF
	}
	if f.No {
		return errNo
	}
	return &exitError{code: f.Code, err: errors.New(f.Text)}
}

var errFrame = errors.New("control connection: the other end does not keep to the protocol")

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	b := make([]byte, 0, 5+len(payload))
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	_, err := w.Write(append(b, payload...))
	return err
}

func writeJSON(w io.Writer, kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFrame(w, kind, b)
}

// readFrame reads a frame of at most limit bytes.
func readFrame(r io.Reader, limit int) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if int64(n) > int64(limit) {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes", errFrame, n)
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return head[0], payload, err
}

// writeChunks sends bytes in as many frames as they need.
func writeChunks(w io.Writer, kind byte, p []byte) (n int, err error) {
	for len(p) > 0 {
		chunk := p[:min(len(p), maxFrame)]
		if err := writeFrame(w, kind, chunk); err != nil {
			return n, err
		}
		n += len(chunk)
		p = p[len(chunk):]
	}
	return n, nil
}
