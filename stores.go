package latchbolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

// A SessionStore keeps sessions elsewhere than in the engine's file; set it as
// Config.Sessions. [MemorySessions], [FolderSessions] and [SealedSessions] make
// those of this package, and a program may bring its own. Users, and so whether
// a session may be used, stay in the file: whatever the store, a session ends
// at once when its user gets another password, is deactivated or deleted. What each gives up:
//
//	                                file  memory  folder   sealed
//	survives a restart              yes   no      yes      yes
//	is part of backups of the file  yes   no      no       no
//	Sessions, SessionByID,
//	  NameSession                   yes   yes     yes (1)  no
//	EndSession, EndOtherSessions    yes   yes     yes      no
//	EndSessions                     yes   yes     yes      yes
//	a token that was replaced or
//	  logged out is dead at once    yes   yes     yes      (2)
//	limit of sessions per user      yes   yes     yes (1)  no
//	use puts off the idle end       yes   yes     yes      (3)
//	values of one session           60 K  60 K    60 K     2 K (4)
//	updates at the same time        all   all     all      last wins
//	sessions brought over           yes   no      no       no
//
// The marks in it:
//
//  1. At the first login, list or sweep after the start all stored sessions are
//     read once, about 25 µs each, and up to 300 bytes are kept in memory for each.
//  2. In this process, until the session would have ended. After a restart the
//     token is good again until it expires, unless the user got another password
//     or EndSessions was called. A token with older values is always good as
//     long as the session is, and brings them back.
//  3. A sealed token says itself when it was last used. [Engine.UpdateValues]
//     gives a new one if the one it is given is more than a minute old, also if
//     nothing changes. Without such calls the session ends Config.SessionIdle
//     after it began.
//  4. The token has at most 3,840 characters with everything in it; what does
//     not fit is refused with a [*FieldError].
//
// What no row says is the same for all, but for two things. Outside the file
// [Engine.SetExpiry] always gives a new token. And a login is two steps there, not one
// transaction: if the second fails, the trail names a login that came to nothing.
//
// # Implementing one
//
// A SessionStore keeps opaque data under identifiers. Its methods are called
// concurrently. An identifier is 16 bytes that an engine made or that came from
// a client, who can make them anything. The data names the file it belongs to, so
// several engines may share a store: none takes another's sessions for its own.
// It proves nothing by itself, as tokens are stored as hashes, but who can
// change it can be anybody. A store that loses sessions logs people out; one that brings
// back what was deleted brings back sessions that were ended.
type SessionStore interface {
	// Load returns what was saved last under id, or nil if there is nothing.
	// The engine does not change the bytes, nor does the store afterwards.
	Load(ctx context.Context, id SessionID) (data []byte, err error)
	// Save puts data under id in place of what is there, whole or not at all,
	// also if the process ends meanwhile. When it returns nil, Load
	// finds it. The store may keep data itself. After expires it may drop it; it need not.
	Save(ctx context.Context, id SessionID, data []byte, expires time.Time) error
	// Delete removes what is under id, for good. If there is nothing, that is no error.
	Delete(ctx context.Context, id SessionID) error
	// Scan yields the identifiers of all that is stored, in any order, and at
	// most one error, last. What is saved or deleted meanwhile may be among them or not.
	Scan(ctx context.Context) iter.Seq2[SessionID, error]
}

// A sessionVault is where sessions live, if not in the file. It does what the
// methods of Engine with the same names promise.
type sessionVault interface {
	sessionUser(context.Context, *Token) (Identity, error)
	login(context.Context, Identity, *LoginOptions, *sessionRecord) (Session, error)
	create(context.Context, *LoginOptions, *sessionRecord) (Session, error)
	session(context.Context, *Token) (Session, error)
	rotate(context.Context, *Token, func(*sessionRecord)) (Session, error)
	name(context.Context, SessionID, string) error
	logout(context.Context, *Token) (UserID, error)
	list(context.Context, UserID) ([]Session, error)
	byID(context.Context, SessionID) (Session, error)
	end(context.Context, SessionID) error
	endAll(context.Context, UserID)
	endOthers(context.Context, *Token) error
	changePassword(context.Context, *Token, func(*Tx) (func(*sessionRecord), error)) (Session, error)
	values(context.Context, *Token) (*Values, error)
	updateValues(context.Context, *Token, func(*Values) error) (Token, error)
	// touch writes when sessions were last used.
	touch(context.Context, map[selector]time.Time) error
	sweep(context.Context) (int, error)
}

// vaultFor returns nil if sessions live in the file.
func vaultFor(e *Engine, s SessionStore) sessionVault {
	switch s := s.(type) {
	case nil:
		return nil
	case *sealedSessions:
		return &sealedVault{e: e, box: s}
	default:
		_, memory := s.(*memorySessions)
		return &storeVault{e: e, store: s, cached: memory}
	}
}

// A heldSession is a session as it stands outside the file.
type heldSession struct {
	sel    selector
	rec    *sessionRecord
	framed []byte // its values in their frame

	backend int    // number of the user's backend, if it was admitted
	changes uint64 // of the store's stripe, before it was loaded
}

