package ndjson_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intest"
	"github.com/latchbolt-go/latchbolt/interop/ndjson"
)

const (
	hash   = "pbkdf2_sha256$10$NaCl0123456789abcdefgh$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo=" // "lètmein"
	secret = "hunter2hunter2"
	ada    = `{"username":"ada"}` + "\n"
	perm   = `{"type":"permission","app":"blog","codename":"edit"}` + "\n"
)

// A refusal is a file that cannot be taken over.
type refusal struct {
	name, text string
	line       int
	field, msg string
}

func refusals() []refusal {
	user := func(members string) string { return ada + `{"username":"eve",` + members + `}` }
	deep := strings.Repeat("[", 20) + strings.Repeat("]", 20)
	return []refusal{
		{"no object", ada + `["eve"]`, 2, "", "braces"},
		{"no JSON", ada + `username: eve`, 2, "", "braces"},
		{"an object over two lines", ada + "{\"username\":\n\"eve\"}", 2, "username", "one line"},
		{"two objects", ada + `{"username":"eve"}{"username":"bob"}`, 2, "", "behind the object, from byte 19"},
		{"text behind the object", ada + `{"username":"eve"} x`, 2, "", "behind the object"},
		{"a cut line", ada + `{"username":"eve","email":"e`, 2, "email", "ends in the middle"},
		{"a missing brace", ada + `{"username":"eve"`, 2, "", "ends where a comma"},
		{"a comma too many", ada + `{"username":"eve",}`, 2, "", "name of a member"},
		{"a missing colon", ada + `{"username" "eve"}`, 2, "", "colon"},
		{"an unknown field", user(`"e_mail":"x"`), 2, "e_mail", "no field of that name"},
		{"a field in other letters", ada + `{"Username":"eve"}`, 2, `"Username"`, "no field of that name"},
		{"a field of a group", user(`"permissions":[]`), 2, "permissions", "a user has no such field"},
		{"a group with a field of a user", ada + `{"type":"group","name":"g","email":"x"}`, 2, "email", "a group has no such field"},
		{"an unknown type", ada + `{"type":"session"}`, 2, "type", `"user", "group" or "permission"`},
		{"a field twice", user(`"email":"a@b.org","email":"a@b.org"`), 2, "email", "twice"},
		{"a field twice, once with escapes", user(`"email":"a@b.org","\u0065mail":"a@b.org"`), 2, "email", "twice"},
		{"null twice", user(`"email":"a@b.org","email":null`), 2, "email", "twice"},
		{"no user name", ada + `{"email":"eve@example.org"}`, 2, "username", "missing"},
		{"a name of null", ada + `{"username":null}`, 2, "username", "null"},
		{"an empty name", ada + `{"username":""}`, 2, "username", "blank"},
		{"a long name", ada + `{"username":"` + strings.Repeat("e", 151) + `"}`, 2, "username", "150"},
		{"a name twice", ada + `{"username":"ada"}`, 2, "username", `"ada" stands on an earlier line`},
		{"a name twice in another form", ada + `{"username":"ａｄａ"}`, 2, "username", `"ada" stands on an earlier line`},
		{"a group without name", `{"type":"group"}`, 1, "name", "missing"},
		{"a permission without app", `{"type":"permission","codename":"x"}`, 1, "app", "missing"},
		{"an app with a dot", `{"type":"permission","app":"a.b","codename":"x"}`, 1, "app", "dot"},
		{"a number for a text", user(`"email":1`), 2, "email", "text in quotation marks"},
		{"a text for a boolean", user(`"is_staff":"yes"`), 2, "is_staff", "true or false"},
		{"a text for a list", user(`"groups":"editors"`), 2, "groups", "list in brackets"},
		{"a number in a list of texts", user(`"groups":["a",1]`), 2, "groups", "text in quotation marks"},
		{"an identifier of 0", user(`"id":0`), 2, "id", "within 1 to"},
		{"a negative identifier", user(`"id":-1`), 2, "id", "whole number"},
		{"a broken identifier", user(`"id":1.5`), 2, "id", "plain digits"},
		{"a large identifier", user(`"id":9223372036854775808`), 2, "id", "within 1 to"},
		{"a time without zone", user(`"date_joined":"2026-05-04T10:20:30"`), 2, "date_joined", "RFC 3339"},
		{"a date", user(`"last_login":"2026-05-04"`), 2, "last_login", "RFC 3339"},
		{"a control character", user("\"email\":\"a\tb\""), 2, "email", "control character"},
		{"an unknown escape", user(`"email":"\x"`), 2, "email", "escape"},
		{"half a surrogate pair", user(`"email":"\ud800"`), 2, "email", "surrogate"},
		{"the halves in the wrong order", user(`"email":"\udc00\ud800"`), 2, "email", "surrogate"},
		{"no digits in an escape", user(`"email":"\u00g0"`), 2, "email", "hexadecimal"},
		{"NUL", user(`"first_name":"\u0000"`), 2, "first_name", "Null"},
		{"Latin-1", ada + "{\"username\":\"\xe4\"}", 2, "", "UTF-8"},
		{"UTF-16", "\xff\xfe{\x00", 1, "", "UTF-16"},
		{"gzip", "\x1f\x8b\x08", 1, "", "gzip"},
		{"a long line", ada + `{"username":"` + strings.Repeat("e", 3000) + `"}`, 2, "", "longer than 2000 bytes"},
		{"a line over the buffer", ada + `{"username":"` + strings.Repeat("e", 200_000) + `"}`, 2, "", "longer than 2000 bytes"},
		{"deep nesting", user(`"sessions":` + deep), 2, "sessions", "nested"},
		{"a damaged hash", user(`"password_hash":"pbkdf2_sha256$10$` + secret + `"`), 2, "password_hash", "4"},
		{"a hash beyond all bounds", user(`"password_hash":"pbkdf2_sha256$99999999$` + secret + `$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo="`), 2, "password_hash", "bounds"},
		{"hash and password", user(`"password_hash":"` + hash + `","password":"` + secret + `"`), 2, "password", "one of them"},
		{"a password that the validators refuse", user(`"password":"` + secret + `"`), 2, "password", "too short"},
		{"a long password", user(`"password":"` + strings.Repeat("p", 1800) + `"`), 0, "", ""}, // good: bounds are the engine's
		{"a permission that is not defined", user(`"user_permissions":["blog.edit"]`), 2, "user_permissions", `"blog.edit" is not defined`},
		{"a model that is not defined", perm + `{"username":"eve","user_permissions":[{"permission":"blog.edit","model":"post"}]}`, 2, "user_permissions", "not defined"},
		{"a grant without permission", perm + `{"username":"eve","user_permissions":[{"object":"1"}]}`, 2, "permission", "missing"},
		{"a grant with a field too many", perm + `{"username":"eve","user_permissions":[{"permission":"blog.edit","x":"1"}]}`, 2, "x", "no such field"},
		{"a grant for no object", perm + `{"username":"eve","user_permissions":[{"permission":"blog.edit","object":""}]}`, 2, "object", "empty"},
		{"a long object", perm + `{"username":"eve","user_permissions":[{"permission":"blog.edit","object":"` + strings.Repeat("o", 257) + `"}]}`, 2, "object", "256"},
		{"a group behind users", ada + `{"type":"group","name":"g"}`, 2, "type", "too late"},
		{"a permission behind groups", `{"type":"group","name":"g"}` + "\n" + perm, 2, "type", "too late"},
		{"a group twice", `{"type":"group","name":"g"}` + "\n" + `{"type":"group","name":"g"}`, 2, "name", "twice"},
		{"a group with a line break", user(`"groups":["a\nb"]`), 2, "groups", "cannot be made"},
		{"an identifier twice", ada + `{"username":"eve","id":1}`, 2, "id", ""},
	}
}

