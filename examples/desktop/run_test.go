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
