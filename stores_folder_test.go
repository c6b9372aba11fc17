package latchbolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// A folderWorld is an engine with its sessions in a folder.
type folderWorld struct {
	dir   string
	store latchbolt.SessionStore
	cfg   *latchbolt.Config
	eng   *latchbolt.Engine
}

func newFolderWorld(t testing.TB) *folderWorld {
	t.Helper()
	w := &folderWorld{dir: filepath.Join(t.TempDir(), "sessions")}
	w.open(t)
	w.eng = open(t, w.cfg)
	addUser(t, w.eng, "ada")
	addUser(t, w.eng, "bob")
	return w
}

func (w *folderWorld) open(t testing.TB) {
	t.Helper()
	var err error
	w.store, err = latchbolt.FolderSessions(w.dir)
	must(t, "opening the folder", err)
	w.cfg = &latchbolt.Config{Sessions: w.store}
}

// files returns the paths of what is in the folder.
func (w *folderWorld) files(t testing.TB) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(w.dir)
	must(t, "reading the folder", err)
	for _, e := range entries {
		all = append(all, filepath.Join(w.dir, e.Name()))
	}
	return all
}

// login makes a session and returns it with its file, the only new one.
func (w *folderWorld) login(t testing.TB, name string) (latchbolt.Session, string) {
	t.Helper()
	before := strings.Join(w.files(t), " ")
	s := login(t, w.eng, name)
	for _, f := range w.files(t) {
		if !strings.Contains(before, f) {
			return s, f
		}
	}
	t.Fatal("the login left no file")
	return s, ""
}

func TestFolderSessionsSurviveRestart(t *testing.T) {
	w := newFolderWorld(t)
	s, _ := w.login(t, "ada")
	gone, _ := w.login(t, "ada")
	must(t, "Logout", w.eng.Logout(t.Context(), gone.Token))
	keepNumber(t, w.eng, s.Token, "n", 7)
	w.open(t)
	w.eng = reopen(t, w.eng, w.cfg)
	if !alive(t, w.eng, s.Token) || numberIn(t, w.eng, s.Token, "n") != 7 {
		t.Error("the session is not what it was")
	}
	deadToken(t, w.eng, gone.Token)
}

// The files are named by the engine, and nobody else can read them.
func TestFolderSessionsFiles(t *testing.T) {
	w := newFolderWorld(t)
	for range 3 {
		s, _ := w.login(t, "ada")
		keepNumber(t, w.eng, s.Token, "n", 7)
	}
	name := regexp.MustCompile(`^[0-9a-f]{32}\.session$`)
	files := w.files(t)
	if len(files) != 3 {
		t.Errorf("%d files, want 3", len(files))
	}
	for _, f := range files {
		info, err := os.Lstat(f)
		must(t, "looking at a file", err)
		if !name.MatchString(info.Name()) {
			t.Errorf("a file is called %q", info.Name())
		}
		if runtime.GOOS != "windows" && info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", info.Name(), info.Mode())
		}
	}
	if info, err := os.Lstat(w.dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, %v", info.Mode(), err)
	}
}

