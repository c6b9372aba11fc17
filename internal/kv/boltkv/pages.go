package boltkv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// Kinds of pages and of leaf elements.
const (
	branchFlag   = 0x01
	leafFlag     = 0x02
	freelistFlag = 0x10
	bucketFlag   = 0x01 // of a leaf element whose value is a bucket

	elementLen = 16 // bytes of a branch or leaf element
	bucketLen  = 16 // bytes of a bucket's header: root page 8, sequence 8

	maxDepth    = 32      // bbolt's trees of 2^24 pages are less than half as deep
	maxTreePage = 4 << 20 // bytes; two of the largest pairs are far below
)

// A walker follows every page of one state of a file and tells what is wrong
// with it. It reads through ReadAt alone and believes no number of the file,
// so that it may be let loose on files that would crash bbolt. It is for one
// goroutine and one walk.
type walker struct {
	ctx     context.Context
	r       io.ReaderAt
	m       meta
	deep    bool // look into the leaves of the data buckets too
	report  func(error) bool
	stopped bool

	seen  bitmap               // pages reached
	count uint64               // how many
	bufs  [maxDepth + 1][]byte // the page looked at on each level, on the way to the present one
	later *glance              // nil: leaves are looked at when they are reached
	err   error                // of reading, or of the context
}

// A bitmap is a set of pages.
type bitmap []uint64

func newBitmap(m meta) bitmap { return make(bitmap, m.pages/64+1) }

// add adds a page and reports false if it was there already.
func (b bitmap) add(id uint64) bool {
	word, bit := &b[id/64], uint64(1)<<(id%64)
	was := *word & bit
	*word |= bit
	return was == 0
}

func newWalker(ctx context.Context, r io.ReaderAt, m meta, deep bool, report func(error) bool) *walker {
	return &walker{ctx: ctx, r: r, m: m, deep: deep, report: report, seen: newBitmap(m)}
}

// walk walks the state m of the file r and calls report for each defect until
// it returns false. Unless deep is set, only the headers of data leaves are
// read, which is enough to know that bbolt can find its way. It returns the
// number of pages in use, and an error if the walk could not be finished.
func walk(ctx context.Context, r io.ReaderAt, m meta, deep bool, report func(error) bool) (uint64, error) {
	if !deep {
		if used, sound := atAGlance(ctx, r, m); sound {
			return used, nil
		}
	}
	w := newWalker(ctx, r, m, deep, report)
	w.all()
	return w.count, w.err
}

// all walks everything.
func (w *walker) all() {
	w.mark(0, 2)
	w.tree(w.m.root, true, 0, nil, nil)
	if w.m.synced() && !w.stopped {
		w.freelist()
	}
}

// firstDefect returns the first thing wrong with the state m of the file as
// an error that wraps [kv.ErrCorrupt], or nil.
func firstDefect(ctx context.Context, r io.ReaderAt, m meta, deep bool) error {
	var first error
	_, err := walk(ctx, r, m, deep, func(defect error) bool {
		first = defect
		return false
	})
	if err != nil {
		return err
	}
	return first
}

func (w *walker) defect(format string, args ...any) {
	if !w.stopped && !w.report(fmt.Errorf("%w: %s", kv.ErrCorrupt, fmt.Sprintf(format, args...))) {
		w.stopped = true
	}
}

// mark notes that n pages from id are in use and reports false if one of them
// already was, or does not exist.
func (w *walker) mark(id, n uint64) bool {
	if id >= w.m.pages || n > w.m.pages-id {
		w.defect("page %d with %d following is beyond the last, %d", id, n-1, w.m.pages-1)
		return false
	}
	for p := id; p < id+n; p++ {
		if !w.seen.add(p) {
			w.defect("page %d is in use twice", p)
			return false
		}
		w.count++
	}
	return true
}

// A page is one page with those that follow it as its overflow.
type page struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint64
	data     []byte // from the header on; only the header if the rest was not wanted
}

// parseHead reads the header of a page.
func parseHead(head []byte) page {
	return page{
		id:       order.Uint64(head),
		flags:    order.Uint16(head[8:]),
		count:    int(order.Uint16(head[10:])),
		overflow: uint64(order.Uint32(head[12:])),
		data:     head,
	}
}

// holds reports whether the page has room for its elements.
func (p *page) holds(pageSize int) bool {
	return uint64(pageHeader+p.count*elementLen) <= (p.overflow+1)*uint64(pageSize)
}

