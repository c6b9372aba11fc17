package ndjson_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/ndjson"
)

var frozen = time.Date(2026, 5, 4, 10, 20, 30, 123456000, time.UTC)

// config is for tests: cheap, at a frozen time, without throttle, trail and validators.
func config() *latchbolt.Config {
	return &latchbolt.Config{
		Create: true, CaseSensitive: true, Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 1000}}, HashSlots: 2, HashQueue: 1000,
		Clock:    func() time.Time { return frozen },
		Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1},
		Audit:    latchbolt.AuditConfig{MaxCount: -1}, Validators: []latchbolt.Validator{},
		SweepEvery: -1,
	}
}

// open makes an engine on a fresh file. At the end of the test the file is verified.
func open(t testing.TB, cfg *latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	eng, err := latchbolt.Open(filepath.Join(t.TempDir(), "app.db"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for f, err := range eng.Verify(context.Background()) {
			if errors.Is(err, latchbolt.ErrClosed) {
				break
			}
			t.Errorf("verifying: %v %v", f, err)
		}
		if err := eng.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return eng
}

// load imports a text into an engine and fails if that fails.
func load(t testing.TB, eng *latchbolt.Engine, text string, opts *ndjson.ImportOptions) interop.Report {
	t.Helper()
	report, err := ndjson.Import(t.Context(), eng, strings.NewReader(text), opts)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// dump exports an engine with hashes.
func dump(t testing.TB, eng *latchbolt.Engine) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := ndjson.Export(t.Context(), eng, &out, &ndjson.ExportOptions{WithHashes: true}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// onlyReader hides that a reader can seek.
type onlyReader struct{ io.Reader }

// logsIn reports whether a password is right.
func logsIn(t testing.TB, eng *latchbolt.Engine, name, password string) bool {
	t.Helper()
	_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: name, Password: password})
	if err != nil && !errors.Is(err, latchbolt.ErrCredentials) {
		t.Fatal(err)
	}
	return err == nil
}
