package latchbolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/latchbolt-go/latchbolt/internal/extsort"
	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A userEncoder makes the records of the users of a load and keeps them in a file until their names are known
// to be free. It works in a goroutine of its own, which finish and close wait for.
type userEncoder struct {
	dir    string
	tx     *Tx // for the numbers of hashes alone
	users  *extsort.List
	late   *extsort.Sorter // users whose identifiers were not ascending; nil: none
	listed UserID          // last in users
	in     chan []loadItem
	done   chan bool
	ended  bool                  // in is closed
	failed atomic.Pointer[error] // makes the load fail
}

// A loadItem is a user with the number of its record.
type loadItem struct {
	user *userRecord
	line int64
}

// encodeBatch is how many users the encoder is given at once.
const encodeBatch = 256

func newUserEncoder(dir string, tx *Tx) *userEncoder {
	c := &userEncoder{dir: dir, tx: tx, users: extsort.NewList(dir), in: make(chan []loadItem, 2), done: make(chan bool)}
	go c.run()
	return c
}

func (c *userEncoder) send(batch []loadItem) { c.in <- batch }

func (c *userEncoder) run() {
	defer close(c.done)
	for batch := range c.in {
		for _, it := range batch {
			if c.failed.Load() != nil {
				break
			}
			if err := c.encode(it); err != nil {
				err = fmt.Errorf("latchbolt: load: %w", err)
				c.failed.Store(&err)
			}
		}
	}
}

func (c *userEncoder) encode(it loadItem) error {
	key := userKey(it.user.ID)
	value, err := seal(bucketUser, key, it.user.encode())
	if err != nil {
		return err
	}
	if len(value) > kv.MaxValue {
		return fmt.Errorf("record %d: storing in %s: %w", it.line, bucketUser, fromStore(kv.ErrTooLarge))
	}
	c.tx.countHash(PasswordHash{}, it.user.hash)
	value = binary.BigEndian.AppendUint64(value, uint64(it.line))
	if it.user.ID > c.listed {
		c.listed = it.user.ID
		return c.users.Add(key, value)
	}
	if c.late == nil {
		c.late = extsort.New(c.dir, loadMemory/4)
	}
	return c.late.Add(0, key, value)
}

// finish takes the last users in.
func (c *userEncoder) finish(last []loadItem) error {
	c.send(last)
	c.end()
	if err := c.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// end lets the goroutine come to its end.
func (c *userEncoder) end() {
	if !c.ended {
		c.ended = true
		close(c.in)
		<-c.done
	}
}

func (c *userEncoder) close() {
	c.end()
	c.users.Close()
	if c.late != nil {
		c.late.Close()
	}
}

// A loadedUser is a user of the load as it is kept.
type loadedUser struct {
	key, record []byte
	line        int64
}

// all yields the users by identifier.
func (c *userEncoder) all() iter.Seq2[loadedUser, error] {
	return func(yield func(loadedUser, error) bool) {
		var prev loadedUser
		each := func(en extsort.Entry, err error) bool {
			if err != nil {
				yield(loadedUser{}, err)
				return false
			}
			n := len(en.Value) - 8
			u := loadedUser{en.Key, en.Value[:n], int64(binary.BigEndian.Uint64(en.Value[n:]))}
			if bytes.Equal(prev.key, u.key) {
				id := keyUser(u.key)
				yield(loadedUser{}, &DuplicateError{Line: max(u.line, prev.line), ID: id, Field: "id", Value: fmt.Sprint(id)})
				return false
			}
			prev.key, prev.line = append(prev.key[:0], u.key...), u.line
			return yield(u, nil)
		}
		if c.late == nil {
			c.users.All()(each)
			return
		}
		late, stop := iter.Pull2(c.late.Sorted(0))
		defer stop()
		next, err, more := late()
		for en, listErr := range c.users.All() {
			for ; more && err == nil && listErr == nil && bytes.Compare(next.Key, en.Key) <= 0; next, err, more = late() {
				if !each(next, nil) {
					return
				}
			}
			if !each(en, errors.Join(listErr, err)) {
				return
			}
		}
		for ; more; next, err, more = late() {
			if !each(next, err) {
				return
			}
		}
	}
}
