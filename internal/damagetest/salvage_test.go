package damagetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// prepared makes a specimen with its answers.
func prepared(t *testing.T) *specimen {
	t.Helper()
	spec := makeSpecimen(t, scratch(t), rand.New(rand.NewPCG(1, 0)))
	spec.Answers = spec.askCopy(t, closedFile).answers
	return spec
}

func (s *specimen) read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.Dir, name))
	must(t, err)
	return data
}

// salvaged salvages a file and returns what the new one says.
func (s *specimen) salvaged(t *testing.T, data []byte, opts *latchbolt.SalvageOptions) (latchbolt.SalvageReport, *inquiry) {
	t.Helper()
	dir := scratch(t)
	src, dst := filepath.Join(dir, "damaged.db"), filepath.Join(dir, "new.db")
	must(t, os.WriteFile(src, data, 0o600))
	r, err := latchbolt.Salvage(t.Context(), src, dst, opts)
	must(t, err)
	info, err := os.Stat(dst)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the new file has the mode %v", info.Mode())
	}
	e, err := latchbolt.Open(dst, config(false))
	must(t, err)
	q := s.ask(t.Context(), e)
	for f, err := range e.Verify(t.Context()) {
		t.Errorf("in the new file: %v, %v", f, err)
	}
	must(t, errors.Join(q.noticed, q.untyped, e.Close()))
	if all := s.wider(q); len(all) > 0 {
		t.Errorf("is allowed, and was not: %s", all)
	}
	return r, q
}

// tokens tells which questions are about sessions and one-time tokens.
func tokens(question string) bool { return strings.HasPrefix(question, may+"use ") }

// TestSalvageWhole salvages a file that is whole: everything is there but sessions and tokens.
func TestSalvageWhole(t *testing.T) {
	spec := prepared(t)
	for _, test := range []struct {
		name, file string
		opts       *latchbolt.SalvageOptions
	}{
		{"closed in order", closedFile, nil},
		{"as a killed program leaves it, believed", killedFile, &latchbolt.SalvageOptions{AllowStale: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, q := spec.salvaged(t, spec.read(t, test.file), test.opts)
			if (r.Doubt == "") != (test.file == closedFile) || len(r.Findings) > 0 {
				t.Errorf("doubt %q, findings %v", r.Doubt, r.Findings)
			}
			for question, was := range spec.Answers {
				want := was
				switch {
				case question == "audit entries":
					continue // one more, of the salvage
				case tokens(question):
					want = "no"
				}
				if got := q.answers[question]; got != want {
					t.Errorf("%s: %q, want %q", question, got, want)
				}
			}
			if c := r.Count("users"); c.Kept != userCount-10 || c.Stripped+c.Dropped+c.Lost != 0 {
				t.Errorf("users: %+v", c)
			}
		})
	}
}

// TestSalvageOfKilled tests that nobody has power in what is made of a file of which it is not known whether it is the newest.
func TestSalvageOfKilled(t *testing.T) {
	spec := prepared(t)
	r, q := spec.salvaged(t, spec.read(t, killedFile), nil)
	if c := r.Count("users"); c.Stripped != userCount-10 || c.Kept != 0 || r.Doubt == "" || r.Count("grants").Dropped == 0 {
		t.Errorf("%+v", r)
	}
	for question, answer := range q.answers {
		if strings.HasPrefix(question, may) && answer == "yes" {
			t.Errorf("%s: %s", question, answer)
		}
	}
}

