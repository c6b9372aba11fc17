package boltkv

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A builder writes a file of bbolt from its beginning to its end, without bbolt: bucket by bucket, each from
// pairs in ascending order, every page once. bbolt's own way, a transaction, keeps what it writes in
// memory, writes the upper pages of a tree again with each commit, and costs four times
// as much a pair. What is built is checked by the walker, which shares no code with the builder, before it is used.
//
// The first two pages, which tell where the rest is, are written last.
type builder struct {
	ctx      context.Context
	f        *os.File
	w        *behindWriter
	pageSize int
	maxPages uint64
	next     uint64 // page to be written next
	zeros    []byte // a page of them
}

// buildBuffer is how much is written to the file at once, while as much is filled.
const buildBuffer = 1 << 20

// newBuilder returns a builder into the empty file f. maxSize limits the file, in bytes; 0 is no limit.
func newBuilder(ctx context.Context, f *os.File, pageSize int, maxSize int64) *builder {
	b := &builder{ctx: ctx, f: f, w: newBehindWriter(f, buildBuffer), pageSize: pageSize, maxPages: maxFilePages}
	if maxSize > 0 {
		b.maxPages = min(b.maxPages, uint64(maxSize)/uint64(pageSize))
	}
	return b
}

// close gives up what goes on beside. The file may be incomplete then.
func (b *builder) close() { b.w.close() }

// begin leaves room for the first two pages.
func (b *builder) begin() error {
	b.next = 2
	_, err := b.w.Write(make([]byte, 2*b.pageSize))
	return err
}

// A level is the page of one level of a tree that is being filled.
type level struct {
	head  []byte // elements
	data  []byte // keys, and values
	count int
	first []byte // key
}

// A tree is one tree of pairs that is being built. Its levels begin with the leaves.
type tree struct {
	b      *builder
	levels []*level
	pages  []int // written of each level
}

// size is how many bytes the page would have.
func (l *level) size() int { return pageHeader + len(l.head) + len(l.data) }

// add adds a pair, which must come after the one before. flags is 0, or bucketFlag.
func (t *tree) add(flags uint32, key, value []byte) error {
	if len(t.levels) == 0 {
		t.grow()
	}
	l := t.levels[0]
	if l.count > 0 && l.size()+elementLen+len(key)+len(value) > t.b.pageSize {
		if err := t.flush(0); err != nil {
			return err
		}
	}
	if l.count == 0 {
		l.first = append(l.first[:0], key...)
	}
	var e [elementLen]byte
	order.PutUint32(e[:], flags)
	order.PutUint32(e[4:], uint32(len(l.data))) // from the end of all elements; see flush
	order.PutUint32(e[8:], uint32(len(key)))
	order.PutUint32(e[12:], uint32(len(value)))
	l.head = append(l.head, e[:]...)
	l.data = append(append(l.data, key...), value...)
	l.count++
	return nil
}

// child adds the page id, whose least key is first, to the level n.
func (t *tree) child(n int, first []byte, id uint64) error {
	for n >= len(t.levels) {
		t.grow()
	}
	l := t.levels[n]
	if l.count > 0 && l.size()+elementLen+len(first) > t.b.pageSize {
		if err := t.flush(n); err != nil {
			return err
		}
	}
	if l.count == 0 {
		l.first = append(l.first[:0], first...)
	}
	var e [elementLen]byte
	order.PutUint32(e[:], uint32(len(l.data)))
	order.PutUint32(e[4:], uint32(len(first)))
	order.PutUint64(e[8:], id)
	l.head = append(l.head, e[:]...)
	l.data = append(l.data, first...)
	l.count++
	return nil
}

func (t *tree) grow() {
	t.levels = append(t.levels, &level{})
	t.pages = append(t.pages, 0)
}

// flush writes the page of a level and enters it into the level above.
func (t *tree) flush(n int) error {
	id, err := t.write(n)
	if err != nil {
		return err
	}
	l := t.levels[n]
	err = t.child(n+1, l.first, id)
	l.head, l.data, l.count = l.head[:0], l.data[:0], 0
	return err
}

