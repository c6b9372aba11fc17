package latchbolt

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// TestEachFieldIsKept: a record with everything in it comes back the same, and so does one with each single flag.
func TestEachFieldIsKept(t *testing.T) {
	at := func(n int64) time.Time { return time.UnixMicro(n).UTC() }
	key := userKey(7)
	users := []*userRecord{
		{User: User{ID: 7, Username: "ada", Email: "a@x", FirstName: "A", LastName: "L", Groups: []GroupID{1, 1 << 60}, DateJoined: at(5)}, generation: 9, hash: PasswordHash{encoded: "!x", pepper: 3}},
		{User: User{ID: 7, Inactive: true}}, {User: User{ID: 7, Staff: true}}, {User: User{ID: 7, Superuser: true}}, {User: User{ID: 7}, objects: true}, {User: User{ID: 7, DateJoined: at(-1)}},
	}
	for _, u := range users {
		got, err := decodeUser(7, reopened(t, bucketUser, key, u.encode()))
		u.Password = u.hash.Info()
		if err != nil || !reflect.DeepEqual(got, u) {
			t.Errorf("user: got %+v, %v, want %+v", got, err, u)
		}
	}
	for _, g := range []*groupRecord{{Group: Group{ID: 2, Name: "g"}}, {Group: Group{ID: 2, Name: "g"}, objects: true}} {
		if got, err := decodeGroup(2, reopened(t, bucketGroup, key, g.encode())); err != nil || !reflect.DeepEqual(got, g) {
			t.Errorf("group: got %+v, %v", got, err)
		}
	}
	p := &Permission{ID: 3, App: "a", Model: "m", Codename: "c", Name: "n"}
	if got, err := decodePermission(3, reopened(t, bucketPerm, key, encodePermission(p))); err != nil || *got != *p {
		t.Errorf("permission: got %+v, %v", got, err)
	}
	for _, s := range []*sessionRecord{
		{digest: [32]byte{1, 31: 2}, user: 7, generation: 8, epoch: 9, created: at(1), expires: at(2), authed: at(3), seen: at(4), idle: 5 * time.Second, flags: 7, backend: "b",
			client: clientRecord{addr: netip.MustParseAddr("::1"), agent: "agent", name: "name"}},
		{created: at(1), expires: at(2)}, {idle: (1<<32 - 1) * time.Second},
		{user: 7, flags: 7, backend: "password", client: clientRecord{agent: "agent"}}, {user: 7, backend: "password-all"},
	} {
		if got, err := decodeSession(selector{}, reopened(t, bucketSession, key, s.encode())); err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("session: got %+v, %v, want %+v", got, err, s)
		}
	}
	body := func(s *sessionRecord) []byte {
		framed, err := s.encode().Seal(string(bucketSession), key)
		if err != nil {
			t.Fatal(err)
		}
		return framed[1 : len(framed)-4]
	}
	// The usual backend takes no room. Early records spell it out.
	usual := &sessionRecord{backend: "password"}
	if n, empty := len(body(usual)), len(body(new(sessionRecord))); n != empty-2 {
		t.Errorf("a session of the usual backend takes %d bytes, of no backend %d", n, empty)
	}
	early := record.New(recordVersion)
	early.AddBytes(bytes.Replace(body(&sessionRecord{backend: "pass_word"}), []byte("\x00\x09pass_word"), []byte("\x00\x08password"), 1))
	if got, err := decodeSession(selector{}, reopened(t, bucketSession, key, early)); err != nil || !reflect.DeepEqual(got, usual) {
		t.Errorf("a session whose backend is spelled out: %+v, %v", got, err)
	}
	long := &sessionRecord{idle: (1 << 32) * time.Second}
	if got, err := decodeSession(selector{}, reopened(t, bucketSession, key, long.encode())); err != nil || got.idle != (1<<32-1)*time.Second {
		t.Errorf("an idle time of more than fits: %v, %v", got.idle, err)
	}
	k := &tokenRecord{digest: [32]byte{1}, user: 7, purpose: "p", state: [32]byte{2}, expires: at(9), data: "d"}
	if got, err := decodeToken(selector{}, reopened(t, bucketToken, key, k.encode())); err != nil || *got != *k {
		t.Errorf("token: got %+v, %v", got, err)
	}
	th := &throttleRecord{print: 1 << 60, failures: 9, last: at(8)}
	if got, err := decodeThrottle(key, reopened(t, bucketThrottle, key, th.encode())); err != nil || *got != *th {
		t.Errorf("throttle: got %+v, %v", got, err)
	}
	ids := &idsRecord{user: 1 << 40, group: 2, perm: 3}
	if got, err := decodeIDs(reopened(t, bucketMeta, keyIDs, ids.encode())); err != nil || *got != *ids {
		t.Errorf("identifiers: got %+v, %v", got, err)
	}
	m := &metaRecord{format: formatVersion, instance: [16]byte{1}, secret: [32]byte{2}, created: at(3), flags: 1}
	v, err := seal(bucketMeta, keyFormat, m.encode())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeMeta(v); err != nil || *got != *m {
		t.Errorf("settings: got %+v, %v", got, err)
	}
	m.format++
	if v, err = seal(bucketMeta, keyFormat, m.encode()); err != nil {
		t.Fatal(err)
	}
	if _, err := decodeMeta(v); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("settings of a newer format: %v", err)
	}
	if got := addrText(netip.Addr{}); got != "" {
		t.Errorf("no address is written as %q", got)
	}
}

