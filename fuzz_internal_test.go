package latchbolt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// A fuzzKind is a kind of record: where it is kept, and how it is read and written again.
type fuzzKind struct {
	bucket kv.Bucket
	decode func(b *record.Body) (any, error)
	encode func(v any) *record.Builder
}

var fuzzKinds = []fuzzKind{
	{bucketUser, func(b *record.Body) (any, error) { return decodeUser(7, b) }, func(v any) *record.Builder { return v.(*userRecord).encode() }},
	{bucketGroup, func(b *record.Body) (any, error) { return decodeGroup(7, b) }, func(v any) *record.Builder { return v.(*groupRecord).encode() }},
	{bucketPerm, func(b *record.Body) (any, error) { return decodePermission(7, b) }, func(v any) *record.Builder { return encodePermission(v.(*Permission)) }},
	{bucketSession, func(b *record.Body) (any, error) { return decodeSession(selector{7}, b) }, func(v any) *record.Builder { return v.(*sessionRecord).encode() }},
	{bucketToken, func(b *record.Body) (any, error) { return decodeToken(selector{7}, b) }, func(v any) *record.Builder { return v.(*tokenRecord).encode() }},
	{bucketThrottle, func(b *record.Body) (any, error) { return decodeThrottle(nil, b) }, func(v any) *record.Builder { return v.(*throttleRecord).encode() }},
	{bucketMeta, func(b *record.Body) (any, error) { return decodeIDs(b) }, func(v any) *record.Builder { return v.(*idsRecord).encode() }},
	{bucketAudit, func(b *record.Body) (any, error) { return decodeAudit(be64(7), b) }, func(v any) *record.Builder { return encodeAudit(v.(*AuditEntry)) }},
}

// fuzzRecords are good records of each kind.
func fuzzRecords() []any {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_456_000, time.UTC)
	client := clientRecord{netip.MustParseAddr("2001:db8::1"), "Mozilla/5.0", "laptop"}
	return []any{
		&userRecord{User: User{Username: "ada", Email: "ada@example.org", FirstName: "Ada", LastName: "Lovelace", Staff: true, Groups: []GroupID{1, 2, 1 << 60}, DateJoined: at},
			hash: PasswordHash{encoded: "pbkdf2_sha256$1$salt$ZGlnZXN0", pepper: 3}, generation: 9, objects: true},
		&groupRecord{Group: Group{Name: "editors"}, objects: true},
		&Permission{App: "blog", Model: "post", Codename: "add_post", Name: "Can add post"},
		&sessionRecord{digest: [32]byte{1}, user: 7, generation: 2, epoch: 3, created: at, expires: at.Add(time.Hour), seen: at, idle: time.Hour, flags: sessionRemember, backend: "password", client: client},
		&tokenRecord{digest: [32]byte{1}, user: 7, purpose: PurposeReset, state: [32]byte{2}, expires: at, data: "x"},
		&throttleRecord{print: 1 << 63, failures: 5, last: at},
		&idsRecord{user: 1 << 63, group: 2, perm: 1 << 31},
		&AuditEntry{Action: ActionLoginFailed, User: 7, Username: "ada", Actor: 8, Addr: client.addr, Detail: "x", Failed: true},
	}
}

