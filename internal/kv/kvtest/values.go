package kvtest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// values tests Get for absent, empty and other values, in both kinds of
// transactions.
func values(t *testing.T, s kv.Store) {
	check := func(where string, r kv.Reader) error {
		for _, test := range []struct {
			key, want string
			absent    bool
		}{
			{key: "absent", absent: true},
			{key: "nil", want: ""},
			{key: "empty", want: ""},
			{key: "full", want: "value"},
			{key: "gone", absent: true},
			{key: "", absent: true},
			{key: "ful", absent: true},
			{key: "fulll", absent: true},
		} {
			v, err := r.Get(A, []byte(test.key))
			if err != nil {
				return err
			}
			if (v == nil) != test.absent || string(v) != test.want {
				t.Errorf("%s: Get(%q) = %q (nil: %v), want %q (nil: %v)", where, test.key, v, v == nil, test.want, test.absent)
			}
		}
		if v, err := r.Get(B, []byte("full")); v != nil || err != nil {
			t.Errorf("%s: another bucket has %q, %v", where, v, err)
		}
		return nil
	}
	put(t, s, "gone", "x")
	_, err := s.Update(ctx(t), func(tx kv.Tx) error {
		if v, err := tx.Get(A, []byte("gone")); string(v) != "x" || err != nil {
			t.Errorf("before delete: %q, %v", v, err)
		}
		for _, err := range []error{
			tx.Put(A, []byte("nil"), nil),
			tx.Put(A, []byte("empty"), []byte{}),
			tx.Put(A, []byte("full"), []byte("other")),
			tx.Put(A, []byte("full"), []byte("value")),
			tx.Delete(A, []byte("gone")),
			tx.Delete(A, []byte("never there")),
		} {
			if err != nil {
				return err
			}
		}
		return check("own writes", tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(ctx(t), func(tx kv.Tx) error { return check("update", tx) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.View(ctx(t), func(r kv.Reader) error { return check("view", r) }); err != nil {
		t.Fatal(err)
	}
}

// emptyValues tests that an empty value is not taken for an absent one in the transaction that puts it, be the key short or long.
func emptyValues(t *testing.T, s kv.Store) {
	for _, n := range []int{kv.MaxKey, 257, 256, 255, 1} {
		key := bytes.Repeat([]byte{'k'}, n)
		if _, err := s.Update(ctx(t), func(tx kv.Tx) error {
			if err := tx.Put(A, key, nil); err != nil {
				return err
			}
			v, err := tx.Get(A, key)
			if v == nil || len(v) > 0 {
				t.Errorf("Get of an empty value, with a key of %d bytes: got %q (nil: %v)", n, v, v == nil)
			}
			for p, err := range tx.Scan(A, key, nil) {
				if p.Value == nil || err != nil {
					t.Errorf("Scan of an empty value, with a key of %d bytes: got nil, %v", n, err)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// valuesAreCopied tests that the caller may use its slices again.
func valuesAreCopied(t *testing.T, s kv.Store) {
	_, err := s.Update(ctx(t), func(tx kv.Tx) error {
		k, v, p := []byte("key"), []byte("value"), []byte("pre")
		for _, err := range []error{tx.Put(A, []byte("prefix"), v), tx.Put(A, k, v), tx.DeletePrefix(A, p), tx.Delete(B, k)} {
			if err != nil {
				return err
			}
		}
		copy(k, "XXX")
		copy(v, "XXXXX")
		copy(p, "key")
		got, err := tx.Get(A, []byte("key"))
		if string(got) != "value" {
			t.Errorf("in the transaction: %q", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "key", "value")
}

// limits tests the largest keys and values and those that are too large.
func limits(t *testing.T, s kv.Store) {
	key := func(n int) []byte { return bytes.Repeat([]byte("k"), n) }
	value := bytes.Repeat([]byte("v"), kv.MaxValue)
	_, err := s.Update(ctx(t), func(tx kv.Tx) error {
		wantErr(t, "empty key", tx.Put(A, nil, nil), kv.ErrTooLarge)
		wantErr(t, "empty key in Delete", tx.Delete(A, []byte{}), kv.ErrTooLarge)
		wantErr(t, "long key", tx.Put(A, key(kv.MaxKey+1), nil), kv.ErrTooLarge)
		wantErr(t, "long key in Delete", tx.Delete(A, key(kv.MaxKey+1)), kv.ErrTooLarge)
		wantErr(t, "long value", tx.Put(A, key(1), append(value, 'v')), kv.ErrTooLarge)
		if v, err := tx.Get(A, key(kv.MaxKey+1)); v != nil || err != nil {
			t.Errorf("Get of a long key: %q, %v", v, err)
		}
		return tx.Put(A, key(kv.MaxKey), value)
	})
	if err != nil {
		t.Fatalf("largest pair: %v", err)
	}
	_, err = s.View(ctx(t), func(r kv.Reader) error {
		v, err := r.Get(A, key(kv.MaxKey))
		if !bytes.Equal(v, value) {
			t.Errorf("largest value came back with %d bytes", len(v))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// unknownBucket tests that every operation refuses a bucket that is not there.
// A store that takes every bucket passes.
func unknownBucket(t *testing.T, s kv.Store) {
	_, err := s.Update(ctx(t), func(tx kv.Tx) error {
		_, err := tx.Get(Unknown, []byte("k"))
		if err == nil {
			t.Log("the store takes every bucket")
			return nil
		}
		wantErr(t, "Get", err, kv.ErrBucket)
		wantErr(t, "Put", tx.Put(Unknown, []byte("k"), nil), kv.ErrBucket)
		wantErr(t, "Delete", tx.Delete(Unknown, []byte("k")), kv.ErrBucket)
		wantErr(t, "DeletePrefix", tx.DeletePrefix(Unknown, nil), kv.ErrBucket)
		_, err = tx.DeleteSome(Unknown, nil, 1)
		wantErr(t, "DeleteSome", err, kv.ErrBucket)
		_, err = list(tx.Scan(Unknown, nil, nil))
		wantErr(t, "Scan", err, kv.ErrBucket)
		_, err = list(tx.ScanBack(Unknown, nil, nil))
		wantErr(t, "ScanBack", err, kv.ErrBucket)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// prefixEdges tests scans and DeletePrefix where the end of a prefix is not
// the next byte string.
func prefixEdges(t *testing.T, s kv.Store) {
	keys := []string{"\x00", "\x00\x00", "\x00\x01", "a", "a\x00", "a\xff", "a\xff\x00", "a\xff\xff", "a\xff\xff\xff", "b", "\xfe\xff", "\xff", "\xff\x00", "\xff\xff", "\xff\xff\x01"}
	for _, test := range []struct {
		prefix string
		want   []string
	}{
		{"", keys},
		{"\x00", keys[:3]},
		{"a", keys[3:9]},
		{"a\xff", keys[5:9]},
		{"a\xff\xff", keys[7:9]},
		{"\xfe", keys[10:11]},
		{"\xff", keys[11:]},
		{"\xff\xff", keys[13:]},
		{"\xff\xff\xff", nil},
		{"c", nil},
	} {
		_, err := s.Update(ctx(t), func(tx kv.Tx) error {
			if err := tx.DeletePrefix(A, nil); err != nil {
				return err
			}
			if err := checkPrefix(t, tx, "", nil); err != nil {
				return err
			}
			for _, k := range keys {
				if err := tx.Put(A, []byte(k), []byte("v")); err != nil {
					return err
				}
			}
			return checkPrefix(t, tx, test.prefix, test.want)
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.View(ctx(t), func(r kv.Reader) error { return checkPrefix(t, r, test.prefix, test.want) })
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Update(ctx(t), func(tx kv.Tx) error {
			if err := tx.DeletePrefix(A, []byte(test.prefix)); err != nil {
				return err
			}
			if err := checkPrefix(t, tx, test.prefix, nil); err != nil {
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		_, err = s.View(ctx(t), func(r kv.Reader) error {
			for _, err := range r.Scan(A, nil, nil) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if want := len(keys) - len(test.want); n != want || err != nil {
			t.Errorf("after DeletePrefix(%q): %d keys, want %d; %v", test.prefix, n, want, err)
		}
	}
}

// checkPrefix compares scans in both directions with want.
func checkPrefix(t *testing.T, r kv.Reader, prefix string, want []string) error {
	t.Helper()
	i := 0
	for p, err := range r.Scan(A, []byte(prefix), nil) {
		if err != nil {
			return err
		}
		if i >= len(want) || string(p.Key) != want[i] {
			t.Errorf("Scan(%q): key %d is %q, want of %q", prefix, i, p.Key, want)
		}
		i++
	}
	if i != len(want) {
		t.Errorf("Scan(%q) yields %d keys, want %d", prefix, i, len(want))
	}
	for p, err := range r.ScanBack(A, []byte(prefix), nil) {
		if err != nil {
			return err
		}
		if i--; i < 0 || string(p.Key) != want[i] {
			t.Errorf("ScanBack(%q): key %d is %q, want of %q", prefix, i, p.Key, want)
		}
	}
	if i > 0 {
		t.Errorf("ScanBack(%q) stops %d keys early", prefix, i)
	}
	return nil
}

// scanBounds tests from and before, inside, at the edges and outside of the prefix.
func scanBounds(t *testing.T, s kv.Store) {
	put(t, s, "a", "", "b1", "", "b2", "", "b3", "", "c", "")
	_, err := s.View(ctx(t), func(r kv.Reader) error {
		for _, test := range []struct {
			prefix   string
			bound    any
			up, down string
		}{
			{"b", nil, "b1 b2 b3", "b3 b2 b1"},
			{"b", "", "b1 b2 b3", ""},
			{"b", "a", "b1 b2 b3", ""},
			{"b", "b", "b1 b2 b3", ""},
			{"b", "b1", "b1 b2 b3", ""},
			{"b", "b11", "b2 b3", "b1"},
			{"b", "b2", "b2 b3", "b1"},
			{"b", "b3", "b3", "b2 b1"},
			{"b", "b4", "", "b3 b2 b1"},
			{"b", "c", "", "b3 b2 b1"},
			{"b", "z", "", "b3 b2 b1"},
			{"", "b2", "b2 b3 c", "b1 a"},
			{"", "", "a b1 b2 b3 c", ""},
			{"x", nil, "", ""},
			{"x", "b2", "", ""},
		} {
			var bound []byte
			if b, ok := test.bound.(string); ok {
				bound = []byte(b)
			}
			for _, dir := range []struct {
				name, want string
				back       bool
			}{{"Scan", test.up, false}, {"ScanBack", test.down, true}} {
				seq := r.Scan(A, []byte(test.prefix), bound)
				if dir.back {
					seq = r.ScanBack(A, []byte(test.prefix), bound)
				}
				got := ""
				for p, err := range seq {
					if err != nil {
						return err
					}
					if got != "" {
						got += " "
					}
					got += string(p.Key)
				}
				if got != dir.want {
					t.Errorf("%s(%q, %q) yields %q, want %q", dir.name, test.prefix, fmt.Sprint(test.bound), got, dir.want)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
