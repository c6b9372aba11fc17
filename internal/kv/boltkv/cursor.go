package boltkv

import (
	"bytes"

	bolt "go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A cursor walks one bucket of a bbolt transaction, without bbolt where that is possible. Each of its steps guards
// against panics and faults on its own, since between steps the caller's code runs.
type cursor struct {
	r *reader
	i int // bucket
	c *bolt.Cursor
	w *treeWalk // in place of c

	last []byte // the key before that c came to, or where it began
}

// open finds the bucket, and the root of a walk, if it is one. The caller guards against panics.
func (c *cursor) open() (at root, err error) {
	at, ok := c.r.direct(c.i)
	if ok {
		if c.w == nil {
			c.w = new(treeWalk)
		}
		c.w.p = &c.r.pages
		return at, nil
	}
	b, err := c.r.bucket(c.i)
	if err == nil {
		c.c = b.Cursor()
	}
	return root{}, err
}

// walked checks what a walk came to.
func (c *cursor) walked(l place, ok bool, by int) (kv.Pair, error) {
	if c.r.pages.damaged != 0 || ok && !c.w.inOrder(l.key(), by) {
		return kv.Pair{}, c.r.damage(c.i)
	}
	if !ok {
		return kv.Pair{}, nil
	}
	if l.flags() != 0 || len(l.key()) == 0 {
		return kv.Pair{}, c.r.s.corrupt("bucket %q: a pair that is none of ours", c.r.s.names[c.i])
	}
	return c.pair(l.key(), l.value())
}

// pair checks what bbolt returned. A nil key is the end.
func (c *cursor) pair(k, v []byte) (kv.Pair, error) {
	if k == nil {
		return kv.Pair{}, nil
	}
	if v == nil || len(k) > kv.MaxKey || len(v) > kv.MaxValue {
		return kv.Pair{}, c.r.s.corrupt("bucket %q: a pair that is none of ours", c.r.s.names[c.i])
	}
	touch(k)
	touch(v)
	return kv.Pair{Key: k, Value: v}, nil
}

// inOrder returns what checks that the key of a pair of bbolt's is after the one before, or before it if by is -1: where damaged pages
// lead in a circle, bbolt's cursor goes on for ever.
func (c *cursor) inOrder(by int) func(kv.Pair, error) (kv.Pair, error) {
	return func(p kv.Pair, err error) (kv.Pair, error) {
		if p.Key != nil && c.last != nil && bytes.Compare(p.Key, c.last) != by {
			return kv.Pair{}, c.r.s.corrupt("bucket %q: %v", c.r.s.names[c.i], errDisorder)
		}
		c.last = p.Key
		return p, err
	}
}

// A forward cursor yields ascending keys.
type forward struct {
	cursor
}

// seek moves to the first key that is not less than from.
func (c *forward) seek(from []byte) (p kv.Pair, err error) {
	defer c.r.s.guard(&err)
	at, err := c.open()
	if err != nil {
		return kv.Pair{}, err
	}
	if c.w != nil {
		l, ok := c.w.seek(at, from)
		return c.walked(l, ok, 1)
	}
	if err := c.r.passable(c.i, from); err != nil {
		return kv.Pair{}, err
	}
	c.last = nil
	return c.inOrder(1)(c.pair(c.c.Seek(from)))
}

// next moves on by one.
func (c *forward) next() (p kv.Pair, err error) {
	defer c.r.s.guard(&err)
	if c.w != nil {
		l, ok := c.w.step(1)
		return c.walked(l, ok, 1)
	}
	return c.inOrder(1)(c.pair(c.c.Next()))
}

// A backward cursor yields descending keys.
type backward struct {
	cursor
}

// seek moves to the last key that is less than bound; a nil bound is the end.
func (c *backward) seek(bound []byte, empty bool) (p kv.Pair, err error) {
	defer c.r.s.guard(&err)
	if empty {
		return kv.Pair{}, nil
	}
	at, err := c.open()
	if err != nil {
		return kv.Pair{}, err
	}
	if c.w != nil {
		l, ok := c.w.seekBack(at, bound)
		return c.walked(l, ok, -1)
	}
	if err := c.r.passable(c.i, bound); err != nil {
		return kv.Pair{}, err
	}
	if bound != nil {
		if k, _ := c.c.Seek(bound); k != nil {
			c.last = k
			return c.prev()
		}
	}
	return c.inOrder(-1)(c.pair(c.c.Last()))
}

// next moves back by one.
func (c *backward) next() (p kv.Pair, err error) {
	defer c.r.s.guard(&err)
	if c.w != nil {
		l, ok := c.w.step(-1)
		return c.walked(l, ok, -1)
	}
	return c.prev()
}

// prev moves back by one. In a transaction that has deleted every key of a page,
// bbolt's Prev stops at the empty page as if it were the start, and goes on
// if it is called again; so what the start is, is asked of another cursor.
func (c *backward) prev() (kv.Pair, error) {
	k, v := c.c.Prev()
	if k == nil && c.r.tx.Writable() {
		b, err := c.r.bucket(c.i)
		if err != nil {
			return kv.Pair{}, err
		}
		if first, _ := b.Cursor().First(); first != nil && bytes.Compare(first, c.last) < 0 {
			for k == nil {
				k, v = c.c.Prev()
			}
		}
	}
	return c.inOrder(-1)(c.pair(k, v))
}
