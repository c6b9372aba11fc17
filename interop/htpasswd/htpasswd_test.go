package htpasswd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/htpasswd"
	"github.com/latchbolt-go/latchbolt/interop/internal/intest"
)

// A row is a password of testdata/real.htpasswd.
type row struct{ Form, Name, Password string }

func realFile(t testing.TB) (text string, rows []row) {
	t.Helper()
	data, err := os.ReadFile("testdata/real.htpasswd")
	if err != nil {
		t.Fatal(err)
	}
	answers, err := os.ReadFile("testdata/real.json")
	if err == nil {
		err = json.Unmarshal(answers, &rows)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data), rows
}

// TestRealFile takes over what Apache's htpasswd wrote, and logs everybody in.
func TestRealFile(t *testing.T) {
	text, rows := realFile(t)
	for _, legacy := range []bool{false, true} {
		cfg := intest.Config()
		cfg.LegacyHashes = legacy
		eng := intest.Open(t, cfg)
		report, err := htpasswd.Import(t.Context(), eng, strings.NewReader(text), &htpasswd.ImportOptions{Plain: true})
		if err != nil {
			t.Fatal(err)
		}
		if report.Users != 27 || report.Hashed != 1 || len(report.Skipped) != 5 {
			t.Errorf("report %+v", report)
		}
		tried := make(map[string]int)
		for _, r := range rows {
			want := r.Form != "des" && (r.Form != "sha1" || legacy)
			if got := intest.LogsIn(t, eng, r.Name, r.Password); got != want {
				t.Errorf("legacy %v: %s %s logs in: %v, want %v", legacy, r.Form, r.Name, got, want)
			}
			if intest.LogsIn(t, eng, r.Name, r.Password+"x") {
				t.Errorf("%s %s logs in with a wrong password", r.Form, r.Name)
			}
			tried[r.Form]++
		}
		for _, form := range []string{"bcrypt", "apr1", "sha1", "sha256_crypt", "sha512_crypt", "des"} {
			if tried[form] < 5 {
				t.Errorf("%d rows of %s, want 5 at least", tried[form], form)
			}
		}
		for _, n := range report.Skipped {
			if !strings.HasPrefix(n.Name, "des") || !strings.Contains(n.Reason, "DES") {
				t.Errorf("skipped: %v", n)
			}
		}
	}
}

const (
	bcrypt = "$2y$04$r5.a8k9WDvKPdGVusfh81OE/IO/Bkh9sPH0fUI2k4McozoOxF.u56" // "x"
	md5    = "$apr1$2a2x5yuP$l0rX9yB/Oty8JmKU.Fk2v1"                        // "x"
	sha    = "{SHA}EfatjsUqKYSrqv18O1FlA3hcIHI="                            // "x"
)

