package memkv

import "bytes"

// A node is one pair in a treap: a binary tree ordered by key and, by a hash of the
// key, heaped, so that its shape depends on its keys alone and is balanced
// whatever order they came in. A node is never changed, so whoever
// holds a root holds a snapshot; a write copies the path to it. The nil node
// is the empty tree.
type node struct {
	key, value  []byte
	weight      uint64
	left, right *node
}

// weigh hashes a key (FNV-1a with a final mix). Who chooses keys could build
// a deep tree, so the store's seed goes in first.
func weigh(seed uint64, key []byte) uint64 {
	h := seed ^ 14695981039346656037
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// get returns the node with key, or nil.
func (n *node) get(key []byte) *node {
	for n != nil {
		switch c := bytes.Compare(key, n.key); {
		case c == 0:
			return n
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return nil
}

// with returns the tree with the pair of add in it.
func (n *node) with(add *node) *node {
	if n == nil {
		return add
	}
	c := bytes.Compare(add.key, n.key)
	if c == 0 { // the same key has the same weight
		return &node{add.key, add.value, n.weight, n.left, n.right}
	}
	if add.weight > n.weight {
		// The key cannot be below: a heavier node would be above this one.
		left, right := n.split(add.key)
		return &node{add.key, add.value, add.weight, left, right}
	}
	m := *n
	if c < 0 {
		m.left = n.left.with(add)
	} else {
		m.right = n.right.with(add)
	}
	return &m
}

// without returns the tree without key, and itself if the key is not in it.
func (n *node) without(key []byte) *node {
	if n == nil {
		return nil
	}
	switch c := bytes.Compare(key, n.key); {
	case c == 0:
		return join(n.left, n.right)
	case c < 0:
		if left := n.left.without(key); left != n.left {
			m := *n
			m.left = left
			return &m
		}
	default:
		if right := n.right.without(key); right != n.right {
			m := *n
			m.right = right
			return &m
		}
	}
	return n
}

// split returns the keys less than key, and the rest. A nil key is greater
// than all.
func (n *node) split(key []byte) (less, rest *node) {
	if n == nil {
		return nil, nil
	}
	m := *n
	if key == nil || bytes.Compare(n.key, key) < 0 {
		m.right, rest = n.right.split(key)
		return &m, rest
	}
	less, m.left = n.left.split(key)
	return less, &m
}

// join returns the tree of both; every key of a is less than every key of b.
func join(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.weight > b.weight:
		m := *a
		m.right = join(a.right, b)
		return &m
	default:
		m := *b
		m.left = join(a, b.left)
		return &m
	}
}

// ascend calls yield for the pairs from the key from on until it returns
// false, and returns false then.
func (n *node) ascend(from []byte, yield func(*node) bool) bool {
	if n == nil {
		return true
	}
	if bytes.Compare(n.key, from) < 0 {
		return n.right.ascend(from, yield)
	}
	return n.left.ascend(from, yield) && yield(n) && n.right.ascend(from, yield)
}

// descend calls yield for the pairs before the key before, from the last down;
// a nil before is the end.
func (n *node) descend(before []byte, yield func(*node) bool) bool {
	if n == nil {
		return true
	}
	if before != nil && bytes.Compare(n.key, before) >= 0 {
		return n.left.descend(before, yield)
	}
	return n.right.descend(before, yield) && yield(n) && n.left.descend(before, yield)
}
