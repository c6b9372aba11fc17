package latchbolt_test

import (
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv/memkv"
)

// openInMemory makes an engine that is as quick as a fuzz target needs it.
func openInMemory(t testing.TB, cfg *latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	return openOn(t, &memkv.Store{Buckets: latchbolt.Buckets}, cfg)
}

// spliced is a text that a careless program takes for a token which it is not: the token with some bytes replaced by others. The
// processes of a fuzzing run have different tokens, so inputs say where they differ from it.
func spliced(good, text string, at, cut uint8) string {
	if at == 255 {
		return text
	}
	from := min(int(at), len(good))
	return good[:from] + text + good[min(from+int(cut), len(good)):]
}

// addSplices adds parts of a token, more than it, and other spellings of its bits.
func addSplices(add func(text string, at, cut uint8)) {
	add("", 0, 0)
	for _, n := range []uint8{1, 16, 32, 63} {
		add("", n, 255)
		add("", 0, n)
		add("A", n, 1)
		add("", n, 1)
	}
	for _, s := range []string{"A", "=", "==", "\n", "\x00", " ", "."} {
		add(s, 64, 0)
		add(s, 0, 0)
		add(s, 20, 0)
	}
	// Without strict decoding some last characters would mean the same bits; CVE-2026-27840.
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/" {
		add(string(c), 63, 1)
	}
	add("s.", 0, 0)
	for _, s := range hostileTokens {
		add(s, 255, 0)
	}
}

// hostileTokens are tokens of other systems' flaws: CVE-2015-3982, GO-2024-2730, CVE-2026-27840, CVE-2010-4535.
var hostileTokens = []string{"", " ", "0", "null", "undefined", "../../etc/passwd", "..\\..\\x", "\x00", strings.Repeat("\x00", 64), strings.Repeat("A", 64), strings.Repeat("A", 63), strings.Repeat("_", 65),
	strings.Repeat("9", 40), "1b-xyz", "ZZZZZZZZZZZZZZZZ-5ab", "admin", "%00", strings.Repeat("é", 20), "abcdefgh", strings.Repeat("A", 4097)}

// FuzzToken shows texts as sessions. Of all texts only those that were given out are sessions; each token has one text; and who tries
// others has nothing written and nothing told but that there is no such session.
func FuzzToken(f *testing.F) {
	clock := newTestClock() // stands still, so that nothing is written for sessions in use
	eng := openAt(f, filepath.Join(fastDir(f), "app.db"), &latchbolt.Config{Clock: clock.now, SweepEvery: -1})
	addUser(f, eng, "ada")
	good := login(f, eng, "ada").Token.Reveal()
	anon, err := eng.NewSession(f.Context(), latchbolt.LoginOptions{})
	must(f, "NewSession", err)
	known := map[string]bool{good: true, anon.Token.Reveal(): false}
	addSplices(func(text string, at, cut uint8) { f.Add(text, at, cut, true); f.Add(text, at, cut, false) })
	ctx := f.Context()
	f.Fuzz(func(t *testing.T, text string, at, cut uint8, user bool) {
		of := anon.Token.Reveal()
		if user {
			of = good
		}
		text = spliced(of, text, at, cut)
		tok, err := latchbolt.ParseToken(text)
		if err != nil {
			want(t, "ParseToken", err, latchbolt.ErrNoSession)
			if !tok.IsZero() {
				t.Errorf("%q is no token and yet one", text)
			}
			return
		}
		if s := tok.Reveal(); s != "" && s != text {
			t.Errorf("%q is given back as %q", text, s)
		}
		before := commits(t, eng)
		id, err := eng.SessionUser(ctx, tok)
		_, err2 := eng.Session(ctx, tok)
		_, err3 := eng.Values(ctx, tok)
		if user, ok := known[text]; ok {
			if err != nil || err2 != nil || err3 != nil || id.Anonymous() == user {
				t.Errorf("a session that was begun: %v, %v, %v, %v", id, err, err2, err3)
			}
			return
		}
		_, err4 := eng.UpdateValues(ctx, tok, func(v *latchbolt.Values) error { return v.Set("a", 1) })
		for _, err := range []error{err, err2, err3, err4} {
			want(t, "no session", err, latchbolt.ErrNoSession)
		}
		_, err = eng.CheckToken(ctx, latchbolt.PurposeReset, tok)
		want(t, "no token", err, latchbolt.ErrToken)
		if !id.Anonymous() || commits(t, eng) != before {
			t.Errorf("%q is %v, and %d commits", text, id, commits(t, eng)-before)
		}
	})
}