// TestRefused: what cannot be taken over gets an error with the line and the field, quotes no secret and leaves nothing behind.
func TestRefused(t *testing.T) {
	for _, tt := range refusals() {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config()
			cfg.Validators = nil
			eng := open(t, cfg)
			report, err := ndjson.Import(t.Context(), eng, strings.NewReader(tt.text), &ndjson.ImportOptions{MaxLine: 2000})
			if tt.line == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var line *interop.LineError
			if !errors.As(err, &line) || line.Line != tt.line || line.Field != tt.field || !strings.Contains(line.Msg, tt.msg) {
				t.Fatalf("error %v, want line %d, %s: …%s…", err, tt.line, tt.field, tt.msg)
			}
			if s := err.Error(); strings.Contains(s, secret) || strings.Contains(s, "NaCl") || strings.ContainsAny(s, "\n\x00") {
				t.Errorf("unsuitable error %q", s)
			}
			if !slices.ContainsFunc([]error{latchbolt.ErrInvalid, latchbolt.ErrNotFound, latchbolt.ErrConflict, latchbolt.ErrExists},
				func(target error) bool { return errors.Is(err, target) }) {
				t.Errorf("%v is none of the errors that a line can have", err)
			}
			if report.Users != 0 || report.Reasons != nil {
				t.Errorf("report %+v", report)
			}
			intest.Unused(t, eng)
		})
	}
}

var errBroken = errors.New("broken")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// TestStopped: a reader that fails and a context that ends, before, while hashing and while storing, leave nothing behind.
func TestStopped(t *testing.T) {
	eng := open(t, config())
	if _, err := ndjson.Import(t.Context(), eng, io.MultiReader(strings.NewReader(ada), failing{}), nil); !errors.Is(err, errBroken) {
		t.Errorf("broken: %v", err)
	}
	text := strings.Repeat(" \n", 10) + many(5000, `,"password_hash":"`+hash+`"`) + many(1, `,"password":"`+secret+`"`)
	for _, stage := range []interop.Stage{"", interop.Hashing, interop.Storing} {
		ctx, cancel := context.WithCancel(t.Context())
		if stage == "" {
			cancel()
		}
		_, err := ndjson.Import(ctx, eng, strings.NewReader(text), &ndjson.ImportOptions{Progress: func(p interop.Progress) {
			if p.Stage == stage {
				cancel()
			}
		}})
		if cancel(); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled in %q: %v", stage, err)
		}
	}
	if _, err := ndjson.Import(t.Context(), eng, onlyReader{strings.NewReader(ada)}, &ndjson.ImportOptions{TempDir: t.TempDir() + "/none"}); err == nil {
		t.Error("a folder that is not there")
	}
	intest.Unused(t, eng)
}
