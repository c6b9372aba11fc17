package latchbolt

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// What the records hold, field by field in the order of docs/FORMAT.md. All
// are version 1.
const recordVersion = 1

// seal ends a record for the place given.
func seal(b kv.Bucket, key []byte, r *record.Builder) ([]byte, error) {
	v, err := r.Seal(string(b), key)
	if err != nil {
		return nil, fmt.Errorf("latchbolt: encoding a record of %s: %w", b, err)
	}
	return v, nil
}

// unseal opens the record found at a place.
func unseal(b kv.Bucket, key, value []byte) (record.Body, error) {
	body, err := record.Open(string(b), key, value, recordVersion)
	return body, fromRecord(b, key, err)
}

func fromRecord(b kv.Bucket, key []byte, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, record.ErrNewer):
		return fmt.Errorf("%w: %s %x: %w", ErrNewerFormat, b, key, err)
	default:
		return corrupt(fmt.Sprintf("%s %x", b, key), err)
	}
}

// Times are stored as microseconds since 1970, as Django keeps them; the zero
// Time is stored as the least number.
const noTime = -1 << 63

func addTime(r *record.Builder, t time.Time) {
	if t.IsZero() {
		r.AddInt64(noTime)
		return
	}
	r.AddInt64(t.UnixMicro())
}

