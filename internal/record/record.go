// Package record frames the values that latchbolt stores: a version byte, the
// body, and a CRC-32C that also covers the bucket and the key, so that a
// flipped bit, a value under another key, and a value of another bucket are all
// noticed. bbolt itself has no checksums below its two meta pages.
//
// The exact layout is in docs/FORMAT.md.
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"golang.org/x/crypto/cryptobyte"
)

// Overhead is how many bytes a frame adds to its body.
const Overhead = 1 + crc32.Size

var (
	// ErrDamaged means that a value is not what was written under its key.
	ErrDamaged = errors.New("record: damaged")
	// ErrNewer means that a value has a version this program does not know.
	ErrNewer = errors.New("record: newer version")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the CRC-32C over the bucket's name and the key, each with its
// length, and the framed value without its own checksum.
func checksum(bucket string, key, framed []byte) uint32 {
	// Byte by byte: the name is short, and a slice of it would be copied to the heap.
	crc := ^uint32(0)
	for i := range len(bucket) {
		crc = next(crc, bucket[i])
	}
	crc = next(next(crc, byte(len(bucket)>>8)), byte(len(bucket)))
	crc = next(next(crc, byte(len(key)>>8)), byte(len(key)))
	crc = crc32.Update(^crc, castagnoli, key)
	return crc32.Update(crc, castagnoli, framed)
}

// next adds one byte to an inverted CRC.
func next(crc uint32, b byte) uint32 { return castagnoli[byte(crc)^b] ^ crc>>8 }

// A Builder collects the body of one record. Create it with [New].
type Builder struct {
	b   []byte // the version, and the body so far
	err error
}

// builders are kept for the next records. Most records fit into what they begin with.
var builders = sync.Pool{New: func() any { return &Builder{b: make([]byte, 0, 240)} }}

// maxKept is from how many bytes on the memory of a builder is not kept.
const maxKept = 4 << 10

// New returns a Builder for a record of the version given.
func New(version byte) *Builder {
	b := builders.Get().(*Builder)
	b.b, b.err = append(b.b[:0], version), nil
	return b
}

// Free gives the memory of the builder to another record. Neither the builder nor what Seal
// returned may be used any more. To call it is not necessary.
func (b *Builder) Free() {
	if cap(b.b) <= maxKept {
		builders.Put(b)
	}
}

func (b *Builder) AddUint8(n uint8)   { b.b = append(b.b, n) }
func (b *Builder) AddUint16(n uint16) { b.b = binary.BigEndian.AppendUint16(b.b, n) }
func (b *Builder) AddUint32(n uint32) { b.b = binary.BigEndian.AppendUint32(b.b, n) }
func (b *Builder) AddUint64(n uint64) { b.b = binary.BigEndian.AppendUint64(b.b, n) }

// AddInt64 adds a signed number in two's complement.
func (b *Builder) AddInt64(n int64) { b.AddUint64(uint64(n)) }

// AddBytes adds bytes as they are.
func (b *Builder) AddBytes(v []byte) { b.b = append(b.b, v...) }

// AddString adds a string behind its length in two bytes. A longer string than
// that can tell makes Seal fail.
func (b *Builder) AddString(s string) {
	if len(s) > 1<<16-1 {
		b.err = errors.New("record: a string is longer than 65535 bytes")
		return
	}
	b.AddUint16(uint16(len(s)))
	b.b = append(b.b, s...)
}

// Seal ends the record and returns the value to store under bucket and key. It
// can be called again for another place, which overwrites the value.
func (b *Builder) Seal(bucket string, key []byte) ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	framed := binary.BigEndian.AppendUint32(b.b, checksum(bucket, key, b.b))
	b.b = framed[:len(b.b)]
	return framed, nil
}

// Append appends the value to store under bucket and key that has a whole body already. It is New, AddBytes and Seal without an
// allocation.
func Append(dst []byte, version byte, body []byte, bucket string, key []byte) []byte {
	from := len(dst)
	dst = append(append(dst, version), body...)
	return binary.BigEndian.AppendUint32(dst, checksum(bucket, key, dst[from:]))
}

// A Body is what is left to read of a record's body. A read that does not
// fit makes it fail, and [Body.Done] reports that; the values read meanwhile are zero.
type Body struct {
	s       cryptobyte.String
	version byte
	bad     bool
}

// Open checks the frame of value, found in bucket under key, and returns its
// body. The body aliases value. Version newest is the newest one the caller
// can read. The error is or wraps [ErrDamaged] or [ErrNewer].
func Open(bucket string, key, value []byte, newest byte) (Body, error) {
	n := len(value) - crc32.Size
	if n < 1 {
		return Body{}, fmt.Errorf("%w: %d bytes are too short for a record", ErrDamaged, len(value))
	}
	if checksum(bucket, key, value[:n]) != binary.BigEndian.Uint32(value[n:]) {
		return Body{}, fmt.Errorf("%w: checksum does not match", ErrDamaged)
	}
	if value[0] == 0 || value[0] > newest {
		return Body{}, fmt.Errorf("%w %d, this program reads up to %d", ErrNewer, value[0], newest)
	}
	return Body{s: cryptobyte.String(value[1:n]), version: value[0]}, nil
}

// Version returns the version the record was written with.
func (b *Body) Version() byte { return b.version }

func (b *Body) Uint8() (n uint8) {
	b.bad = !b.s.ReadUint8(&n) || b.bad
	return n
}

func (b *Body) Uint16() (n uint16) {
	b.bad = !b.s.ReadUint16(&n) || b.bad
	return n
}

func (b *Body) Uint32() (n uint32) {
	b.bad = !b.s.ReadUint32(&n) || b.bad
	return n
}

func (b *Body) Uint64() (n uint64) {
	b.bad = !b.s.ReadUint64(&n) || b.bad
	return n
}

func (b *Body) Int64() int64 { return int64(b.Uint64()) }

// String returns a copy of a string written by [Builder.AddString].
func (b *Body) String() string {
	var s cryptobyte.String
	b.bad = !b.s.ReadUint16LengthPrefixed(&s) || b.bad
	return string(s)
}

// Copy fills dst with the bytes that come next.
func (b *Body) Copy(dst []byte) { b.bad = !b.s.CopyBytes(dst) || b.bad }

// Rest returns a copy of all that is left.
func (b *Body) Rest() []byte {
	rest := append([]byte{}, b.s...)
	b.s = nil
	return rest
}

// Len returns how many bytes are left.
func (b *Body) Len() int { return len(b.s) }

// Fail makes b a body that was read wrongly, for a reader that found a number in it which cannot be.
func (b *Body) Fail() { b.bad = true }

// Err returns an error that wraps [ErrDamaged] if anything was read wrongly so far. It is for those who do not read the whole body.
func (b *Body) Err() error {
	if b.bad {
		return fmt.Errorf("%w: body has the wrong length", ErrDamaged)
	}
	return nil
}

// Done returns an error that wraps [ErrDamaged] unless exactly the whole body was read.
func (b *Body) Done() error {
	if b.bad || !b.s.Empty() {
		return fmt.Errorf("%w: body has the wrong length", ErrDamaged)
	}
	return nil
}
