// Package extsort sorts more pairs than memory should hold, and keeps lists of them that are longer. What does not fit
// is in temporary files that have no name any more, so that they are gone however the process ends.
package extsort

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
)

// An Entry is a key with its value. Both are valid until the next entry is asked for.
type Entry struct {
	Key, Value []byte
}

// A Sorter sorts entries of several classes, each class by itself: by key, and those of one key by value.
// Use [New] to make one. Its methods must not be called concurrently. Sorting and
// writing happens in a goroutine beside the caller's, which Close waits for.
type Sorter struct {
	dir   string
	limit int
	fill  *chunk
	spare *chunk
	runs  []*run

	busy bool       // the goroutine is at work: runs and spare are its own
	done chan error // when it is not any more
	err  error      // sticky
}

// New returns a Sorter that keeps about twice limit bytes in memory and the rest in the folder dir;
// an empty dir is the system's folder for such files.
func New(dir string, limit int) *Sorter {
	return &Sorter{dir: dir, limit: limit, fill: new(chunk), spare: new(chunk), done: make(chan error, 1)}
}

// A chunk is a part that is sorted in memory.
type chunk struct {
	data    []byte
	classes [256]class
	refs    int
}

// A class is the entries of one class in a chunk.
type class struct {
	refs   []ref
	common []byte // what all keys begin with
}

// A ref is one entry: where it is, and what its key goes on with after what is common.
type ref struct {
	prefix     uint64
	off        uint32
	klen, vlen uint32
}

// refLen is the size of a ref in memory.
const refLen = 24

func (c *chunk) key(r *ref) []byte   { return c.data[r.off : r.off+r.klen] }
func (c *chunk) value(r *ref) []byte { return c.data[r.off+r.klen : r.off+r.klen+r.vlen] }

func (c *chunk) add(n byte, key, value []byte) {
	cl := &c.classes[n]
	if len(cl.refs) == 0 {
		cl.common = append(cl.common[:0], key...)
	}
	for i := range cl.common {
		if i >= len(key) || key[i] != cl.common[i] {
			cl.common = cl.common[:i]
			break
		}
	}
	cl.refs = append(cl.refs, ref{off: uint32(len(c.data)), klen: uint32(len(key)), vlen: uint32(len(value))})
	c.data = append(append(c.data, key...), value...)
	c.refs++
}

func (c *chunk) size() int { return len(c.data) + refLen*c.refs }

func (c *chunk) reset() {
	c.data, c.refs = c.data[:0], 0
	for i := range c.classes {
		c.classes[i].refs = c.classes[i].refs[:0]
	}
}

// sort sorts all classes. The eight bytes that follow what is common decide nearly always.
func (c *chunk) sort() {
	for i := range c.classes {
		cl := &c.classes[i]
		skip := len(cl.common)
		for j := range cl.refs {
			r := &cl.refs[j]
			var b [8]byte
			copy(b[:], c.key(r)[skip:])
			r.prefix = binary.BigEndian.Uint64(b[:])
		}
		slices.SortFunc(cl.refs, func(a, b ref) int {
			switch {
			case a.prefix < b.prefix:
				return -1
			case a.prefix > b.prefix:
				return 1
			}
			if n := bytes.Compare(c.key(&a), c.key(&b)); n != 0 {
				return n
			}
			return bytes.Compare(c.value(&a), c.value(&b))
		})
	}
}

// all yields the entries of a class of a sorted chunk.
func (c *chunk) all(n byte) func() (Entry, error) {
	refs := c.classes[n].refs
	return func() (Entry, error) {
		if len(refs) == 0 {
			return Entry{}, errEnd
		}
		r := &refs[0]
		refs = refs[1:]
		return Entry{c.key(r), c.value(r)}, nil
	}
}

// errEnd is the end of a source.
var errEnd = errors.New("extsort: no more")

// Add adds an entry, of which it keeps a copy. An error stays: all later calls fail too.
func (s *Sorter) Add(class byte, key, value []byte) error {
	if s.err != nil {
		return s.err
	}
	s.fill.add(class, key, value)
	if s.fill.size() < s.limit {
		return nil
	}
	if err := s.wait(); err != nil {
		return err
	}
	full := s.fill
	s.fill, s.spare = s.spare, nil
	s.busy = true
	go func() { s.done <- s.spill(full) }()
	return nil
}

// wait waits for the goroutine.
func (s *Sorter) wait() error {
	if s.busy {
		s.busy = false
		if err := <-s.done; err != nil {
			s.err = err
		}
	}
	return s.err
}

// maxRuns is how many runs there are at most; each costs a file and a buffer.
const maxRuns = 64

// spill sorts a chunk and writes it to a run.
func (s *Sorter) spill(c *chunk) error {
	c.sort()
	r, err := newRun(s.dir, func(n byte) func() (Entry, error) { return c.all(n) })
	if err != nil {
		return err
	}
	s.runs = append(s.runs, r)
	if len(s.runs) == maxRuns {
		all, err := newRun(s.dir, func(n byte) func() (Entry, error) { return merged(sources(s.runs, n)) })
		if err != nil {
			return err
		}
		for _, r := range s.runs {
			r.close()
		}
		s.runs = append(s.runs[:0], all)
	}
	c.reset()
	s.spare = c
	return nil
}

// Sorted yields the entries of a class in order. It may be called again, but nothing may be added meanwhile.
func (s *Sorter) Sorted(class byte) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := s.wait(); err != nil {
			yield(Entry{}, err)
			return
		}
		s.fill.sort()
		next := s.fill.all(class)
		if len(s.runs) > 0 {
			next = merged(append(sources(s.runs, class), next))
		}
		for {
			e, err := next()
			if err == errEnd || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Close gives up the files.
func (s *Sorter) Close() {
	_ = s.wait()
	for _, r := range s.runs {
		r.close()
	}
	s.runs = nil
	s.err = errors.Join(s.err, errors.New("extsort: closed"))
}

// A source is one of the sorted sequences that are merged, with its next entry.
type source struct {
	next func() (Entry, error)
	head Entry
}

func (s *source) less(t *source) bool {
	if n := bytes.Compare(s.head.Key, t.head.Key); n != 0 {
		return n < 0
	}
	return bytes.Compare(s.head.Value, t.head.Value) < 0
}

// merged merges sorted sequences into one.
func merged(nexts []func() (Entry, error)) func() (Entry, error) {
	var heap []*source // the least first
	started := false
	down := func(i int) {
		for {
			least := i
			for c := 2*i + 1; c <= 2*i+2 && c < len(heap); c++ {
				if heap[c].less(heap[least]) {
					least = c
				}
			}
			if least == i {
				return
			}
			heap[i], heap[least] = heap[least], heap[i]
			i = least
		}
	}
	start := func() error {
		for _, next := range nexts {
			e, err := next()
			if err == errEnd {
				continue
			}
			if err != nil {
				return err
			}
			heap = append(heap, &source{next, e})
		}
		for i := len(heap)/2 - 1; i >= 0; i-- {
			down(i)
		}
		return nil
	}
	return func() (Entry, error) {
		if !started {
			started = true
			if err := start(); err != nil {
				return Entry{}, err
			}
		} else if len(heap) > 0 {
			e, err := heap[0].next()
			switch {
			case err == errEnd:
				heap[0] = heap[len(heap)-1]
				heap = heap[:len(heap)-1]
			case err != nil:
				return Entry{}, err
			default:
				heap[0].head = e
			}
			down(0)
		}
		if len(heap) == 0 {
			return Entry{}, errEnd
		}
		return heap[0].head, nil
	}
}
