package latchbolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/latchbolt-go/latchbolt"
)

var updateFormat = flag.Bool("update-format", false, "make testdata/format/v1.db anew")

// formatTime is when the kept file was made, by its own account.
var formatTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const (
	formatFile  = "testdata/format/v1.db"
	formatToken = "testdata/format/v1.token" // of ada's session; good in this file only
)

func formatConfig() *latchbolt.Config {
	return &latchbolt.Config{
		Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 10}},
		Clock:   func() time.Time { return formatTime },
	}
}

// makeFormatFile writes a file that has something in every bucket.
func makeFormatFile(t *testing.T) {
	cfg := formatConfig()
	cfg.Create = true
	if err := os.MkdirAll(filepath.Dir(formatFile), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Remove(formatFile)
	eng, err := latchbolt.Open(formatFile, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ada := &latchbolt.User{Username: "ada", Email: "ada@example.org", FirstName: "Ada", LastName: "Lovelace", Superuser: true, Staff: true}
	do(eng.CreateUser(ctx, ada, goodPassword))
	bob := &latchbolt.User{Username: "Bob", Inactive: true}
	h, err := latchbolt.ParsePasswordHash("pbkdf2_sha256$20$NaCl0123456789abcdefgh$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo=")
	do(err)
	do(eng.InsertUser(ctx, bob, h))
	do(eng.DefineModel(ctx, "blog", "post"))
	g, err := eng.CreateGroup(ctx, "Writers")
	do(err)
	do(eng.AddToGroup(ctx, bob.ID, g))
	do(eng.Grant(ctx, g, "blog.add_post"))
	do(eng.Grant(ctx, bob.ID, "blog.change_post", "blog.post:42"))
	id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: goodPassword})
	do(err)
	s, err := eng.Login(ctx, id, latchbolt.LoginOptions{Lifetime: 100 * 365 * 24 * time.Hour, Remember: true, Name: "desk",
		Client: latchbolt.Client{Addr: netip.MustParseAddr("192.0.2.1"), Agent: "test"}})
	do(err)
	_, err = eng.Sweep(ctx) // files the session where it stays
	do(err)
	_, err = eng.Login(ctx, id, latchbolt.LoginOptions{}) // and this one as new
	do(err)
	_, err = eng.UpdateValues(ctx, s.Token, func(v *latchbolt.Values) error { return v.Set("cart", []int{1, 2}) })
	do(err)
	_, err = eng.IssueToken(ctx, latchbolt.OneTimeRequest{User: ada.ID, Purpose: "invite", TTL: time.Hour, Data: "x"})
	do(err)
	_, err = eng.Authenticate(ctx, latchbolt.Password{Username: "nobody", Password: "wrong", Client: latchbolt.Client{Addr: netip.MustParseAddr("192.0.2.1")}})
	want(t, "wrong password", err, latchbolt.ErrCredentials)
	do(eng.Close())
	do(os.WriteFile(formatToken, []byte(s.Token.Reveal()), 0o644))
}

// formatCopy returns a copy of the kept file that may be changed.
func formatCopy(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(formatFile)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "v1.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFormat1 opens a file that an earlier build of this release line wrote.
func TestFormat1(t *testing.T) {
	if *updateFormat {
		makeFormatFile(t)
	}
	eng, err := latchbolt.Open(formatCopy(t), formatConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { verify(t, eng); eng.Close() })
	ctx := t.Context()
	text, err := os.ReadFile(formatToken)
	if err != nil {
		t.Fatal(err)
	}
	token, err := latchbolt.ParseToken(string(text))
	if err != nil {
		t.Fatal(err)
	}
	id, err := eng.SessionUser(ctx, token)
	if err != nil || id.Username() != "ada" || !id.Superuser() {
		t.Errorf("SessionUser: got %v, %v", id, err)
	}
	v, err := eng.Values(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	var cart []int
	if ok, err := v.Get("cart", &cart); !ok || err != nil || !slices.Equal(cart, []int{1, 2}) {
		t.Errorf("values: got %v, %v, %v", cart, ok, err)
	}
	if _, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ADA", Password: goodPassword}); err != nil {
		t.Errorf("ada cannot log in: %v", err)
	}
	bob, err := eng.UserByName(ctx, "bob")
	if err != nil || bob.Username != "Bob" || !bob.Inactive || bob.Password.Algorithm != "pbkdf2_sha256" {
		t.Errorf("got %+v, %v", bob, err)
	}
	if grants, err := eng.Grants(ctx, bob.ID); err != nil || len(grants) != 1 || grants[0].Object != "blog.post:42" {
		t.Errorf("grants: got %v, %v", grants, err)
	}
	entries := 0
	for _, err := range eng.Audit(ctx, latchbolt.AuditQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		entries++
	}
	if entries == 0 {
		t.Error("the audit trail is empty")
	}
}

// TestFormatHasEveryBucket makes sure that the kept file covers the whole format.
func TestFormatHasEveryBucket(t *testing.T) {
	db, err := bbolt.Open(formatCopy(t), 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := 0
	if err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			n++
			// Keys of other systems are only there after an import.
			if k, _ := b.Cursor().First(); k == nil && string(name) != "session.key" {
				t.Errorf("bucket %s is empty", name)
			}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	if n != 23 {
		t.Errorf("got %d buckets, want 23; docs/FORMAT.md has to change too", n)
	}
}

// TestNewerFormatIsRefused changes the format number, with a right checksum, as
// docs/FORMAT.md describes them.
func TestNewerFormatIsRefused(t *testing.T) {
	path := formatCopy(t)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("meta"))
		v := bytes.Clone(b.Get([]byte("format")))
		binary.BigEndian.PutUint32(v[1:], 2)
		framed := v[:len(v)-4]
		covered := slices.Concat([]byte("meta"), []byte{0, 4, 0, 6}, []byte("format"), framed)
		return b.Put([]byte("format"), binary.BigEndian.AppendUint32(framed, crc32.Checksum(covered, crc32.MakeTable(crc32.Castagnoli))))
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	eng, err := latchbolt.Open(path, nil)
	if !errors.Is(err, latchbolt.ErrNewerFormat) {
		if err == nil {
			eng.Close()
		}
		t.Fatalf("got %v, want ErrNewerFormat", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, or cannot be read: %v", err)
	}
}