// reopened is the body of a record that was written.
func reopened(t *testing.T, b kv.Bucket, key []byte, r *record.Builder) *record.Body {
	t.Helper()
	v, err := seal(b, key, r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := unseal(b, key, v)
	if err != nil {
		t.Fatal(err)
	}
	return &body
}

// TestBodiesOfAnotherLength: each kind of record notices that a byte is missing or left over.
func TestBodiesOfAnotherLength(t *testing.T) {
	at := time.UnixMicro(5).UTC()
	for name, c := range map[string]struct {
		r      *record.Builder
		decode func(*record.Body) error
	}{
		"user":       {(&userRecord{User: User{Username: "ada"}}).encode(), func(b *record.Body) error { _, err := decodeUser(1, b); return err }},
		"group":      {(&groupRecord{}).encode(), func(b *record.Body) error { _, err := decodeGroup(1, b); return err }},
		"permission": {encodePermission(&Permission{App: "a"}), func(b *record.Body) error { _, err := decodePermission(1, b); return err }},
		"session":    {(&sessionRecord{created: at}).encode(), func(b *record.Body) error { _, err := decodeSession(selector{}, b); return err }},
		"token":      {(&tokenRecord{data: "d"}).encode(), func(b *record.Body) error { _, err := decodeToken(selector{}, b); return err }},
		"throttle":   {(&throttleRecord{last: at}).encode(), func(b *record.Body) error { _, err := decodeThrottle(nil, b); return err }},
		"ids":        {(&idsRecord{}).encode(), func(b *record.Body) error { _, err := decodeIDs(b); return err }},
		"meta": {(&metaRecord{format: 1}).encode(), func(b *record.Body) error {
			r := record.New(recordVersion)
			r.AddBytes(b.Rest())
			v, err := seal(bucketMeta, keyFormat, r)
			if err != nil {
				return err
			}
			_, err = decodeMeta(v)
			return err
		}},
	} {
		body := reopened(t, bucketMeta, keyIDs, c.r).Rest()
		for what, body := range map[string][]byte{"whole": body, "a byte less": body[:len(body)-1], "a byte more": append(append([]byte(nil), body...), 0), "nothing": nil} {
			r := record.New(recordVersion)
			r.AddBytes(body)
			err := c.decode(reopened(t, bucketMeta, keyIDs, r))
			if what == "whole" && err != nil || what != "whole" && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
	// More groups are announced than there are bytes.
	r := record.New(recordVersion)
	r.AddUint8(0)
	r.AddUint32(0)
	r.AddUint16(1 << 15)
	r.AddUint64(1)
	var u userRecord
	decodeUserHead(reopened(t, bucketUser, userKey(1), r), &u)
	if u.Groups != nil {
		t.Errorf("%d groups in eight bytes", len(u.Groups))
	}
	if _, err := unseal(bucketUser, userKey(1), []byte("short")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no record at all: %v", err)
	}
	newer, err := seal(bucketUser, userKey(1), record.New(recordVersion+1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unseal(bucketUser, userKey(1), newer); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("a newer record: %v", err)
	}
	long := record.New(recordVersion)
	long.AddString(string(make([]byte, 1<<16)))
	if _, err := seal(bucketUser, userKey(1), long); err == nil {
		t.Error("a string of 64 KiB was written")
	}
}

func TestDeadline(t *testing.T) {
	seen, end := time.Unix(100, 0), time.Unix(200, 0)
	for idle, want := range map[time.Duration]time.Time{0: end, -1: end, time.Second: seen.Add(time.Second), 100 * time.Second: end, 99 * time.Second: seen.Add(99 * time.Second), time.Hour: end} {
		s := sessionRecord{seen: seen, expires: end, idle: idle}
		if got := s.deadline(); !got.Equal(want) {
			t.Errorf("idle time %v: %v, want %v", idle, got, want)
		}
	}
}
