// Package growth makes files of the size that a benchmark needs, by the million, in seconds: users as [latchbolt.Engine.Load]
// takes them in, and sessions, which nobody but a test has reason to bring by the million. It is for tests and benchmarks
// alone; no part of the engine imports it.
//
// Sessions are written past the engine, by the layout that docs/FORMAT.md tells, with the bulk building of the
// store. One of them is made by the engine, and the others are copies of its record under other selectors, digests, users and times. That the engine takes them
// for its own is tested.
package growth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// A Size says what a file is to hold. The same Size, at the same time, gives the same users, sessions and tokens.
type Size struct {
	Users    int
	Sessions int    // of the users at random; needs at least one user
	Groups   int    // each user is in one of them; 0 means none
	Seed     uint64 // decides about everything random

	// First and Last are when the first and the last session end, counted from the engine's time when the file is made; the
	// others end in between, evenly. Negative ones are over already. If both are zero they are those
	// of sessions that began at an even rate: from an hour from now to the lifetime that the engine gives.
	First, Last time.Duration
	// Client is what each session remembers of its client.
	Client latchbolt.Client
}

// Agent is what a browser sends, for [Size.Client].
const Agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

// Password is that of every user; its hash is one of argon2id with the parameters of [latchbolt.DefaultHashers], so
// that an Engine with other hashers counts them all when it opens the file.
const (
	Password = "correct horse battery staple"
	hash     = "argon2$argon2id$v=19$m=19456,t=2,p=1$c2l4dGVlbiBieXRlcyBvaw$bAfnes5HACCDehV3nD4BAoSgv8xaEH/F3i1SkZIIJbI"
)

// A Population is what a file was filled with. Its methods may be called concurrently.
type Population struct {
	size    Size
	from    int64 // milliseconds since 1970 at which the first session ends
	over    int64 // milliseconds from there to the end of the last one
	life    int64 // milliseconds from the beginning of a session to its end
	now     time.Time
	pattern pattern
}

// Make makes a file at path, where there must be none, by an engine with the configuration cfg, whose Clock decides what
// is now. It is not supported on Windows.
func Make(ctx context.Context, path string, cfg *latchbolt.Config, size Size) (*Population, error) {
	if size.Users < 1 && size.Sessions > 0 || uint64(size.Users) >= 1<<32 || uint64(size.Sessions) >= 1<<32 {
		return nil, fmt.Errorf("growth: %d sessions of %d users cannot be made", size.Sessions, size.Users)
	}
	p := &Population{size: size}
	if err := p.load(ctx, path, cfg); err != nil {
		return nil, fmt.Errorf("growth: users: %w", err)
	}
	if size.Sessions > 0 {
		if err := p.fill(ctx, path); err != nil {
			return nil, fmt.Errorf("growth: sessions: %w", err)
		}
	}
	return p, nil
}

