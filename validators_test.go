package latchbolt_test

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

type djangoUser struct {
	Username  string `json:"username"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
	Email     string `json:"email"`
}

func (u *djangoUser) user() *latchbolt.User {
	if u == nil {
		return nil
	}
	return &latchbolt.User{Username: u.Username, FirstName: u.FirstName, LastName: u.LastName, Email: u.Email}
}

type validatorRow struct {
	Validator string `json:"validator"`
	Options   struct {
		MinLength  *int      `json:"min_length"`
		Max        *float64  `json:"max_similarity"`
		Attributes *[]string `json:"user_attributes"`
	} `json:"options"`
	Password string      `json:"password"`
	User     *djangoUser `json:"user"`
	Codes    []string    `json:"codes"`
	Messages []string    `json:"messages"`
	Raises   string      `json:"raises"`
}

// build returns the validator of a row, with Django's default length.
func (row validatorRow) build(t *testing.T) latchbolt.Validator {
	t.Helper()
	switch row.Validator {
	case "MinimumLengthValidator":
		v := latchbolt.MinimumLength{Min: 8}
		if row.Options.MinLength != nil {
			v.Min = *row.Options.MinLength
		}
		return v
	case "UserAttributeSimilarityValidator":
		v := latchbolt.UserAttributeSimilarity{}
		if row.Options.Max != nil {
			v.Max = *row.Options.Max
		}
		if row.Options.Attributes != nil {
			v.Attributes = *row.Options.Attributes
		}
		return v
	case "CommonPasswordValidator":
		return latchbolt.CommonPassword{}
	case "NumericPasswordValidator":
		return latchbolt.NumericPassword{}
	}
	t.Fatalf("no validator %q", row.Validator)
	return nil
}

// intended are the rows in which we mean to differ from Django.
var intended = []struct {
	reason string
	is     func(validatorRow) bool
	check  func(t *testing.T, row validatorRow, v latchbolt.Validator)
	rows   int
}{
	{
		reason: "Min 0 means the default here; no minimum is what an engine refuses anyway",
		is: func(r validatorRow) bool {
			return r.Options.MinLength != nil && *r.Options.MinLength == 0
		},
		check: func(t *testing.T, r validatorRow, v latchbolt.Validator) {
			wantCodes(t, r.Password, v.Validate(r.Password, nil), "password", "password_too_short")
		},
		rows: 1,
	},
	{
		reason: "Django raises ValueError when the validator is made; here Check says it, at Open",
		is:     func(r validatorRow) bool { return r.Raises == "ValueError" },
		check: func(t *testing.T, r validatorRow, v latchbolt.Validator) {
			if v.(interface{ Check() error }).Check() == nil {
				t.Errorf("Check accepts %+v", v)
			}
		},
		rows: 5,
	},
}

func TestValidatorsAgainstDjango(t *testing.T) {
	var file struct {
		Cases []validatorRow    `json:"cases"`
		Help  map[string]string `json:"help_texts"`
	}
	readFixture(t, "validators.json", &file)
	checked, differ := map[string]int{}, make([]int, len(intended))
rows:
	for i, row := range file.Cases {
		v := row.build(t)
		checked[row.Validator]++
		for j, d := range intended {
			if d.is(row) {
				d.check(t, row, v)
				differ[j]++
				continue rows
			}
		}
		what := fmt.Sprintf("row %d: %s%+v of %+q", i, row.Validator, v, row.Password)
		err := v.Validate(row.Password, row.User.user())
		wantCodes(t, what, err, "password", row.Codes...)
		var fe *latchbolt.FieldError
		if errors.As(err, &fe) && !slices.Equal(row.Messages, []string{fe.Msg}) {
			t.Errorf("%s: message %q, want %q", what, fe.Msg, row.Messages)
		}
	}
	for name, want := range file.Help {
		if got := (validatorRow{Validator: name}).build(t).Help(); got != want {
			t.Errorf("help of %s is %q, want %q", name, got, want)
		}
	}
	for _, n := range []string{"MinimumLengthValidator", "UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator"} {
		if checked[n] < 50 {
			t.Errorf("only %d rows for %s", checked[n], n)
		}
	}
	for j, d := range intended {
		if differ[j] != d.rows {
			t.Errorf("%d rows differ because %s; want %d", differ[j], d.reason, d.rows)
		}
	}
	t.Logf("rows checked: %v; intended differences: %v", checked, differ)
}

func TestAllFourAgainstDjango(t *testing.T) {
	var file struct {
		Order []string `json:"startproject_order"`
		Rows  []struct {
			Password string
			User     *djangoUser
			Codes    []string
			Messages []string
		} `json:"all_four_in_startproject_order"`
	}
	readFixture(t, "validators.json", &file)
	vs := latchbolt.DefaultValidators()
	for i, name := range file.Order {
		if got, want := fmt.Sprintf("%T", vs[i]), fmt.Sprintf("%T", (validatorRow{Validator: name}).build(t)); got != want {
			t.Errorf("validator %d is a %s, want %s", i, got, want)
		}
	}
	vs[1] = latchbolt.MinimumLength{Min: 8}
	for _, row := range file.Rows {
		err := latchbolt.ValidatePassword(row.Password, row.User.user(), vs)
		wantCodes(t, row.Password, err, "password", row.Codes...)
		var msgs []string
		if many, ok := err.(latchbolt.FieldErrors); ok {
			for _, fe := range many {
				msgs = append(msgs, fe.Msg)
			}
		}
		if !slices.Equal(msgs, row.Messages) {
			t.Errorf("%q: messages %q, want %q", row.Password, msgs, row.Messages)
		}
	}
	t.Logf("%d rows", len(file.Rows))
	if len(file.Rows) < 10 || len(vs) != len(file.Order) {
		t.Error("fixture is too small")
	}
}

func TestDefaultLengthIsFifteenCodePoints(t *testing.T) {
	v := latchbolt.MinimumLength{}
	wantCodes(t, "14 code points", v.Validate(strings.Repeat("é", 14), nil), "password", "password_too_short")
	if err := v.Validate(strings.Repeat("é", 15), nil); err != nil {
		t.Errorf("15 code points: %v", err)
	}
	wantCodes(t, "14 of four bytes", v.Validate(strings.Repeat("𠀀", 14), nil), "password", "password_too_short")
	longest := latchbolt.MinimumLength{Min: math.MaxInt}
	wantCodes(t, "less than the longest length", longest.Validate("x", nil), "password", "password_too_short")
	var fe *latchbolt.FieldError
	if err := v.Validate("x", nil); !errors.As(err, &fe) || fe.Params["min_length"] != 15 {
		t.Errorf("params of %v", err)
	}
	if got, want := (latchbolt.MinimumLength{Min: 1}).Help(), "Your password must contain at least 1 character."; got != want {
		t.Errorf("help is %q, want %q", got, want)
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	nan := 0.0
	nan /= nan
	for _, v := range []interface{ Check() error }{
		latchbolt.MinimumLength{Min: 7}, latchbolt.MinimumLength{Min: -1},
		latchbolt.UserAttributeSimilarity{Max: 0.09}, latchbolt.UserAttributeSimilarity{Max: -1}, latchbolt.UserAttributeSimilarity{Max: nan},
		latchbolt.UserAttributeSimilarity{Attributes: []string{"username", "no_such_attribute"}},
	} {
		if v.Check() == nil {
			t.Errorf("Check accepts %+v", v)
		}
	}
	for _, v := range []interface{ Check() error }{
		latchbolt.MinimumLength{}, latchbolt.MinimumLength{Min: 8}, latchbolt.UserAttributeSimilarity{},
		latchbolt.UserAttributeSimilarity{Max: 0.1}, latchbolt.UserAttributeSimilarity{Max: 2, Attributes: []string{}},
	} {
		if err := v.Check(); err != nil {
			t.Errorf("Check of %+v: %v", v, err)
		}
	}
}

func TestPasswordOverTheLimitIsNotLookedAt(t *testing.T) {
	asked := 0
	spy := latchbolt.ValidatorFunc(func(string, *latchbolt.User) error { asked++; return nil })
	err := latchbolt.ValidatePassword(strings.Repeat("1", latchbolt.MaxPassword+1), nil, []latchbolt.Validator{spy, latchbolt.NumericPassword{}})
	wantCodes(t, "4097 bytes", err, "password", "password_too_long")
	if asked != 0 {
		t.Error("a validator was asked")
	}
	if err := latchbolt.ValidatePassword(strings.Repeat("x", latchbolt.MaxPassword), nil, []latchbolt.Validator{spy}); err != nil || asked != 1 {
		t.Errorf("4096 bytes: %v, asked %d times", err, asked)
	}
}

func TestValidatePasswordCollectsAndFailsClosed(t *testing.T) {
	several := latchbolt.ValidatorFunc(func(string, *latchbolt.User) error {
		return fmt.Errorf("wrapped: %w", latchbolt.FieldErrors{{Field: "password", Code: "a", Msg: "A."}, {Field: "password", Code: "b", Msg: "B."}})
	})
	err := latchbolt.ValidatePassword("1", nil, []latchbolt.Validator{several, latchbolt.NumericPassword{}})
	wantCodes(t, "collected", err, "password", "a", "b", "password_entirely_numeric")

	broken := errors.New("disk on fire")
	fails := latchbolt.ValidatorFunc(func(string, *latchbolt.User) error { return broken })
	if err := latchbolt.ValidatePassword("x", nil, []latchbolt.Validator{fails}); !errors.Is(err, broken) || errors.Is(err, latchbolt.ErrInvalid) {
		t.Errorf("failing validator: %v", err)
	}
	empty := latchbolt.ValidatorFunc(func(string, *latchbolt.User) error { return latchbolt.FieldErrors{} })
	if err := latchbolt.ValidatePassword("x", nil, []latchbolt.Validator{empty}); err == nil {
		t.Error("an error without content lets the password through")
	}
	if err := latchbolt.ValidatePassword("1", nil, []latchbolt.Validator{}); err != nil {
		t.Errorf("no validators: %v", err)
	}
	wantCodes(t, "default validators", latchbolt.ValidatePassword("1", nil, nil), "password",
		"password_too_short", "password_too_common", "password_entirely_numeric")
}

func TestErrorsDoNotContainThePassword(t *testing.T) {
	u := &latchbolt.User{Username: "zebra-finch"}
	for _, password := range []string{"zebra-finch", "ZebraFinch", "٣٣٣٣٣٣٣٣", "qwertyuiopasdfgh"} {
		err := latchbolt.ValidatePassword(password, u, nil)
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), password) {
			t.Errorf("%q: %+v", password, err)
		}
	}
}

func TestExtraWordsAreCommon(t *testing.T) {
	v := latchbolt.CommonPassword{Extra: []string{"Acme Rockets ", "ÉTOILE polaire"}}
	for _, s := range []string{"acme rockets", "ACME ROCKETS\n", "étoile polaire", "password"} {
		wantCodes(t, s, v.Validate(s, nil), "password", "password_too_common")
	}
	for _, s := range []string{"acme", "acme rockets!", "acmerockets"} {
		if err := v.Validate(s, nil); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestCommonPasswordsOfTheDefaultLength(t *testing.T) {
	v := latchbolt.CommonPassword{}
	for _, s := range []string{
		"passwordpassword", "123456789012345", "1qaz2wsx3edc4rfv", "qwertyuiopasdfghjkl", "PasswordPassword", "aaaaaaaaaaaaaaa",
		"password12345678", "abcdefghijklmnop", "iloveyouiloveyou", "q1w2e3r4t5y6u7i8", "1234567890123456",
	} {
		wantCodes(t, s, v.Validate(s, nil), "password", "password_too_common")
	}
	for _, s := range []string{"correct horse battery staple", "correcthorsebatterystaple", "a quiet evening in Perth"} {
		if err := v.Validate(s, nil); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestCVE_2021_45115: one long password must not cost more than looking at it.
func TestCVE_2021_45115(t *testing.T) {
	name := strings.Repeat("ab-", 50)
	u := &latchbolt.User{Username: name, FirstName: name, LastName: name, Email: name + "@example.com"}
	huge := strings.Repeat("ab-é", 1<<20/5)
	for _, v := range []latchbolt.UserAttributeSimilarity{{}, {Max: 0.1}, {Max: 1}} {
		if n := allocated(func() { v.Validate(huge, u) }); n > 4<<10 {
			t.Errorf("Max %v: %d bytes allocated for 1 MiB", v.Max, n)
		}
		linear(t, "similarity of a long password", 1<<16, func(n int) { v.Validate(strings.Repeat("b", n), u) })
		linear(t, "similarity of long attributes", 1<<10, func(n int) {
			long := strings.Repeat("ab-c", n)
			v.Validate("cba-cba-cba-cba", &latchbolt.User{Username: long})
			v.Validate(strings.Repeat("xyz", n/20), &latchbolt.User{Username: long})
			v.Validate(long, &latchbolt.User{Username: strings.Repeat("xyz,", n)})
		})
	}
}

// Django's rows have no case in which these limits decide. The verdicts are what
// Django 5.2 answers.
func TestSimilarityOfTinyParts(t *testing.T) {
	long := "abcdefgh" + strings.Repeat("xyzw", 23)
	for _, c := range []struct {
		max                float64
		password, username string
		want               []string
	}{
		{0.1, long, "abcdefgh", []string{"password_too_similar"}},
		{0.1, long, "abcd", nil},
		{0.2, long, "abcdefgh", nil},
		{1, "", "-x", []string{"password_too_similar"}},
		{2, "", "-x", nil},
		{1, "", "x", nil},
	} {
		err := latchbolt.UserAttributeSimilarity{Max: c.max}.Validate(c.password, &latchbolt.User{Username: c.username})
		wantCodes(t, fmt.Sprintf("%q like %q at %v", c.password, c.username, c.max), err, "password", c.want...)
	}
}

func TestValidatorsAreConcurrent(t *testing.T) {
	var wg sync.WaitGroup
	u := &latchbolt.User{Username: "ada", Email: "ada@example.com"}
	for range 8 {
		wg.Go(func() {
			wantCodes(t, "ada", latchbolt.ValidatePassword("123456789012345", u, nil), "password", "password_too_common", "password_entirely_numeric")
		})
	}
	wg.Wait()
}

// breached writes a file of hashes, each line with the given end.
func breached(t *testing.T, end string, passwords ...string) string {
	t.Helper()
	var lines []string
	for i, p := range passwords {
		lines = append(lines, fmt.Sprintf("%X%s", sha1.Sum([]byte(p)), strings.ReplaceAll(end, "N", fmt.Sprint(i*i+1))))
	}
	slices.Sort(lines)
	name := filepath.Join(t.TempDir(), "breached.txt")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestBreachedFile(t *testing.T) {
	for _, end := range []string{":N\r\n", ":N\n", "\n", "\r\n"} {
		for _, n := range []int{1, 2, 3, 7, 1000} {
			var in []string
			for i := range n {
				in = append(in, fmt.Sprintf("password %d", i))
			}
			b, err := latchbolt.OpenBreachedFile(breached(t, end, in...))
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range in {
				wantCodes(t, p, b.Validate(p, nil), "password", "password_breached")
				if err := b.Validate(fmt.Sprintf("other %d", i), nil); err != nil {
					t.Errorf("other %d: %v", i, err)
				}
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if err := b.Validate("other", nil); err == nil || errors.Is(err, latchbolt.ErrInvalid) {
				t.Errorf("closed file: %v", err)
			}
		}
	}
}

func TestBreachedFileWithoutTheLastLineEnd(t *testing.T) {
	name := breached(t, ":N\n", "a", "b", "c")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{bytes.TrimSpace(data), append(data, "\n\n\r\n"...), bytes.ToLower(data)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := latchbolt.OpenBreachedFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{"a", "b", "c"} {
			wantCodes(t, p, b.Validate(p, nil), "password", "password_breached")
		}
		for i := range 100 {
			if err := b.Validate(fmt.Sprint(i), nil); err != nil {
				t.Error(err)
			}
		}
		b.Close()
	}
}

func TestFilesThatHoldNoBreachedPasswords(t *testing.T) {
	hash := strings.Repeat("0", 40)
	for what, text := range map[string]string{
		"empty":            "",
		"only line ends":   "\n\r\n",
		"plain passwords":  "123456\npassword\n",
		"SHA-256":          hash + hash[:24] + ":1\n",
		"too short a hash": hash[:39] + ":1\n",
		"not hexadecimal":  "G" + hash[1:] + ":1\n",
		"ordered by count": "F" + hash[1:] + ":9\n" + hash + ":1\n",
		"bad last line":    hash + ":1\nhello\n",
		"one endless line": hash + ":" + strings.Repeat("1", 1000),
	} {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := latchbolt.OpenBreachedFile(name); err == nil {
			b.Close()
			t.Errorf("%s: opened", what)
		}
	}
	if _, err := latchbolt.OpenBreachedFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := latchbolt.OpenBreachedFile(t.TempDir()); err == nil {
		t.Error("opened a directory")
	}
}

func TestDamagedBreachedFileRefusesPasswords(t *testing.T) {
	name := breached(t, ":N\n", "a", "b", "c", "d", "e", "f", "g")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	for i := range lines[1 : len(lines)-2] {
		copy(lines[i+1], "garbage") // all but the first and the last
	}
	if err := os.WriteFile(name, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := latchbolt.OpenBreachedFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Validate("something else", nil); err == nil || errors.Is(err, latchbolt.ErrInvalid) {
		t.Errorf("got %v, want an error that is not about the password", err)
	}
}

func TestPasswordHelp(t *testing.T) {
	eng := open(t, &latchbolt.Config{Validators: []latchbolt.Validator{
		latchbolt.MinimumLength{Min: 9}, latchbolt.ValidatorFunc(func(string, *latchbolt.User) error { return nil }), latchbolt.NumericPassword{},
	}})
	got := eng.PasswordHelp()
	want := []string{latchbolt.MinimumLength{Min: 9}.Help(), latchbolt.NumericPassword{}.Help()}
	if !slices.Equal(got, want) || !strings.Contains(got[0], "9") {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := open(t, &latchbolt.Config{Validators: []latchbolt.Validator{}}).PasswordHelp(); len(got) != 0 {
		t.Errorf("without validators: got %q", got)
	}
}