// FuzzRecords opens any body as a record of each kind, behind a right checksum, as a forger could make it. What is read holds no more than
// what was given, and written again it is the same record: no record has two readings, and none reads what another program would not see. The same
// bytes with one bit flipped, or at another place, are not read at all.
func FuzzRecords(f *testing.F) {
	for i, v := range fuzzRecords() {
		framed, err := fuzzKinds[i].encode(v).Seal(string(fuzzKinds[i].bucket), []byte("k"))
		if err != nil {
			f.Fatal(err)
		}
		body := framed[1 : len(framed)-4]
		f.Add(uint8(i), body, uint16(0))
		f.Add(uint8(i), body[:len(body)/2], uint16(9))
		f.Add(uint8(i), append(bytes.Clone(body), 0), uint16(77))
	}
	// CVE-2020-15106, CVE-2020-15112: numbers of elements and lengths that are not true.
	f.Add(uint8(0), []byte{0, 0, 0, 0, 1, 0xff, 0xff}, uint16(0))
	f.Add(uint8(0), append([]byte{0, 0, 0, 0, 1, 0x00, 0x09}, make([]byte, 64)...), uint16(0))
	f.Add(uint8(2), []byte{0xff, 0xff, 'a'}, uint16(0))
	f.Fuzz(func(t *testing.T, kind uint8, body []byte, flip uint16) {
		k := fuzzKinds[int(kind)%len(fuzzKinds)]
		b := record.New(recordVersion)
		b.AddBytes(body)
		value, err := b.Seal(string(k.bucket), []byte("k"))
		if err != nil {
			return
		}
		whole, err := unseal(k.bucket, []byte("k"), value)
		if err != nil {
			t.Fatalf("a sealed record is refused: %v", err)
		}
		v, err := k.decode(&whole)
		if n := leastAllocated(func() { b, _ := unseal(k.bucket, []byte("k"), value); _, _ = k.decode(&b) }); n > uint64(4*len(body)+4096) {
			t.Errorf("%s: %d bytes were allocated for %d", k.bucket, n, len(body))
		}
		if err == nil {
			fuzzAgain(t, &k, v, body)
		}
		value[int(flip/8)%len(value)] ^= 1 << (flip % 8)
		if _, err := unseal(k.bucket, []byte("k"), value); err == nil {
			t.Errorf("%s: bit %d may be flipped", k.bucket, flip)
		}
		value[int(flip/8)%len(value)] ^= 1 << (flip % 8)
		if _, err := unseal(k.bucket, []byte("l"), value); err == nil {
			t.Errorf("%s: the record is good under another key", k.bucket)
		}
		if _, err := unseal(k.bucket+"x", []byte("k"), value); err == nil {
			t.Errorf("%s: the record is good in another bucket", k.bucket)
		}
	})
}

// leastAllocated is how many bytes a function allocates; others of this process are not counted, unless they allocate at each of some tries.
func leastAllocated(fn func()) uint64 {
	least := ^uint64(0)
	for range 8 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fn()
		runtime.ReadMemStats(&after)
		if least = min(least, after.TotalAlloc-before.TotalAlloc); least < 4096 {
			break
		}
	}
	return least
}

// fuzzAgain writes a record that was read, and compares it with what it was read from.
func fuzzAgain(t *testing.T, k *fuzzKind, v any, body []byte) {
	t.Helper()
	value, err := k.encode(v).Seal(string(k.bucket), []byte("k"))
	if err != nil {
		t.Fatalf("%s: %+v is read and cannot be written: %v", k.bucket, v, err)
	}
	again := value[1 : len(value)-4]
	b, err := unseal(k.bucket, []byte("k"), value)
	if err != nil {
		t.Fatal(err)
	}
	v2, err := k.decode(&b)
	if err != nil || !reflect.DeepEqual(v, v2) {
		t.Fatalf("%s: %+v, written and read: %+v, %v", k.bucket, v, v2, err)
	}
	// Four things have several spellings: flags that this version does not know, the first second of the year 1, the text of an
	// address, which stands behind what has one length, and the usual backend, whose name early records spell out.
	if bytes.Contains(body, be64(uint64(time.Time{}.UnixMicro()))) {
		return
	}
	from, to := 0, len(body)
	switch k.bucket {
	case bucketUser, bucketGroup:
		from = 1
	case bucketSession:
		to = 32 + 8 + 4 + 4 + 4*8 + 4 + 1
		body = bytes.Clone(body)
		body[to-1] |= again[to-1] & sessionPassword
	case bucketAudit:
		from, to = 1, 1+8+8
	}
	if len(again) < to || !bytes.Equal(again[from:to], body[from:to]) || k.bucket != bucketSession && k.bucket != bucketAudit && len(again) != len(body) {
		t.Errorf("%s: %x is read as %+v, which is written as %x", k.bucket, body, v, again)
	}
}

