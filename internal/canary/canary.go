// Package canary looks for secrets where none may be, in the whole of a package's tests: with LATCHBOLT_CANARY=dir the tests log at the lowest
// level into files in dir, or with LATCHBOLT_CANARY=temp in a folder that is removed afterwards, every random number of 32 bytes or more, such as the secret half of a token, and every password of the tests is
// remembered, and the logs and the databases are searched for them. Without the variable it does nothing.
//
// Only tests use it.
package canary

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// Variable is the environment variable that turns it on.
const Variable = "LATCHBOLT_CANARY"

// On reports whether secrets are looked for.
func On() bool { return os.Getenv(Variable) != "" }

// A Hunt remembers secrets and finds them.
type Hunt struct {
	mu        sync.Mutex // guards all below
	passwords []string
	keys      map[uint64][][]byte // random secrets by their first 8 bytes
	n         int
}

// Password remembers a password.
func (h *Hunt) Password(all ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passwords = append(h.passwords, all...)
}

// Key remembers random bytes, at least 8.
func (h *Hunt) Key(b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keys == nil {
		h.keys = make(map[uint64][][]byte)
	}
	for _, part := range [][]byte{b, b[max(0, len(b)-32):]} { // the secret half of a token comes last
		first := binary.LittleEndian.Uint64(part)
		h.keys[first] = append(h.keys[first], bytes.Clone(part))
	}
	h.n++
}

// Secrets returns how many there are.
func (h *Hunt) Secrets() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n + len(h.passwords)
}

var (
	base64Run = regexp.MustCompile(`[A-Za-z0-9_+/-]{32,}`)
	hexRun    = regexp.MustCompile(`[0-9a-fA-F]{32,}`)
)

// Find returns what secrets data holds, as they are, in base64 or in hexadecimal, with their surroundings.
func (h *Hunt) Find(data []byte) (hits []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.passwords {
		if i := bytes.Index(data, []byte(p)); i >= 0 {
			hits = append(hits, fmt.Sprintf("a password in %.300q", data[max(0, i-100):min(len(data), i+100)]))
		}
	}
	if h.rawLocked(data) {
		hits = append(hits, "a random secret as it is")
	}
	for _, run := range hexRun.FindAll(data, -1) {
		for phase := range 2 {
			part := run[phase:]
			raw, err := hex.DecodeString(string(part[:len(part)/2*2]))
			if err == nil && h.rawLocked(raw) {
				hits = append(hits, fmt.Sprintf("a random secret in hexadecimal, %.20q…", run))
			}
		}
	}
	for _, run := range base64Run.FindAll(data, -1) {
		text := strings.NewReplacer("+", "-", "/", "_").Replace(string(run))
		for phase := range 4 { // it may begin anywhere in the text
			part := text[phase:]
			raw, err := base64.RawURLEncoding.DecodeString(part[:len(part)/4*4])
			if err == nil && h.rawLocked(raw) {
				hits = append(hits, fmt.Sprintf("a random secret in base64, %.20q…", run))
			}
		}
	}
	return hits
}

// withoutFakes takes out what hashers of the tests made, which keep passwords as they are behind a $.
func (h *Hunt) withoutFakes(data []byte) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.passwords {
		data = bytes.ReplaceAll(data, []byte("$"+p), []byte("$"))
	}
	return data
}

// rawLocked reports whether data holds the first 16 bytes of a random secret. h.mu is held.
func (h *Hunt) rawLocked(data []byte) bool {
	for i := 0; i+16 <= len(data); i++ {
		for _, key := range h.keys[binary.LittleEndian.Uint64(data[i:])] {
			if bytes.HasPrefix(data[i:], key[:min(len(key), 16)]) {
				return true
			}
		}
	}
	return false
}

// hunt is that of this process.
var hunt Hunt

// A recorder remembers the random numbers that are read, and hands them on.
type recorder struct {
	from io.Reader
	hunt *Hunt
}

// mayBeStored are functions whose random numbers stand in the file on purpose: the file's own key.
var mayBeStored = []string{"latchbolt.(*Engine).initFile"}

func (r recorder) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if n < 32 || err != nil {
		return n, err
	}
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if slices.ContainsFunc(mayBeStored, func(s string) bool { return strings.HasSuffix(f.Function, s) }) {
			return n, err
		}
		if !more {
			break
		}
	}
	r.hunt.Key(b[:n])
	return n, err
}

var (
	logOnce sync.Once
	logTo   io.Writer = io.Discard
)

// Logger returns a logger at the lowest level into this process's file, or one that does nothing.
func Logger() *slog.Logger {
	if !On() {
		return slog.New(slog.DiscardHandler)
	}
	logOnce.Do(func() {
		f, err := os.OpenFile(logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		logTo = f
	})
	return slog.New(slog.NewJSONHandler(logTo, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
}

// LogWriter is where a test's own log goes in addition.
func LogWriter() io.Writer {
	Logger()
	return logTo
}

func logFile() string {
	return filepath.Join(os.Getenv(Variable), fmt.Sprintf("log-%d.json", os.Getpid()))
}

// folder makes a folder for the logs if [Variable] is "temp", and returns what removes it.
func folder() (remove func(), err error) {
	if os.Getenv(Variable) != "temp" {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "canary")
	if err == nil {
		err = os.Setenv(Variable, dir) // also for processes that the tests start
	}
	return func() { _ = os.RemoveAll(dir) }, err
}

// Run runs the tests of a package, of which the passwords are, and searches the logs of this process and those that it started. It
// returns the exit code.
func Run(m interface{ Run() int }, passwords ...string) int {
	if !On() {
		return m.Run()
	}
	remove, err := folder()
	if err != nil {
		fmt.Fprintf(os.Stderr, "canary: %v\n", err)
		return 1
	}
	defer remove()
	hunt.Password(passwords...)
	rand.Reader = recorder{rand.Reader, &hunt}
	slog.SetDefault(Logger())
	Logger().Debug("canary: begin")
	code := m.Run()
	logs, err := filepath.Glob(filepath.Join(os.Getenv(Variable), "log-*.json"))
	lines, hits := 0, 0
	for _, name := range logs {
		text, readErr := os.ReadFile(name)
		if err == nil {
			err = readErr
		}
		lines += bytes.Count(text, []byte("\n"))
		for _, hit := range hunt.Find(text) {
			fmt.Fprintf(os.Stderr, "canary: %s holds %s\n", name, hit)
			hits++
		}
	}
	if err != nil || lines == 0 {
		fmt.Fprintf(os.Stderr, "canary: %d lines of log: %v\n", lines, err)
		return 1
	}
	mu.Lock()
	defer mu.Unlock()
	fmt.Printf("canary: %d secrets; %d lines of log in %d files, %d databases searched; %d hits in the logs\n", hunt.Secrets(), lines, len(logs), searched, hits)
	if line, err := tally.Line("secrets", hunt.Secrets(), "log-lines", lines, "databases", searched, "hits", hits); err == nil {
		fmt.Println(line)
	}
	if hits > 0 {
		return 1
	}
	return code
}

var (
	mu       sync.Mutex // guards searched
	searched int
)

// Files searches all files in a folder for the secrets known so far; a test calls it when it is done with them.
func Files(t testing.TB, dir string) {
	t.Helper()
	if !On() {
		return
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		mu.Lock()
		searched++
		mu.Unlock()
		for _, hit := range hunt.Find(hunt.withoutFakes(data)) {
			t.Errorf("canary: %s holds %s", path, hit)
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Errorf("canary: searching %s: %v", dir, err)
	}
}
