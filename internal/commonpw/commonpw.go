// Package commonpw knows the passwords that many people have chosen. The list is
// exact: it is a set of texts, not a filter that may be wrong. README.md says
// where it comes from.
package commonpw

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"io"
	"sync"
)

//go:generate go run gen.go -django common-passwords.txt.gz -zxcvbn passwords.json

//go:embed list.bin
var packed []byte

const (
	block    = 16 // entries for each place in the index
	maxEntry = 64 // bytes in the longest entry
)

// A list is a sorted list of texts. Each entry in plain is the number of bytes it
// shares with the one before, the number of its other bytes, and these.
// index has the offsets in plain of every block-th entry, which shares nothing.
type list struct {
	plain []byte
	index []uint32
}

// load unpacks the list on first use and keeps it, about 360 KB. It panics if the list
// is damaged, which would take a damaged program.
var load = sync.OnceValue(func() *list {
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		panic("commonpw: the embedded list is damaged: " + err.Error())
	}
	l := &list{plain: bytes.Clone(plain)}
	n := 0
	for at := 0; at < len(plain); at += 2 + int(plain[at+1]) {
		if n%block == 0 {
			l.index = append(l.index, uint32(at))
		}
		n++
	}
	return l
})

// Contains reports whether the list has s, which should be in lower case and without
// outer white space like all its entries. It may be called concurrently,
// allocates only when called first, and compares at most block entries in full.
func Contains(s string) bool {
	if s == "" || len(s) > maxEntry {
		return false
	}
	l := load()
	// Find the first block that begins after s; s can only be in the one before.
	lo, hi := 0, len(l.index)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if at := int(l.index[mid]); string(l.plain[at+2:at+2+int(l.plain[at+1])]) <= s {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return false
	}
	var entry [maxEntry]byte
	at := int(l.index[lo-1])
	for range block {
		if at == len(l.plain) {
			break
		}
		shared, rest := int(l.plain[at]), int(l.plain[at+1])
		copy(entry[shared:], l.plain[at+2:at+2+rest])
		if string(entry[:shared+rest]) == s {
			return true
		}
		at += 2 + rest
	}
	return false
}
