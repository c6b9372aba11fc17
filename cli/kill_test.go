package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

// long reports whether the long forms of tests shall run.
func long() bool { return os.Getenv("LATCHBOLT_LONG") == "1" }

// A killable is a command that changes something, to be killed in the middle.
type killable struct {
	args   []string
	stdin  string
	output string // a file that it makes, whole or not at all
	alone  bool   // it does not run inside a program
	same   bool   // what the file holds does not change
}

const goodPassword = "a long and unlikely password"

// killables are all verbs that change a file or write one.
var killables = []killable{
	{args: []string{"user", "create", "new", "--password-stdin"}, stdin: goodPassword},
	{args: []string{"user", "update", "ada", "--email", "new@example.org", "--staff"}},
	{args: []string{"user", "rename", "ada", "adele"}},
	{args: []string{"user", "deactivate", "ada", "--yes"}},
	{args: []string{"user", "activate", "idle"}},
	{args: []string{"user", "unlock", "ada"}, same: true},
	{args: []string{"user", "reset-link", "ada"}, same: true},
	{args: []string{"user", "delete", "ada", "--yes"}},
	{args: []string{"changepassword", "ada", "--password-stdin"}, stdin: goodPassword},
	{args: []string{"createsuperuser", "--username", "root", "--email", "root@example.org", "--password-stdin"}, stdin: goodPassword},
	{args: []string{"group", "create", "New"}},
	{args: []string{"group", "rename", "Editors", "Writers"}},
	{args: []string{"group", "add", "Editors", "idle"}},
	{args: []string{"group", "remove", "Editors", "ada", "--yes"}},
	{args: []string{"group", "delete", "Editors", "--yes"}},
	{args: []string{"perm", "define", "blog.new", "--name", "New"}},
	{args: []string{"perm", "grant", "user:idle", "blog.add_post"}},
	{args: []string{"perm", "revoke", "group:Editors", "blog.add_post", "--yes"}},
	{args: []string{"perm", "undefine", "blog.add_post", "--yes"}},
	{args: []string{"session", "revoke-all", "ada", "--yes"}},
	{args: []string{"session", "clear-expired"}, same: true},
	{args: []string{"import", "users", "users.ndjson"}},
	{args: []string{"import", "htpasswd", "passwords"}},
	{args: []string{"compact"}, same: true},
	{args: []string{"backup", "copy.db"}, output: "copy.db", same: true},
	{args: []string{"export", "django", "--output", "dump.json"}, output: "dump.json", same: true},
	{args: []string{"export", "ndjson", "--with-hashes", "--output", "out.ndjson"}, output: "out.ndjson", same: true},
	{args: []string{"restore", "other.db", "--yes"}, alone: true},
	{args: []string{"restore", "other.db", "--yes", "--discard"}, alone: true},
}