// TestOldCopies lets the tree lead to each old copy of a page that is in the file, which is whole and has the right
// checksums. A file that was closed in order shows it when it is opened. Of a killed program's file it
// cannot be known, and only some of these are seen by Verify; but salvage does not believe it.
func TestOldCopies(t *testing.T) {
	spec := prepared(t)
	for _, name := range []string{closedFile, killedFile} {
		whole := spec.read(t, name)
		all := oldCopies(whole)
		for _, c := range all {
			data := bytes.Clone(whole)
			binary.NativeEndian.PutUint64(data[c.at:], uint64(c.old))
			r, _ := spec.salvaged(t, data, nil)
			if r.Doubt == "" || r.Count("users").Kept > 0 || r.Count("grants").Kept > 0 {
				t.Errorf("%s, page %d for %d: %+v", name, c.old, c.was, r.Counts)
			}
			if name == closedFile {
				path := filepath.Join(scratch(t), "app.db")
				must(t, os.WriteFile(path, data, 0o600))
				if e, err := latchbolt.Open(path, config(false)); !errors.Is(err, latchbolt.ErrCorrupt) {
					t.Errorf("page %d for %d: Open: %v", c.old, c.was, err)
					if err == nil {
						must(t, e.Close())
					}
				}
			}
		}
		t.Logf("%s: %d old copies", name, len(all))
		if len(all) < 2 {
			t.Error("too few")
		}
	}
}

// TestNewerMeta damages each bit of the first two pages' records. None may silently take the file back to the state
// before its last change, which took something away.
func TestNewerMeta(t *testing.T) {
	path := filepath.Join(scratch(t), "app.db")
	e, err := latchbolt.Open(path, config(true))
	must(t, err)
	u := &latchbolt.User{Username: "ada"}
	must(t, e.CreateUser(t.Context(), u, "old password"))
	token := login(t, e, u.ID)
	k, err := latchbolt.ParseToken(token)
	must(t, err)
	must(t, e.Logout(t.Context(), k))
	data, err := os.ReadFile(path) // as if it were killed here
	must(t, err)
	must(t, e.Close())
	refused := 0
	for bit := range 2 * 64 * 8 {
		damaged := bytes.Clone(data)
		at := bit/512*pageSize + 16 + bit%512/8
		damaged[at] ^= 1 << (bit % 8)
		must(t, os.WriteFile(path, damaged, 0o600))
		e, err := latchbolt.Open(path, config(false))
		if err != nil {
			if refused++; !errors.Is(err, latchbolt.ErrCorrupt) {
				t.Errorf("bit %d: %v", bit, err)
			}
			continue
		}
		if _, err := e.SessionUser(t.Context(), k); !errors.Is(err, latchbolt.ErrNoSession) {
			t.Errorf("bit %d: the session that was ended: %v", bit, err)
		}
		must(t, e.Close())
	}
	if refused != 512 { // those of the newer one
		t.Errorf("%d of 1024 were refused, want 512", refused)
	}
}

// TestFewerElements lets each leaf say that it has one element less: nobody may take the rest for all there was.
func TestFewerElements(t *testing.T) {
	spec := prepared(t)
	whole, path := spec.read(t, closedFile), filepath.Join(scratch(t), "app.db")
	noticed, leaves := 0, 0
	free := freePages(whole)
	for page := range len(whole) / pageSize {
		n := count(whole, page)
		if flags(whole, page) != 2 || n == 0 || free[page] {
			continue
		}
		leaves++
		data := bytes.Clone(whole)
		binary.NativeEndian.PutUint16(data[page*pageSize+10:], uint16(n-1))
		must(t, os.WriteFile(path, data, 0o600))
		for range latchbolt.VerifyFile(t.Context(), path) {
			noticed++
			break
		}
	}
	if noticed != leaves || leaves < 20 {
		t.Errorf("%d of %d were noticed", noticed, leaves)
	}
}