// identity is the user of an admitted session. st is nil if it is anonymous.
func (h *heldSession) identity(st *userState) Identity {
	if st == nil {
		return Identity{}
	}
	return Identity{&st.idents[h.backend]}
}

// values returns the encoded values.
func (h *heldSession) values() ([]byte, error) {
	body, err := unseal(bucketValues, h.sel[:], h.framed)
	if err != nil {
		return nil, err
	}
	return body.Rest(), nil
}

const (
	// heldVersion is the version of the form that encodeHeld writes.
	heldVersion = 1
	// heldHead is the length of what stands before the record.
	heldHead = 1 + 16 + 2
)

// encodeHeld returns a session as it is kept outside the file: a version, the
// file it belongs to, the length of its record, the record, and the values. The
// last two are framed as in the file, so that their checksums cover the selector too;
// values that are empty have a frame too, so that losing them is noticed.
func (e *Engine) encodeHeld(sel selector, s *sessionRecord, values []byte) ([]byte, error) {
	rec, err := seal(bucketSession, sel[:], s.encode())
	if err != nil {
		return nil, err
	}
	data := make([]byte, 0, heldHead+len(rec)+len(values)+record.Overhead)
	data = append(data, heldVersion)
	data = append(data, e.meta.instance[:]...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(rec)))
	data = append(data, rec...)
	r := record.New(recordVersion)
	r.AddBytes(values)
	framed, err := seal(bucketValues, sel[:], r)
	return append(data, framed...), err
}

// decodeHeld reads what encodeHeld wrote. It returns nil if the session belongs
// to another file. The result holds on to data.
func (e *Engine) decodeHeld(sel selector, data []byte) (*heldSession, error) {
	if len(data) < heldHead {
		return nil, corrupt(fmt.Sprintf("stored session %x", sel), nil)
	}
	if data[0] != heldVersion {
		return nil, fmt.Errorf("%w: stored session %x", ErrNewerFormat, sel)
	}
	if [16]byte(data[1:]) != e.meta.instance {
		return nil, nil
	}
	n := int(binary.BigEndian.Uint16(data[heldHead-2:]))
	parts := data[heldHead:]
	if n > len(parts) {
		return nil, corrupt(fmt.Sprintf("stored session %x", sel), nil)
	}
	body, err := unseal(bucketSession, sel[:], parts[:n])
	if err != nil {
		return nil, err
	}
	rec, err := decodeSession(sel, &body)
	if err != nil {
		return nil, err
	}
	return &heldSession{sel: sel, rec: rec, framed: parts[n:]}, nil
}

// admitted decides whether a session that was found outside the file is alive, and
// returns its user, or nil if it is anonymous. The error is [ErrNoSession] if it is dead.
//
// What is in force in memory only is asked before the file, into which it may move meanwhile.
func (e *Engine) admitted(ctx context.Context, h *heldSession) (st *userState, err error) {
	if e.over(h.sel, h.rec, e.clock.now()) {
		return nil, ErrNoSession
	}
	if h.rec.user == 0 {
		return nil, nil
	}
	if st, err = e.userState(ctx, h.rec.user); err != nil {
		return nil, err
	}
	ok := false
	if h.backend, ok = e.admits(h.rec, st); !ok {
		return nil, ErrNoSession
	}
	return st, nil
}

// carried returns the values of a client's previous session that go over to its
// next one, s: those of an anonymous session, and those of the same user.
func (e *Engine) carried(prev *heldSession, s *sessionRecord) ([]byte, error) {
	p := prev.rec
	if e.over(prev.sel, p, s.created) || p.user != 0 && (p.user != s.user || p.generation != s.generation) {
		return nil, nil
	}
	return prev.values()
}

// recordLogin does the part of a login that happens in the file: it makes sure
// that what was proved still holds, and writes down when it was.
func (e *Engine) recordLogin(ctx context.Context, id Identity, s *sessionRecord) error {
	trail := loginTrail(ctx, id, s.client.addr)
	defer trail.Free()
	return e.updateLent(ctx, func(tx *Tx) error {
		if err := tx.mayLogin(id); err != nil {
			return err
		}
		if err := tx.putLogin(id.ID(), tx.now); err != nil {
			return err
		}
		return tx.loggedIn(trail)
	})
}

// auditLater records the end of a session that has ended already.
func (e *Engine) auditLater(ctx context.Context, a AuditEntry) {
	e.later(ctx, "the trail of ended sessions", func(tx *Tx) error { return tx.audit(a) }, nil)
}

// changeOwn runs the change of a user's own password, if the session that
// asks for it is still of the user's present generation.
func (e *Engine) changeOwn(ctx context.Context, s *sessionRecord, change func(*Tx) (func(*sessionRecord), error)) (renew func(*sessionRecord), err error) {
	err = e.revoke(ctx, func(tx *Tx) error {
		if !tx.sameGeneration(s) {
			return ErrNoSession
		}
		renew, err = change(tx)
		return err
	}, func() denial { return denial{users: []UserID{s.user}, password: true} })
	return renew, err
}

// shown is a session with the token that proves it.
func (h *heldSession) shown(t Token) Session {
	p := h.rec.public(h.sel)
	p.Token = t
	return p
}
