package boltkv

import (
	"bytes"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// Reads of a View go to bbolt's map of the file without bbolt's cursors, which allocate several times for each key and
// believe what a page says. Here every number is checked before it is followed, so that a page that was damaged after Open
// looked at it is noticed when it is used. bbolt's transaction is what keeps the map in its place and the pages from being used again.

// pages are the pages of one state of the file, in bbolt's map.
type pages struct {
	data []byte // up to the high-water mark
	size int    // of a page
	// damaged is the page where a search had to stop, or 0.
	damaged uint64
}

// mapped returns the pages that a read transaction may see.
func mapped(tx *bolt.Tx) pages {
	info := tx.DB().Info()
	start := *(*unsafe.Pointer)(unsafe.Pointer(&info.Data)) // the map is not the collector's, and stays while tx is open
	return pages{data: unsafe.Slice((*byte)(start), tx.Size()), size: info.PageSize}
}

// A root is where the tree of a bucket begins: a page, or content that is so small that it stands in another page.
type root struct {
	page   uint64
	inside []byte
}

// roots are those of all buckets in one state of one open file.
type roots struct {
	db  *bolt.DB
	rev int
	at  *byte  // where the map was, which inside lies in
	of  []root // by number of the bucket; the zero root is not known
}

// rootsAt returns the roots as of a read transaction, or those that a write transaction began with.
func (s *Store) rootsAt(tx *bolt.Tx, p *pages) *roots {
	rev := tx.ID()
	if tx.Writable() {
		rev--
	}
	if r := s.roots.Load(); r != nil && r.db == tx.DB() && r.rev == rev && r.at == unsafe.SliceData(p.data) {
		return r
	}
	r := &roots{db: tx.DB(), rev: rev, at: unsafe.SliceData(p.data), of: make([]root, len(s.names))}
	names := root{page: uint64(tx.Cursor().Bucket().Root())}
	for i, name := range s.names {
		l := p.search(names, name, nil)
		if !l.exact || l.flags() != bucketFlag {
			continue
		}
		v := l.value()
		switch {
		case len(v) < bucketLen:
		case order.Uint64(v) != 0:
			r.of[i].page = order.Uint64(v)
		case len(v) >= bucketLen+pageHeader:
			r.of[i].inside = v[bucketLen:]
		}
	}
	p.damaged = 0 // bbolt finds the same, and says it
	s.roots.Store(r)
	return r
}

// A place is an element of a leaf: the one with the key that was looked for if it is exact, and otherwise the first with a greater one, or
// the end of the leaf. The zero place is none.
type place struct {
	leaf         []byte
	index, count int
	exact        bool
}

// search returns the place of a key in the tree of a root. It notes a page that makes no sense. If way is not nil,
// the branches that it came through are added to it.
func (p *pages) search(r root, key []byte, way *[]branch) place {
	data, id := r.inside, r.page
	for depth := range maxDepth {
		if data == nil {
			if data = p.page(id); data == nil {
				p.damaged = max(id, 1)
				return place{}
			}
		}
		flags, count := order.Uint16(data[8:]), int(order.Uint16(data[10:]))
		if pageHeader+count*elementLen > len(data) {
			break
		}
		if depth >= farDepth {
			fetch(data, count, flags)
		}
		switch {
		case flags == leafFlag:
			at, exact, ok := find(data, count, leafKey, key)
			if !ok || at < count && !(place{leaf: data, index: at, count: count}).sound() {
				p.damaged = max(id, 1)
				return place{}
			}
			return place{data, at, count, exact}
		case flags != branchFlag || count == 0:
			p.damaged = max(id, 1)
			return place{}
		}
		at, exact, ok := find(data, count, branchKey, key)
		if !ok {
			break
		}
		if !exact {
			at = max(at-1, 0)
		}
		if way != nil {
			*way = append(*way, branch{data, at, count})
		}
		id, data = order.Uint64(data[pageHeader+at*elementLen+8:]), nil
	}
	p.damaged = max(id, 1)
	return place{}
}

// farDepth is from where on the pages of a tree are so many that a processor's caches do not hold them.
const farDepth = 2

// fetch has the elements of a page and the beginnings of its keys brought into the processor's cache, all at once: a search waits for the
// memory a dozen times, for one after the other.
//
//go:noinline
func fetch(data []byte, count int, flags uint16) (sum byte) {
	for i := 64; i < pageHeader+count*elementLen; i += 64 {
		sum += data[i]
	}
	at := branchKey
	if flags == leafFlag {
		at = leafKey
	}
	for e := pageHeader; e < pageHeader+count*elementLen; e += elementLen {
		if key := uint64(e) + uint64(order.Uint32(data[e+at:])); key < uint64(len(data)) {
			sum += data[key]
		}
	}
	return sum
}

// page returns a page with those that follow it, or nil if it is not there.
func (p *pages) page(id uint64) []byte {
	last := uint64(len(p.data) / p.size)
	if id < 2 || id >= last {
		return nil
	}
	data := p.data[id*uint64(p.size):]
	following := uint64(order.Uint32(data[12:]))
	if order.Uint64(data) != id || following >= last-id {
		return nil
	}
	n := (following + 1) * uint64(p.size)
	return data[:n:n]
}

// Where the elements of pages have their keys: in a branch behind the page below, in a leaf behind the flags.
const (
	branchKey = 0
	leafKey   = 4
)

// find returns the first element whose key is not less than key, whether it is the same, and whether all keys on the way were within the
// page.
func find(data []byte, count, at int, key []byte) (index int, exact, ok bool) {
	low, high := 0, count
	for low < high {
		mid := int(uint(low+high) / 2)
		e := pageHeader + mid*elementLen
		start := uint64(e) + uint64(order.Uint32(data[e+at:]))
		end := start + uint64(order.Uint32(data[e+at+4:]))
		if end > uint64(len(data)) {
			return 0, false, false
		}
		switch c := bytes.Compare(data[start:end], key); {
		case c < 0:
			low = mid + 1
		case c == 0:
			return mid, true, true
		default:
			high = mid
		}
	}
	return low, false, true
}

// sound reports whether key and value are within the page.
func (l place) sound() bool {
	e := pageHeader + l.index*elementLen
	return uint64(e)+uint64(order.Uint32(l.leaf[e+4:]))+uint64(order.Uint32(l.leaf[e+8:]))+uint64(order.Uint32(l.leaf[e+12:])) <= uint64(len(l.leaf))
}

func (l place) flags() uint32 { return order.Uint32(l.leaf[pageHeader+l.index*elementLen:]) }

func (l place) key() []byte {
	e := pageHeader + l.index*elementLen
	start := e + int(order.Uint32(l.leaf[e+4:]))
	end := start + int(order.Uint32(l.leaf[e+8:]))
	return l.leaf[start:end:end]
}

func (l place) value() []byte {
	e := pageHeader + l.index*elementLen
	start := e + int(order.Uint32(l.leaf[e+4:])) + int(order.Uint32(l.leaf[e+8:]))
	end := start + int(order.Uint32(l.leaf[e+12:]))
	return l.leaf[start:end:end]
}

// direct returns the root of bucket i if it can be read without bbolt.
func (r *reader) direct(i int) (root, bool) {
	if r.roots == nil || r.tx.Writable() && !r.clean { // what was written is not in the file yet
		return root{}, false
	}
	at := r.roots.of[i]
	return at, at.page != 0 || at.inside != nil
}

// passable looks at the pages through which bbolt will go to a key of bucket i in a write transaction, where it follows pages that lead in a
// circle until the process ends. Until the commit, which writes them anew, the branches are those of the state before.
func (r *reader) passable(i int, key []byte) error {
	return r.looked(i, func(at root) { r.pages.search(at, key, nil) })
}

// passableAll is passable for all keys of a span.
func (r *reader) passableAll(i int, s span) error {
	return r.looked(i, func(at root) { r.pages.between(at, s) })
}

// looked calls look with the root of bucket i, if it is a page, and returns what that notes.
func (r *reader) looked(i int, look func(root)) error {
	if r.roots == nil || r.roots.of[i].page == 0 {
		return nil
	}
	if look(r.roots.of[i]); r.pages.damaged != 0 {
		return r.damage(i)
	}
	return nil
}

// damage is the error of a page of bucket i that made no sense. What is elsewhere can still be read.
func (r *reader) damage(i int) error {
	id := r.pages.damaged
	r.pages.damaged = 0
	return r.s.corrupt("page %d is damaged, where bucket %q is", id, r.s.names[i])
}

// directGet is get without bbolt. The caller guards against faults.
func (r *reader) directGet(i int, at root, key []byte) ([]byte, error) {
	l := r.pages.search(at, key, nil)
	switch {
	case r.pages.damaged != 0:
		return nil, r.damage(i)
	case !l.exact:
		return nil, nil
	case l.flags() != 0:
		return nil, r.s.corrupt("bucket %q: a pair that is none of ours", r.s.names[i])
	}
	return l.value(), nil
}

// none reports whether there is certainly no key with the prefix, as is so for most users' own permissions.
func (r *reader) none(i int, prefix []byte) (none bool, err error) {
	at, ok := r.direct(i)
	if !ok {
		return false, nil
	}
	defer r.s.guard(&err)
	l := r.pages.search(at, prefix, nil)
	if r.pages.damaged != 0 {
		return false, r.damage(i)
	}
	return l.index < l.count && !bytes.HasPrefix(l.key(), prefix) || at.inside != nil && l.index == l.count, nil
}
