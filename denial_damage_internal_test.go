package latchbolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestRevocationsOnADamagedFile: where damage to one page keeps everything from being written, what is revoked is refused in this process all
// the same, as on a full disk.
func TestRevocationsOnADamagedFile(t *testing.T) {
	const password = "correct horse battery"
	for name, revoke := range map[string]func(*Engine, context.Context, *Session) error{
		"Logout":      func(e *Engine, ctx context.Context, s *Session) error { return e.Logout(ctx, s.Token) },
		"EndSession":  func(e *Engine, ctx context.Context, s *Session) error { return e.EndSession(ctx, s.ID) },
		"EndSessions": func(e *Engine, ctx context.Context, s *Session) error { return e.EndSessions(ctx, s.User) },
		"DeleteUser":  func(e *Engine, ctx context.Context, s *Session) error { return e.DeleteUser(ctx, s.User) },
		"SetPassword": func(e *Engine, ctx context.Context, s *Session) error {
			return e.SetPassword(ctx, s.User, "battery horse correct")
		},
		"deactivation": func(e *Engine, ctx context.Context, s *Session) error {
			return e.UpdateUser(ctx, s.User, func(u *User) error { u.Inactive = true; return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			e, err := Open(path, &Config{Create: true, Hashers: []Hasher{PBKDF2SHA256{Iterations: 1}}, SweepEvery: -1})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			ctx := t.Context()
			begin := func(name string) Session {
				u := &User{Username: name}
				if err := e.CreateUser(ctx, u, password); err != nil {
					t.Fatal(err)
				}
				id, err := e.Identity(ctx, u.ID)
				if err != nil {
					t.Fatal(err)
				}
				s, err := e.Login(ctx, id, LoginOptions{})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			s, other := begin("ada"), begin("grace")
			if err := e.Update(ctx, func(tx *Tx) error {
				for i := range 200 {
					if err := tx.InsertGroup(&Group{Name: fmt.Sprint("group ", i)}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			damageGroups(t, path)
			err = nil
			for _, err = range e.Groups(ctx) {
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("groups: %v", err)
			}
			if _, err := e.SessionUser(ctx, s.Token); err != nil {
				t.Fatalf("before: %v", err)
			}
			if err := revoke(e, ctx, &s); err == nil {
				t.Fatal("it was written")
			}
			if _, err := e.SessionUser(ctx, s.Token); !errors.Is(err, ErrNoSession) {
				t.Errorf("the session lives on: %v", err)
			}
			if _, err := e.SessionUser(ctx, other.Token); err != nil {
				t.Errorf("somebody else's session: %v", err)
			}
		})
	}
}

// damageGroups makes the leaves that hold nothing but groups say that they are other pages.
func damageGroups(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for ; len(data) > 0; data = data[4096:] {
		page := data[:4096]
		if binary.NativeEndian.Uint16(page[8:]) == 2 && bytes.Contains(page, []byte("group 15")) && !bytes.Contains(page, []byte("ada")) {
			id := binary.NativeEndian.Uint64(page)
			if _, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, ^id), int64(id)*4096); err != nil {
				t.Fatal(err)
			}
		}
	}
}
