package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("NOTEBOOK_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// notebook runs the program as a person would, with what the person types.
func notebook(t *testing.T, dir, typed string, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "NOTEBOOK_TEST_MAIN=1", "NOTEBOOK="+dir)
	cmd.Stdin = strings.NewReader(typed)
	var errs strings.Builder
	cmd.Stderr = &errs
	b, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	t.Logf("notebook %v: exit code %d\n%s%s", args, code, b, errs.String())
	return string(b), code
}

func TestStaysSignedIn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "notebook")
	const password = "a notebook of one's own"
	login := "ada\n" + password + "\n"

	// The first run makes the owner and signs in.
	if out, code := notebook(t, dir, login+login); code != 0 || out != "Notes of ada:\n" {
		t.Fatalf("first run: exit code %d: %q", code, out)
	}
	token := filepath.Join(dir, "session")
	info, err := os.Stat(token)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the token has mode %v", info.Mode().Perm())
	}

	// From then on nobody is asked.
	if _, code := notebook(t, dir, "", "add", "Buy ink"); code != 0 {
		t.Fatalf("add: exit code %d", code)
	}
	if out, code := notebook(t, dir, ""); code != 0 || out != "Notes of ada:\n- \"Buy ink\"\n" {
		t.Fatalf("show: exit code %d: %q", code, out)
	}

	// A locked notebook asks, and a copy of the token does not open it.
	copied, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	if out, code := notebook(t, dir, "", "lock"); code != 0 || out != "Locked.\n" {
		t.Fatalf("lock: exit code %d: %q", code, out)
	}
	if err := os.WriteFile(token, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := notebook(t, dir, ""); code == 0 {
		t.Fatalf("with a copy of the token: %q", out)
	}
	if out, code := notebook(t, dir, "ada\nwrong\n"); code != 1 || out != "" {
		t.Fatalf("wrong password: exit code %d: %q", code, out)
	}
	if out, code := notebook(t, dir, login); code != 0 || out != "Notes of ada:\n- \"Buy ink\"\n" {
		t.Fatalf("signed in again: exit code %d: %q", code, out)
	}

	// Rights are the engine's to give and to take.
	if _, code := notebook(t, dir, "", "auth", "user", "show", "ada", "--json"); code != 0 {
		t.Fatalf("auth user show: exit code %d", code)
	}
	// A file that is no token is a reason to ask, not to fail for ever.
	if err := os.WriteFile(token, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := notebook(t, dir, login); code != 0 || !strings.Contains(out, "Buy ink") {
		t.Fatalf("after a damaged token: exit code %d: %q", code, out)
	}
}

func TestNothingWithoutAPassword(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "notebook")
	for _, typed := range []string{"", "ada\n", "ada\n\n", "ada\nshort\n", "a b\nlong enough a password\n"} {
		if out, code := notebook(t, dir, typed); code == 0 || out != "" {
			t.Errorf("typed %q: exit code %d: %q", typed, code, out)
		}
	}
	if out, _ := notebook(t, dir, "", "auth", "info"); strings.Contains(out, "ada") {
		t.Errorf("somebody was made: %q", out)
	}
}

// TestLockAll signs in on two terminals and locks one of them: alone, then with all.
func TestLockAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "notebook")
	token := filepath.Join(dir, "session")
	const login = "ada\na notebook of one's own\n"
	signIn := func(typed string) []byte {
		t.Helper()
		if err := os.Remove(token); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if out, code := notebook(t, dir, typed); code != 0 || out != "Notes of ada:\n" {
			t.Fatalf("signing in: exit code %d: %q", code, out)
		}
		b, err := os.ReadFile(token)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// living reports whether the terminal with a token is let in without being asked.
	living := func(kept []byte) bool {
		t.Helper()
		if err := os.WriteFile(token, kept, 0o600); err != nil {
			t.Fatal(err)
		}
		_, code := notebook(t, dir, "")
		return code == 0
	}
	first := signIn(login + login) // the first run makes the owner
	second := signIn(login)
	if !living(first) || !living(second) {
		t.Fatal("the two terminals are not signed in")
	}
	if _, code := notebook(t, dir, "", "lock"); code != 0 || living(second) || !living(first) {
		t.Errorf("lock: exit code %d, here signed in: %t, elsewhere: %t; want 0, false, true", code, living(second), living(first))
	}
	third := signIn(login)
	if _, code := notebook(t, dir, "", "lock", "--all"); code != 0 || living(third) || living(first) {
		t.Errorf("lock --all: exit code %d, here signed in: %t, elsewhere: %t; want 0, false, false", code, living(third), living(first))
	}
}
