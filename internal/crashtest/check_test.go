//go:build unix

package crashtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/latchbolt-go/latchbolt"
)

// A checker judges the images of one workload. Its methods may be called concurrently.
type checker struct {
	w     *workload
	lanes []*lane

	mu      sync.Mutex // guards all below
	content map[state]*learned
	seen    map[string]string // what a content was found to be worth, by content and marks
	backups map[settled]string
}

// A state is one commit to one file.
type state struct {
	file int
	txid uint64
}

func newChecker(w *workload) *checker {
	return &checker{w: w, lanes: w.lanes, content: make(map[state]*learned), seen: make(map[string]string), backups: make(map[settled]string)}
}

// learn remembers the contents that images of a cut may have: of the newest commit that is durable, and
// of that on which nothing was lost.
func (c *checker) learn(cut *cut, dir string) error {
	return errors.Join(c.learnImage(cut, &image{durable: cut.durable}, dir), c.learnImage(cut, cut.all(), dir))
}

func (c *checker) learnImage(cut *cut, m *image, dir string) error {
	i, ok := m.names()[dbName]
	at := state{i, newest(m, i)}
	if !ok || at.txid == 0 {
		return nil
	}
	c.mu.Lock()
	l := c.content[at]
	if l == nil {
		l = new(learned)
		c.content[at] = l
	}
	c.mu.Unlock()
	l.once.Do(func() {
		defer clean(dir)
		path := filepath.Join(dir, dbName)
		if l.err = m.writeFile(i, path); l.err == nil {
			l.content, l.err = contentAt(path)
		}
		if l.err != nil {
			l.err = fmt.Errorf("with nothing lost, %v: %w", cut, l.err)
		}
	})
	return l.err
}

// A learned is the content of one state, once somebody has looked.
type learned struct {
	once    sync.Once
	content string
	err     error
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
	acked, now := latest(cut.marks, how.clockBack)
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
	if there {
		if err := c.oneOf(cut, i, uint64(rev), content); err != nil {
			return err
		}
	}
	// The records are those of a commit, and were verified when it was learned.
	if there && !how.deep {
		err = structure(e)
	} else {
		err = verify(e)
	}
	if err != nil {
		return err
	}
	if there {
		if err := c.meaning(e, cut, m, content, dir, how); err != nil {
			return err
		}
	}
	if how.deep {
		if err := use(e, c.lanes, cut.marks); err != nil {
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
	cfg = existing(now)
	if e, err = latchbolt.Open(path, cfg); err != nil {
		return fmt.Errorf("once more: %w", err)
	}
	return errors.Join(verify(e), e.Close())
}

// backup returns what the backup of an image holds.
func (c *checker) backup(m *image, dir string) (string, error) {
	i, ok := m.names()[backupName]
	if !ok {
		return "absent", nil
	}
	key, ok := m.settled(i)
	c.mu.Lock()
	known := c.backups[key]
	c.mu.Unlock()
	if ok && known != "" {
		return known, nil
	}
	content, err := backupIn(dir)
	if ok && err == nil {
		c.mu.Lock()
		c.backups[key] = content
		c.mu.Unlock()
	}
	return content, err
}

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
	want := c.content[state{i, txid}]
	c.mu.Unlock()
	if want == nil {
		return fmt.Errorf("transaction %d is not known", txid)
	}
	if content != want.content {
		return fmt.Errorf("the content of transaction %d is another than when it was committed", txid)
	}
	return nil
}

// meaning asks the engine what users would ask, and compares with the calls that were acknowledged. For the
// same content, marks and backup it does so once, unless it is to be deep.
func (c *checker) meaning(e *latchbolt.Engine, cut *cut, m *image, content, dir string, how trial) error {
	backup, err := c.backup(m, dir)
	if err != nil {
		return err
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
		verdict = judge(e, c.lanes, cut.marks, backup, how.clockBack)
		c.mu.Lock()
		c.seen[key] = verdict
		c.mu.Unlock()
	}
	if verdict != "" {
		return errors.New(verdict)
	}
	return nil
}
