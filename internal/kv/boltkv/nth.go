package boltkv

import "bytes"

// nth returns the key that has n others with the same prefix before it, or nil. It looks at each leaf once and not at each key. It is not ok if a
// page makes no sense.
func (p *pages) nth(r root, prefix []byte, n int) (key []byte, ok bool) {
	w := treeWalk{p: p}
	for at, found := w.seek(r, prefix); found; at, found = w.step(1) {
		if !w.inOrder(at.key(), 1) {
			break
		}
		if left := at.count - at.index; n >= left {
			n -= left
			w.at.index = at.count - 1 // the next step is into the next leaf
			continue
		}
		w.at.index += n
		if at, found = w.here(); !found {
			return nil, false
		}
		if key = at.key(); !bytes.HasPrefix(key, prefix) {
			key = nil
		}
		return key, true
	}
	return nil, p.damaged == 0
}

// between looks at the leaves with the keys of a span, and at the ways to them.
func (p *pages) between(r root, s span) {
	w := treeWalk{p: p}
	for at, found := w.seek(r, s.from); found && s.has(at.key()) && w.inOrder(at.key(), 1); at, found = w.step(1) {
		w.at.index = at.count - 1
	}
}
