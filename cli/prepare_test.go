package cli_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

// prepare does to the file at rest what no command does: it logs in and takes over Django's users.
//
//	prepare login USER [LIFETIME]    begins a session and prints its token
//	prepare anonymous                begins one of nobody
//	prepare id TOKEN                 prints the identifier of a session
//	prepare django DUMP SESSIONS     makes the file of a dump
//	prepare redeem TOKEN PASSWORD    sets a password with a token of reset-link
func prepare(args []string) int {
	if err := prepared(context.Background(), os.Getenv("LATCHBOLT_DB"), args); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		return 1
	}
	return 0
}

func prepared(ctx context.Context, path string, args []string) error {
	if args[0] == "django" {
		return fromDjango(ctx, path, args[1], args[2])
	}
	eng, err := latchbolt.Open(path, config())
	if err != nil {
		return err
	}
	return errors.Join(prepareOn(ctx, eng, args), eng.Close())
}

func prepareOn(ctx context.Context, eng *latchbolt.Engine, args []string) error {
	var s latchbolt.Session
	var err error
	switch args[0] {
	case "login":
		o := latchbolt.LoginOptions{Name: "kitchen", Client: latchbolt.Client{Addr: netip.MustParseAddr("192.0.2.7"), Agent: "browser"}}
		if len(args) > 2 {
			if o.Lifetime, err = time.ParseDuration(args[2]); err != nil {
				return err
			}
		}
		if s, err = begin(ctx, eng, args[1], o); err != nil {
			return err
		}
	case "anonymous":
		if s, err = eng.NewSession(ctx, latchbolt.LoginOptions{}); err != nil {
			return err
		}
	case "id":
		t, err := latchbolt.ParseToken(args[1])
		if err != nil {
			return err
		}
		if s, err = eng.Session(ctx, t); err != nil {
			return err
		}
		fmt.Print(s.ID)
		return nil
	case "redeem":
		t, err := latchbolt.ParseToken(args[1])
		if err != nil {
			return err
		}
		_, err = eng.ResetPassword(ctx, t, args[2])
		return err
	default:
		return fmt.Errorf("unknown: %q", args[0])
	}
	fmt.Print(s.Token.Reveal())
	return nil
}

func begin(ctx context.Context, eng *latchbolt.Engine, username string, o latchbolt.LoginOptions) (latchbolt.Session, error) {
	u, err := eng.UserByName(ctx, username)
	if err != nil {
		return latchbolt.Session{}, err
	}
	id, err := eng.Identity(ctx, u.ID)
	if err != nil {
		return latchbolt.Session{}, err
	}
	return eng.Login(ctx, id, o)
}

// fromDjango makes a file of a dump and its sessions.
func fromDjango(ctx context.Context, path, dump, sessions string) error {
	f, err := os.Open(dump)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	s, err := os.Open(sessions)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	eng, _, err := django.Create(ctx, path, f, config(), &django.ImportOptions{SecretKey: os.Getenv("SECRET_KEY"), Sessions: s})
	if err != nil {
		return err
	}
	return eng.Close()
}