// write writes the page of a level and returns its number.
func (t *tree) write(n int) (uint64, error) {
	l := t.levels[n]
	flags, at := uint16(leafFlag), 4
	if n > 0 {
		flags, at = branchFlag, 0
	}
	// bbolt counts from the element on.
	for i := range l.count {
		pos := l.head[i*elementLen+at:]
		order.PutUint32(pos, order.Uint32(pos)+uint32((l.count-i)*elementLen))
	}
	t.pages[n]++
	return t.b.page(flags, l.count, l.head, l.data)
}

// finish writes what is left and returns the page of the root; 0 means that nothing was added.
func (t *tree) finish() (uint64, error) {
	for n := 0; n < len(t.levels); n++ {
		if n == len(t.levels)-1 && t.pages[n] == 0 {
			return t.write(n)
		}
		if t.levels[n].count > 0 {
			if err := t.flush(n); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// page writes one page, with as many following as it needs, and returns its number.
func (b *builder) page(flags uint16, count int, parts ...[]byte) (uint64, error) {
	size := pageHeader
	for _, p := range parts {
		size += len(p)
	}
	pages := uint64(size+b.pageSize-1) / uint64(b.pageSize)
	id := b.next
	if id+pages > b.maxPages {
		return 0, fmt.Errorf("%w: the file would have more than %d bytes", kv.ErrFull, b.maxPages*uint64(b.pageSize))
	}
	b.next += pages
	if id>>8 != b.next>>8 {
		if err := b.ctx.Err(); err != nil {
			return 0, err
		}
	}
	var head [pageHeader]byte
	order.PutUint64(head[:], id)
	order.PutUint16(head[8:], flags)
	order.PutUint16(head[10:], uint16(count))
	order.PutUint32(head[12:], uint32(pages-1))
	_, _ = b.w.Write(head[:]) // the last one reports every error
	for _, p := range parts {
		_, _ = b.w.Write(p)
	}
	if cap(b.zeros) < b.pageSize {
		b.zeros = make([]byte, b.pageSize)
	}
	_, err := b.w.Write(b.zeros[:int(pages)*b.pageSize-size]) // zeros
	return id, err
}

// bucketValue is what stands under the name of a bucket in the tree of names: its root, or if it is
// empty its empty page, which has no place of its own.
func bucketValue(root uint64) []byte {
	v := make([]byte, bucketLen, bucketLen+pageHeader)
	if root != 0 {
		order.PutUint64(v, root)
		return v
	}
	v = v[:bucketLen+pageHeader]
	order.PutUint16(v[bucketLen+8:], leafFlag)
	return v
}

// end writes an empty list of free pages and the two pages at the beginning.
func (b *builder) end(root uint64) error {
	freelist, err := b.page(freelistFlag, 0)
	if err != nil {
		return err
	}
	if err := b.w.Flush(); err != nil {
		return err
	}
	for i := range 2 {
		p := make([]byte, b.pageSize)
		order.PutUint64(p, uint64(i))
		order.PutUint16(p[8:], metaFlag)
		r := p[pageHeader : pageHeader+metaLen]
		order.PutUint32(r, boltMagic)
		order.PutUint32(r[4:], boltVersion)
		order.PutUint32(r[8:], uint32(b.pageSize))
		order.PutUint64(r[16:], root)
		order.PutUint64(r[32:], freelist)
		order.PutUint64(r[40:], b.next)
		order.PutUint64(r[48:], uint64(2-i)) // bbolt keeps even ones in the first page
		sum := fnv.New64a()
		_, _ = sum.Write(r[:metaSummed]) // a hash never fails
		order.PutUint64(r[metaSummed:], sum.Sum64())
		if _, err := b.f.WriteAt(p, int64(i*b.pageSize)); err != nil {
			return err
		}
	}
	return nil
}