// FuzzResetToken shows texts as one-time tokens of a purpose. Only the text that was issued is good, for its purpose alone, and only until it is used;
// a change that fails leaves it good.
func FuzzResetToken(f *testing.F) {
	eng := openInMemory(f, &latchbolt.Config{Validators: []latchbolt.Validator{}})
	u := addUser(f, eng, "ada")
	ctx := f.Context()
	session := login(f, eng, "ada").Token // a login makes the tokens void that were issued before
	reset, err := eng.ResetToken(ctx, u.ID)
	must(f, "ResetToken", err)
	other, err := eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: u.ID, Purpose: "verify", Data: "d"})
	must(f, "IssueToken", err)
	void, err := eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: u.ID, Purpose: "x"})
	must(f, "IssueToken", err)
	_, err = eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: u.ID, Purpose: "x"})
	must(f, "IssueToken", err)
	known := map[[2]string]string{{reset.Reveal(), latchbolt.PurposeReset}: "", {other.Reveal(), "verify"}: "d"}
	tokens := []string{reset.Reveal(), other.Reveal(), void.Reveal(), session.Reveal()}
	purposes := []string{latchbolt.PurposeReset, "verify", "x", "", "password-rese", "verify\x00", strings.Repeat("p", 65)}
	for which := range tokens {
		for _, purpose := range purposes {
			f.Add("", uint8(0), uint8(0), uint8(which), purpose)
		}
	}
	addSplices(func(text string, at, cut uint8) { f.Add(text, at, cut, uint8(0), latchbolt.PurposeReset) })
	refused := errors.New("refused")
	f.Fuzz(func(t *testing.T, text string, at, cut, which uint8, purpose string) {
		text = spliced(tokens[int(which)%len(tokens)], text, at, cut)
		tok, err := latchbolt.ParseToken(text)
		if err != nil {
			return
		}
		data, good := known[[2]string{text, purpose}]
		var wanted, redeemed error = latchbolt.ErrToken, latchbolt.ErrToken
		if good {
			wanted, redeemed = nil, refused
		}
		id, err := eng.CheckToken(ctx, purpose, tok)
		want(t, "CheckToken", err, wanted)
		if good && id != u.ID || !good && id != 0 {
			t.Errorf("%q for %q is of user %d", text, purpose, id)
		}
		want(t, "RedeemToken", eng.RedeemToken(ctx, purpose, tok, func(_ *latchbolt.Tx, got *latchbolt.User, d string) error {
			if !good || got.ID != u.ID || d != data {
				t.Errorf("%q for %q is redeemed for %+v with %q", text, purpose, got, d)
			}
			return refused
		}), redeemed)
		if !good && purpose == latchbolt.PurposeReset {
			_, err := eng.ResetPassword(ctx, tok, "a password of somebody else")
			want(t, "ResetPassword", err, latchbolt.ErrToken)
		}
		if _, err := eng.SessionUser(ctx, tok); text != session.Reveal() && !errors.Is(err, latchbolt.ErrNoSession) {
			t.Errorf("%q is a session: %v", text, err)
		}
	})
}

