package damagetest

import (
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

const pageSize = 4096

// A damage does something bad to a file and says what. It returns the file, which may be shorter.
type damage func(rng *rand.Rand, file []byte) ([]byte, string)

var onlyFlag = flag.String("only", "", "draw only damage whose `name` contains this")

// damages are drawn by weight.
var damages = []struct {
	name   string
	weight int
	do     damage
}{
	{"a bit anywhere", 20, flipAnywhere},
	{"a bit in use", 30, flipUsed},
	{"a bit of a page's head", 8, flipHead},
	{"a bit of the first two pages", 8, flipMeta},
	{"a bit of a pointer", 8, flipPointer},
	{"a pointer to another page", 8, movePointer},
	{"a pointer to an old copy", 4, oldPointer},
	{"cut short", 6, cut},
	{"a page of zeros", 6, zero},
	{"two pages in each other's place", 6, swapPages},
	{"a page over another", 4, copyPage},
	{"two records in each other's place", 6, swapRecords},
	{"some bytes", 8, garbage},
}

func draw(rng *rand.Rand, only string) (string, damage) {
	sum := 0
	for _, d := range damages {
		if strings.Contains(d.name, only) {
			sum += d.weight
		}
	}
	n := rng.IntN(sum)
	for _, d := range damages {
		if !strings.Contains(d.name, only) {
			continue
		}
		if n -= d.weight; n < 0 {
			return d.name, d.do
		}
	}
	panic("no damage")
}

func flip(file []byte, bit int) ([]byte, string) {
	file[bit/8] ^= 1 << (bit % 8)
	return file, fmt.Sprintf("bit %d of byte %d, in page %d", bit%8, bit/8, bit/8/pageSize)
}

func flipAnywhere(rng *rand.Rand, file []byte) ([]byte, string) {
	return flip(file, rng.IntN(len(file)*8))
}

// flags returns the kind of page there seems to be: 1 branch, 2 leaf, 4 meta, 16 list of free pages.
func flags(file []byte, page int) int {
	return int(binary.NativeEndian.Uint16(file[page*pageSize+8:]))
}

func count(file []byte, page int) int {
	return int(binary.NativeEndian.Uint16(file[page*pageSize+10:]))
}

// somePage returns a page of one of the kinds.
func somePage(rng *rand.Rand, file []byte, kinds ...int) int {
	for range 100_000 {
		page := rng.IntN(len(file) / pageSize)
		for _, k := range kinds {
			if flags(file, page) == k {
				return page
			}
		}
	}
	panic(fmt.Sprint("there is no page of the kinds ", kinds))
}

// flipUsed flips a bit where a page has something.
func flipUsed(rng *rand.Rand, file []byte) ([]byte, string) {
	for {
		bit := somePage(rng, file, 1, 2)*pageSize*8 + rng.IntN(pageSize*8)
		from := max(bit/8-8, 0)
		for _, b := range file[from:min(from+16, len(file))] {
			if b != 0 {
				return flip(file, bit)
			}
		}
	}
}

func flipHead(rng *rand.Rand, file []byte) ([]byte, string) {
	return flip(file, somePage(rng, file, 1, 2, 16)*pageSize*8+rng.IntN(16*8))
}

func flipMeta(rng *rand.Rand, file []byte) ([]byte, string) {
	return flip(file, rng.IntN(2)*pageSize*8+rng.IntN(80*8))
}

// pointer returns where a branch page keeps the number of a page below.
func pointer(rng *rand.Rand, file []byte) int {
	page := somePage(rng, file, 1)
	return page*pageSize + 16 + 16*rng.IntN(max(1, count(file, page))) + 8
}

func flipPointer(rng *rand.Rand, file []byte) ([]byte, string) {
	bits := 1
	for 1<<bits < len(file)/pageSize {
		bits++
	}
	return flip(file, pointer(rng, file)*8+rng.IntN(bits))
}

// movePointer makes a branch lead to some other page of the same kind: mostly one that is old.
func movePointer(rng *rand.Rand, file []byte) ([]byte, string) {
	at := pointer(rng, file)
	page := somePage(rng, file, 2)
	was := binary.NativeEndian.Uint64(file[at:])
	binary.NativeEndian.PutUint64(file[at:], uint64(page))
	return file, fmt.Sprintf("the pointer at %d leads to page %d instead of %d", at, page, was)
}

// An oldCopy is a pointer and a page that could stand there by its keys and by the checksums in it: one that stood there once.
type oldCopy struct{ at, was, old int }

// oldCopies finds them all.
func oldCopies(file []byte) (all []oldCopy) {
	for bucket, branch := range branches(file) {
		for i := range count(file, branch) {
			at := branch*pageSize + 16 + 16*i
			was := int(binary.NativeEndian.Uint64(file[at+8:]))
			low, high := separator(file, branch, i), separator(file, branch, i+1)
			for old := range len(file) / pageSize {
				if old != was && flags(file, old) == 2 && isOf(file, old, bucket, low, high) {
					all = append(all, oldCopy{at + 8, was, old})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b oldCopy) int { return cmp.Or(a.at-b.at, a.old-b.old) })
	return all
}

// branches returns the page of each bucket that is a branch.
func branches(file []byte) map[string]int {
	meta := 0
	if binary.NativeEndian.Uint64(file[pageSize+64:]) > binary.NativeEndian.Uint64(file[64:]) {
		meta = 1
	}
	root := int(binary.NativeEndian.Uint64(file[meta*pageSize+32:]))
	leaves := []int{root}
	if flags(file, root) == 1 {
		leaves = nil
		for i := range count(file, root) {
			leaves = append(leaves, int(binary.NativeEndian.Uint64(file[root*pageSize+16+16*i+8:])))
		}
	}
	all := make(map[string]int)
	for _, leaf := range leaves {
		for _, e := range elements(file, leaf) {
			if page := int(binary.NativeEndian.Uint64(file[e.value:])); page != 0 && flags(file, page) == 1 {
				all[string(file[e.key:e.value])] = page
			}
		}
	}
	return all
}

// freePages returns the pages on the list of free ones.
func freePages(file []byte) map[int]bool {
	free := make(map[int]bool)
	for page := range len(file) / pageSize {
		if flags(file, page) == 16 && (int(binary.NativeEndian.Uint64(file[48:])) == page || int(binary.NativeEndian.Uint64(file[pageSize+48:])) == page) {
			for i := range count(file, page) {
				free[int(binary.NativeEndian.Uint64(file[page*pageSize+16+8*i:]))] = true
			}
		}
	}
	return free
}

// isOf reports whether a leaf has been one of a bucket, with keys from low to below high.
func isOf(file []byte, page int, bucket, low, high string) bool {
	all := elements(file, page)
	if len(all) == 0 || int(binary.NativeEndian.Uint64(file[page*pageSize:])) != page {
		return false
	}
	for _, e := range all {
		key := file[e.key:e.value]
		if _, err := record.Open(bucket, key, file[e.value:e.end], 1); err != nil || string(key) < low || high != "" && string(key) >= high {
			return false
		}
	}
	return true
}

// oldPointer makes a branch lead to an old copy of what it should lead to. Everything about that is
// in order but that it is not true any more.
func oldPointer(rng *rand.Rand, file []byte) ([]byte, string) {
	all := oldCopies(file)
	if len(all) == 0 {
		panic("there is no old copy of any page")
	}
	c := all[rng.IntN(len(all))]
	binary.NativeEndian.PutUint64(file[c.at:], uint64(c.old))
	return file, fmt.Sprintf("the pointer at %d leads to page %d instead of %d", c.at, c.old, c.was)
}

// separator returns the least key of what element i of a branch leads to, or "" if there is no such element.
func separator(file []byte, page, i int) string {
	at := page*pageSize + 16 + 16*i
	if i >= count(file, page) || at+16 > (page+1)*pageSize {
		return ""
	}
	from := at + int(binary.NativeEndian.Uint32(file[at:]))
	to := from + int(binary.NativeEndian.Uint32(file[at+4:]))
	return string(file[min(from, len(file)):min(max(from, to), len(file))])
}

func cut(rng *rand.Rand, file []byte) ([]byte, string) {
	n := rng.IntN(len(file))
	if rng.IntN(2) == 0 {
		n -= n % pageSize
	}
	return file[:n], fmt.Sprintf("to %d bytes", n)
}

func zero(rng *rand.Rand, file []byte) ([]byte, string) {
	page := rng.IntN(len(file) / pageSize)
	clear(file[page*pageSize:][:pageSize])
	return file, fmt.Sprint("page ", page)
}

func swapPages(rng *rand.Rand, file []byte) ([]byte, string) {
	i, j := somePage(rng, file, 1, 2, 4, 16), somePage(rng, file, 1, 2, 4, 16)
	a, b := file[i*pageSize:][:pageSize], file[j*pageSize:][:pageSize]
	for k := range a {
		a[k], b[k] = b[k], a[k]
	}
	return file, fmt.Sprint(i, " and ", j)
}

func copyPage(rng *rand.Rand, file []byte) ([]byte, string) {
	i, j := somePage(rng, file, 1, 2, 4, 16), somePage(rng, file, 1, 2, 4, 16)
	copy(file[i*pageSize:][:pageSize], file[j*pageSize:][:pageSize])
	return file, fmt.Sprint(j, " over ", i)
}

// An element is where a leaf keeps a pair.
type element struct{ at, key, value, end int }

func elements(file []byte, page int) (all []element) {
	end := (page + 1) * pageSize
	for i := range count(file, page) {
		at := page*pageSize + 16 + 16*i
		if at+16 > end {
			break
		}
		e := element{at: at, key: at + int(binary.NativeEndian.Uint32(file[at+4:]))}
		e.value = e.key + int(binary.NativeEndian.Uint32(file[at+8:]))
		e.end = e.value + int(binary.NativeEndian.Uint32(file[at+12:]))
		if e.end <= end {
			all = append(all, e)
		}
	}
	return all
}

// swapRecords lets two elements of a leaf keep their keys and have each other's values.
func swapRecords(rng *rand.Rand, file []byte) ([]byte, string) {
	for {
		page := somePage(rng, file, 2)
		all := elements(file, page)
		if len(all) < 2 {
			continue
		}
		a, b := all[rng.IntN(len(all))], all[rng.IntN(len(all))]
		if n := a.end - a.value; n == b.end-b.value && a != b {
			old := append([]byte{}, file[a.value:a.end]...)
			copy(file[a.value:a.end], file[b.value:b.end])
			copy(file[b.value:b.end], old)
			return file, fmt.Sprintf("page %d, %d and %d", page, a.value, b.value)
		}
	}
}

func garbage(rng *rand.Rand, file []byte) ([]byte, string) {
	at, n := rng.IntN(len(file)), 1+rng.IntN(64)
	for i := at; i < min(at+n, len(file)); i++ {
		file[i] = byte(rng.Uint32())
	}
	return file, fmt.Sprintf("%d bytes at %d", n, at)
}
