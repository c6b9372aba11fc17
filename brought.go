package latchbolt

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

// This file is the way in for what another system made: its users as they are, and
// its sessions with the keys that its clients have.

// A BroughtSession is a session of another system that goes on here. The client keeps
// the key that it has, until the session gets a token of this engine by [Engine.Renew], [Engine.Login] or a
// change of the password.
type BroughtSession struct {
	User    UserID // 0: anonymous
	Backend string // name of the [Backend] that proved the user; "" if anonymous
	// Created is when the session began or was last changed, as far as the other system
	// tells. Zero means now.
	Created time.Time
	// Expires is when it ends however much it is used. It has no idle limit. What is later
	// than the year 2262 is cut to that.
	Expires       time.Time
	BrowserLength bool    // the client shall forget the key when the browser closes
	Values        *Values // nil: none
}

// lastExpiry is the latest time that counts in nanoseconds since 1970.
var lastExpiry = time.Unix(1<<63/1_000_000_000-1, 0).UTC()

// untilLast is t, or lastExpiry if that is earlier.
func untilLast(t time.Time) time.Time {
	if t.After(lastExpiry) {
		return lastExpiry
	}
	return t
}

// InsertSession stores a session of another system under the key that its client has: 8 to 40
// bytes, which [ParseToken] takes. Only the hash of the hash of the key is kept. The session belongs to the present
// generation of its user, so it ends with the next change of the password, and it does not count as
// fresh. Config.SessionLimit is left to the next login.
//
// The error is [ErrInvalid] if the key, the expiry, the backend or the values cannot be kept, and
// [ErrExists] if the key is taken; then nothing was changed in the transaction. It is
// [ErrNotFound] if there is no such user, and [ErrUnsupported] if sessions do not live in the file.
func (tx *Tx) InsertSession(key string, b BroughtSession) error {
	if tx.e.vault != nil {
		return ErrUnsupported
	}
	t, err := ParseToken(key)
	if err != nil || t.kind != tokenKey {
		return &FieldError{Field: "session_key", Code: "invalid", Msg: fmt.Sprintf("A session key that is brought over has %d to %d bytes.", minForeign, maxForeign)}
	}
	s, err := tx.broughtRecord(&b)
	if err != nil {
		return err
	}
	var values []byte
	if b.Values != nil {
		if values, err = b.Values.encode(); err != nil {
			return err
		}
	}
	s.digest = t.digest()
	if taken, err := tx.has(bucketSessionKey, s.digest[:]); err != nil {
		return err
	} else if taken {
		return fmt.Errorf("%w: session of that key", ErrExists)
	}
	fresh, err := newToken(s.expires, tx.now) // for its selector
	if err != nil {
		return err
	}
	if err := tx.storeSession(fresh.sel, s, values); err != nil {
		return err
	}
	if s.user != 0 {
		tx.e.held.add(s.user)
		if err := tx.mark(bucketSessionUser, sessionUserKey(fresh.sel, s.user)); err != nil {
			return err
		}
	}
	r := record.New(recordVersion)
	r.AddBytes(fresh.sel[:])
	return tx.put(bucketSessionKey, s.digest[:], r)
}

// broughtRecord is what is stored of a session, all but its digest.
func (tx *Tx) broughtRecord(b *BroughtSession) (*sessionRecord, error) {
	if !b.Expires.After(tx.now) {
		return nil, &FieldError{Field: "expire_date", Code: "invalid", Msg: "The session is over."}
	}
	if (b.User == 0) != (b.Backend == "") || len(b.Backend) > maxBackendName {
		return nil, &FieldError{Field: "backend", Code: "invalid", Msg: fmt.Sprintf("The session of a user needs the name of a backend, at most %d bytes, and an anonymous one has none.", maxBackendName)}
	}
	s := &sessionRecord{user: b.User, epoch: tx.e.epoch.Load(), created: b.Created, expires: b.Expires,
		flags: sessionBrought | flag(b.BrowserLength, sessionBrowser), backend: b.Backend}
	if s.created.IsZero() || s.created.After(tx.now) {
		s.created = tx.now
	}
	s.expires = untilLast(s.expires)
	s.seen = s.created
	if b.User == 0 {
		return s, nil
	}
	u, err := tx.user(b.User)
	if err != nil {
		return nil, err
	}
	s.generation = u.generation
	return s, nil
}