// TestGO_2024_2730: nothing that a client sends becomes a path.
func TestGO_2024_2730(t *testing.T) {
	w := newFolderWorld(t)
	s, file := w.login(t, "ada")
	secret := filepath.Join(filepath.Dir(w.dir), "secret")
	must(t, "writing", os.WriteFile(secret, []byte("x"), 0o600))
	good := s.Token.Reveal()
	for _, text := range []string{
		"../secret", "../../../../etc/passwd", filepath.Base(file), file, "..\\secret", "\x00", "/", ".", "..",
		strings.Repeat("../", 22)[:64], "../secret" + good[9:], good[:3] + "/" + good[4:], good[:3] + "\x00" + good[4:],
		strings.Repeat("A", 300), strings.Repeat("....", 16), strings.Repeat("/", 64), "%2e%2e%2f" + good[9:],
	} {
		tok, err := latchbolt.ParseToken(text)
		if err == nil {
			deadToken(t, w.eng, tok)
			_, err = w.eng.Login(t.Context(), authenticate(t, w.eng, "ada"), latchbolt.LoginOptions{Previous: tok})
			must(t, "login", err)
		} else {
			want(t, "parsing", err, latchbolt.ErrNoSession)
		}
		if _, err := latchbolt.ParseSessionID(text); err == nil {
			t.Errorf("%q is an identifier", text)
		}
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "x" {
		t.Errorf("a file outside the folder was touched: %q, %v", data, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(w.dir)); err != nil || len(entries) != 2 {
		t.Errorf("beside the folder stand %v, %v", entries, err)
	}
	if !alive(t, w.eng, s.Token) {
		t.Error("the real session is gone")
	}
}

// Damage of any kind lets nobody in, and is told from a session that is not there.
func TestFolderSessionsDamage(t *testing.T) {
	w := newFolderWorld(t)
	s, file := w.login(t, "ada")
	keepNumber(t, w.eng, s.Token, "n", 7)
	good, err := os.ReadFile(file)
	must(t, "reading", err)
	put := func(data []byte) { must(t, "writing", os.WriteFile(file, data, 0o600)) }
	_, other := w.login(t, "bob")
	bobs, err := os.ReadFile(other)
	must(t, "reading", err)
	damaged := map[string][]byte{
		"empty": {}, "zeros": make([]byte, len(good)), "longer": append(bytes.Clone(good), 0),
		"another's": bobs, "too long": bytes.Repeat([]byte{1}, 1<<20),
	}
	for n := range good {
		damaged["cut to "+fourDigits(n)] = good[:n]
	}
	for bit := range len(good) * 8 {
		d := bytes.Clone(good)
		d[bit/8] ^= 1 << (bit % 8)
		damaged["flipped bit "+fourDigits(bit)] = d
	}
	for what, data := range damaged {
		put(data)
		_, err := w.eng.SessionUser(t.Context(), s.Token)
		_, err2 := w.eng.Values(t.Context(), s.Token)
		for _, err := range []error{err, err2} {
			// Damage in the values does not show in SessionUser, which does not read them.
			if err != nil && !errors.Is(err, latchbolt.ErrCorrupt) && !errors.Is(err, latchbolt.ErrNewerFormat) && !errors.Is(err, latchbolt.ErrNoSession) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err2 == nil {
			t.Errorf("%s: the session can be used", what)
		}
	}
	put(good[:20])
	n := logIn(t, w.eng, "ada", latchbolt.LoginOptions{Previous: s.Token})
	if !alive(t, w.eng, n.Token) {
		t.Error("a damaged session keeps its user out")
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the damaged session is still there: %v", err)
	}
	// One damaged file does not keep the others from being listed and swept.
	_, file = w.login(t, "ada")
	put = func(data []byte) { must(t, "writing", os.WriteFile(file, data, 0o600)) }
	put(good[:20])
	w.eng = reopen(t, w.eng, w.cfg)
	count := 0
	for _, err := range w.eng.Sessions(t.Context(), n.User) {
		must(t, "listing", err)
		count++
	}
	if count != 1 {
		t.Errorf("%d sessions are listed, want 1", count)
	}
}

// fourDigits writes a number so that names made of it are in order.
func fourDigits(n int) string { return fmt.Sprintf("%04d", n) }

// A file that another made cannot become a session, even inside the folder.
func TestFolderSessionsRefusesLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege")
	}
	w := newFolderWorld(t)
	s, file := w.login(t, "ada")
	moved := filepath.Join(filepath.Dir(w.dir), "moved")
	inside := filepath.Join(w.dir, "moved")
	for _, to := range []string{moved, inside} {
		must(t, "moving", os.Rename(file, to))
		must(t, "linking", os.Symlink(to, file))
		_, err := w.eng.SessionUser(t.Context(), s.Token)
		want(t, "through a link to "+to, err, latchbolt.ErrInsecure)
		must(t, "moving back", os.Rename(to, file))
	}
	must(t, "widening", os.Chmod(file, 0o644))
	_, err := w.eng.SessionUser(t.Context(), s.Token)
	want(t, "a file that others can read", err, latchbolt.ErrInsecure)
	must(t, "narrowing", os.Chmod(file, 0o600))
	if !alive(t, w.eng, s.Token) {
		t.Error("the session does not come back")
	}
	must(t, "removing", os.Remove(file))
	must(t, "a folder in its place", os.Mkdir(file, 0o700))
	_, err = w.eng.SessionUser(t.Context(), s.Token)
	want(t, "a folder", err, latchbolt.ErrInsecure)
}

func TestFolderSessionsRefusesFolders(t *testing.T) {
	base := t.TempDir()
	plain := filepath.Join(base, "plain")
	must(t, "making", os.Mkdir(plain, 0o700))
	file := filepath.Join(base, "file")
	must(t, "writing", os.WriteFile(file, nil, 0o600))
	_, err := latchbolt.FolderSessions(file)
	want(t, "a file", err, latchbolt.ErrInsecure)
	_, err = latchbolt.FolderSessions(filepath.Join(base, "none", "sessions"))
	want(t, "a folder in no folder", err, fs.ErrNotExist)
	if runtime.GOOS == "windows" {
		return
	}
	link := filepath.Join(base, "link")
	must(t, "linking", os.Symlink(plain, link))
	_, err = latchbolt.FolderSessions(link)
	want(t, "a link", err, latchbolt.ErrInsecure)
	dangling := filepath.Join(base, "dangling")
	must(t, "linking", os.Symlink(filepath.Join(base, "nowhere"), dangling))
	_, err = latchbolt.FolderSessions(dangling)
	want(t, "a dangling link", err, latchbolt.ErrInsecure)
	must(t, "widening", os.Chmod(plain, 0o750))
	_, err = latchbolt.FolderSessions(plain)
	want(t, "a folder that others can read", err, latchbolt.ErrInsecure)
	must(t, "narrowing", os.Chmod(plain, 0o700))
	_, err = latchbolt.FolderSessions(plain)
	must(t, "a folder of ours", err)
	if os.Geteuid() != 0 {
		t.Skip("the rest needs root")
	}
	must(t, "giving away", os.Chown(plain, 12345, 12345))
	_, err = latchbolt.FolderSessions(plain)
	want(t, "a folder of somebody else", err, latchbolt.ErrInsecure)
	w := newFolderWorld(t)
	s, own := w.login(t, "ada")
	must(t, "giving away", os.Chown(own, 12345, 12345))
	_, err = w.eng.SessionUser(t.Context(), s.Token)
	want(t, "a file of somebody else", err, latchbolt.ErrInsecure)
}

// What a crash leaves behind is no session and goes away; what is not ours stays.
func TestFolderSessionsAfterCrash(t *testing.T) {
	w := newFolderWorld(t)
	s, file := w.login(t, "ada")
	good, err := os.ReadFile(file)
	must(t, "reading", err)
	old := filepath.Join(w.dir, ".AAAA.session.tmp")
	young := filepath.Join(w.dir, ".BBBB.session.tmp")
	foreign := filepath.Join(w.dir, "notes.txt")
	// Names like those of sessions, of an hour long ago.
	odd := filepath.Join(w.dir, strings.Repeat("0", 32))
	upper := filepath.Join(w.dir, strings.Repeat("0", 31)+"A.session")
	for _, f := range []string{old, young, foreign, odd, upper} {
		must(t, "writing", os.WriteFile(f, good[:30], 0o600))
	}
	past := time.Now().Add(-2 * time.Hour)
	must(t, "aging", os.Chtimes(old, past, past))
	w.open(t)
	w.eng = reopen(t, w.eng, w.cfg)
	if !alive(t, w.eng, s.Token) {
		t.Error("the session is gone")
	}
	if n := stored(t, w.store); n != 1 {
		t.Errorf("%d sessions are stored, want 1", n)
	}
	_, err = w.eng.Sweep(t.Context())
	must(t, "sweeping", err)
	for f, want := range map[string]bool{old: false, young: true, foreign: true, odd: true, upper: true, file: true} {
		if _, err := os.Lstat(f); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", filepath.Base(f), err == nil, want)
		}
	}
}