// FuzzPermission defines a permission of any name, grants it for any object, and asks for any other. What is granted is had and nothing
// else is: a name is one string, whatever it holds, and belongs to one app.
func FuzzPermission(f *testing.F) {
	for _, s := range [][6]string{
		{"blog", "post", "add_post", "", "blog.add_post", ""}, {"blog", "", "add.post", "blog.post:1", "blog.add.post", "blog.post:1"},
		{"a.b", "", "c", "", "a.b.c", ""}, {"a", "", "b.c", "", "a.b.c", ""}, {"ab", "", "c", "", "a.bc", ""}, {"a", "", "bc", "", "ab.c", ""},
		{"blog", "", "add_post", "x", "BLOG.add_post", "X"}, {"blog", "", "add", "1", "blog.add", "10"}, {"blog", "", "add", "10", "blog.add", "1"},
		{"a\x00b", "", "c", "", "a", ""}, {"a", "", "b\n", "", "a.b", ""}, {"*", "", "*", "*", "blog.add", "x"}, {"blog", "", "%", "_", "blog.add", "x"},
		{"", "", "", "", "", ""}, {"a", "", "", "", "a.", ""}, {"", "", "a", "", ".a", ""}, {"a", "m", "b", "\x00", "a.b", ""}, {"\xff", "", "a", "", "\xff.a", "\xff"},
		{strings.Repeat("é", 100), "", strings.Repeat("ü", 101), "", "x.y", ""}, {"a", "", "b", strings.Repeat("o", 257), "a.b", "o"},
	} {
		f.Add(s[0], s[1], s[2], s[3], s[4], s[5])
	}
	eng := openInMemory(f, nil)
	u, v := addUser(f, eng, "ada"), addUser(f, eng, "eve")
	ctx := f.Context()
	f.Fuzz(func(t *testing.T, app, model, codename, object, asked, about string) {
		perm := latchbolt.Permission{App: app, Model: model, Codename: codename}
		err := eng.Define(ctx, perm)
		p := perm.Perm()
		defer func() {
			if err := eng.Undefine(ctx, p); err != nil && !errors.Is(err, latchbolt.ErrNotFound) {
				t.Errorf("Undefine: %v", err)
			}
		}()
		if err != nil {
			want(t, "Define", err, latchbolt.ErrInvalid)
			return
		}
		if strings.Contains(app, ".") || p.App() != app || !utf8.ValidString(string(p)) || strings.ContainsAny(string(p)+model, "\x00\n\r") {
			t.Errorf("%q, %q, %q is a permission", app, model, codename)
		}
		var objects []latchbolt.Object
		if object != "" {
			objects = append(objects, latchbolt.Object(object))
		}
		if err := eng.Grant(ctx, u.ID, p, objects...); err != nil {
			want(t, "Grant", err, latchbolt.ErrInvalid)
			if len(object) <= 256 && utf8.ValidString(object) && !strings.Contains(object, "\x00") {
				t.Errorf("Grant for %q: %v", object, err)
			}
			return
		}
		for _, name := range []latchbolt.Perm{p, latchbolt.Perm(asked)} {
			for _, o := range []latchbolt.Object{latchbolt.Object(object), latchbolt.Object(about), ""} {
				has := name == p && (object == "" || string(o) == object)
				fuzzAsk(t, eng, u.ID, name, o, has)
				fuzzAsk(t, eng, v.ID, name, o, false)
			}
		}
		must(t, "Revoke", eng.Revoke(ctx, u.ID, p, objects...))
		fuzzAsk(t, eng, u.ID, p, latchbolt.Object(object), false)
	})
}

// fuzzAsk asks for a permission in each way there is.
func fuzzAsk(t *testing.T, eng *latchbolt.Engine, id latchbolt.UserID, p latchbolt.Perm, o latchbolt.Object, has bool) {
	t.Helper()
	who, err := eng.Identity(t.Context(), id)
	must(t, "Identity", err)
	var objects []latchbolt.Object
	if o != "" {
		objects = append(objects, o)
	}
	for range 2 {
		if got, err := eng.HasPerm(t.Context(), who, p, objects...); err != nil || got != has {
			t.Errorf("HasPerm %q for %q: %v, %v, want %v", p, o, got, err, has)
		}
	}
	d, err := eng.Explain(t.Context(), who, p, objects...)
	if err != nil || d.Allowed != has {
		t.Errorf("Explain %q for %q: %v, %v", p, o, d.Allowed, err)
	}
	perms, err := eng.Perms(t.Context(), who, latchbolt.FromAll, objects...)
	if err != nil || slices.Contains(perms, p) != has {
		t.Errorf("Perms for %q: %q, %v, want %v", o, perms, err, has)
	}
	if o == "" && who.Has(p) != has {
		t.Errorf("Has %q: %v", p, !has)
	}
}