// read reads the page id, which is on the level depth, and marks it as used. It returns false after having
// reported what is wrong. The page is valid until another one of the level is read.
func (w *walker) read(id uint64, depth int, whole func(flags uint16) bool) (page, bool) {
	if w.stopped {
		return page{}, false
	}
	if w.err = w.ctx.Err(); w.err != nil {
		w.stopped = true
		return page{}, false
	}
	if id < 2 || id >= w.m.pages {
		w.defect("page %d is out of range", id)
		return page{}, false
	}
	// Nearly every page is wanted as a whole if leaves are, or come later, and few have any following.
	n := pageHeader
	if w.deep || w.later != nil {
		n = w.m.pageSize
	}
	buf := &w.bufs[depth]
	if *buf == nil {
		*buf = make([]byte, w.m.pageSize)
	}
	first := (*buf)[:n]
	if !w.readAt(first, int64(id)*int64(w.m.pageSize)) {
		return page{}, false
	}
	p := parseHead(first[:pageHeader:pageHeader])
	if p.id != id {
		w.defect("page %d says that it is page %d", id, p.id)
		return page{}, false
	}
	if !w.mark(id, p.overflow+1) {
		return page{}, false
	}
	if !whole(p.flags) {
		return p, true
	}
	size := (p.overflow + 1) * uint64(w.m.pageSize)
	if size > maxTreePage {
		w.defect("page %d has %d following", id, p.overflow)
		return page{}, false
	}
	*buf = slices.Grow(first, int(size)-n)[:size]
	p.data = *buf
	return p, n == int(size) || w.readAt(p.data[n:], int64(id)*int64(w.m.pageSize)+int64(n))
}

// readAt fills b; a file that ends too early is a defect, other errors end
// the walk.
func (w *walker) readAt(b []byte, off int64) bool {
	switch _, err := w.r.ReadAt(b, off); err {
	case nil:
		return true
	case io.EOF:
		w.defect("the file ends before offset %d", off+int64(len(b)))
	default:
		w.err = err
	}
	w.stopped = true
	return false
}

// tree walks the tree below page id. Its keys must not be less than low, and
// be less than high where that is not nil. root tells that this is the tree
// of the bucket names.
func (w *walker) tree(id uint64, root bool, depth int, low, high []byte) {
	if depth > maxDepth {
		w.defect("page %d is more than %d levels deep", id, maxDepth)
		return
	}
	p, ok := w.read(id, depth, func(flags uint16) bool { return flags != leafFlag || root || w.deep })
	if !ok {
		return
	}
	switch p.flags {
	case branchFlag:
		w.branch(p, root, depth, low, high)
	case leafFlag:
		w.leaf(p, root, depth, low, high)
	default:
		w.defect("page %d has the unexpected flags %#x", id, p.flags)
	}
}

func (w *walker) branch(p page, root bool, depth int, low, high []byte) {
	if p.count == 0 {
		w.defect("branch page %d is empty", p.id)
		return
	}
	if !p.holds(w.m.pageSize) {
		w.defect("page %d has no room for %d elements", p.id, p.count)
		return
	}
	var before []byte
	for i := range p.count {
		key, _, ok := w.child(p, i)
		if !ok {
			return
		}
		w.order(p, i, before, key, low, high)
		before = key
	}
	for i := range p.count {
		id := order.Uint64(p.data[pageHeader+i*elementLen+8:])
		if w.later != nil && w.later.postpones(w, id, root, depth+1) {
			continue
		}
		key, _, _ := w.child(p, i)
		next := high
		if i+1 < p.count {
			next, _, _ = w.child(p, i+1)
		}
		if w.later != nil && w.later.leavesTo(id, root, depth+1, key, next) {
			continue
		}
		w.tree(id, root, depth+1, key, next)
		if w.stopped {
			return
		}
	}
}

// child returns the key and the page of element i of a branch.
func (w *walker) child(p page, i int) ([]byte, uint64, bool) {
	at := pageHeader + i*elementLen
	e := p.data[at:]
	key, ok := w.bytes(p, i, at, uint64(order.Uint32(e)), uint64(order.Uint32(e[4:])))
	return key, order.Uint64(e[8:]), ok
}

func (w *walker) leaf(p page, root bool, depth int, low, high []byte) {
	if w.later != nil && !root {
		w.later.depth = depth
	}
	if !p.holds(w.m.pageSize) {
		w.defect("page %d has no room for %d elements", p.id, p.count)
		return
	}
	if len(p.data) > pageHeader || p.count == 0 {
		w.elements(p, root, depth, low, high)
	}
}

