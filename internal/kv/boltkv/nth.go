package boltkv

import "bytes"

// nth returns the key that has n others with the same prefix before it, or nil. It looks at each leaf once and not at each key. It is not ok if a
// page makes no sense, which bbolt finds as well.
func (p *pages) nth(r root, prefix []byte, n int) (key []byte, ok bool) {
	w := treeWalk{p: p}
	for at, found := w.seek(r, prefix); found; at, found = w.step(1) {
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
