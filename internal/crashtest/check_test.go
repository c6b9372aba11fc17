//go:build unix

package crashtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// A checker judges the images of one workload. Its methods may be called concurrently.
type checker struct {
	w     *workload
	lanes []*lane

	mu      sync.Mutex // guards all below
	content map[state]string
	seen    map[string]string // what a content was found to be worth, by content and marks
}

// A state is one commit to one file.
type state struct {
	file int
	txid uint64
}

func newChecker(w *workload) *checker {
	return &checker{w: w, lanes: w.lanes, content: make(map[state]string), seen: make(map[string]string)}
}

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

// contentOf returns the content of the file at path, or "absent". It opens a copy in an empty folder.
func contentOf(path, dir string) (content string, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "absent", nil
	}
	if err != nil {
		return "", err
	}
	own := filepath.Join(dir, "copy.db")
	defer func() { _ = os.Remove(own) }()
	if err := os.WriteFile(own, data, 0o600); err != nil {
		return "", err
	}
	e, err := latchbolt.Open(own, existing(epoch))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	content, _, err = contentOfEngine(e)
	return content, errors.Join(err, verify(e))
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

// learn remembers the contents that images of a cut may have: of the newest commit that is durable, and
// of that on which nothing was lost. It must have seen a cut, and all before it, before images of it are checked.
func (c *checker) learn(cut *cut, dir string) error {
	return errors.Join(c.learnImage(cut, &image{durable: cut.durable}, dir), c.learnImage(cut, cut.all(), dir))
}

func (c *checker) learnImage(cut *cut, m *image, dir string) error {
	i, ok := m.names()[dbName]
	if !ok {
		return nil
	}
	at := state{i, newest(m, i)}
	if _, ok := c.content[at]; ok || at.txid == 0 {
		return nil
	}
	defer clean(dir)
	if err := m.writeFile(i, filepath.Join(dir, dbName)); err != nil {
		return err
	}
	content, err := contentOf(filepath.Join(dir, dbName), dir)
	if err != nil {
		return fmt.Errorf("with nothing lost, %v: %w", cut, err)
	}
	c.content[at] = content
	return nil
}

// newest is the newest transaction of a file that an image may hold.
func newest(m *image, i int) uint64 {
	f := new(file)
	if d := m.durable.files[i]; d != nil {
		f.data = append(f.data, d.data[:min(len(d.data), 2*pageSize)]...)
	}
	for _, p := range m.picked {
		if p.file == i && p.data != nil && p.off < 2*pageSize {
			f.apply(p)
		}
	}
	return f.txid()
}

// clean empties a folder.
func clean(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		_ = os.RemoveAll(filepath.Join(dir, e.Name()))
	}
}

// A trial says how an image is looked at.
type trial struct {
	clockBack bool // the machine's clock was set back while it was down
	deep      bool // ask everything, also if the same content was asked before; and use the file
	again     bool // check the file once more after the engine was closed
}

// check judges an image that stands in dir.
func (c *checker) check(cut *cut, m *image, dir string, how trial) (err error) {
	path := filepath.Join(dir, dbName)
	i, there := m.names()[dbName]
	now := epoch
	acked := 0
	for _, mk := range cut.marks {
		acked = max(acked, mk.acked)
		if at := mk.now.Add(time.Second / 2); at.After(now) && !how.clockBack {
			now = at
		}
	}
	cfg := existing(now)
	if !there {
		if _, ok := cut.durable.names[dbName]; ok || acked > 0 {
			return errors.New("the file is gone")
		}
		cfg.Create = true // a program that starts again makes it
	}
	e, err := latchbolt.Open(path, cfg)
	if err != nil {
		return err
	}
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, e.Close())
		}
	}()
	if err := left(dir); err != nil {
		return err
	}
	content, rev, err := contentOfEngine(e)
	if err != nil {
		return err
	}
	if err := verify(e); err != nil {
		return err
	}
	if there {
		if err := c.oneOf(cut, i, uint64(rev), content); err != nil {
			return err
		}
		if err := c.meaning(e, cut, m, content, dir, how); err != nil {
			return err
		}
	}
	if how.deep {
		if err := c.use(e, cut); err != nil {
			return fmt.Errorf("in use: %w", err)
		}
	}
	if !how.again {
		return nil
	}
	closed = true
	if err := e.Close(); err != nil {
		return err
	}
	_, err = contentOf(path, dir)
	return err
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

// oneOf makes sure that the content is exactly that of one commit: the last one that
// is durable, or the one that was under way.
func (c *checker) oneOf(cut *cut, i int, txid uint64, content string) error {
	var durable uint64
	if f := cut.durable.files[i]; f != nil {
		durable = f.txid()
	}
	last := newest(cut.all(), i)
	if txid < durable || txid > last {
		return fmt.Errorf("transaction %d, want %d to %d", txid, durable, last)
	}
	c.mu.Lock()
	want, ok := c.content[state{i, txid}]
	c.mu.Unlock()
	if !ok {
		return fmt.Errorf("transaction %d is not known", txid)
	}
	if content != want {
		return fmt.Errorf("the content of transaction %d is another than when it was committed", txid)
	}
	return nil
}

// meaning asks the engine what users would ask, and compares with the calls that were acknowledged. For the
// same content, marks and backup it does so once, unless it is to be deep.
func (c *checker) meaning(e *latchbolt.Engine, cut *cut, m *image, content, dir string, how trial) error {
	backup := "absent"
	if i, ok := m.names()[backupName]; ok {
		var err error
		if backup, err = contentOf(filepath.Join(dir, backupName), dir); err != nil {
			return fmt.Errorf("backup, file %d: %w", i, err)
		}
	}
	key := fmt.Sprint(content, backup, how.clockBack)
	for _, l := range c.lanes {
		mk := cut.marks[l.number]
		key += fmt.Sprint(" ", mk.acked, " ", mk.begun)
	}
	c.mu.Lock()
	verdict, ok := c.seen[key]
	c.mu.Unlock()
	if !ok || how.deep {
		verdict = ""
		for _, l := range c.lanes {
			if v := ask(e, l, cut.marks[l.number], backup, how.clockBack); v != "" {
				verdict = fmt.Sprintf("lane %d: %s", l.number, v)
				break
			}
		}
		c.mu.Lock()
		c.seen[key] = verdict
		c.mu.Unlock()
	}
	if verdict != "" {
		return errors.New(verdict)
	}
	return nil
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
	old, young := differ(got, before.after, clockBack, after.loose), differ(got, after.after, clockBack, after.loose)
	if old != "" && young != "" {
		return fmt.Sprintf("%s was acknowledged: %s; %s was under way: %s", before.name, old, after.name, young)
	}
	return ""
}

// use goes on with the file: identifiers must be new, and writes must find pages that are free.
func (c *checker) use(e *latchbolt.Engine, cut *cut) error {
	u := &latchbolt.User{Username: "after-the-crash"}
	g := &latchbolt.Group{Name: "after the crash"}
	p := &latchbolt.Permission{App: "after", Codename: "crash", Name: "crash"}
	if err := e.Update(context.Background(), func(tx *latchbolt.Tx) error {
		return errors.Join(tx.InsertGroup(g), tx.InsertUser(u, latchbolt.PasswordHash{}), tx.InsertPermission(p))
	}); err != nil {
		return err
	}
	for _, l := range c.lanes {
		after := l.calls[cut.marks[l.number].acked].after
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