// elements checks the pairs of a leaf page, which may be one inside a bucket's value.
func (w *walker) elements(p page, root bool, depth int, low, high []byte) {
	var before []byte
	// bbolt leaves no gap. A wrong number of elements, which would otherwise go unnoticed, makes one.
	next := uint64(pageHeader + p.count*elementLen)
	for i := range p.count {
		at := pageHeader + i*elementLen
		if at+elementLen > len(p.data) {
			w.defect("page %d has no room for %d elements", p.id, p.count)
			return
		}
		e := p.data[at:]
		flags, pos := order.Uint32(e), uint64(order.Uint32(e[4:]))
		klen, vlen := uint64(order.Uint32(e[8:])), uint64(order.Uint32(e[12:]))
		key, ok := w.bytes(p, i, at, pos, klen)
		if !ok {
			return
		}
		w.order(p, i, before, key, low, high)
		before = key
		start := uint64(at) + pos + klen
		if start+vlen > uint64(len(p.data)) {
			w.defect("value %d of page %d is out of bounds", i, p.id)
			return
		}
		value := p.data[start : start+vlen]
		if start-klen != next {
			w.defect("key %d of page %d does not stand right behind what comes before", i, p.id)
		}
		next = start + vlen
		switch {
		case root && flags == bucketFlag:
			w.bucket(p, key, value, depth)
		case root || flags != 0:
			w.defect("element %d of page %d has the unexpected flags %#x", i, p.id, flags)
		case klen > kv.MaxKey || vlen > kv.MaxValue:
			w.defect("element %d of page %d is too large", i, p.id)
		}
		if w.stopped {
			return
		}
	}
}

// bucket walks the bucket whose header, and content if it is small, is value.
func (w *walker) bucket(p page, name, value []byte, depth int) {
	if len(value) < bucketLen {
		w.defect("bucket %q in page %d has no header", name, p.id)
		return
	}
	if w.later != nil {
		w.later.depth = 0 // not known for this bucket
	}
	if root := order.Uint64(value); root != 0 {
		w.tree(root, false, depth+1, nil, nil)
		return
	}
	inner := value[bucketLen:]
	if len(inner) < pageHeader {
		w.defect("bucket %q in page %d has no content", name, p.id)
		return
	}
	in := page{id: p.id, flags: order.Uint16(inner[8:]), count: int(order.Uint16(inner[10:])), data: inner}
	if in.flags != leafFlag || order.Uint64(inner) != 0 || order.Uint32(inner[12:]) != 0 {
		w.defect("bucket %q in page %d has a damaged content", name, p.id)
		return
	}
	w.elements(in, false, depth, nil, nil)
}

// bytes returns the key of element i, which stands pos bytes after the element.
func (w *walker) bytes(p page, i, at int, pos, n uint64) ([]byte, bool) {
	start := uint64(at) + pos
	elements := uint64(pageHeader + p.count*elementLen)
	if start < elements || start+n > uint64(len(p.data)) {
		w.defect("key %d of page %d is out of bounds", i, p.id)
		return nil, false
	}
	if n == 0 {
		w.defect("key %d of page %d is empty", i, p.id)
		return nil, false
	}
	return p.data[start : start+n], true
}

// order checks that the key of element i follows the one before and lies within the bounds of the page.
func (w *walker) order(p page, i int, before, key, low, high []byte) {
	switch {
	case i > 0 && bytes.Compare(before, key) >= 0:
		w.defect("key %d of page %d is not greater than the one before", i, p.id)
	case i == 0 && bytes.Compare(key, low) < 0, i == p.count-1 && high != nil && bytes.Compare(key, high) >= 0:
		w.defect("key %d of page %d is outside the range of its page", i, p.id)
	}
}

// freelist checks the list of free pages: none may be in use or occur twice.
func (w *walker) freelist() {
	p, ok := w.read(w.m.freelist, 0, func(uint16) bool { return false })
	if !ok {
		return
	}
	if p.flags != freelistFlag {
		w.defect("freelist page %d has the unexpected flags %#x", p.id, p.flags)
		return
	}
	off, n := int64(p.id)*int64(w.m.pageSize)+pageHeader, uint64(p.count)
	room := (p.overflow+1)*uint64(w.m.pageSize) - pageHeader
	if n == 0xFFFF { // then the count did not fit, and is the first entry
		var b [8]byte
		if !w.readAt(b[:], off) {
			return
		}
		n = order.Uint64(b[:])
		off, room = off+8, room-8
	}
	if n > room/8 || n > w.m.pages {
		w.defect("freelist page %d has no room for %d entries", p.id, n)
		return
	}
	used := w.count
	buf := make([]byte, 8*n)
	if n > 0 && !w.readAt(buf, off) {
		return
	}
	for ; len(buf) > 0 && !w.stopped; buf = buf[8:] {
		if id := order.Uint64(buf); id < 2 {
			w.defect("freelist holds page %d", id)
		} else {
			w.mark(id, 1)
		}
	}
	w.count = used // free pages are not in use
}