// FuzzQuery asks for users with any conditions, page by page, and compares with what one finds who looks at everybody. As where a page begins it gives any text:
// there a page of the same search begins, or it is refused.
func FuzzQuery(f *testing.F) {
	c := newCrowd(f, 60, nil)
	ctx := f.Context()
	must(f, "defining", c.eng.DefineAdmin(ctx))
	boss := c.users[0]
	must(f, "promoting", c.eng.UpdateUser(ctx, boss.ID, set(func(u *latchbolt.User) { u.Staff, u.Superuser, u.Inactive = true, true, false })))
	boss.Staff, boss.Superuser, boss.Inactive = true, true, false
	a := c.eng.As(must2(c.eng.Identity(ctx, boss.ID)))
	for _, s := range []string{"", "ada", "BOB1", "strasse", "o'h", "жанна", "7@example", "password", "password__startswith=pbkdf2", "%", "_", "*", "\xff", "\x00", "a\x00b", strings.Repeat("a", 400), "ada hara"} {
		for i, from := range []string{"", "AAAA", "bg", "cgAAAAAAAAAB", "cg", base64.RawURLEncoding.EncodeToString([]byte("nada\x00")), "../session", "ZAAAAAAAAAA_"} {
			f.Add(s, s, from, uint16(i*11+len(s)), uint8(i), uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, text, prefix, from string, bits uint16, group, limit uint8) {
		filter := func(n int) latchbolt.Filter { return latchbolt.Filter(bits >> n & 3 % 3) }
		q := latchbolt.UserQuery{Active: filter(0), Staff: filter(2), Superuser: filter(4), Order: latchbolt.Order(bits >> 6 & 1), NoSuperusers: bits>>7&1 == 1}
		if plain(text) {
			q.Text = text
		}
		if plain(prefix) {
			q.Prefix = prefix
		}
		if group%7 < 5 {
			q.Group = c.groups[group%7]
		}
		if bits>>8&1 == 1 {
			q.Perm, q.Object = "blog.add", latchbolt.Object([]string{"", "post:1", "post:2", text}[bits>>9&3])
		}
		c.check(t, "query", q)
		q.Limit = int(limit%20) + 1
		q.After = c.users[int(group)%len(c.users)]
		c.check(t, "page", q)
		fuzzSearch(t, a, latchbolt.UserSearch{Text: text, From: from, Active: q.Active, Staff: q.Staff, Superuser: q.Superuser, Group: q.Group, Perm: q.Perm,
			Order: latchbolt.SearchOrder(bits >> 11 % 3), Limit: q.Limit})
	})
}

// plain reports whether the simple folding of a crowd's reference is right for a text.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf || r == utf8.RuneError })
}

// fuzzSearch begins a page anywhere and goes on to the end: nobody twice, nobody who does not fit, and an end.
func fuzzSearch(t *testing.T, a latchbolt.Administrator, q latchbolt.UserSearch) {
	t.Helper()
	whole := q
	whole.From = ""
	var fits []latchbolt.UserID
	for ; ; whole.From = must2(a.Search(t.Context(), whole)).Next {
		page, err := a.Search(t.Context(), whole)
		if err != nil {
			want(t, "Search", err, latchbolt.ErrInvalid)
			return
		}
		for _, u := range page.Users {
			fits = append(fits, u.ID)
		}
		if page.Next == "" {
			break
		}
	}
	seen := make(map[latchbolt.UserID]bool)
	for pages := 0; ; pages++ {
		page, err := a.Search(t.Context(), q)
		if err != nil {
			if want(t, "Search", err, latchbolt.ErrInvalid); pages > 0 {
				t.Errorf("the next page begins nowhere: %q", q.From)
			}
			return
		}
		if len(page.Users) > q.Limit || pages > 100 {
			t.Fatalf("page %d of %d users, limit %d", pages, len(page.Users), q.Limit)
		}
		for _, u := range page.Users {
			if seen[u.ID] || !slices.Contains(fits, u.ID) {
				t.Errorf("from %q: user %d, seen %v", q.From, u.ID, seen[u.ID])
			}
			seen[u.ID] = true
		}
		if q.From = page.Next; q.From == "" {
			return
		}
	}
}

