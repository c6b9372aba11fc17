package boltkv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A Wreck is a damaged file that is read for what is left in it. Nothing in it is believed: pages that
// make no sense are passed over, and so is what cannot be read at all. It reads through ReadAt alone and uses no code of bbolt.
//
// bbolt never writes over a page that is in use, so a file is full of pages that were true once. A
// page tells neither when it was written nor whether it still counts; what leads to it tells, and may be damaged as well. So a
// Wreck says of what it finds whether it is provably of the newest state, which takes three things. Both meta
// pages are good, or the other one was certainly the older. The file has its list of free pages, which
// it has if it was closed in order. And no page that the tree leads to is on that list. Then no damage
// can have led from the tree to an old page, as long as the disk did not keep an old content of
// a whole page in place of the new one, which nothing in the file tells.
type Wreck struct {
	ctx   context.Context
	r     io.ReaderAt
	m     meta
	known map[string]kv.Bucket

	unproven string          // why it is not proven that the tree is the newest state
	reached  map[uint64]bool // pages of the tree
	free     map[uint64]bool // pages on the list; nil if there is no list or it is damaged
	leaves   map[kv.Bucket][]source
	lost     []source // leaves that nothing leads to and that are not free
	defects  []error
	more     int // defects beyond those kept
}

// A source is a leaf: a page, or the content of a bucket that is so small that it stands in another page.
type source struct {
	page   uint64
	inside []byte // nil: the whole page
}

// A Relic is a pair found in a [Wreck]. Its slices belong to the caller.
type Relic struct {
	Key, Value []byte
	// Current tells that it is provably part of the newest state; Reached that at least the tree of the
	// newest state known leads to it.
	Current, Reached bool
}

const maxDefects = 200

