// Package intest has what the tests of importers have in common.
package intest

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// Frozen is the time of all engines of [Config].
var Frozen = time.Date(2026, 5, 4, 10, 20, 30, 123456000, time.UTC)

// Config is for tests: cheap, at a frozen time, without throttle, trail and validators.
func Config() *latchbolt.Config {
	return &latchbolt.Config{
		Create: true, CaseSensitive: true, Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 1000}}, HashSlots: 2, HashQueue: 1000,
		Clock:    func() time.Time { return Frozen },
		Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1},
		Audit:    latchbolt.AuditConfig{MaxCount: -1}, Validators: []latchbolt.Validator{},
		SweepEvery: -1,
	}
}

// Open makes an engine on a fresh file. At the end of the test the file is verified.
func Open(t testing.TB, cfg *latchbolt.Config) *latchbolt.Engine {
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

// LogsIn reports whether a password is right.
func LogsIn(t testing.TB, eng *latchbolt.Engine, name, password string) bool {
	t.Helper()
	_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: name, Password: password})
	if err != nil && !errors.Is(err, latchbolt.ErrCredentials) {
		t.Fatal(err)
	}
	return err == nil
}

// Unused fails the test if an engine holds something.
func Unused(t testing.TB, eng *latchbolt.Engine) {
	t.Helper()
	err := eng.View(t.Context(), func(tx *latchbolt.ReadTx) error {
		unused, err := tx.Unused()
		if err == nil && !unused {
			t.Error("something was stored")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