// TestForms: what becomes of each line.
func TestForms(t *testing.T) {
	text := "\xef\xbb\xbf# comment\r\n" +
		"\r\n" +
		"  \t \n" +
		"  # an indented comment\n" +
		" ada:" + bcrypt + " \r\n" +
		"eve:" + md5 + ":Eve's realm:more\n" +
		"ada:" + md5 + "\n" +
		"sha:" + sha + "\n" +
		"des:kgeT3yiM34U8U\n" +
		"bsdi:_J9..CCCCXBrJUJV154M\n" +
		"yes:$y$j9T$abc$def\n" +
		"ldap:{CRYPT}xyz\n" +
		"high:$2y$17" + bcrypt[6:] + "\n" +
		"cut:" + bcrypt[:50] + "\n" +
		"off:!" + bcrypt + "\n" +
		"star:*\n" +
		"none:\n" +
		"des:" + bcrypt + "\n" +
		"näme with blanks:" + bcrypt
	skips := []string{
		"7 ada already", "9 des DES", "10 bsdi DES", "11 yes nothing here", "12 ldap nothing here", "13 high beyond",
		"14 cut damaged", "15 off locked", "16 star locked", "17 none no password", "18 des already",
	}
	for _, unusable := range []bool{false, true} {
		eng := intest.Open(t, intest.Config())
		report, err := htpasswd.Import(t.Context(), eng, strings.NewReader(text), &htpasswd.ImportOptions{Unusable: unusable})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"ada", "eve", "sha", "näme with blanks"}
		if unusable {
			want = []string{"ada", "eve", "sha", "des", "bsdi", "yes", "ldap", "high", "cut", "off", "star", "none", "näme with blanks"}
		}
		var got []string
		for u, err := range eng.Users(t.Context(), latchbolt.UserQuery{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, u.Username)
			usable := slices.Contains([]string{"ada", "eve", "sha", "näme with blanks"}, u.Username)
			if u.Password.Usable != usable || u.Inactive || u.Superuser || u.Staff {
				t.Errorf("unusable %v: %+v", unusable, u)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || report.Users != len(want) {
			t.Errorf("unusable %v: users %q, want %q; report %+v", unusable, got, want, report)
		}
		if len(report.Skipped) != len(skips) {
			t.Fatalf("%d skipped, want %d: %v", len(report.Skipped), len(skips), report.Skipped)
		}
		for i, n := range report.Skipped {
			f := strings.SplitN(skips[i], " ", 3)
			if fmt.Sprint(n.Line) != f[0] || n.Name != f[1] || !strings.Contains(n.Reason, f[2]) {
				t.Errorf("skipped %v, want %q", n, skips[i])
			}
		}
		if len(report.Warnings) != 3 { // more fields, {SHA}, the name
			t.Errorf("warnings: %v", report.Warnings)
		}
		if !intest.LogsIn(t, eng, "ada", "x") || !intest.LogsIn(t, eng, "eve", "x") || !intest.LogsIn(t, eng, "näme with blanks", "x") {
			t.Error("somebody cannot log in")
		}
	}
}

// TestRefused: what is no htpasswd file gets an error with the line, and leaves nothing behind.
func TestRefused(t *testing.T) {
	const good = "ada:" + bcrypt + "\n"
	for _, tt := range []struct {
		name, text string
		line       int
		field, msg string
		opts       *htpasswd.ImportOptions
	}{
		{"no colon", good + "eve\n", 2, "", "no colon", nil},
		{"no name", good + ":" + bcrypt, 2, "username", "empty", nil},
		{"plain text", good + "eve:hunter2\n", 2, "password", "ImportOptions.Plain", nil},
		{"plain text that the validators refuse", good + "eve:hunter2\n", 2, "password", "", &htpasswd.ImportOptions{Plain: true}},
		{"a long line", good + strings.Repeat("x", 9000), 2, "", "longer than 8192", nil},
		{"a line over the buffer", good + strings.Repeat("x", 200_000), 2, "", "longer than 8192", nil},
		{"Latin-1", good + "n\xe4me:" + bcrypt, 2, "", "UTF-8", nil},
		{"UTF-16", "\xff\xfea\x00", 1, "", "UTF-16", nil},
		{"NUL", good + "e\x00ve:" + bcrypt, 2, "", "NUL", nil},
		{"a backslash", good + "eve:x\\\n", 2, "", "backslash", nil},
		{"a long name", good + strings.Repeat("e", 151) + ":" + bcrypt, 2, "username", "150", nil},
		{"a name in another form", good + "ａｄａ:" + bcrypt, 2, "username", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := intest.Config()
			cfg.Validators = nil
			eng := intest.Open(t, cfg)
			report, err := htpasswd.Import(t.Context(), eng, strings.NewReader(tt.text), tt.opts)
			var line *interop.LineError
			if !errors.As(err, &line) || line.Line != tt.line || line.Field != tt.field || !strings.Contains(line.Msg, tt.msg) {
				t.Fatalf("error %v, want line %d, %q: …%s…", err, tt.line, tt.field, tt.msg)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "CfG1t") || strings.Contains(err.Error(), bcrypt[10:]) {
				t.Errorf("the error has a secret: %v", err)
			}
			if !errors.Is(err, latchbolt.ErrInvalid) && !errors.Is(err, latchbolt.ErrExists) {
				t.Errorf("%v is neither ErrInvalid nor ErrExists", err)
			}
			if report.Users != 0 || report.Reasons != nil {
				t.Errorf("report %+v", report)
			}
			intest.Unused(t, eng)
		})
	}
}