// FuzzKeys makes keys of any names and numbers. Different things have different keys; a key tells what it is made of; no name reaches into the keys of
// another thing, be it by a separator, by a length or by a prefix; and the order of keys is that of what they stand for.
func FuzzKeys(f *testing.F) {
	for _, s := range [][3]string{
		// CVE-2020-13254, CVE-2026-33496: "a:b" and "c", "a" and "b:c".
		{"a:b", "c", "x"}, {"a", "b:c", "x"}, {"ab", "c", ""}, {"a", "bc", ""}, {"", "", ""}, {"a\x00", "b", "c"},
		// CVE-2011-4136, CVE-2026-54097: keys of another class, prefixes of others.
		{"session", "sess/7", "sess/70"}, {"a", "a/", "ab"}, {strings.Repeat("n", 447), strings.Repeat("n", 448), strings.Repeat("n", 449)},
		{strings.Repeat("n", 500) + "a", strings.Repeat("n", 500) + "b", "\xff"},
	} {
		f.Add(s[0], s[1], s[2], uint64(1), uint64(10), int64(0))
		f.Add(s[1], s[0], s[2], uint64(7), uint64(70), int64(1<<62))
	}
	f.Add("x", "y", "z", uint64(1<<63), uint64(1<<64-1), int64(-1))
	f.Add("x", "y", "z", uint64(0), uint64(1<<32), int64(1_772_366_400_000_000))
	f.Fuzz(func(t *testing.T, a, b, c string, m, n uint64, us int64) {
		fuzzNames(t, a, b, c, m, n)
		fuzzGrants(t, Object(a), Object(b), m, n)
		fuzzSelectors(t, b, c, m, n, us)
	})
}

func same(t *testing.T, what string, keys, things bool) {
	t.Helper()
	if keys != things {
		t.Errorf("%s: equal keys %v, equal things %v", what, keys, things)
	}
}

