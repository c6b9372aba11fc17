package boltkv

import "bytes"

// nth returns the key that has n others with the same prefix before it, or nil. It looks at each leaf once and not at each key. It is not ok if a
// page makes no sense, which bbolt finds as well.
func (p *pages) nth(r root, prefix []byte, n int) (key []byte, ok bool) {
	w := leafWalk{p: p}
	for leaf, ok := w.seek(r.page, prefix); ; leaf, ok = w.next() {
		if !ok || leaf.leaf == nil {
			return nil, ok
		}
		if left := leaf.count - leaf.index; n >= left {
			n -= left
			continue
		}
		leaf.index += n
		if !leaf.sound() {
			return nil, false
		}
		if key = leaf.key(); !bytes.HasPrefix(key, prefix) {
			key = nil
		}
		return key, true
	}
}

// A leafWalk goes from leaf to leaf.
type leafWalk struct {
	p    *pages
	path []place // through the branches
}

// seek returns the place of a key, as search does.
func (w *leafWalk) seek(page uint64, key []byte) (place, bool) {
	return w.down(page, func(data []byte, count, at int) (int, bool) {
		i, exact, ok := find(data, count, at, key)
		if at == branchKey && !exact {
			i = max(i-1, 0)
		}
		return i, ok
	})
}

// next returns the start of the next leaf; the zero place is the end.
func (w *leafWalk) next() (place, bool) {
	for len(w.path) > 0 {
		b := &w.path[len(w.path)-1]
		if b.index++; b.index < b.count {
			return w.down(b.below(), func([]byte, int, int) (int, bool) { return 0, true })
		}
		w.path = w.path[:len(w.path)-1]
	}
	return place{}, true
}

// down goes down from a page to a leaf. pick tells where, in each page.
func (w *leafWalk) down(id uint64, pick func(data []byte, count, at int) (int, bool)) (place, bool) {
	for len(w.path) < maxDepth {
		data := w.p.page(id)
		if data == nil {
			break
		}
		flags, count := order.Uint16(data[8:]), int(order.Uint16(data[10:]))
		if pageHeader+count*elementLen > len(data) {
			break
		}
		if flags == leafFlag {
			i, ok := pick(data, count, leafKey)
			return place{leaf: data, index: i, count: count}, ok
		}
		i, ok := pick(data, count, branchKey)
		if !ok || flags != branchFlag || count == 0 {
			break
		}
		b := place{leaf: data, index: i, count: count}
		w.path = append(w.path, b)
		id = b.below()
	}
	return place{}, false
}

// below is the page that an element of a branch leads to.
func (l place) below() uint64 { return order.Uint64(l.leaf[pageHeader+l.index*elementLen+8:]) }
