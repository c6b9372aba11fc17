package latchbolt

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// This file alone knows how the file is laid out: which buckets there are and how their
// keys are built. docs/FORMAT.md describes the same for other programs.
//
// Numbers in keys are big-endian, so that the order of keys is the order of
// numbers. A string that somebody chose ends a key, or stands behind its
// length, or is followed by a byte that it cannot contain.

// formatVersion is the version of the file as a whole. A file with a higher one is refused
// before anything is written.
const formatVersion = 1

const (
	bucketMeta        kv.Bucket = "meta"         // name of the setting
	bucketUser        kv.Bucket = "user"         // user
	bucketUserName    kv.Bucket = "user.name"    // canonical name → user
	bucketUserEmail   kv.Bucket = "user.email"   // canonical address, 0, user
	bucketLogin       kv.Bucket = "user.login"   // user → last login
	bucketSuperuser   kv.Bucket = "user.super"   // active superuser
	bucketGroup       kv.Bucket = "group"        // group
	bucketGroupName   kv.Bucket = "group.name"   // name → group
	bucketMember      kv.Bucket = "group.member" // group, user
	bucketPerm        kv.Bucket = "perm"         // permission
	bucketPermName    kv.Bucket = "perm.name"    // app, codename, model → permission
	bucketGrant       kv.Bucket = "grant"        // subject, permission, object
	bucketHolder      kv.Bucket = "grant.holder" // permission, subject, object
	bucketSession     kv.Bucket = "session"      // selector
	bucketValues      kv.Bucket = "session.data" // selector → the program's values
	bucketSessionNew  kv.Bucket = "session.new"  // user, selector → login; merged into the next and user.login
	bucketSessionUser kv.Bucket = "session.user" // day of expiry, user, selector
	bucketSessionKey  kv.Bucket = "session.key"  // hash of a key brought over → selector
	bucketToken       kv.Bucket = "token"        // selector
	bucketTokenUser   kv.Bucket = "token.user"   // user, purpose, selector
	bucketThrottle    kv.Bucket = "throttle"     // class, account or slot
	bucketAudit       kv.Bucket = "audit"        // time
	bucketHashCost    kv.Bucket = "hash.cost"    // work units → how many users
)

// buckets are all of them, in the order in which they are created.
var buckets = []kv.Bucket{
	bucketMeta, bucketUser, bucketUserName, bucketUserEmail, bucketLogin, bucketSuperuser,
	bucketGroup, bucketGroupName, bucketMember, bucketPerm, bucketPermName, bucketGrant,
	bucketHolder, bucketSession, bucketValues, bucketSessionNew, bucketSessionUser,
	bucketSessionKey, bucketToken, bucketTokenUser, bucketThrottle, bucketAudit, bucketHashCost,
}

// appended are the buckets whose keys begin with a time, or with one that is nearly always as far from now. The
// pages of bucketSessionNew are filled as well: they are emptied before much can come in between.
var appended = []kv.Bucket{bucketSession, bucketValues, bucketToken, bucketAudit, bucketSessionNew}

// runs are the buckets in which keys begin with something, of so many bytes, and go on with a time.
var runs = map[kv.Bucket]int{bucketSessionUser: sessionUserSelectorFrom}

// leastKey is the length in bytes of the shortest key of a bucket whose keys are taken apart. One that is shorter is damage.
var leastKey = map[kv.Bucket]int{
	bucketUser: 8, bucketUserEmail: 1 + 8, bucketLogin: 8, bucketSuperuser: 8, bucketGroup: 8, bucketMember: 8 + 8, bucketPerm: 4,
	bucketPermName: 2 + 2 + 2, bucketGrant: grantObjectFrom, bucketHolder: grantObjectFrom, bucketSession: 16, bucketValues: 16,
	bucketSessionNew: sessionNewSelectorFrom + 16, bucketSessionUser: sessionUserSelectorFrom + 16, bucketSessionKey: 32, bucketToken: 16,
	bucketTokenUser: 8 + 2 + 16, bucketThrottle: 1 + 8, bucketAudit: 8,
}

// Keys of bucketMeta.
var (
	keyFormat = []byte("format") // version, instance, secret, settings
	keyIDs    = []byte("ids")    // the highest identifiers given out
	keyClock  = []byte("clock")  // the latest time seen
	keyEpoch  = []byte("epoch")  // raised by a restore; sessions of another epoch are dead
)

// maxNameKey is the length from which a name no longer stands in its key as
// it is: its beginning and a hash of the whole do. 448 bytes leave room under
// [kv.MaxKey] for what follows a name in a key.
const maxNameKey = 448

// nameKey returns the key part for a canonical name or address.
func nameKey(name string) []byte {
	if len(name) < maxNameKey {
		return []byte(name)
	}
	sum := sha256.Sum256([]byte(name))
	return append([]byte(name[:maxNameKey-len(sum)]), sum[:]...)
}

func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func userKey(id UserID) []byte       { return be64(uint64(id)) }
func groupKey(id GroupID) []byte     { return be64(uint64(id)) }
func permKey(id PermissionID) []byte { return be32(uint32(id)) }