func fuzzNames(t *testing.T, a, b, c string, m, n uint64) {
	t.Helper()
	key := func(s string) string { return string(nameKey(s)) }
	same(t, "names", key(a) == key(b), a == b)
	if len(key(a)) > maxNameKey {
		t.Errorf("a name's key has %d bytes", len(key(a)))
	}
	if len(a)+len(b)+len(c) < 1<<16 {
		same(t, "permissions", bytes.Equal(permNameKey(a, b, c), permNameKey(b, a, c)), a == b)
		same(t, "permissions", bytes.Equal(permNameKey(a, b, c), permNameKey(a+b, "", c)), b == "")
		same(t, "permissions of an app", bytes.HasPrefix(permNameKey(a, b, c), permNamePrefix(a, c)), b == c)
	}
	// Addresses are short and without NUL, which is what ends them.
	if len(a) < maxNameKey && len(b) < maxNameKey && !strings.Contains(a+b, "\x00") {
		same(t, "addresses", bytes.Equal(emailKey(a, UserID(m)), emailKey(b, UserID(n))), a == b && m == n)
		same(t, "an address", bytes.HasPrefix(emailKey(a, UserID(m)), emailPrefix(b)), a == b)
	}
	if len(a) <= maxPurpose && len(b) <= maxPurpose {
		same(t, "tokens of a purpose", bytes.HasPrefix(tokenUserKey(UserID(m), a, selector{1}), tokenUserPrefix(UserID(n), b)), a == b && m == n)
	}
	u := func(hash, email string, generation uint32) [32]byte {
		d, err := accountState(&userRecord{User: User{Email: email}, hash: PasswordHash{encoded: hash}, generation: generation})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	same(t, "accounts", u(a, b, uint32(m)) == u(b, a, uint32(n)), a == b && uint32(m) == uint32(n))
	same(t, "accounts", u(a+b, c, 0) == u(a, b+c, 0), b == "")
}

func fuzzGrants(t *testing.T, a, b Object, m, n uint64) {
	t.Helper()
	subjects := []Subject{UserID(m), GroupID(m), UserID(n), GroupID(n)}
	for _, s := range subjects {
		if got, ok := parseSubject(subjectKey(s)); !ok || got != s {
			t.Errorf("%T %v is read as %T %v", s, s, got, got)
		}
		for _, r := range subjects {
			same(t, "grants", bytes.Equal(grantKey(s, PermissionID(m), a), grantKey(r, PermissionID(n), b)), s == r && uint32(m) == uint32(n) && a == b)
			same(t, "grants of one", bytes.HasPrefix(grantKey(s, PermissionID(m), a), grantPrefix(r, PermissionID(n))), s == r && uint32(m) == uint32(n))
			same(t, "holders", bytes.Equal(holderKey(PermissionID(m), s, a), holderKey(PermissionID(n), r, b)), s == r && uint32(m) == uint32(n) && a == b)
		}
		g := grantKey(s, PermissionID(n), a)
		h := holderKey(PermissionID(n), s, a)
		if Object(g[grantObjectFrom:]) != a || Object(h[grantObjectFrom:]) != a || binary.BigEndian.Uint32(g[subjectLen:]) != uint32(n) {
			t.Errorf("%x and %x do not tell what they are of", g, h)
		}
	}
	for _, k := range [][]byte{[]byte(a)[:min(len(a), subjectLen-1)], append([]byte{99}, make([]byte, 8)...)} {
		if _, ok := parseSubject(k); ok {
			t.Errorf("%x is a subject", k)
		}
	}
	same(t, "members", bytes.HasPrefix(memberKey(GroupID(m), UserID(n)), groupKey(GroupID(n))), m == n)
	if got, want := bytes.Compare(userKey(UserID(m)), userKey(UserID(n))), cmp.Compare(m, n); got != want {
		t.Errorf("keys of %d and %d: order %d, want %d", m, n, got, want)
	}
	same(t, "throttles", bytes.Equal(throttleKey(throttleUser, m), throttleKey(throttleName, m)) || bytes.Equal(throttleKey(throttleUser, m), throttleKey(throttleUser, n)), m == n)
}

func fuzzSelectors(t *testing.T, b, c string, m, n uint64, us int64) {
	t.Helper()
	at, then := time.UnixMicro(us), time.UnixMicro(us/2)
	var ra, rb [6]byte
	copy(ra[:], b)
	copy(rb[:], c)
	s, r := newSelector(at, then, ra), newSelector(then, at, rb)
	if s.hour() != hourOf(at) || hourOf(at) < hourOf(then) == at.After(then) && hourOf(at) != hourOf(then) {
		t.Errorf("%v is in hour %d, %v in hour %d", at, s.hour(), then, hourOf(then))
	}
	if s.hour() != r.hour() {
		same(t, "order of selectors", bytes.Compare(s[:], r[:]) < 0, s.hour() < r.hour())
	}
	same(t, "sessions of a user", bytes.HasPrefix(sessionUserKey(s, UserID(m)), sessionUserPrefix(s.hour()/hoursPerDay, UserID(n))), m == n)
	if k := sessionUserKey(s, UserID(m)); selector(k[sessionUserSelectorFrom:]) != s {
		t.Errorf("%x does not tell its session", k)
	}
	if k := sessionNewKey(s, UserID(m)); selector(k[sessionNewSelectorFrom:]) != s || keyUser(k) != UserID(m) {
		t.Errorf("%x does not tell its session", k)
	}
	// What is later has a key that is not before; outside 1970 … 2262 all are one.
	if x, y := auditKey(at), auditKey(then); bytes.Compare(x, y) < 0 == at.After(then) && !bytes.Equal(x, y) {
		t.Errorf("the trail at %v has key %x, at %v %x", at, x, then, y)
	}
}
