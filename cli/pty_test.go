//go:build !windows

package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/latchbolt-go/latchbolt"
)

// A terminal is a command at a real pseudo-terminal, and the person in front of it.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	keys   *os.File // the person's end
	line   *os.File // the command's end, kept open to look at its state
	before *term.State
	stdout *bytes.Buffer // if it is not the terminal

	mu     sync.Mutex // guards all below
	screen []byte     // all that was shown
	seen   int        // up to where it was expected
	more   chan struct{}
}

// at starts a command at a terminal. With piped, its standard output goes elsewhere.
func (sh *shell) at(t *testing.T, piped bool, args ...string) *terminal {
	t.Helper()
	keys, line, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("latchbolt")
	if err != nil {
		t.Fatal(err)
	}
	s := &terminal{t: t, keys: keys, line: line, more: make(chan struct{}, 1)}
	if s.before, err = term.GetState(int(line.Fd())); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(path, args...)
	s.cmd.Env = append(os.Environ(), "LATCHBOLT_DB="+sh.path)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = line, line, line
	if piped {
		s.stdout = new(bytes.Buffer)
		s.cmd.Stdout = s.stdout
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.watch()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // if the test failed half-way
		_ = line.Close()
		_ = keys.Close()
	})
	return s
}

// watch collects what is shown.
func (s *terminal) watch() {
	b := make([]byte, 4096)
	for {
		n, err := s.keys.Read(b)
		s.mu.Lock()
		s.screen = append(s.screen, b[:n]...)
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// see waits until a text is shown behind what was seen before.
func (s *terminal) see(text string) {
	s.t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		s.mu.Lock()
		i := bytes.Index(s.screen[s.seen:], []byte(text))
		if i >= 0 {
			s.seen += i + len(text)
		}
		screen := string(s.screen)
		s.mu.Unlock()
		if i >= 0 {
			return
		}
		select {
		case <-s.more:
		case <-deadline:
			s.t.Fatalf("did not see %q on the screen:\n%s", text, screen)
		}
	}
}

func (s *terminal) typed(keys string) {
	s.t.Helper()
	if _, err := s.keys.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// answers waits for each prompt and types what comes after it.
func (s *terminal) answers(dialog ...string) {
	s.t.Helper()
	for i := 0; i < len(dialog); i += 2 {
		s.see(dialog[i])
		s.typed(dialog[i+1])
	}
}

// ends waits for the end of the command, which has to be of a certain exit code and to leave the terminal as it was.
func (s *terminal) ends(code int) {
	s.t.Helper()
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	after, err := term.GetState(int(s.line.Fd()))
	if err != nil {
		s.t.Fatal(err)
	}
	if !reflect.DeepEqual(after, s.before) {
		s.t.Error("the terminal was not left as it was")
	}
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.t.Fatalf("exit code %d, want %d:\n%s", got, code, s.screen)
	}
}

// unseen fails if one of some texts was ever shown.
func (s *terminal) unseen(texts ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range texts {
		if bytes.Contains(s.screen, []byte(text)) {
			s.t.Errorf("%q is on the screen:\n%s", text, s.screen)
		}
	}
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
)

func TestTerminalChangePassword(t *testing.T) {
	onRoutes(t, config(), oneUser, func(t *testing.T, sh *shell) {
		s := sh.at(t, false, "changepassword", "ada")
		s.answers(
			"Changing password for user 'ada'\r\nPassword: ", newPassword+"\n",
			"\r\nPassword (again): ", newPassword+"x\n",
			"not the same", "",
			"Password: ", newPassword+"\n",
			"Password (again): ", newPassword+"\n",
			"Password changed successfully for user ada", "",
		)
		s.ends(0)
		s.unseen(newPassword)
		sh.want(t, 1, oldPassword, "authenticate", "ada", "--password-stdin")
		sh.want(t, 0, newPassword, "authenticate", "ada", "--password-stdin")
	})
}

func TestTerminalThreeTries(t *testing.T) {
	onRoutes(t, config(), oneUser, func(t *testing.T, sh *shell) {
		s := sh.at(t, false, "changepassword", "ada")
		s.answers(
			"Password: ", "ada\n", "again): ", "ada\n", "too short", "",
			"Password: ", "one\n", "again): ", "two\n", "not the same", "",
			"Password: ", "12345678901234567\n", "again): ", "12345678901234567\n", "numeric", "",
			"gave up after three attempts", "",
		)
		s.ends(4)
		s.unseen("12345678901234567")
		sh.want(t, 0, oldPassword, "authenticate", "ada", "--password-stdin")
	})
}

// TestTerminalLeave leaves every prompt in every way there is. Nothing is changed, and the terminal is as it was.
func TestTerminalLeave(t *testing.T) {
	system := systemUser(t)
	for _, c := range []struct {
		name   string
		args   []string
		dialog []string
		says   string
	}{
		{"interrupt at the first password", []string{"changepassword", "ada"}, []string{"Password: ", ctrlC}, "interrupted"},
		{"interrupt with half a password", []string{"changepassword", "ada"}, []string{"Password: ", "half" + ctrlC}, "interrupted"},
		{"interrupt at the second password", []string{"changepassword", "ada"},
			[]string{"Password: ", newPassword + "\n", "again): ", ctrlC}, "interrupted"},
		{"end of input at the first password", []string{"changepassword", "ada"}, []string{"Password: ", ctrlD}, "aborted"},
		{"end of input at the second password", []string{"changepassword", "ada"},
			[]string{"Password: ", newPassword + "\n", "again): ", ctrlD}, "aborted"},
		{"empty password", []string{"changepassword", "ada"}, []string{"Password: ", "\n"}, "aborted"},
		{"interrupt at the user name", []string{"createsuperuser"}, []string{"Username (leave blank to use '" + system + "'): ", ctrlC}, "interrupted"},
		{"end of input at the user name", []string{"createsuperuser"}, []string{"Username", ctrlD}, "aborted"},
		{"interrupt at the address", []string{"createsuperuser", "--username", "grace"}, []string{"Email address: ", ctrlC}, "interrupted"},
		{"interrupt at the superuser's password", []string{"createsuperuser", "--username", "grace", "--email", ""},
			[]string{"Password: ", ctrlC}, "interrupted"},
		{"end of input at the bypass", []string{"createsuperuser", "--username", "grace", "--email", ""},
			[]string{"Password: ", "x\n", "again): ", "x\n", "Bypass", ctrlD}, "aborted"},
		{"interrupt at a confirmation", []string{"user", "delete", "ada"}, []string{"Delete user ada (id 1) for good? [y/N] ", ctrlC}, "interrupted"},
		{"end of input at a confirmation", []string{"user", "delete", "ada"}, []string{"[y/N] ", ctrlD}, "aborted"},
		{"no to a confirmation", []string{"user", "delete", "ada"}, []string{"[y/N] ", "n\n"}, "aborted"},
		{"nothing to a confirmation", []string{"user", "delete", "ada"}, []string{"[y/N] ", "\n"}, "aborted"},
		{"interrupt of standard input", []string{"changepassword", "ada", "--password-stdin"}, []string{"Ctrl-D ends it.", newPassword[:4] + "\n" + ctrlC}, "interrupted"},
		{"interrupt at a new user's password", []string{"user", "create", "grace"}, []string{"Password: ", ctrlC}, "interrupted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onRoutes(t, config(), oneUser, func(t *testing.T, sh *shell) {
				s := sh.at(t, false, c.args...)
				s.answers(c.dialog...)
				s.ends(7)
				s.see(c.says)
				s.unseen("half", newPassword)
				if got := usernames(t, sh.want(t, 0, "", "user", "list", "--json")); len(got) != 1 || got[0] != "ada" {
					t.Errorf("users %q, want ada alone", got)
				}
				sh.want(t, 0, oldPassword, "authenticate", "ada", "--password-stdin")
			})
		})
	}
}

