package record_test

import (
	"bytes"
	"errors"
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
	f.Fuzz(func(t *testing.T, key, value []byte) {
		b, err := record.Open("user", key, value, 1)
		if err != nil {
			return
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