// emailPrefix is the start of the keys of all users with this address; 0 ends
// it, which no address contains, but the hash of a long one may. So the keys of this address are those that go on with an identifier and no more.
func emailPrefix(canonical string) []byte { return append(nameKey(canonical), 0) }

func emailKey(canonical string, id UserID) []byte {
	return binary.BigEndian.AppendUint64(emailPrefix(canonical), uint64(id))
}

func memberKey(g GroupID, u UserID) []byte {
	return binary.BigEndian.AppendUint64(groupKey(g), uint64(u))
}

// permNameKey starts with app and codename, so that a prefix finds the
// permissions of all models that share one [Perm].
func permNameKey(app, codename, model string) []byte {
	return appendCounted(permNamePrefix(app, codename), model)
}

func permNamePrefix(app, codename string) []byte {
	return appendCounted(appendCounted(nil, app), codename)
}

func appendCounted(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func subjectKey(s Subject) []byte {
	kind, id := s.subject()
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, grantObjectFrom), kind), id)
}

// grantKey is subject, permission, object; the object, the program's own
// string, ends it. An empty object covers all objects.
func grantKey(s Subject, p PermissionID, o Object) []byte {
	return append(grantPrefix(s, p), o...)
}

func grantPrefix(s Subject, p PermissionID) []byte {
	return binary.BigEndian.AppendUint32(subjectKey(s), uint32(p))
}

func holderKey(p PermissionID, s Subject, o Object) []byte {
	return append(append(permKey(p), subjectKey(s)...), o...)
}

const (
	subjectLen      = 1 + 8
	grantObjectFrom = subjectLen + 4 // where the object starts in both kinds of key
)

// parseSubject reads what subjectKey wrote.
func parseSubject(k []byte) (Subject, bool) {
	if len(k) < subjectLen {
		return nil, false
	}
	id := binary.BigEndian.Uint64(k[1:])
	switch k[0] {
	case subjectUser:
		return UserID(id), true
	case subjectGroup:
		return GroupID(id), true
	}
	return nil, false
}

// A selector is the public half of a token and the key of its record: the hour
// in which its lifetime ends at the latest, the time it was made, and random
// bits. New ones lie side by side in the file, and those that are over go as a range.
//
// The time is told to 4 µs: those of one commit are then greater than those of the commit before, which may be of the same
// millisecond, and lie behind them in pages that are full and stay so.
type selector [16]byte

func newSelector(expires, now time.Time, random [6]byte) (s selector) {
	binary.BigEndian.PutUint32(s[0:], hourOf(expires))
	ms := uint64(now.UnixMilli())
	s[4], s[5] = byte(ms>>40), byte(ms>>32)
	binary.BigEndian.PutUint32(s[6:], uint32(ms))
	copy(s[10:], random[:])
	s[10] = byte(now.Nanosecond() % 1_000_000 * 256 / 1_000_000)
	return s
}

// hourOf numbers the hours since 1970; times outside 1970 … year 491,000 are clamped.
func hourOf(t time.Time) uint32 {
	return uint32(min(max(t.Unix()/3600, 0), 1<<32-1))
}

// hour is the hour after whose end nothing under this selector can be alive.
func (s selector) hour() uint32 { return binary.BigEndian.Uint32(s[:]) }

const hoursPerDay = 24

// sessionUserKey files a session under its user within the day its lifetime
// ends, so that the index entries of a day that is over go as a range too.
func sessionUserKey(s selector, u UserID) []byte {
	return append(sessionUserPrefix(s.hour()/hoursPerDay, u), s[:]...)
}

func sessionUserPrefix(day uint32, u UserID) []byte {
	return binary.BigEndian.AppendUint64(be32(day), uint64(u))
}

const sessionUserSelectorFrom = 4 + 8

// sessionNewKey files a new session under its user, until it is merged.
func sessionNewKey(s selector, u UserID) []byte { return append(userKey(u), s[:]...) }

const (
	sessionNewSelectorFrom = 8
	sessionNewLen          = sessionNewSelectorFrom + 16
)

func tokenUserPrefix(u UserID, purpose string) []byte {
	return appendCounted(userKey(u), purpose)
}

func tokenUserKey(u UserID, purpose string, s selector) []byte {
	return append(tokenUserPrefix(u, purpose), s[:]...)
}

// Classes of throttle records.
const (
	throttleUser   = 'u' // by user, one each
	throttleName   = 'n' // by slot, for names nobody has
	throttleSource = 's' // by slot, for client addresses
)

func throttleKey(class byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{class}, n)
}

// auditKey is the time in nanoseconds since 1970; others than those of 1970 to 2262 are clamped.
func auditKey(at time.Time) []byte {
	const last = 1<<63/1_000_000_000 - 1
	if s := at.Unix(); s < 0 || s > last {
		at = time.Unix(min(max(s, 0), last), 0)
	}
	return be64(uint64(at.UnixNano()))
}