// systemUser is the name of who runs the test, which has to be one that can be offered as it is.
func systemUser(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if latchbolt.ValidateUsername(u.Username) != nil || strings.ToLower(u.Username) != u.Username {
		t.Skipf("the name %q is not offered as it is", u.Username)
	}
	return u.Username
}

func TestTerminalCreateSuperuser(t *testing.T) {
	onRoutes(t, config(), oneUser, func(t *testing.T, sh *shell) {
		s := sh.at(t, false, "createsuperuser")
		s.answers(
			"): ", "not a name\n",
			"valid username", "",
			"): ", "ADA\n",
			"already exists", "",
			"): ", "grace\n",
			"Email address: ", "nonsense\n",
			"valid email", "",
			"Email address: ", "Grace@EXAMPLE.org\n",
			"Password: ", "secret-one\n", "again): ", "secret-two\n",
			"not the same", "",
			"Password: ", "  \n", "again): ", "  \n",
			"cannot be blank", "",
			"Password: ", "grace\n", "again): ", "grace\n",
			"too similar", "",
			"Bypass password validation and create user anyway? [y/N]: ", "n\n",
			"Password: ", "s3cret\n", "again): ", "s3cret\n",
			"Bypass", "y\n",
			"Superuser grace created with id 2.", "",
		)
		s.ends(0)
		s.unseen("secret-one", "secret-two", "s3cret")
		sh.want(t, 0, "s3cret\n", "authenticate", "grace", "--password-stdin")
		out := sh.want(t, 0, "", "user", "show", "grace", "--json")
		if !strings.Contains(out, `"email":"Grace@example.org"`) || !strings.Contains(out, `"is_staff":true,"is_superuser":true`) {
			t.Error(out)
		}
	})
}

