package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// frozenAt is the time at which Django gave its answers.
const frozenAt = "2026-05-04T10:20:30.123456Z"

// djangoData returns the path of a file of the answers of real Django.
func djangoData(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../testdata/django", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// allUsers returns what user show says of each user of a dump, by name.
func allUsers(t *testing.T, b *bench) map[string]string {
	t.Helper()
	var dump []struct {
		Model  string
		Fields struct{ Username string }
	}
	data, err := os.ReadFile(djangoData(t, "auth.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &dump); err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]string)
	for _, rec := range dump {
		if rec.Model == "auth.user" {
			shown[rec.Fields.Username] = b.show(t, rec.Fields.Username)
		}
	}
	if len(shown) != 46 {
		t.Fatalf("%d users shown, want 46", len(shown))
	}
	return shown
}

// show runs user show inside the test, which is cheaper than a process for each user.
func (b *bench) show(t *testing.T, name string) string {
	t.Helper()
	sh := &shell{path: b.db, cfg: config(), socket: b.holder != nil}
	return sh.want(t, 0, "", "user", "show", "--json", "--", name)
}

// TestDjangoThereAndBack: the users of a Django project go in, come out and go in again the same, every one of them.
func TestDjangoThereAndBack(t *testing.T) {
	onBothRoutes(t, func(t *testing.T, b *bench, hold func()) {
		b.run(0, "init")
		hold()
		b.run(0, "import", "django", djangoData(t, "auth.json"))
		first := allUsers(t, b)
		dump := filepath.Join(b.dir, "dump.json")
		b.run(0, "export", "django", "--output", dump)
		if b.holder != nil {
			b.let()
		}

		again := newBench(t)
		again.run(0, "init")
		if strings.HasSuffix(t.Name(), "socket") {
			again.hold()
		}
		again.run(0, "import", "django", dump)
		for name, want := range first {
			if got := again.show(t, name); got != want {
				t.Errorf("user %q is\n%s and was\n%s", name, got, want)
			}
		}
		if again.holder != nil {
			again.let()
		}
		sound(t, again.open())
	})
}

// TestDjangoCookies: with the SECRET_KEY the cookies that clients have go on answering.
func TestDjangoCookies(t *testing.T) {
	var answers struct {
		SecretKey string   `json:"SECRET_KEY"`
		Fallbacks []string `json:"SECRET_KEY_FALLBACKS"`
		Sessions  []struct {
			Key   string `json:"session_key"`
			AtNow struct {
				GetUser struct{ User *string } `json:"get_user"`
			} `json:"at_frozen_now"`
		}
	}
	data, err := os.ReadFile(djangoData(t, "sessions.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &answers); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_CLOCK", frozenAt)
	onBothRoutes(t, func(t *testing.T, b *bench, hold func()) {
		key, old := filepath.Join(b.dir, "key"), filepath.Join(b.dir, "old")
		for name, secret := range map[string]string{key: answers.SecretKey, old: answers.Fallbacks[0]} {
			if err := os.WriteFile(name, []byte(secret+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b.run(0, "init")
		hold()
		b.run(0, "import", "django", djangoData(t, "auth.json"), "--sessions", djangoData(t, "sessions_dump.json"),
			"--secret-key-file", key, "--secret-key-fallback-file", old)
		shown := 0
		for _, s := range answers.Sessions {
			user := s.AtNow.GetUser.User
			if user == nil {
				continue
			}
			shown++
			out, _ := b.runWith(strings.NewReader(s.Key+"\n"), 0, "session", "show", "--token-stdin", "--json")
			var got struct {
				User    struct{ Username string }
				Expires string
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			if got.User.Username != *user || got.Expires == "" {
				t.Errorf("the session of %s shows %s", *user, out)
			}
		}
		b.runWith(strings.NewReader("0123456789abcdefghij0123456789ab"), 3, "session", "show", "--token-stdin", "--json")
		if b.holder != nil {
			b.let()
		}
		eng := b.open()
		known := 0
		for i, s := range answers.Sessions {
			token, err := latchbolt.ParseToken(s.Key)
			if err != nil {
				t.Fatal(err)
			}
			id, err := eng.SessionUser(t.Context(), token)
			want := ""
			if user := s.AtNow.GetUser.User; user != nil {
				want = *user
				known++
			}
			if id.Username() != want {
				t.Errorf("session %d is of %q (%v), want %q", i, id.Username(), err, want)
			}
		}
		if shown == 0 || known != shown {
			t.Errorf("%d sessions were shown and %d answered", shown, known)
		}
		sound(t, eng)
	})
}