// TestKilled kills each command that changes something at random moments, or the program that it runs in: afterwards the file opens,
// nothing is wrong with it, and the change is there wholly or not at all.
func TestKilled(t *testing.T) {
	rounds := 1
	if long() {
		rounds = 60
	}
	base := killBase(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	counts := make(map[string]int)
	routes := []string{"direct", "socket"}
	if !allRoutes() {
		routes = routes[:1]
		t.Log("on one route only; LATCHBOLT_FULL=1 takes both")
	}
	for _, route := range routes {
		for _, k := range killables {
			if route == "socket" && k.alone {
				continue
			}
			t.Run(route+"/"+strings.Join(k.args[:min(2, len(k.args))], " "), func(t *testing.T) { k.test(t, base, route == "socket", rounds, rng, counts) })
		}
	}
	t.Logf("killed: %v", counts)
	for _, outcome := range []string{"absent", "whole"} {
		if counts[outcome] == 0 {
			t.Errorf("no change was %s: the moments are badly chosen", outcome)
		}
	}
}

// killMoment is when to kill a command that takes so long: by chance, but of each five once in each quarter of the time, and once after it.
func killMoment(rng *rand.Rand, took time.Duration, counts map[string]int) time.Duration {
	fifth := counts["all"] % 5
	return time.Duration((float64(fifth) + rng.Float64()) / 5 * float64(took) * 5 / 4)
}

// test kills one command some times.
func (k *killable) test(t *testing.T, base *bench, socket bool, rounds int, rng *rand.Rand, counts map[string]int) {
	run := base.copy(t)
	before := run.state()
	if socket {
		run.hold()
	}
	start := time.Now()
	run.runWith(strings.NewReader(k.stdin), 0, k.args...)
	took := time.Since(start)
	if socket {
		run.let()
	}
	after := run.state()
	if (before == after) != k.same {
		t.Fatalf("the change is not seen:\n%s", diff(before, after))
	}
	whole := run.content(k.output)
	for range rounds {
		b := base.copy(t)
		if socket {
			b.hold()
		}
		cmd := b.latchbolt(k.args...)
		cmd.Stdin = strings.NewReader(k.stdin)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(killMoment(rng, took, counts))
		if socket {
			b.kill()
		} else {
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
		got := b.state()
		counts["all"]++
		outcome, err := judge(before, after, got)
		if err != nil {
			t.Fatalf("killed: %v", err)
		}
		if !k.same {
			counts[outcome]++
		}
		k.checkOutput(t, b, whole)
		if b.leftOver(t) {
			t.Error("a temporary file of the store was left although the file was opened again")
		}
	}
}

// judge says whether a change is there.
func judge(before, after, got string) (outcome string, err error) {
	switch got {
	case before:
		return "absent", nil
	case after:
		return "whole", nil
	}
	return "", fmt.Errorf("the change is there in part:\n%s\nor\n%s", diff(before, got), diff(after, got))
}

// TestJudge: half a change is neither absent nor whole.
func TestJudge(t *testing.T) {
	base := killBase(t)
	run := base.copy(t)
	before := run.state()
	run.run(0, "user", "create", "one", "--no-password")
	half := run.state()
	run.run(0, "group", "add", "Editors", "one")
	if _, err := judge(before, run.state(), half); err == nil {
		t.Error("half of a change passed for a whole one")
	}
}

// checkOutput checks a file that a command made: it has its name only when it is whole.
func (k *killable) checkOutput(t *testing.T, b *bench, whole []byte) {
	t.Helper()
	if k.output == "" {
		return
	}
	path := filepath.Join(b.dir, k.output)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if strings.HasSuffix(path, ".db") {
		eng, err := latchbolt.Open(path, config())
		if err != nil {
			t.Fatal(err)
		}
		sound(t, eng)
		if err := eng.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := b.content(k.output); !bytes.Equal(got, whole) {
		t.Errorf("%s has %d bytes, whole it has %d", k.output, len(got), len(whole))
	}
}

func (b *bench) content(name string) []byte {
	b.t.Helper()
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// leftOver reports whether a file that was being built lies beside the file.
func (b *bench) leftOver(t *testing.T) bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(b.dir, ".app.db.*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names) > 0
}

// killBase makes a file with something of everything, and what commands read.
func killBase(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fill := func(path string, names ...string) {
		cfg := config()
		cfg.Create = true
		eng, err := latchbolt.Open(path, cfg)
		must(err)
		must(eng.DefineModel(ctx, "blog", "post"))
		group, err := eng.CreateGroup(ctx, "Editors")
		must(err)
		must(eng.Grant(ctx, group, "blog.add_post"))
		for _, name := range names {
			must(eng.CreateUser(ctx, &latchbolt.User{Username: name, Email: name + "@example.org", Inactive: name == "idle"}, goodPassword+name))
		}
		u, err := eng.UserByName(ctx, names[0])
		must(err)
		must(eng.AddToGroup(ctx, u.ID, group))
		id, err := eng.Identity(ctx, u.ID)
		must(err)
		for range 3 {
			_, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
			must(err)
		}
		must(eng.Close())
	}
	fill(b.db, "ada", "idle")
	fill(filepath.Join(b.dir, "other.db"), "other")
	writeUsers(t, filepath.Join(b.dir, "users.ndjson"), 2000)
	must(os.WriteFile(filepath.Join(b.dir, "passwords"), []byte("x:$apr1$saltsalt$KvDkzLFk/LJFKRpmIHUYV.\ny:$apr1$saltsalt$KvDkzLFk/LJFKRpmIHUYV.\n"), 0o600))
	return b
}

// copy copies a folder with all its files.
func (b *bench) copy(t *testing.T) *bench {
	t.Helper()
	to := newBench(t)
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.WriteFile(filepath.Join(to.dir, e.Name()), b.content(e.Name()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	to.t = t
	return to
}

// state opens the file, verifies it, and tells all that commands change but times and random bytes.
func (b *bench) state() string {
	b.t.Helper()
	eng, err := latchbolt.Open(b.db, config())
	if err != nil {
		b.t.Fatalf("the file does not open: %v", err)
	}
	sound(b.t, eng)
	var out strings.Builder
	if err := eng.View(context.Background(), func(tx *latchbolt.ReadTx) error { return describeFile(&out, tx) }); err != nil {
		b.t.Fatal(err)
	}
	for u, err := range eng.Users(context.Background(), latchbolt.UserQuery{}) {
		if err != nil {
			b.t.Fatal(err)
		}
		n := 0
		for _, err := range eng.Sessions(context.Background(), u.ID) {
			if err != nil {
				b.t.Fatal(err)
			}
			n++
		}
		ok, err := passwordOf(eng, u.ID, goodPassword)
		if err != nil {
			b.t.Fatal(err)
		}
		_, _ = fmt.Fprintf(&out, "%d has %d sessions; new password: %v\n", u.ID, n, ok)
	}
	if err := eng.Close(); err != nil {
		b.t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// passwordOf reports whether a user has a password. The hasher of these tests is cheap.
func passwordOf(eng *latchbolt.Engine, id latchbolt.UserID, password string) (ok bool, err error) {
	err = eng.View(context.Background(), func(tx *latchbolt.ReadTx) error {
		h, err := tx.PasswordHash(id)
		if err != nil || h.Info().Algorithm != "pbkdf2_sha256" {
			return err
		}
		ok, err = latchbolt.PBKDF2SHA256{}.Verify(password, h.Reveal())
		return err
	})
	return ok, err
}

func describeFile(w io.Writer, tx *latchbolt.ReadTx) error {
	subject := func(s latchbolt.Subject) error {
		grants, err := tx.Grants(s)
		for _, g := range grants {
			_, _ = fmt.Fprintf(w, "%T %v has %s %q\n", s, s, g.Permission.Perm(), g.Object)
		}
		return err
	}
	for u, err := range tx.Users() {
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w, "user %d %q %q %q %q inactive=%v staff=%v superuser=%v groups=%v password=%v\n", u.ID, u.Username, u.Email, u.FirstName, u.LastName,
			u.Inactive, u.Staff, u.Superuser, u.Groups, u.Password)
		if err := subject(u.ID); err != nil {
			return err
		}
	}
	for g, err := range tx.Groups() {
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w, "group %d %q\n", g.ID, g.Name)
		if err := subject(g.ID); err != nil {
			return err
		}
	}
	for p, err := range tx.Permissions() {
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w, "permission %d %s %q %q\n", p.ID, p.Perm(), p.Model, p.Name)
	}
	return nil
}

// diff lists the lines in which two states differ, at most a few.
func diff(a, b string) string {
	in := func(s string) map[string]bool {
		m := make(map[string]bool)
		for l := range strings.SplitSeq(s, "\n") {
			m[l] = true
		}
		return m
	}
	x, y := in(a), in(b)
	var out []string
	for l := range x {
		if !y[l] {
			out = append(out, "- "+l)
		}
	}
	for l := range y {
		if !x[l] {
			out = append(out, "+ "+l)
		}
	}
	sort.Strings(out)
	return strings.Join(out[:min(len(out), 20)], "\n")
}

// TestKilledInit: a file that is being made has its name when it is whole, or never.
func TestKilledInit(t *testing.T) {
	rounds := 3
	if long() {
		rounds = 100
	}
	for _, args := range [][]string{{"init"}, {"init", "--from-django", djangoData(t, "auth.json")}} {
		trial := newBench(t)
		start := time.Now()
		trial.run(0, args...)
		took, want := time.Since(start), trial.state()
		there := 0
		for range rounds {
			b := newBench(t)
			cmd := b.latchbolt(args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rand.Int64N(int64(took) * 5 / 4)))
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if _, err := os.Stat(b.db); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			there++
			if got := b.state(); got != want {
				t.Errorf("%v: the file is there in part:\n%s", args, diff(want, got))
			}
		}
		t.Logf("%v: there after %d of %d kills", args[:min(len(args), 2)], there, rounds)
	}
}
