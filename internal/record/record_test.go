package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

func sealed(t testing.TB, bucket string, key []byte) []byte {
	b := record.New(1)
	b.AddUint8(7)
	b.AddString("ada")
	b.AddInt64(-5)
	b.AddUint64(1 << 60)
	v, err := b.Seal(bucket, key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func read(bucket string, key, v []byte) error {
	b, err := record.Open(bucket, key, v, 1)
	if err != nil {
		return err
	}
	if n, s, i, u := b.Uint8(), b.String(), b.Int64(), b.Uint64(); n != 7 || s != "ada" || i != -5 || u != 1<<60 {
		return errors.New("read other values than were written")
	}
	return b.Done()
}

func TestRoundTrip(t *testing.T) {
	if err := read("user", []byte("k"), sealed(t, "user", []byte("k"))); err != nil {
		t.Fatal(err)
	}
}

// Every single flipped bit, every truncation, another key and another bucket are noticed.
func TestDamageIsNoticed(t *testing.T) {
	key := []byte{0, 1, 2}
	v := sealed(t, "user", key)
	for bit := range len(v) * 8 {
		w := bytes.Clone(v)
		w[bit/8] ^= 1 << (bit % 8)
		if err := read("user", key, w); err == nil {
			t.Errorf("bit %d flipped: no error", bit)
		}
	}
	for n := range len(v) {
		if err := read("user", key, v[:n]); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
	if err := read("user", []byte{0, 1, 3}, v); !errors.Is(err, record.ErrDamaged) {
		t.Errorf("under another key: %v", err)
	}
	if err := read("group", key, v); !errors.Is(err, record.ErrDamaged) {
		t.Errorf("in another bucket: %v", err)
	}
	// Bytes moved from the bucket's name to the key do not give the same checksum.
	if err := read("use", append([]byte("r"), key...), v); !errors.Is(err, record.ErrDamaged) {
		t.Errorf("name and key shifted: %v", err)
	}
}

func TestNewerVersion(t *testing.T) {
	b := record.New(2)
	v, err := b.Seal("user", []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record.Open("user", []byte("k"), v, 1); !errors.Is(err, record.ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
}

func TestShortAndLongBodies(t *testing.T) {
	b := record.New(1)
	b.AddUint16(3)
	v, _ := b.Seal("x", []byte("k"))
	body, err := record.Open("x", []byte("k"), v, 1)
	if err != nil {
		t.Fatal(err)
	}
	if n := body.Uint64(); n != 0 || body.Done() == nil {
		t.Errorf("reading past the end gave %d and no error", n)
	}
	body, _ = record.Open("x", []byte("k"), v, 1)
	body.Uint8()
	if body.Done() == nil {
		t.Error("unread bytes gave no error")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("k"), sealed(f, "user", []byte("k")))
	f.Add([]byte{}, []byte{})
	f.Add([]byte("k"), []byte{1, 0, 0, 0, 0})
	f.Add([]byte("k"), record.Append(nil, 0, nil, "user", []byte("k")))
	f.Add([]byte("k"), record.Append(nil, 2, nil, "user", []byte("k")))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		b, err := record.Open("user", key, value, 1)
		if err != nil {
			return
		}
		// What is accepted is what would have been written there, and nowhere else.
		body := value[1 : len(value)-(record.Overhead-1)]
		if again := record.Append(nil, b.Version(), body, "user", key); b.Version() != 1 || !bytes.Equal(again, value) {
			t.Errorf("%x is accepted, and is written as %x", value, again)
		}
		for _, bucket := range []string{"users", "uses"} {
			if _, err := record.Open(bucket, key, value, 1); err == nil {
				t.Errorf("it is accepted in the bucket %s", bucket)
			}
		}
		if _, err := record.Open("user", append(bytes.Clone(key), 0), value, 1); err == nil {
			t.Error("it is accepted under another key")
		}
		b.Uint8()
		if s := b.String(); len(s) > len(value) {
			t.Errorf("a string of %d bytes from a value of %d", len(s), len(value))
		}
		if len(b.Rest()) > len(value) {
			t.Error("the rest is longer than the value")
		}
	})
}

// A read that did not fit is not forgotten because a later one does.
func TestFailedReadsAreRemembered(t *testing.T) {
	tooMuch := map[string]func(*record.Body){
		"Uint16": func(b *record.Body) { b.Uint16() },
		"Uint32": func(b *record.Body) { b.Uint32() },
		"Uint64": func(b *record.Body) { b.Uint64() },
		"Int64":  func(b *record.Body) { b.Int64() },
		"String": func(b *record.Body) { _ = b.String() },
		"Copy":   func(b *record.Body) { b.Copy(make([]byte, 2)) },
	}
	rest := map[string]func(*record.Body){
		"Uint8":  func(b *record.Body) { b.Uint8() },
		"Uint16": func(b *record.Body) { b.Uint16() },
		"Uint32": func(b *record.Body) { b.Uint32() },
		"Uint64": func(b *record.Body) { b.Uint64() },
		"String": func(b *record.Body) { _ = b.String() },
		"Copy":   func(b *record.Body) { b.Copy(make([]byte, 8)) },
		"Rest":   func(b *record.Body) { b.Rest() },
	}
	fits := map[string][]byte{"Uint8": {9}, "Uint16": {0, 9}, "Uint32": {0, 0, 0, 9}, "Uint64": make([]byte, 8), "String": {0, 1, 'x'}, "Copy": make([]byte, 8), "Rest": {9}}
	for name, read := range rest {
		good := opened(t, fits[name])
		read(&good)
		if err := good.Done(); err != nil || good.Len() != 0 {
			t.Errorf("%s of as much as there is: %v, %d left", name, err, good.Len())
		}
		short := opened(t, fits[name][:len(fits[name])-1])
		read(&short)
		if err := short.Done(); err == nil && name != "Rest" {
			t.Errorf("%s of more than there is: no error", name)
		}
		for first, fail := range tooMuch {
			b := opened(t, []byte{255})
			fail(&b)
			b.Uint8() // what is left, so that exactly the whole body was read
			if err := b.Done(); !errors.Is(err, record.ErrDamaged) {
				t.Errorf("%s of one byte, and Uint8: got %v", first, err)
			}
			again := opened(t, append([]byte{255}, fits[name]...))
			long := make([]byte, 100)
			again.Copy(long) // fails and takes nothing
			again.Uint8()
			read(&again)
			if err := again.Done(); !errors.Is(err, record.ErrDamaged) {
				t.Errorf("%s after a read that failed: got %v", name, err)
			}
		}
	}
}

// opened is the body of a sound record.
func opened(t *testing.T, body []byte) record.Body {
	t.Helper()
	b, err := record.Open("user", []byte("k"), reseal(t, []byte("k"), body), 1)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLongestString(t *testing.T) {
	for _, n := range []int{1<<16 - 1, 1 << 16} {
		b := record.New(1)
		b.AddString(string(bytes.Repeat([]byte("x"), n)))
		v, err := b.Seal("user", []byte("k"))
		if (err == nil) != (n < 1<<16) {
			t.Errorf("a string of %d bytes: %v", n, err)
		}
		if err != nil {
			continue
		}
		body, err := record.Open("user", []byte("k"), v, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := body.String(); len(got) != n || body.Done() != nil {
			t.Errorf("a string of %d bytes came back with %d", n, len(got))
		}
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[byte]error{0: record.ErrNewer, 1: nil, 2: nil, 3: nil, 4: record.ErrNewer, 255: record.ErrNewer} {
		v, err := record.New(version).Seal("user", []byte("k"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := record.Open("user", []byte("k"), v, 3)
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("version %d: got %v, want %v", version, err, want)
		}
		if err == nil && (b.Version() != version || b.Done() != nil || len(v) != record.Overhead) {
			t.Errorf("version %d came back as %d, %v, of %d bytes", version, b.Version(), b.Done(), len(v))
		}
	}
	// Four bytes are a checksum of nothing, and no record.
	if _, err := record.Open("user", []byte("k"), make([]byte, 4), 1); !errors.Is(err, record.ErrDamaged) {
		t.Errorf("four bytes: %v", err)
	}
}

// The checksum is docs/FORMAT.md's: it is computed here from the text with the standard library.
func TestChecksumIsOfTheWholePlace(t *testing.T) {
	for _, c := range []struct{ bucket, key string }{
		{"user", "k"}, {"user", ""}, {"", "k"}, {string(bytes.Repeat([]byte("b"), 300)), string(bytes.Repeat([]byte("k"), 700))},
	} {
		b := record.New(1)
		b.AddBytes([]byte("body"))
		v, err := b.Seal(c.bucket, []byte(c.key))
		if err != nil {
			t.Fatal(err)
		}
		text := c.bucket + string(binary.BigEndian.AppendUint16(nil, uint16(len(c.bucket)))) +
			string(binary.BigEndian.AppendUint16(nil, uint16(len(c.key)))) + c.key + "\x01body"
		want := crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli))
		if got := binary.BigEndian.Uint32(v[len(v)-4:]); got != want {
			t.Errorf("bucket of %d bytes, key of %d: checksum %x, want %x", len(c.bucket), len(c.key), got, want)
		}
	}
}