// A byteSource gives numbers whose high bits are bytes of an input and whose low bits are those of a generator.
type byteSource struct {
	input []byte
	low   rand.PCG
}

func (s *byteSource) Uint64() uint64 {
	n := s.low.Uint64() >> 8
	if len(s.input) > 0 {
		n |= uint64(s.input[0]) << 56
		s.input = s.input[1:]
	}
	return n
}

// FuzzOperations does what an input says to an Engine and to the maps of [TestModel], and compares what both answer. Each byte is a choice: what
// is done next, and to whom.
func FuzzOperations(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 7))
	for n := range 12 {
		input := make([]byte, 40+60*n)
		for i := range input {
			input[i] = byte(rng.Uint32())
		}
		f.Add(input)
	}
	f.Add([]byte{})
	for b := range 16 {
		f.Add([]byte(strings.Repeat(string([]byte{byte(b * 16), 200, byte(b)}), 40)))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		src := &byteSource{input: input[:min(len(input), 600)]}
		m := newModelFrom(t, rand.New(src), make(map[string][2]int))
		for len(src.input) > 0 {
			m.clock.advance(1_000_000_000)
			if m.step(); t.Failed() {
				break
			}
		}
		if m.full(); t.Failed() {
			t.Fatalf("the last operations:\n%s", strings.Join(m.log, "\n"))
		}
	})
}

// TestFuzzTargets holds the list of fuzz targets in docs/SECURITY.md, the sources and the kept inputs together: each target is listed, each listed one is
// there, each has seeds and kept inputs that are of use to it.
func TestFuzzTargets(t *testing.T) {
	targets := make(map[string]string)
	for dir, tests := range testsOfAll(t) {
		for name := range tests {
			if strings.HasPrefix(name, "Fuzz") {
				targets[filepath.ToSlash(filepath.Join(dir, name))] = dir
			}
		}
	}
	doc := readFile(t, "docs/SECURITY.md")
	_, list, ok := strings.Cut(doc, "## Fuzz targets")
	if !ok {
		t.Fatal("docs/SECURITY.md has no list of fuzz targets")
	}
	list, _, _ = strings.Cut(list, "\n## ")
	listed := make(map[string]bool)
	for line := range strings.Lines(list) {
		cell := strings.Split(line, "|")
		if len(cell) < 4 || !strings.Contains(cell[2], "`Fuzz") {
			continue
		}
		name, where, _ := strings.Cut(strings.TrimSpace(cell[2]), " in ")
		at := filepath.ToSlash(filepath.Join(where, strings.Trim(name, "`")))
		if listed[at] = true; targets[at] == "" {
			t.Errorf("docs/SECURITY.md lists %s, which is not there", at)
		}
	}
	for at, dir := range targets {
		if !listed[at] {
			t.Errorf("docs/SECURITY.md does not list %s", at)
		}
		kept, err := filepath.Glob(filepath.Join(dir, "testdata", "fuzz", filepath.Base(at), "*"))
		if err != nil || len(kept) == 0 {
			t.Errorf("no inputs are kept for %s", at)
		}
		for _, path := range kept {
			if !strings.HasPrefix(readFile(t, path), "go test fuzz v1\n") {
				t.Errorf("%s is no input", path)
			}
		}
	}
	if len(targets) < 14 {
		t.Errorf("only %d targets", len(targets))
	}
	for _, above := range []string{"", "*", "*/*"} {
		kept, err := filepath.Glob(filepath.Join(above, "testdata", "fuzz", "*"))
		must(t, "globbing", err)
		for _, path := range kept {
			dir, _, _ := strings.Cut(filepath.ToSlash(path), "testdata/")
			if targets[dir+filepath.Base(path)] == "" {
				t.Errorf("%s is of no target", path)
			}
		}
	}
}
