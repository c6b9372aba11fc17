//go:build unix

package crashtest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// storeOf returns the field of an engine that holds its store.
func storeOf(e *latchbolt.Engine) *kv.Store {
	return (*kv.Store)(unsafe.Pointer(reflect.ValueOf(e).Elem().FieldByName("store").UnsafeAddr()))
}

// buckets are the names of the buckets of a store.
func buckets(s *boltkv.Store) []kv.Bucket {
	return *(*[]kv.Bucket)(unsafe.Pointer(reflect.ValueOf(s).Elem().FieldByName("opt").FieldByName("Buckets").UnsafeAddr()))
}

// contentOfEngine returns a digest of every key and value, and the revision.
func contentOfEngine(e *latchbolt.Engine) (content string, rev kv.Rev, err error) {
	store := (*storeOf(e)).(*boltkv.Store)
	rev, err = store.View(context.Background(), func(r kv.Reader) error {
		var parts [][]byte
		for _, b := range buckets(store) {
			parts = append(parts, []byte(b))
			for p, err := range r.Scan(b, nil, nil) {
				if err != nil {
					return err
				}
				parts = append(parts, p.Key, p.Value)
			}
		}
		content = digest(parts...)
		return nil
	})
	return content, rev, err
}

// contentOf returns the content of the file at path, or "absent". It opens a copy, unless it has seen the same bytes before.
func contentOf(path string) (content string, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "absent", nil
	}
	if err != nil {
		return "", err
	}
	of := sha256.Sum256(data)
	if known, ok := contents.Load(of); ok {
		return known.(string), nil
	}
	dir, err := tempDir()
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	own := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(own, data, 0o600); err != nil {
		return "", err
	}
	if content, err = contentAt(own); err == nil {
		contents.Store(of, content)
	}
	return content, err
}

// contentAt returns the content of the file at path, which is whole.
func contentAt(path string) (content string, err error) {
	e, err := latchbolt.Open(path, existing(epoch))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	content, _, err = contentOfEngine(e)
	return content, errors.Join(err, verify(e))
}

// contents are those of files that were found to be whole, by the digest of all their bytes.
var contents sync.Map

// tempDir makes an empty folder, in memory where that is possible.
func tempDir() (string, error) {
	if dir, err := os.MkdirTemp("/dev/shm", "crashtest-"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "crashtest-")
}

// structure returns what is wrong with the file below the records.
func structure(e *latchbolt.Engine) error {
	var errs []error
	for err := range (*storeOf(e)).(*boltkv.Store).Verify(context.Background()) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// backupIn returns what the backup in a folder holds, or "absent".
func backupIn(dir string) (string, error) {
	content, err := contentOf(filepath.Join(dir, backupName))
	if err != nil {
		return "", fmt.Errorf("backup: %w", err)
	}
	return content, nil
}

// latest returns the most calls that a lane has finished, and what time it is half a second after what the
// lanes did last. If the clock was set back it is that of the beginning.
func latest(marks map[int]mark, clockBack bool) (acked int, now time.Time) {
	now = epoch
	for _, m := range marks {
		acked = max(acked, m.acked)
		if at := m.now.Add(time.Second / 2); at.After(now) && !clockBack {
			now = at
		}
	}
	return acked, now
}

// existing is the configuration to open what is there, at a time.
func existing(at time.Time) *latchbolt.Config {
	c := config(func() time.Time { return at })
	c.Create = false
	return c
}

// verify returns what Verify finds.
func verify(e *latchbolt.Engine) error {
	var errs []error
	for f, err := range e.Verify(context.Background()) {
		if err == nil {
			err = errors.New(f.String())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// left returns an error if there are copies of the file in a folder that nobody will remove. What is left
// of a backup that was stopped is for those to remove who asked for it.
func left(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if n := e.Name(); n != dbName && n != backupName && !strings.HasPrefix(n, "."+backupName) && !strings.HasPrefix(n, importPrefix) {
			return fmt.Errorf("%s was left", n)
		}
	}
	return nil
}

// importPrefix begins the name of a file that was to become that of an import: it holds no users yet.
const importPrefix = ".."

// judge asks the engine what users would ask, and compares with the calls that were acknowledged. It returns what is
// wrong, or "".
func judge(e *latchbolt.Engine, lanes []*lane, marks map[int]mark, backup string, clockBack bool) string {
	for _, l := range lanes {
		if v := ask(e, l, marks[l.number], backup, clockBack); v != "" {
			return fmt.Sprintf("lane %d: %s", l.number, v)
		}
	}
	return ""
}

// ask returns what is wrong with a lane's part, or "". It must be as it was after the last
// call that was acknowledged, or as after the one under way.
func ask(e *latchbolt.Engine, l *lane, mk mark, backup string, clockBack bool) string {
	before := l.calls[mk.acked]
	after := l.calls[mk.begun]
	questions := make(view)
	for _, v := range []view{before.after, after.after} {
		for q := range v {
			questions[q] = ""
		}
	}
	got, err := l.w.ask(context.Background(), e, questions, func() (string, error) { return backup, nil })
	if err != nil {
		return err.Error()
	}
	if mk.begun == mk.acked {
		if d := differ(got, before.after, clockBack, nil); d != "" {
			return fmt.Sprintf("%s was acknowledged: %s", before.name, d)
		}
		return ""
	}
	want, loose := after.after, after.loose
	if after.failed { // then it may be there nevertheless, under numbers and tokens that nobody was told
		want = maps.Clone(want)
		maps.DeleteFunc(want, func(q, _ string) bool { _, ok := before.after[q]; return !ok })
		loose = append([]string{"list/", "backup/"}, loose...)
	}
	old, young := differ(got, before.after, clockBack, loose), differ(got, want, clockBack, loose)
	if old != "" && young != "" {
		return fmt.Sprintf("%s was acknowledged: %s; %s was under way: %s", before.name, old, after.name, young)
	}
	return ""
}

// use goes on with the file: identifiers must be new, and writes must find pages that are free.
func use(e *latchbolt.Engine, lanes []*lane, marks map[int]mark) error {
	u := &latchbolt.User{Username: "after-the-crash"}
	g := &latchbolt.Group{Name: "after the crash"}
	p := &latchbolt.Permission{App: "after", Codename: "crash", Name: "crash"}
	if err := e.Update(context.Background(), func(tx *latchbolt.Tx) error {
		return errors.Join(tx.InsertGroup(g), tx.InsertUser(u, latchbolt.PasswordHash{}), tx.InsertPermission(p))
	}); err != nil {
		return err
	}
	for _, l := range lanes {
		after := l.calls[marks[l.number].acked].after
		for q := range after {
			if q == fmt.Sprint("user/", u.ID) || q == fmt.Sprint("group/", g.ID) {
				return fmt.Errorf("%s was given out before", q)
			}
		}
	}
	id, err := e.Identity(context.Background(), u.ID)
	if err != nil {
		return err
	}
	for range 3 {
		if _, err := e.Login(context.Background(), id, latchbolt.LoginOptions{}); err != nil {
			return err
		}
	}
	return verify(e)
}

// digest makes a content short.
func digest(parts ...[]byte) string {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}