// load makes the file with the users, and the session whose record the others follow.
func (p *Population) load(ctx context.Context, path string, cfg *latchbolt.Config) (err error) {
	c := latchbolt.Config{}
	if cfg != nil {
		c = *cfg
	}
	c.Create, c.SweepEvery = true, -1
	eng, err := latchbolt.Open(path, &c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	p.now = eng.Now().Truncate(time.Millisecond)
	h, err := latchbolt.ParsePasswordHash(hash)
	if err != nil {
		return err
	}
	err = eng.Load(ctx, latchbolt.LoadOptions{}, func(l *latchbolt.Loader) error {
		groups := make([]latchbolt.GroupID, p.size.Groups)
		for i := range groups {
			g := latchbolt.Group{Name: fmt.Sprint("group ", i)}
			if err := l.InsertGroup(&g); err != nil {
				return err
			}
			groups[i] = g.ID
		}
		for i := range p.size.Users {
			name := Username(i)
			u := latchbolt.User{Username: name, Email: name + "@example.org", FirstName: "Ada", LastName: "Lovelace"}
			if len(groups) > 0 {
				u.Groups = groups[i%len(groups) : i%len(groups)+1]
			}
			if err := l.InsertUser(&u, h); err != nil {
				return err
			}
			if i > 0 && u.ID != p.userID(i) {
				return fmt.Errorf("user %d got the identifier %d", i, u.ID)
			}
		}
		return nil
	})
	if err != nil || p.size.Sessions == 0 {
		return err
	}
	id, err := eng.Identity(ctx, p.userID(0))
	if err != nil {
		return err
	}
	s, err := eng.Login(ctx, id, latchbolt.LoginOptions{Client: p.size.Client})
	if err != nil {
		return err
	}
	p.pattern.key = s.ID
	p.life = s.Expires.Sub(s.Created).Milliseconds()
	first, last := p.size.First, p.size.Last
	if first == 0 && last == 0 {
		first, last = time.Hour, s.Expires.Sub(s.Created)
	}
	p.from, p.over = p.now.Add(first).UnixMilli(), (last - first).Milliseconds()
	if p.over < 0 {
		return fmt.Errorf("the last session ends %v before the first", first-last)
	}
	return nil
}

// Username is the name of user i, from 0.
func Username(i int) string { return fmt.Sprintf("user%08d", i) }

// userID is the identifier of user i: they are given out from 1.
func (p *Population) userID(i int) latchbolt.UserID { return latchbolt.UserID(i + 1) }

// The layout of what is written here, as docs/FORMAT.md has it.
const (
	bucketSession     kv.Bucket = "session"
	bucketSessionNew  kv.Bucket = "session.new"
	bucketSessionUser kv.Bucket = "session.user"

	version = 1
	msHour  = int64(time.Hour / time.Millisecond)

	// Where the fields that differ stand in the body of a session's record.
	atDigest, atUser                           = 0, 32
	atCreated, atExpires, atAuthed, atLastSeen = 48, 56, 64, 72
)

// A pattern is the session that the engine made.
type pattern struct {
	key  latchbolt.SessionID
	body []byte
}

type selector [16]byte

// ends is when session i, from 0, ends, in milliseconds since 1970.
func (p *Population) ends(i int) int64 {
	return p.from + int64(float64(p.over)*(float64(i)/float64(p.size.Sessions)))
}

// random is the nth random number of session i.
func (p *Population) random(i, n int) uint64 {
	x := p.size.Seed ^ uint64(i)<<8 ^ uint64(n)
	for range 2 { // splitmix64
		x += 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

func (p *Population) selector(i int) (s selector) {
	ends := p.ends(i)
	binary.BigEndian.PutUint64(s[2:], uint64(ends-p.life))
	binary.BigEndian.PutUint32(s[:], uint32(ends/msHour))
	var tail [8]byte
	binary.BigEndian.PutUint64(tail[:], p.random(i, 0))
	copy(s[10:], tail[:6])
	return s
}

func (p *Population) verifier(i int) (v [32]byte) {
	for n := range 4 {
		binary.BigEndian.PutUint64(v[8*n:], p.random(i, 1+n))
	}
	return v
}

// Sessions is how many sessions there are.
func (p *Population) Sessions() int { return p.size.Sessions }

// User is who session i, from 0, is of.
func (p *Population) User(i int) latchbolt.UserID {
	return p.userID(int(p.random(i, 5) % uint64(p.size.Users)))
}

// Token is the token of session i, from 0.
func (p *Population) Token(i int) latchbolt.Token {
	sel, ver := p.selector(i), p.verifier(i)
	t, err := latchbolt.ParseToken(base64.RawURLEncoding.EncodeToString(append(sel[:], ver[:]...)))
	if err != nil {
		panic(err) // the form is right
	}
	return t
}

// Tokens are n tokens of sessions at random.
func (p *Population) Tokens(n int) []latchbolt.Token {
	tokens := make([]latchbolt.Token, n)
	for i := range tokens {
		tokens[i] = p.Token(int(p.random(i, 6) % uint64(p.size.Sessions)))
	}
	return tokens
}

// fill writes the sessions.
func (p *Population) fill(ctx context.Context, path string) (err error) {
	store, err := boltkv.Open(path, &boltkv.Options{Buckets: []kv.Bucket{bucketSession, bucketSessionNew, bucketSessionUser}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := store.View(ctx, p.learn); err != nil {
		return err
	}
	_, err = store.BulkUpdate(ctx, func(b kv.Bulk) error {
		if err := errors.Join(b.DeletePrefix(bucketSessionNew, nil), b.Delete(bucketSession, p.pattern.key[:])); err != nil {
			return err
		}
		if err := b.Merge(bucketSession, p.sessions(), nil); err != nil {
			return err
		}
		return b.Merge(bucketSessionUser, p.index(), nil)
	}, func() {})
	return err
}

// learn reads the session that the engine made.
func (p *Population) learn(r kv.Reader) error {
	v, err := r.Get(bucketSession, p.pattern.key[:])
	if err != nil {
		return err
	}
	body, err := record.Open(string(bucketSession), p.pattern.key[:], v, version)
	if err != nil {
		return err
	}
	p.pattern.body = bytes.Clone(body.Rest())
	return nil
}

// sessions yields the records of all sessions, by selector.
func (p *Population) sessions() iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		body := bytes.Clone(p.pattern.body)
		for i := range p.inOrder(0, p.size.Sessions) {
			sel, ver := p.selector(i), p.verifier(i)
			digest := sha256.Sum256(ver[:])
			created := (p.ends(i) - p.life) * 1000
			copy(body[atDigest:], digest[:])
			binary.BigEndian.PutUint64(body[atUser:], uint64(p.User(i)))
			binary.BigEndian.PutUint64(body[atCreated:], uint64(created))
			binary.BigEndian.PutUint64(body[atExpires:], uint64(created+p.life*1000))
			binary.BigEndian.PutUint64(body[atAuthed:], uint64(created))
			binary.BigEndian.PutUint64(body[atLastSeen:], uint64(max(created, p.now.UnixMicro())))
			r := record.New(version)
			r.AddBytes(body)
			v, err := r.Seal(string(bucketSession), sel[:])
			if !yield(kv.Pair{Key: sel[:], Value: v}, err) || err != nil {
				return
			}
		}
	}
}

// inOrder yields the numbers of sessions from to below to in the order of their selectors. They end in the order of their numbers; those
// that end in one millisecond stand in the order of what is random in their selectors.
func (p *Population) inOrder(from, to int) iter.Seq[int] {
	return func(yield func(int) bool) {
		var same []int
		for i := from; i < to; {
			same = same[:0]
			for ends := p.ends(i); i < to && p.ends(i) == ends; i++ {
				same = append(same, i)
			}
			slices.SortFunc(same, p.compare)
			for _, n := range same {
				if !yield(n) {
					return
				}
			}
		}
	}
}

func (p *Population) compare(i, j int) int {
	a, b := p.selector(i), p.selector(j)
	return bytes.Compare(a[:], b[:])
}

// indexAtOnce is how many entries of the index are sorted in memory.
const indexAtOnce = 1 << 20

// index yields the index by day and user.
func (p *Population) index() iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		for from, to := 0, 0; from < p.size.Sessions; from = to {
			day := p.ends(from) / msHour / 24
			for to = from; to < p.size.Sessions && p.ends(to)/msHour/24 == day; to++ {
			}
			parts := (to-from)/indexAtOnce + 1
			for part := range parts {
				low, high := part*p.size.Users/parts, (part+1)*p.size.Users/parts
				if !p.indexPart(yield, uint32(day), from, to, p.userID(low), p.userID(high)) {
					return
				}
			}
		}
	}
}

// indexPart yields the index of the sessions from to below to for users from low to below high.
func (p *Population) indexPart(yield func(kv.Pair, error) bool, day uint32, from, to int, low, high latchbolt.UserID) bool {
	type entry struct{ user, session uint32 }
	var all []entry
	for i := from; i < to; i++ {
		if id := p.User(i); id >= low && id < high {
			all = append(all, entry{uint32(id), uint32(i)})
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.user != b.user {
			return cmp.Compare(a.user, b.user)
		}
		return p.compare(int(a.session), int(b.session))
	})
	for _, e := range all {
		sel := p.selector(int(e.session))
		key := binary.BigEndian.AppendUint32(nil, day)
		key = binary.BigEndian.AppendUint64(key, uint64(e.user))
		key = append(key, sel[:]...)
		v, err := record.New(version).Seal(string(bucketSessionUser), key)
		if !yield(kv.Pair{Key: key, Value: v}, err) || err != nil {
			return false
		}
	}
	return true
}