// Salvage opens the file at path, which nobody may have open for writing, and calls fn with what is left of it. Nothing
// is written. The error is [kv.ErrCorrupt] if neither of its first two pages tells where anything is.
func Salvage(ctx context.Context, path string, buckets []kv.Bucket, timeout time.Duration, fn func(*Wreck) error) error {
	f, err := openSource(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(f.File, true, timeout); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	w := &Wreck{ctx: ctx, r: f, known: make(map[string]kv.Bucket), reached: make(map[uint64]bool), leaves: make(map[kv.Bucket][]source)}
	for _, b := range buckets {
		w.known[string(b)] = b
	}
	if err := w.survey(f.info.Size()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return fn(w)
}

// Unproven says why nothing is proven to be of the newest state, or "".
func (w *Wreck) Unproven() string { return w.unproven }

// Defects returns what is wrong with the structure of the file: the first 200, and how many more there are.
func (w *Wreck) Defects() ([]error, int) { return w.defects, w.more }

func (w *Wreck) defect(format string, args ...any) {
	if len(w.defects) < maxDefects {
		w.defects = append(w.defects, fmt.Errorf(format, args...))
	} else {
		w.more++
	}
}

// survey finds out where everything is.
func (w *Wreck) survey(size int64) error {
	if size == 0 {
		return kv.ErrEmpty
	}
	metas, errs, err := readMetas(w.r, size)
	if err != nil {
		return fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
	}
	newest := newestMeta(metas, errs)
	if newest < 0 {
		return fmt.Errorf("%w: first page: %w; second page: %w", kv.ErrCorrupt, errs[0], errs[1])
	}
	w.m = metas[newest]
	if other := errs[1-newest]; other != nil {
		w.defect("page %d: %w", 1-newest, other)
		if err := supersedes(w.r, 1-newest, w.m); err != nil {
			w.unproven = err.Error()
		}
	}
	if need := int64(w.m.pages) * int64(w.m.pageSize); need > size {
		w.defect("cut short: %d bytes of at least %d", size, need)
	}
	w.tree(w.m.root, "", true, 0)
	w.readFree()
	w.orphans()
	return w.ctx.Err()
}

// head reads the header of a page.
func (w *Wreck) head(id uint64) (p page, err error) {
	if id < 2 || id >= w.m.pages {
		return p, fmt.Errorf("page %d is out of range", id)
	}
	b := make([]byte, pageHeader)
	if _, err := w.r.ReadAt(b, int64(id)*int64(w.m.pageSize)); err != nil {
		return p, fmt.Errorf("page %d cannot be read: %w", id, err)
	}
	p = page{id: order.Uint64(b), flags: order.Uint16(b[8:]), count: int(order.Uint16(b[10:])), overflow: uint64(order.Uint32(b[12:])), data: b}
	switch {
	case p.id != id:
		return p, fmt.Errorf("page %d says that it is page %d", id, p.id)
	case p.overflow >= w.m.pages-id || (p.overflow+1)*uint64(w.m.pageSize) > maxTreePage && p.flags != freelistFlag:
		return p, fmt.Errorf("page %d has %d following", id, p.overflow)
	}
	return p, nil
}

// whole reads a page with those that follow it.
func (w *Wreck) whole(id uint64) (page, error) {
	p, err := w.head(id)
	if err != nil {
		return p, err
	}
	p.data = make([]byte, (p.overflow+1)*uint64(w.m.pageSize))
	if _, err := w.r.ReadAt(p.data, int64(id)*int64(w.m.pageSize)); err != nil {
		return p, fmt.Errorf("page %d cannot be read: %w", id, err)
	}
	return p, nil
}

// tree notes every leaf below page id. root tells that this is the tree of the bucket names.
func (w *Wreck) tree(id uint64, b kv.Bucket, root bool, depth int) {
	if w.ctx.Err() != nil {
		return
	}
	if w.reached[id] { // before it is read: there may be many pointers to it
		w.defect("page %d is in use twice", id)
		return
	}
	p, err := w.whole(id)
	switch {
	case err != nil:
		w.defect("%w", err)
		return
	case depth > maxDepth:
		w.defect("page %d is more than %d levels deep", id, maxDepth)
		return
	case p.flags != branchFlag && p.flags != leafFlag:
		w.defect("page %d has the unexpected flags %#x", id, p.flags)
		return
	}
	for n := id; n <= id+p.overflow; n++ {
		if w.reached[n] {
			w.defect("page %d is in use twice", n)
			return
		}
	}
	for n := id; n <= id+p.overflow; n++ {
		w.reached[n] = true
	}
	switch {
	case p.flags == branchFlag:
		for i := range min(p.count, (len(p.data)-pageHeader)/elementLen) {
			w.tree(order.Uint64(p.data[pageHeader+i*elementLen+8:]), b, root, depth+1)
		}
	case !root:
		w.leaves[b] = append(w.leaves[b], source{page: id})
	default:
		w.names(p, depth)
	}
}

// names notes what the buckets named in a page of the root hold.
func (w *Wreck) names(p page, depth int) {
	bad := eachElement(p.data, p.count, func(flags uint32, name, value []byte) {
		b, ok := w.known[string(name)]
		if !ok || flags != bucketFlag || len(value) < bucketLen {
			w.defect("page %d has a bucket %.40q that is not known", p.id, name)
			return
		}
		if root := order.Uint64(value); root != 0 {
			w.tree(root, b, false, depth+1)
			return
		}
		w.leaves[b] = append(w.leaves[b], source{page: p.id, inside: value[bucketLen:]})
	})
	if bad > 0 {
		w.defect("page %d: %d elements are out of bounds", p.id, bad)
	}
}

// eachElement calls fn for the elements of a leaf that lie within it, and returns how many do not.
func eachElement(data []byte, count int, fn func(flags uint32, key, value []byte)) (bad int) {
	fits := max(0, min(count, (len(data)-pageHeader)/elementLen))
	for i := range fits {
		at := pageHeader + i*elementLen
		e := data[at:]
		start := uint64(at) + uint64(order.Uint32(e[4:]))
		mid := start + uint64(order.Uint32(e[8:]))
		end := mid + uint64(order.Uint32(e[12:]))
		if end > uint64(len(data)) || mid == start {
			bad++
			continue
		}
		fn(order.Uint32(e), data[start:mid:mid], data[mid:end:end])
	}
	return bad + count - fits
}

// readFree reads the list of free pages and decides what is proven.
func (w *Wreck) readFree() {
	if !w.m.synced() {
		w.doubt("the file was not closed in order, so that it has no list of free pages")
		return
	}
	free, err := w.freelist()
	if err != nil {
		w.defect("%w", err)
		w.doubt("the list of free pages is damaged")
		return
	}
	for id := range free {
		if w.reached[id] {
			w.defect("page %d is in use and free", id)
			w.doubt("a page is in use and free")
			return
		}
	}
	w.free = free
}

func (w *Wreck) doubt(why string) {
	if w.unproven == "" {
		w.unproven = why
	}
}

func (w *Wreck) freelist() (map[uint64]bool, error) {
	p, err := w.whole(w.m.freelist)
	if err != nil {
		return nil, err
	}
	ids, n := p.data[pageHeader:], uint64(p.count)
	if n == 0xFFFF {
		n, ids = order.Uint64(ids), ids[8:]
	}
	if p.flags != freelistFlag || n > uint64(len(ids)/8) {
		return nil, fmt.Errorf("freelist page %d is damaged", p.id)
	}
	for id := p.id; id <= p.id+p.overflow; id++ {
		if w.reached[id] {
			return nil, fmt.Errorf("page %d is in use and part of the freelist", id)
		}
	}
	free, last := make(map[uint64]bool, n), uint64(1)
	for i := range n {
		id := order.Uint64(ids[8*i:])
		if id <= last || id >= w.m.pages {
			return nil, fmt.Errorf("freelist page %d is not in order", p.id)
		}
		free[id], last = true, id
	}
	for id := p.id; id <= p.id+p.overflow; id++ {
		w.reached[id] = true
	}
	return free, nil
}

// orphans looks for leaves that are in use and that nothing leads to any more. Without a list of free pages they cannot
// be told from old ones.
func (w *Wreck) orphans() {
	if w.free == nil {
		return
	}
	for id := uint64(2); id < w.m.pages && w.ctx.Err() == nil; id++ {
		if w.reached[id] || w.free[id] {
			continue
		}
		p, err := w.head(id)
		if err != nil || p.flags != leafFlag {
			continue
		}
		w.lost = append(w.lost, source{page: id})
		id += p.overflow
	}
	if n := len(w.lost); n > 0 {
		w.defect("nothing leads to %d leaf pages in use", n)
	}
}

// Scan yields what is left of a bucket: first what the tree leads to, whatever its value is, then what was found
// elsewhere and genuine says to belong into the bucket.
func (w *Wreck) Scan(b kv.Bucket, genuine func(b kv.Bucket, key, value []byte) bool) iter.Seq2[Relic, error] {
	return func(yield func(Relic, error) bool) {
		for _, s := range w.leaves[b] {
			if !w.scan(s, func(flags uint32, r Relic) bool {
				r.Reached, r.Current = true, w.unproven == ""
				return flags != 0 || yield(r, nil)
			}) {
				return
			}
		}
		for _, s := range w.lost {
			if !w.scan(s, func(flags uint32, r Relic) bool {
				return flags != 0 || !genuine(b, r.Key, r.Value) || yield(r, nil)
			}) {
				return
			}
		}
		if err := w.ctx.Err(); err != nil {
			yield(Relic{}, err)
		}
	}
}

// Trace yields every pair that any leaf page of the file still holds for a bucket, also such as were overwritten or deleted long ago: it
// serves to find out what once was. It must not be taken for what is.
func (w *Wreck) Trace(b kv.Bucket, genuine func(b kv.Bucket, key, value []byte) bool) iter.Seq[Relic] {
	return func(yield func(Relic) bool) {
		for id := uint64(2); id < w.m.pages && w.ctx.Err() == nil; id++ {
			p, err := w.head(id)
			if err != nil || p.flags != leafFlag {
				continue
			}
			if !w.scan(source{page: id}, func(flags uint32, r Relic) bool {
				if flags == 0 {
					return !genuine(b, r.Key, r.Value) || yield(r)
				}
				if len(r.Value) < bucketLen+pageHeader || order.Uint64(r.Value) != 0 {
					return true
				}
				return w.scan(source{page: id, inside: r.Value[bucketLen:]}, func(flags uint32, r Relic) bool {
					return flags != 0 || !genuine(b, r.Key, r.Value) || yield(r)
				})
			}) {
				return
			}
		}
	}
}

// scan calls fn with copies of the pairs of one leaf until it returns false.
func (w *Wreck) scan(s source, fn func(flags uint32, r Relic) bool) bool {
	data, count := s.inside, 0
	if data == nil {
		p, err := w.whole(s.page)
		if err != nil {
			return w.ctx.Err() == nil // counted before
		}
		data, count = p.data, p.count
	} else if len(data) >= pageHeader && order.Uint16(data[8:]) == leafFlag {
		count = int(order.Uint16(data[10:]))
	}
	on := true
	bad := eachElement(data, count, func(flags uint32, key, value []byte) {
		if on && len(key) <= kv.MaxKey && len(value) <= max(kv.MaxValue, w.m.pageSize) {
			on = fn(flags, Relic{Key: append([]byte{}, key...), Value: append([]byte{}, value...)})
		}
	})
	if bad > 0 && w.reached[s.page] {
		w.defect("page %d: %d elements are out of bounds", s.page, bad)
	}
	return on && w.ctx.Err() == nil
}

// NewFile makes a new store at path, as [Create] does, in as many transactions as fn likes: nothing is at path before fn returned
// and all is verified and durable.
func NewFile(ctx context.Context, path string, o *Options, fn func(*Store) error) (err error) {
	temp, err := newTemp(path)
	if err != nil {
		return err
	}
	name := temp.Name()
	defer func() {
		if err != nil {
			_ = remove(name)
		}
	}()
	if s, err := newStore(name, o); err != nil {
		return errors.Join(err, temp.Close())
	} else if err := s.fill(temp); err != nil { // closes it
		return err
	}
	s, err := Open(name, o)
	if err != nil {
		return err
	}
	if err := errors.Join(fn(s), s.Close()); err != nil {
		return err
	}
	if err := syncPath(name); err != nil {
		return err
	}
	f, err := openFile(name, true)
	if err != nil {
		return err
	}
	if err := errors.Join(verifyFile(ctx, f.File, -1), f.Close()); err != nil {
		return err
	}
	return publish(name, path, false)
}