// TestSalvageRefuses tests what Salvage does not do.
func TestSalvageRefuses(t *testing.T) {
	spec := prepared(t)
	dir := scratch(t)
	src, dst := filepath.Join(dir, "app.db"), filepath.Join(dir, "new.db")
	must(t, copyFile(filepath.Join(spec.Dir, closedFile), src))
	e, err := latchbolt.Open(src, config(false))
	must(t, err)
	opts := &latchbolt.SalvageOptions{LockTimeout: -1}
	if _, err := latchbolt.Salvage(t.Context(), src, dst, opts); !errors.Is(err, latchbolt.ErrLocked) {
		t.Errorf("a file that is open: %v", err)
	}
	must(t, e.Close())
	must(t, os.WriteFile(dst, []byte("something"), 0o600))
	if _, err := latchbolt.Salvage(t.Context(), src, dst, opts); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name that is taken: %v", err)
	}
	if data, err := os.ReadFile(dst); string(data) != "something" || err != nil {
		t.Errorf("the file with that name: %q, %v", data, err)
	}
	for name, data := range map[string][]byte{"empty": nil, "zeros": make([]byte, 1<<16), "text": bytes.Repeat([]byte("text"), 1<<14)} {
		must(t, os.WriteFile(src, data, 0o600))
		if _, err := latchbolt.Salvage(t.Context(), src, filepath.Join(dir, "other.db"), opts); !errors.Is(err, latchbolt.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := latchbolt.Salvage(t.Context(), filepath.Join(dir, "none.db"), dst, opts); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := latchbolt.Salvage(done, filepath.Join(spec.Dir, closedFile), filepath.Join(dir, "other.db"), opts); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "other.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a failed salvage left a file: %v", err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, ".*")); len(names) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

// forge changes the body of a user's record, and its checksum with it.
func forge(t *testing.T, file []byte, change func(body []byte)) []byte {
	t.Helper()
	branch := branches(file)["user"]
	leaf := int(binary.NativeEndian.Uint64(file[branch*pageSize+16+8:]))
	e := elements(file, leaf)[1]
	key, value := file[e.key:e.value], file[e.value:e.end]
	body, err := record.Open("user", key, value, 1)
	must(t, err)
	rest := body.Rest()
	change(rest)
	b := record.New(1)
	b.AddBytes(rest)
	forged, err := b.Seal("user", key)
	must(t, err)
	copy(value, forged)
	return file
}

// TestDamageCanFail shows that the test of damage notices what it is there for, with damage that the
// checksums do not see: rights that were not there, and an answer that is another one.
func TestDamageCanFail(t *testing.T) {
	spec := prepared(t)
	v := &verdict{}
	must(t, v.look(spec.Dir, spec, forge(t, spec.read(t, closedFile), func(body []byte) { body[0] = 4 }), true))
	if all := strings.Join(v.Bad, "\n"); !strings.Contains(all, "is allowed, and was not: may be superuser as") ||
		!strings.Contains(all, "in the salvaged file, and was not: may be superuser as") {
		t.Errorf("rights that were not there: %+v", v)
	}
	v = &verdict{}
	must(t, v.look(spec.Dir, spec, forge(t, spec.read(t, closedFile), func(body []byte) {
		i := bytes.Index(body, []byte("Lovelace"))
		body[i] = 'l'
	}), false))
	if !v.Effective || v.Noticed != "" || len(v.Bad) > 0 {
		t.Errorf("another answer: %+v", v)
	}
}

// TestSalvageLostPage takes away one leaf of the users: the others are as they were.
func TestSalvageLostPage(t *testing.T) {
	spec := prepared(t)
	data := spec.read(t, closedFile)
	leaf := int(binary.NativeEndian.Uint64(data[branches(data)["user"]*pageSize+16+8:]))
	lost := len(elements(data, leaf))
	clear(data[leaf*pageSize:][:pageSize])
	r, q := spec.salvaged(t, data, nil)
	if c := r.Count("users"); c.Lost != lost || c.Kept != userCount-10-lost || c.Stripped != 0 || r.Doubt != "" {
		t.Errorf("users: %+v, %d lost, %q", c, lost, r.Doubt)
	}
	if len(r.Findings) <= lost {
		t.Errorf("findings: %v", r.Findings)
	}
	same := 0
	for question, was := range spec.Answers {
		if strings.HasPrefix(question, may+"have ") && was == "yes" && q.answers[question] == "yes" {
			same++
		}
	}
	if same < userCount {
		t.Errorf("%d permissions are as they were", same)
	}
}