// maxBackendName is the longest name of a backend.
const maxBackendName = 64

// InsertBroughtUser stores a user of another system as it is there. Unlike [Tx.InsertUser] it takes
// names and addresses that today's rules would refuse to somebody who signs up, and leaves
// addresses as they are. It still brings the user name into form NFKC, in which names are looked up, and refuses
// what could not be stored or used: an empty or over-long name, over-long texts, NUL characters and what is
// not UTF-8. Such a name stays as it is until it is changed.
func (tx *Tx) InsertBroughtUser(u *User, h PasswordHash) error {
	return tx.insertUser(u, h, normalizeBrought)
}

// normalizeBrought is normalizeUser for users of another system.
func normalizeBrought(u *User) error {
	var errs FieldErrors
	name, err := NormalizeUsername(u.Username)
	errs = errs.add(err)
	if err == nil && name == "" {
		errs = append(errs, &FieldError{Field: "username", Code: "blank", Msg: msgBlank})
	}
	errs = errs.add(checkText("username", name, maxForeignName))
	errs = errs.add(checkText("email", u.Email, maxEmail))
	errs = errs.add(checkText("first_name", u.FirstName, 150))
	errs = errs.add(checkText("last_name", u.LastName, 150))
	if len(errs) > 0 {
		return errs
	}
	u.Username = name
	u.DateJoined = u.DateJoined.UTC().Truncate(time.Microsecond)
	return nil
}

// maxForeignName is the longest user name in form NFKC that can be stored: one character becomes 18 at most.
const maxForeignName = 18 * maxUsername

// checkText judges a text that may stay as it is but has to be stored and shown.
func checkText(field, s string, max int) error {
	switch {
	case !utf8.ValidString(s):
		return &FieldError{Field: field, Code: "invalid", Msg: msgEncoding}
	case strings.ContainsRune(s, 0):
		return &FieldError{Field: field, Code: "null_characters_not_allowed", Msg: msgNull}
	}
	return checkLength(field, s, max)
}

// Unused reports whether no user, group or permission was ever stored in the file.
func (tx *ReadTx) Unused() (bool, error) {
	ids, err := tx.ids()
	if err != nil {
		return false, err
	}
	return *ids == idsRecord{}, nil
}

// Users yields all users by identifier.
func (tx *ReadTx) Users() iter.Seq2[*User, error] {
	return func(yield func(*User, error) bool) {
		for e, err := range tx.scan(bucketUser, nil, nil) {
			if err != nil {
				yield(nil, err)
				return
			}
			u, err := tx.User(keyUser(e.key))
			if !yield(u, err) || err != nil {
				return
			}
		}
	}
}

// SessionCount returns how many sessions are stored, dead or alive. It looks at each.
func (tx *ReadTx) SessionCount() (n int, err error) {
	for _, err := range tx.r.Scan(bucketSession, nil, nil) {
		if err != nil {
			return n, fromStore(err)
		}
		n++
	}
	return n, nil
}

// HasSessions reports whether the file has a session of a user that is not over. Unlike [Engine.Sessions] it counts those too whose
// backend is not configured in this program: in another one they may be used. The error is [ErrNotFound] if there is no such user.
func (tx *ReadTx) HasSessions(id UserID) (bool, error) {
	u, err := tx.user(id)
	if err != nil {
		return false, err
	}
	stored, err := tx.sessionsOf(id)
	return slices.ContainsFunc(stored, func(s ownSession) bool {
		return s.generation == u.generation && !tx.over(s.sel, s.sessionRecord)
	}), err
}
