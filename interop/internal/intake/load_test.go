package intake

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intest"
)

// TestLoad: a bulk load and the transaction that stands in for it do the same.
func TestLoad(t *testing.T) {
	for name, load := range map[string]func(context.Context, *latchbolt.Engine, string, bool, func(Target) error) error{"bulk": Load, "transaction": update} {
		t.Run(name, func(t *testing.T) {
			cfg := intest.Config()
			cfg.Audit = latchbolt.AuditConfig{}
			cfg.UniqueEmail = true
			eng := intest.Open(t, cfg)
			ctx := t.Context()
			insert := func(users ...latchbolt.User) func(Target) error {
				return func(to Target) error {
					for i, u := range users {
						to.At(10 + i)
						if err := to.InsertBroughtUser(&u, latchbolt.PasswordHash{}); err != nil {
							return Refused(10+i, err)
						}
					}
					return nil
				}
			}
			if err := load(ctx, eng, "test", true, insert(latchbolt.User{Username: "ada"})); err != nil {
				t.Fatal(err)
			}
			intest.Unused(t, eng)
			first := latchbolt.User{Username: "ada", Email: "ada@example.org"}
			if err := load(ctx, eng, "test", false, insert(first)); err != nil {
				t.Fatal(err)
			}
			for _, tt := range []struct {
				users []latchbolt.User
				want  string
			}{
				{[]latchbolt.User{{Username: "eve"}, {Username: "ada"}}, `line 11: username: "ada" is there already`},
				{[]latchbolt.User{{Username: "eve"}, {Username: "eve"}}, `line 11: username: "eve" stands on an earlier line already`},
				{[]latchbolt.User{{Username: "eve", Email: "ada@example.org"}}, `line 10: email: `},
				{[]latchbolt.User{{Username: "eve"}, {Username: ""}}, `line 11: username: This field cannot be blank.`},
				{[]latchbolt.User{{ID: 1, Username: "eve"}}, `line 10: `},
			} {
				for _, dry := range []bool{true, false} {
					err := load(ctx, eng, "test", dry, insert(tt.users...))
					var line *interop.LineError
					if !errors.As(err, &line) || len(err.Error()) < len(tt.want) || err.Error()[:len(tt.want)] != tt.want {
						t.Errorf("%v, dry %v: error %v, want %s…", tt.users, dry, err, tt.want)
					}
				}
			}
			broken := errors.New("broken")
			if err := load(ctx, eng, "test", false, func(to Target) error {
				if there, err := Exists(to, "ada"); err != nil || !there {
					t.Errorf("ada: %v, %v", there, err)
				}
				if err := insert(latchbolt.User{Username: "eve"})(to); err != nil {
					return err
				}
				if there, err := Exists(to, "eve"); err != nil || there {
					t.Errorf("eve: %v, %v", there, err)
				}
				return broken
			}); !errors.Is(err, broken) {
				t.Errorf("broken: %v", err)
			}
			var got []string
			for u, err := range eng.Users(ctx, latchbolt.UserQuery{}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, u.Username)
			}
			if fmt.Sprint(got) != "[ada]" {
				t.Errorf("users %v", got)
			}
			entries := 0
			for a, err := range eng.Audit(ctx, latchbolt.AuditQuery{Action: latchbolt.ActionLoad}) {
				if err != nil {
					t.Fatal(err)
				}
				if entries++; a.Detail == "" {
					t.Errorf("entry %+v", a)
				}
			}
			if entries != 1 {
				t.Errorf("%d entries in the audit trail, want 1", entries)
			}
		})
	}
}
