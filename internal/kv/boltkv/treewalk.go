package boltkv

import "bytes"

// A branch is a page on the way to a leaf, and which of its elements the way goes through.
type branch struct {
	data         []byte
	index, count int
}

// A treeWalk goes through the leaves of a tree in the order of keys, as a cursor of bbolt does, which goes on for ever where damaged pages
// lead in a circle. Keys that are not in order end a walk, so it comes to an end. The zero treeWalk is at no place.
type treeWalk struct {
	p    *pages
	way  []branch
	few  [8]branch // where way begins
	at   place
	last []byte // the key before
}

// seek moves to the first key that is not less than key.
func (w *treeWalk) seek(r root, key []byte) (place, bool) {
	w.way, w.last = w.few[:0], nil
	w.at = w.p.search(r, key, &w.way)
	switch {
	case w.p.damaged != 0:
		return place{}, false
	case w.at.index == w.at.count: // it is in the next leaf, or nowhere
		return w.step(1)
	}
	return w.here()
}

// seekBack moves to the last key that is less than bound; a nil bound is the end.
func (w *treeWalk) seekBack(r root, bound []byte) (place, bool) {
	w.way, w.last = w.few[:0], nil
	if bound != nil {
		if w.at = w.p.search(r, bound, &w.way); w.p.damaged != 0 {
			return place{}, false
		}
		return w.step(-1)
	}
	if r.inside == nil {
		return w.enter(r.page, -1)
	}
	w.at = w.p.search(r, nil, &w.way) // which is a leaf
	w.at.index = w.at.count
	if w.p.damaged != 0 || len(w.way) > 0 {
		return w.damage(r.page)
	}
	return w.step(-1)
}

// step moves on by one: forward if by is 1, back if it is -1. It reports false at the end, and where a page makes no sense.
func (w *treeWalk) step(by int) (place, bool) {
	if w.at.index += by; w.at.index >= 0 && w.at.index < w.at.count {
		return w.here()
	}
	for n := len(w.way) - 1; n >= 0; n-- {
		b := &w.way[n]
		if b.index += by; b.index >= 0 && b.index < b.count {
			w.way = w.way[:n+1]
			return w.enter(order.Uint64(b.data[pageHeader+b.index*elementLen+8:]), by)
		}
	}
	return place{}, false
}

// enter goes down from a page to its first key, or its last one if by is -1.
func (w *treeWalk) enter(id uint64, by int) (place, bool) {
	for len(w.way) < maxDepth {
		data := w.p.page(id)
		if data == nil {
			break
		}
		flags, count := order.Uint16(data[8:]), int(order.Uint16(data[10:]))
		if count == 0 && len(w.way) == 0 && flags == leafFlag {
			return place{}, false // the tree is empty
		}
		if count == 0 || pageHeader+count*elementLen > len(data) || flags != leafFlag && flags != branchFlag {
			break
		}
		index := 0
		if by < 0 {
			index = count - 1
		}
		if flags == leafFlag {
			w.at = place{leaf: data, index: index, count: count}
			return w.here()
		}
		w.way = append(w.way, branch{data, index, count})
		id = order.Uint64(data[pageHeader+index*elementLen+8:])
	}
	return w.damage(id)
}

// here returns the present place, unless it makes no sense.
func (w *treeWalk) here() (place, bool) {
	if !w.at.sound() {
		return w.damage(0)
	}
	return w.at, true
}

// inOrder notes the key of the present place, which must be after the one before, or before it if by is -1.
func (w *treeWalk) inOrder(key []byte, by int) bool {
	if w.last != nil && bytes.Compare(key, w.last) != by {
		w.damage(0)
		return false
	}
	w.last = key
	return true
}

// damage notes a page that makes no sense; 0 is that of the present place.
func (w *treeWalk) damage(id uint64) (place, bool) {
	if id == 0 && len(w.at.leaf) >= pageHeader {
		id = order.Uint64(w.at.leaf)
	}
	w.p.damaged = max(id, 1)
	return place{}, false
}