func readTime(b *record.Body) time.Time {
	us := b.Int64()
	if us == noTime {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// A userRecord is a User with what is not for everybody's eyes.
type userRecord struct {
	User
	hash       PasswordHash
	generation uint32 // raised by what must end all sessions
	objects    bool   // has grants on single objects, or had
}

const (
	userInactive = 1 << iota
	userStaff
	userSuperuser
	userObjects
)

func flag(on bool, bit uint8) uint8 {
	if on {
		return bit
	}
	return 0
}

func (u *userRecord) encode() *record.Builder {
	r := record.New(recordVersion)
	r.AddUint8(flag(u.Inactive, userInactive) | flag(u.Staff, userStaff) |
		flag(u.Superuser, userSuperuser) | flag(u.objects, userObjects))
	r.AddUint32(u.generation)
	r.AddUint16(uint16(len(u.Groups)))
	for _, g := range u.Groups {
		r.AddUint64(uint64(g))
	}
	r.AddString(u.Username)
	r.AddString(u.Email)
	r.AddString(u.FirstName)
	r.AddString(u.LastName)
	addTime(r, u.DateJoined)
	r.AddUint16(u.hash.pepper)
	r.AddString(u.hash.encoded)
	return r
}

// decodeUserHead reads what decides about permissions and sessions, and leaves b
// before the user name.
func decodeUserHead(b *record.Body, u *userRecord) {
	f := b.Uint8()
	u.Inactive, u.Staff = f&userInactive != 0, f&userStaff != 0
	u.Superuser, u.objects = f&userSuperuser != 0, f&userObjects != 0
	u.generation = b.Uint32()
	n := int(b.Uint16())
	if n*8 > b.Len() {
		b.Fail() // before anything is made that large
		return
	}
	if n > 0 {
		u.Groups = make([]GroupID, n)
		for i := range u.Groups {
			u.Groups[i] = GroupID(b.Uint64())
		}
	}
}

func decodeUser(id UserID, b *record.Body) (*userRecord, error) {
	u := &userRecord{User: User{ID: id}}
	decodeUserHead(b, u)
	u.Username = b.String()
	u.Email = b.String()
	u.FirstName = b.String()
	u.LastName = b.String()
	u.DateJoined = readTime(b)
	u.hash.pepper = b.Uint16()
	u.hash.encoded = b.String()
	if err := b.Done(); err != nil {
		return nil, fromRecord(bucketUser, userKey(id), err)
	}
	u.Password = u.hash.Info()
	return u, nil
}

type groupRecord struct {
	Group
	objects bool // has grants on single objects, or had
}

func (g *groupRecord) encode() *record.Builder {
	r := record.New(recordVersion)
	r.AddUint8(flag(g.objects, 1))
	r.AddString(g.Name)
	return r
}

func decodeGroup(id GroupID, b *record.Body) (*groupRecord, error) {
	g := &groupRecord{Group: Group{ID: id}}
	g.objects = b.Uint8() != 0
	g.Name = b.String()
	return g, fromRecord(bucketGroup, groupKey(id), b.Done())
}

func encodePermission(p *Permission) *record.Builder {
	r := record.New(recordVersion)
	r.AddString(p.App)
	r.AddString(p.Model)
	r.AddString(p.Codename)
	r.AddString(p.Name)
	return r
}

func decodePermission(id PermissionID, b *record.Body) (*Permission, error) {
	p := &Permission{ID: id, App: b.String(), Model: b.String(), Codename: b.String(), Name: b.String()}
	return p, fromRecord(bucketPerm, permKey(id), b.Done())
}

// A sessionRecord is a session without its values. What every request needs
// stands first.
type sessionRecord struct {
	digest     [32]byte // SHA-256 of the token's secret half
	user       UserID   // 0: anonymous
	generation uint32   // of the user when the session began
	epoch      uint32   // of the file when the session began
	created    time.Time
	expires    time.Time // absolute
	authed     time.Time // when the password was last given
	seen       time.Time // last use, to the minute
	idle       time.Duration
	flags      uint8
	backend    string
	client     clientRecord
}

const (
	sessionBrowser  = 1 << iota // ends with the browser
	sessionRemember             // "remember me"
	sessionBrought              // its key comes from another system
	// In a record only: the backend is passwordBackend and is not written, since that is so of nearly all.
	sessionPassword
)

func (s *sessionRecord) encode() *record.Builder {
	r := record.New(recordVersion)
	flags := s.flags
	if s.backend == passwordBackend {
		flags |= sessionPassword
	}
	r.AddBytes(s.digest[:])
	r.AddUint64(uint64(s.user))
	r.AddUint32(s.generation)
	r.AddUint32(s.epoch)
	addTime(r, s.created)
	addTime(r, s.expires)
	addTime(r, s.authed)
	addTime(r, s.seen)
	r.AddUint32(uint32(min(s.idle, maxIdle) / time.Second))
	r.AddUint8(flags)
	if flags&sessionPassword == 0 {
		r.AddString(s.backend)
	}
	s.client.add(r)
	return r
}

func decodeSession(sel selector, b *record.Body) (*sessionRecord, error) {
	s := new(sessionRecord)
	b.Copy(s.digest[:])
	s.user = UserID(b.Uint64())
	s.generation = b.Uint32()
	s.epoch = b.Uint32()
	s.created = readTime(b)
	s.expires = readTime(b)
	s.authed = readTime(b)
	s.seen = readTime(b)
	s.idle = time.Duration(b.Uint32()) * time.Second
	s.flags = b.Uint8()
	if s.flags&sessionPassword != 0 {
		s.flags &^= sessionPassword
		s.backend = passwordBackend
	} else {
		s.backend = b.String()
	}
	s.client.read(b)
	return s, fromRecord(bucketSession, sel[:], b.Done())
}

// maxIdle is the longest idle limit that is kept, 136 years.
const maxIdle = (1<<32 - 1) * time.Second

// deadline is when the session is over if it is not used again.
func (s *sessionRecord) deadline() time.Time {
	if s.idle > 0 {
		if end := s.seen.Add(s.idle); end.Before(s.expires) {
			return end
		}
	}
	return s.expires
}

// A clientRecord is what people see of a session in a list.
type clientRecord struct {
	addr        netip.Addr
	agent, name string
}

func (c *clientRecord) add(r *record.Builder) {
	r.AddString(addrText(c.addr))
	r.AddString(c.agent)
	r.AddString(c.name)
}

func (c *clientRecord) read(b *record.Body) {
	// An address that does not parse is shown as none; it decides nothing.
	if addr := b.String(); addr != "" {
		c.addr, _ = netip.ParseAddr(addr)
	}
	c.agent = b.String()
	c.name = b.String()
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// A tokenRecord is a one-time token that was issued and not used yet.
type tokenRecord struct {
	digest  [32]byte // SHA-256 of the token's secret half
	user    UserID
	purpose string
	state   [32]byte // of the account when it was issued; see accountState
	expires time.Time
	data    string // what the program gave along
}

func (k *tokenRecord) encode() *record.Builder {
	r := record.New(recordVersion)
	r.AddBytes(k.digest[:])
	r.AddUint64(uint64(k.user))
	r.AddString(k.purpose)
	r.AddBytes(k.state[:])
	addTime(r, k.expires)
	r.AddString(k.data)
	return r
}

func decodeToken(sel selector, b *record.Body) (*tokenRecord, error) {
	k := new(tokenRecord)
	b.Copy(k.digest[:])
	k.user = UserID(b.Uint64())
	k.purpose = b.String()
	b.Copy(k.state[:])
	k.expires = readTime(b)
	k.data = b.String()
	return k, fromRecord(bucketToken, sel[:], b.Done())
}

// A throttleRecord counts failures in a row of one account or source.
type throttleRecord struct {
	print    uint64 // which name or source holds the slot; 0 for a user
	failures uint32
	last     time.Time
}

func (t *throttleRecord) encode() *record.Builder {
	r := record.New(recordVersion)
	r.AddUint64(t.print)
	r.AddUint32(t.failures)
	addTime(r, t.last)
	return r
}

func decodeThrottle(key []byte, b *record.Body) (*throttleRecord, error) {
	t := &throttleRecord{print: b.Uint64(), failures: b.Uint32(), last: readTime(b)}
	return t, fromRecord(bucketThrottle, key, b.Done())
}

// A metaRecord holds the settings of the file.
type metaRecord struct {
	format   uint32
	instance [16]byte // random; tells two files apart
	secret   [32]byte // key for hashes of names in throttle records
	created  time.Time
	flags    uint8
}

// metaCaseSensitive: names that differ only in case are different.
const metaCaseSensitive = 1 << 0

func (m *metaRecord) encode() *record.Builder {
	r := record.New(recordVersion)
	r.AddUint32(m.format)
	r.AddBytes(m.instance[:])
	r.AddBytes(m.secret[:])
	addTime(r, m.created)
	r.AddUint8(m.flags)
	return r
}

// decodeMeta reads the record of the format in such a way that a newer one is told
// from a damaged one.
func decodeMeta(value []byte) (*metaRecord, error) {
	b, err := unseal(bucketMeta, keyFormat, value)
	if err != nil {
		return nil, err
	}
	m := &metaRecord{format: b.Uint32()}
	if m.format > formatVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads up to %d; use a newer program", ErrNewerFormat, m.format, formatVersion)
	}
	b.Copy(m.instance[:])
	b.Copy(m.secret[:])
	m.created = readTime(&b)
	m.flags = b.Uint8()
	return m, fromRecord(bucketMeta, keyFormat, b.Done())
}

// An idsRecord holds the highest identifiers ever given out.
type idsRecord struct {
	user  UserID
	group GroupID
	perm  PermissionID
}

func (i *idsRecord) encode() *record.Builder {
	r := record.New(recordVersion)
	r.AddUint64(uint64(i.user))
	r.AddUint64(uint64(i.group))
	r.AddUint32(uint32(i.perm))
	return r
}

func decodeIDs(b *record.Body) (*idsRecord, error) {
	i := &idsRecord{user: UserID(b.Uint64()), group: GroupID(b.Uint64()), perm: PermissionID(b.Uint32())}
	return i, fromRecord(bucketMeta, keyIDs, b.Done())
}