// A session whose file is removed by hand is over at once.
func TestFolderSessionsRemovedByHand(t *testing.T) {
	w := newFolderWorld(t)
	s, file := w.login(t, "ada")
	if !alive(t, w.eng, s.Token) {
		t.Fatal("dead from the start")
	}
	must(t, "removing", os.Remove(file))
	deadToken(t, w.eng, s.Token)
	for _, err := range w.eng.Sessions(t.Context(), s.User) {
		t.Errorf("it is listed: %v", err)
	}
	// The name of the file gives no session.
	deadToken(t, w.eng, latchbolt.Token{})
}

// Ten thousand files are no trouble: they are read once, and then logins look at their own.
func TestFolderSessionsMany(t *testing.T) {
	if testing.Short() {
		t.Skip("writes many files")
	}
	w := newFolderWorld(t)
	s, file := w.login(t, "ada")
	good, err := os.ReadFile(file)
	must(t, "reading", err)
	// Copies under other names are damaged sessions; they cost as much to look at.
	for i := range testsize.Of(2000, 10_000) {
		name := strings.Replace(filepath.Base(file), filepath.Base(file)[20:24], fourDigits(i), 1)
		if name != filepath.Base(file) {
			must(t, "copying", os.WriteFile(filepath.Join(w.dir, name), good, 0o600))
		}
	}
	w.eng = reopen(t, w.eng, w.cfg)
	begin := time.Now()
	first := login(t, w.eng, "ada")
	t.Logf("the first login took %v", time.Since(begin))
	begin = time.Now()
	for range 20 {
		login(t, w.eng, "ada")
	}
	t.Logf("a further one takes %v", time.Since(begin)/20)
	if !alive(t, w.eng, first.Token) || !alive(t, w.eng, s.Token) {
		t.Error("a session is missing")
	}
}