func TestTerminalCreateSuperuserDefault(t *testing.T) {
	system := systemUser(t)
	// They are for --no-input; nobody who is asked is surprised by them.
	t.Setenv("LATCHBOLT_SUPERUSER_USERNAME", "other")
	t.Setenv("LATCHBOLT_SUPERUSER_PASSWORD", "another")
	onRoutes(t, config(), oneUser, func(t *testing.T, sh *shell) {
		s := sh.at(t, true, "createsuperuser", "--json")
		s.answers(
			"Username (leave blank to use '"+system+"'): ", "\n",
			"Email address: ", "\n",
			"Password: ", newPassword+"\n", "again): ", newPassword+"\n",
		)
		s.ends(0)
		s.unseen(newPassword, "created")
		if want := fmt.Sprintf(`{"created":true,"user":{"id":2,"username":%q,"email":"",`, system); !strings.HasPrefix(s.stdout.String(), want) {
			t.Errorf("got %s, want %s…", s.stdout, want)
		}
		// Taken, so it is not offered again, and a blank name is none.
		s = sh.at(t, false, "createsuperuser")
		s.answers("Username: ", "\n", "blank", "", "Username: ", ctrlD)
		s.ends(7)
	})
}

func TestTerminalConfirm(t *testing.T) {
	onRoutes(t, config(), oneUser, func(t *testing.T, sh *shell) {
		sh.want(t, 0, "", "group", "create", "Editors")
		s := sh.at(t, false, "group", "delete", "Editors")
		s.answers("Delete group Editors (id 1) for good? [y/N] ", "Yes\n", "Group Editors deleted.", "")
		s.ends(0)
		s = sh.at(t, false, "user", "delete", "ada", "--yes")
		s.see("User ada deleted.")
		s.ends(0)
		// With --no-input nobody is asked, also at a terminal.
		s = sh.at(t, false, "user", "create", "grace", "--no-input")
		s.see("nobody can be asked")
		s.ends(2)
	})
}

func TestTerminalAuthenticate(t *testing.T) {
	onRoutes(t, config(), oneUser, func(t *testing.T, sh *shell) {
		s := sh.at(t, true, "authenticate", "ada", "--json")
		s.answers("Password: ", oldPassword+"\n")
		s.ends(0)
		s.unseen(oldPassword, "ok")
		if !strings.HasPrefix(s.stdout.String(), `{"ok":true,"user":{"id":1,`) {
			t.Errorf("got %s", s.stdout)
		}
		s = sh.at(t, true, "authenticate", "ada", "--json")
		s.answers("Password: ", "wrong\n")
		s.ends(1)
		if got := s.stdout.String(); got != "{\"ok\":false}\n" {
			t.Errorf("got %q", got)
		}
	})
}