// TestSalvageAfterRewrite tests that a file that was compacted, or loaded into, and closed at once has its list of free pages.
func TestSalvageAfterRewrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a file in use cannot be replaced there")
	}
	for name, rewrite := range map[string]func(*latchbolt.Engine) error{
		"Compact": func(e *latchbolt.Engine) error { _, _, err := e.Compact(t.Context()); return err },
		"Load": func(e *latchbolt.Engine) error {
			return e.Load(t.Context(), latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
				return l.InsertUser(&latchbolt.User{Username: "eve"}, latchbolt.PasswordHash{})
			})
		},
		"nothing": func(*latchbolt.Engine) error { return nil },
	} {
		dir := scratch(t)
		path := filepath.Join(dir, "app.db")
		e, err := latchbolt.Open(path, config(true))
		must(t, err)
		must(t, e.CreateUser(t.Context(), &latchbolt.User{Username: "ada"}, "password"))
		must(t, rewrite(e))
		must(t, e.Close())
		r, err := latchbolt.Salvage(t.Context(), path, filepath.Join(dir, "new.db"), nil)
		must(t, err)
		if r.Doubt != "" || r.Count("users").Kept == 0 || len(r.Findings) > 0 {
			t.Errorf("%s: %+v", name, r)
		}
		// A salvaged file is one like any other.
		again, err := latchbolt.Salvage(t.Context(), filepath.Join(dir, "new.db"), filepath.Join(dir, "newer.db"), nil)
		must(t, err)
		if again.Doubt != "" || again.Count("users") != r.Count("users") || again.Epoch <= r.Epoch {
			t.Errorf("%s, once more: %+v", name, again)
		}
	}
}

// FuzzSalvage writes two patches over a small file. Whatever they are, a salvage ends in a sound file or none, and nobody who had no power has any.
func FuzzSalvage(f *testing.F) {
	dir := scratch(f)
	path := filepath.Join(dir, "app.db")
	e, err := latchbolt.Open(path, config(true))
	must(f, err)
	for _, name := range []string{"ada", "eve"} {
		u := &latchbolt.User{Username: name, Superuser: true}
		must(f, e.CreateUser(f.Context(), u, "old password"))
		if name == "eve" {
			must(f, e.UpdateUser(f.Context(), u.ID, func(u *latchbolt.User) error { u.Superuser = false; return nil }))
		}
	}
	must(f, e.Close())
	must(f, crop(path))
	whole, err := os.ReadFile(path)
	must(f, err)
	for page := range len(whole) / pageSize {
		f.Add(uint32(page*pageSize+8), whole[:32], uint32(0), []byte{})
		f.Add(uint32(page*pageSize), make([]byte, 64), uint32(page*pageSize+16), []byte{255, 255, 255, 255})
	}
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, at2 uint32, patch2 []byte) {
		data := bytes.Clone(whole)
		copy(data[int(at)%len(data):], patch)
		copy(data[int(at2)%len(data):], patch2)
		dir := scratch(t)
		src, dst := filepath.Join(dir, "damaged.db"), filepath.Join(dir, "new.db")
		must(t, os.WriteFile(src, data, 0o600))
		if _, err := latchbolt.Salvage(t.Context(), src, dst, nil); err != nil {
			if !typed(err) {
				t.Errorf("Salvage: %v", err)
			}
			if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it failed and left a file: %v", err)
			}
			return
		}
		for finding, err := range latchbolt.VerifyFile(t.Context(), dst) {
			t.Errorf("the new file: %v, %v", finding, err)
		}
		e, err := latchbolt.Open(dst, config(false))
		must(t, err)
		if u, err := e.UserByName(t.Context(), "eve"); err == nil && u.Superuser {
			t.Error("eve is superuser again")
		}
		must(t, e.Close())
	})
}
