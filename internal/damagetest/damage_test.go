package damagetest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

const pageSize = 4096

// A damage does something bad to a file and says what. It returns the file, which may be shorter.
type damage func(rng *rand.Rand, file []byte) ([]byte, string)

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
	{"cut short", 6, cut},
	{"a page of zeros", 6, zero},
	{"two pages in each other's place", 6, swapPages},
	{"a page over another", 4, copyPage},
	{"two records in each other's place", 6, swapRecords},
	{"some bytes", 8, garbage},
}

func draw(rng *rand.Rand) (string, damage) {
	sum := 0
	for _, d := range damages {
		sum += d.weight
	}
	n := rng.IntN(sum)
	for _, d := range damages {
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
