package boltkv

import (
	"bytes"

	bolt "go.etcd.io/bbolt"
)

// fillRuns tells bbolt where to split the pages of b that will be too small for the entries that are about to be put, in a bucket
// where keys come in runs: each behind those that begin with the same n bytes.
//
// Where runs are short, keys come at random, and bbolt's way is right: it leaves half of a page's content in it, and pages are two
// thirds full on the whole. But where a run fills pages, nothing comes into a page that the run has left behind, so that all of them would
// stay half empty. Such a page is split behind the new key. There is one number for all pages of a commit; since few are split by each,
// it is the least that one of them asks for, and bbolt's if a branch is to be split as well.
func fillRuns(b *bolt.Bucket, entries []entry, n int) {
	p := mapped(b.Tx())
	r := root{page: uint64(b.Root())}
	if r.page == 0 {
		return // it is small
	}
	least, split := 1.0, false
	for len(entries) > 0 {
		var l leafRun
		l, entries = p.leafRun(r, entries)
		if l.overflows(p.size) {
			want := l.wants(p.size, n)
			if want > bolt.DefaultFillPercent && p.branchFull(r, l.key) {
				want = bolt.DefaultFillPercent
			}
			least, split = min(least, want), true
		}
	}
	if split {
		b.FillPercent = least
	}
}

// A leafRun is what comes into one leaf.
type leafRun struct {
	first place // where the first entry goes
	key   []byte
	used  int // bytes of the leaf
	more  int // bytes that come
	until int // of all those, as far as the last one that comes, which is key
}

// leafRun looks at the leaf of the first entry, and returns the entries of other leaves. The zero leafRun is one that makes no sense, which
// bbolt finds as well.
func (p *pages) leafRun(r root, entries []entry) (l leafRun, rest []entry) {
	l.first = p.search(r, entries[0].key, nil)
	last := place{leaf: l.first.leaf, index: l.first.count - 1, count: l.first.count}
	if l.first.count == 0 || !last.sound() || !(place{leaf: last.leaf, count: last.count}).sound() {
		return leafRun{}, entries[1:]
	}
	l.used = last.end()
	for at := l.first; ; at = p.search(r, rest[0].key, nil) {
		rest = entries[1:]
		switch e := entries[0]; {
		case at.leaf == nil || &at.leaf[0] != &last.leaf[0]:
			return l, entries
		case !e.gone && !at.exact:
			l.more += elementLen + len(e.key) + len(e.value)
			l.key, l.until = e.key, at.before()+l.more
		}
		if entries = rest; len(rest) == 0 {
			return l, nil
		}
	}
}

// end is where the element ends that the place is of.
func (l place) end() int {
	e := pageHeader + l.index*elementLen
	return e + int(order.Uint32(l.leaf[e+4:])) + int(order.Uint32(l.leaf[e+8:])) + int(order.Uint32(l.leaf[e+12:]))
}

// before is how many bytes a page takes that holds what comes before the place.
func (l place) before() int {
	if l.index == 0 {
		return pageHeader
	}
	prev := place{leaf: l.leaf, index: l.index - 1, count: l.count}
	if !prev.sound() {
		return pageHeader
	}
	return prev.end() - (l.count-l.index)*elementLen
}

func (l *leafRun) overflows(pageSize int) bool { return l.used+l.more > pageSize }

// wants returns how much is to stay in the leaf.
func (l *leafRun) wants(pageSize, n int) float64 {
	start := place{leaf: l.first.leaf, count: l.first.count}.key()
	if len(start) < n || !bytes.HasPrefix(l.key, start[:n]) {
		return bolt.DefaultFillPercent
	}
	return min(max(float64(l.until+1)/float64(pageSize), bolt.DefaultFillPercent), 1)
}

// branchFull reports whether a branch on the way to a key has no room for two more leaves.
func (p *pages) branchFull(r root, key []byte) bool {
	id := r.page
	for range maxDepth {
		data := p.page(id)
		if data == nil || order.Uint16(data[8:]) != branchFlag {
			return false
		}
		count := int(order.Uint16(data[10:]))
		if count == 0 || pageHeader+count*elementLen > len(data) {
			return false
		}
		last := pageHeader + (count-1)*elementLen
		if last+int(order.Uint32(data[last:]))+int(order.Uint32(data[last+4:]))+2*(elementLen+len(key)) > p.size {
			return true
		}
		at, exact, ok := find(data, count, branchKey, key)
		if !ok {
			return false
		}
		if !exact {
			at = max(at-1, 0)
		}
		id = order.Uint64(data[pageHeader+at*elementLen+8:])
	}
	return false
}