// TestCase: in a file that does not tell case apart, two names that differ in it only are refused.
func TestCase(t *testing.T) {
	cfg := intest.Config()
	cfg.CaseSensitive = false
	eng := intest.Open(t, cfg)
	_, err := htpasswd.Import(t.Context(), eng, strings.NewReader("ada:"+bcrypt+"\nAda:"+md5+"\n"), nil)
	var line *interop.LineError
	if !errors.As(err, &line) || line.Line != 2 || !errors.Is(err, latchbolt.ErrExists) {
		t.Fatalf("error %v", err)
	}
	intest.Unused(t, eng)
}

// TestExisting: a name that is there already is refused, or skipped.
func TestExisting(t *testing.T) {
	eng := intest.Open(t, intest.Config())
	text := "eve:" + bcrypt + "\nada:" + md5 + "\nplain:hunter2\n"
	plain := &htpasswd.ImportOptions{Plain: true}
	if err := eng.CreateUser(t.Context(), &latchbolt.User{Username: "ada", Email: "ada@example.org"}, "secret"); err != nil {
		t.Fatal(err)
	}
	_, err := htpasswd.Import(t.Context(), eng, strings.NewReader(text), plain)
	var line *interop.LineError
	if !errors.As(err, &line) || line.Line != 2 || !strings.Contains(err.Error(), "ada") || !errors.Is(err, latchbolt.ErrExists) {
		t.Fatalf("error %v", err)
	}
	if _, err := eng.UserByName(t.Context(), "eve"); !errors.Is(err, latchbolt.ErrNotFound) {
		t.Errorf("eve was stored: %v", err)
	}
	plain.SkipExisting = true
	for i, want := range []string{"2 users, 1 skipped", "0 users, 3 skipped"} {
		report, err := htpasswd.Import(t.Context(), eng, strings.NewReader(text), plain)
		if got := fmt.Sprintf("%d users, %d skipped", report.Users, len(report.Skipped)); err != nil || got != want {
			t.Errorf("time %d: %s, want %s; %v", i+1, got, want, err)
		}
	}
	if !intest.LogsIn(t, eng, "ada", "secret") || intest.LogsIn(t, eng, "ada", "x") || !intest.LogsIn(t, eng, "plain", "hunter2") {
		t.Error("passwords are not what they should be")
	}
}

// TestDryRun: a dry run stores nothing, hashes nothing, and reports the same.
func TestDryRun(t *testing.T) {
	text, _ := realFile(t)
	eng := intest.Open(t, intest.Config())
	opts := &htpasswd.ImportOptions{Plain: true, DryRun: true}
	dry, err := htpasswd.Import(t.Context(), eng, strings.NewReader(text), opts)
	if err != nil {
		t.Fatal(err)
	}
	intest.Unused(t, eng)
	var stages []string
	opts = &htpasswd.ImportOptions{Plain: true, Progress: func(p interop.Progress) { stages = append(stages, fmt.Sprint(p.Stage, p.Done, "/", p.Total)) }}
	wet, err := htpasswd.Import(t.Context(), eng, strings.NewReader(text), opts)
	if err != nil || fmt.Sprint(dry) != fmt.Sprint(wet) {
		t.Errorf("dry %+v, wet %+v, %v", dry, wet, err)
	}
	if len(stages) < 2 || stages[len(stages)-1] != "storing32/32" {
		t.Errorf("progress %q", stages)
	}
}

// TestStopped: a context that ends, a reader that fails and a file that is too long leave nothing behind.
func TestStopped(t *testing.T) {
	eng := intest.Open(t, intest.Config())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := htpasswd.Import(ctx, eng, strings.NewReader("ada:"+bcrypt), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	broken := io.MultiReader(strings.NewReader("ada:"+bcrypt+"\neve:"), failing{})
	if _, err := htpasswd.Import(t.Context(), eng, broken, nil); !errors.Is(err, errBroken) {
		t.Errorf("broken: %v", err)
	}
	if _, err := htpasswd.Import(t.Context(), eng, strings.NewReader("ada:"+bcrypt), &htpasswd.ImportOptions{MaxBytes: 20}); !errors.Is(err, htpasswd.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	intest.Unused(t, eng)
}

var errBroken = errors.New("broken")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }
