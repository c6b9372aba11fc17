package latchbolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
)

// Credentials are what somebody offers as proof. Each kind is a type of its
// own; a backend looks at the type to see whether it can tell.
type Credentials interface {
	// Kind names the kind of proof, for the audit trail, such as "password".
	Kind() string
}

// A Client is where a request comes from. It is shown to the user in the list
// of sessions, and counts failed attempts by address.
type Client struct {
	Addr  netip.Addr // the zero Addr: unknown
	Agent string     // the User-Agent header or the like; cut to 256 bytes
}

// Password is proof by user name and password.
type Password struct {
	Username string
	Password string
	Client   Client
}

// Kind returns "password".
func (Password) Kind() string { return "password" }

// String does not show the password.
func (p Password) String() string   { return "password of " + quote(p.Username) }
func (p Password) GoString() string { return p.String() }

// Format does not show the password.
func (p Password) Format(f fmt.State, _ rune) { fmt.Fprint(f, p.String()) }

// LogValue does not show the password.
func (p Password) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText does not show the password.
func (p Password) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// RemoteUser is proof by a program in front of this one, such as a reverse
// proxy, which the caller has made sure of.
type RemoteUser struct {
	Username string
	Client   Client
}

// Kind returns "remote".
func (RemoteUser) Kind() string { return "remote" }

// A Backend proves who somebody is. Its methods may be called concurrently
// and are never called inside a transaction.
//
// A Backend may also be a [PermBackend], and may have a method
// AllowInactive() bool that lets inactive users in.
type Backend interface {
	// Name is how sessions remember the backend, at most 64 bytes. A session
	// dies when no backend of the name it remembers is configured.
	Name() string
	// Authenticate returns the user that the credentials prove. It returns
	// [ErrSkip] for credentials that are not its kind, [ErrCredentials] if
	// they prove nobody, and [ErrDenied] if no further backend shall be asked.
	// Any other error ends the attempt and is returned to the caller: an outage is no refusal.
	Authenticate(ctx context.Context, e *Engine, c Credentials) (UserID, error)
}

// A PermBackend also decides about permissions. The engine's own grants are asked for where the first backend stands that
// is no PermBackend; if all are, they do not count.
type PermBackend interface {
	Backend
	// HasPerm reports whether the user, who may be anonymous or inactive, has a permission for an
	// object, or for all objects if it is empty. [ErrDenied] refuses for good, [ErrSkip] has no opinion.
	HasPerm(ctx context.Context, e *Engine, id Identity, p Perm, o Object) (bool, error)
	// Perms returns all that HasPerm grants.
	Perms(ctx context.Context, e *Engine, id Identity, o Object) ([]Perm, error)
}

func allowsInactive(b Backend) bool {
	a, ok := b.(interface{ AllowInactive() bool })
	return ok && a.AllowInactive()
}

// PasswordBackend proves users by the passwords that the engine keeps. It is
// the default.
type PasswordBackend struct {
	// ByEmail also takes an e-mail address of at most 150 characters as user name, if exactly one
	// user has it and nobody has it for a name. Failures by name and by address are counted together for an
	// account, so who tries both can tell that they belong to one account, or to none.
	ByEmail bool
	// Inactive lets inactive users in; it is Django's AllowAllUsersModelBackend.
	Inactive bool
}

// passwordBackend is the name of the plain [PasswordBackend]; records of sessions leave it out.
const passwordBackend = "password"

// Name returns "password", or "password-all" if inactive users are let in.
func (b PasswordBackend) Name() string {
	if b.Inactive {
		return "password-all"
	}
	return passwordBackend
}

// AllowInactive reports whether inactive users are let in.
func (b PasswordBackend) AllowInactive() bool { return b.Inactive }

// Authenticate checks a [Password]. Whatever fails, it does the same amount of
// work, counts the failure, and returns [ErrCredentials].
func (b PasswordBackend) Authenticate(ctx context.Context, e *Engine, c Credentials) (UserID, error) {
	p, ok := c.(Password)
	if !ok {
		return 0, ErrSkip
	}
	return e.checkPassword(ctx, b, p)
}

// A candidate is the account that a password is tried on, if there is one.
type candidate struct {
	id         UserID
	hash       PasswordHash
	generation uint32
	allowed    bool // may log in, if the password is right
	failed     bool // has failures to forgive
}

// maxPassword is the longest password that is looked at, in bytes.
const maxPassword = 4096

// checkPassword is the one path for passwords.
func (e *Engine) checkPassword(ctx context.Context, b PasswordBackend, p Password) (UserID, error) {
	// What cannot be a name or a password costs nothing to refuse, whoever is meant.
	name, err := NormalizeUsername(p.Username)
	if err != nil || name == "" || len(p.Password) > maxPassword {
		return 0, ErrCredentials
	}
	var who candidate
	if err := e.view(ctx, func(tx *ReadTx) (err error) {
		who, err = tx.candidate(b, name)
		return err
	}); err != nil {
		return 0, err
	}
	ids := e.throttleIDs(who.id, name, p.Client.Addr)
	wait, done, err := e.admit(ctx, ids)
	if err != nil {
		return 0, err
	}
	if wait > 0 {
		// The same work as for an attempt that is looked at.
		if _, _, err := e.hashes.check(ctx, p.Password, who.hash, false); err != nil {
			return 0, err
		}
		return 0, &ThrottleError{Wait: wait}
	}
	defer done()
	ok, outdated, err := e.hashes.check(ctx, p.Password, who.hash, who.allowed)
	if err != nil {
		return 0, err
	}
	if !ok {
		e.countFailure(ctx, ids)
		return 0, ErrCredentials
	}
	if outdated || who.failed {
		e.afterRight(ctx, p.Password, &who, outdated)
	}
	if proof, ok := ctx.Value(proofKey{}).(*atomic.Pointer[candidate]); ok {
		proof.Store(&who)
	}
	return who.id, nil
}

// candidate finds the account for a name that was brought into form NFKC.
func (tx *ReadTx) candidate(b PasswordBackend, name string) (candidate, error) {
	id, err := tx.idByName(name)
	if err != nil {
		return candidate{}, err
	}
	if b.ByEmail { // also if the name was found, so that it takes as long
		users, err := tx.UsersByEmail(name)
		if err != nil {
			return candidate{}, err
		}
		if id == 0 && len(users) == 1 {
			id = users[0].ID
		}
	}
	if id == 0 {
		tx.lookAtDecoy()
		return candidate{}, nil
	}
	u, err := tx.user(id)
	if err != nil {
		return candidate{}, err
	}
	c := candidate{id: id, hash: u.hash, generation: u.generation}
	d := tx.denied(id)
	c.allowed = (b.Inactive || !u.Inactive && !d.inactive) && !d.password
	c.failed, err = tx.failed(id)
	return c, err
}

// lookAtDecoy reads for a name that nobody has what is read for one that somebody has: otherwise the refusal would
// come some microseconds sooner, which shows when it is measured often enough. What it finds, damage too, does not matter.
func (tx *ReadTx) lookAtDecoy() {
	id := UserID(tx.e.decoy.Load())
	if _, err := tx.user(id); errors.Is(err, ErrNotFound) {
		keys, err := tx.keys(bucketUser, nil, nil, 1)
		if err != nil || len(keys) == 0 {
			return
		}
		id = keyUser(keys[0])
		tx.e.decoy.Store(uint64(id))
		_, _ = tx.user(id)
	}
	tx.denied(id)
	_, _ = tx.failed(id)
}

// afterRight does what a right password leads to: better hashes and forgiveness. If it
// cannot be written, the login is a success all the same.
func (e *Engine) afterRight(ctx context.Context, password string, who *candidate, outdated bool) {
	var better PasswordHash
	var err error
	if outdated {
		if better, err = e.hashes.hash(ctx, password); err != nil {
			e.log.Warn("latchbolt: a password hash was not renewed", "user", uint64(who.id), "err", err)
			outdated = false
		}
	}
	if !outdated {
		e.later(ctx, "forgiving failed attempts", func(tx *Tx) error { return tx.forgive(who.id) }, nil)
		return
	}
	err = e.update(ctx, func(tx *Tx) error {
		if err := tx.forgive(who.id); err != nil {
			return err
		}
		u, err := tx.user(who.id)
		if err != nil {
			return err
		}
		if u.hash != who.hash {
			return nil // the password was changed meanwhile; that stands
		}
		return tx.replaceHash(u, better)
	})
	if err != nil {
		e.log.Warn("latchbolt: a password hash was not renewed", "user", uint64(who.id), "err", err)
	}
}

// Authenticate asks the backends in their order who the credentials prove. If
// none accepts them the error is [ErrCredentials], whatever the reason, or
// [ThrottleError] if it is too early for another attempt. Other errors mean that the question could not be
// decided: [ErrBusy], the context's, or an outage of the store.
func (e *Engine) Authenticate(ctx context.Context, c Credentials) (Identity, error) {
	switch p := c.(type) { // a pointer has the methods too
	case *Password:
		if p != nil {
			c = *p
		}
	case *RemoteUser:
		if p != nil {
			c = *p
		}
	}
	for i, b := range e.backends {
		var proof atomic.Pointer[candidate]
		uid, err := b.Authenticate(context.WithValue(ctx, proofKey{}, &proof), e, c)
		switch {
		case errors.Is(err, ErrSkip):
			continue
		case errors.Is(err, ErrDenied):
			return Identity{}, e.loginFailed(ctx, c, ErrCredentials)
		case errors.Is(err, ErrThrottled):
			return Identity{}, e.loginFailed(ctx, c, err)
		case errors.Is(err, ErrCredentials) || err == nil && uid == 0:
			continue
		case err != nil:
			return Identity{}, err
		}
		id, err := e.identity(ctx, uid, i)
		if errors.Is(err, ErrCredentials) || errors.Is(err, ErrNotFound) {
			continue // inactive, or deleted meanwhile
		}
		if err == nil && !e.stillProved(id, proof.Load()) {
			continue
		}
		return id, err
	}
	return Identity{}, e.loginFailed(ctx, c, ErrCredentials)
}

// proofKey is under which checkPassword finds, in the context of Authenticate,
// where to leave whom it proved. That way it also works for backends that wrap [PasswordBackend].
type proofKey struct{}

// stillProved reports whether nothing voided the proof while the password was
// being hashed. The identity is of a later moment, so that [Engine.Login], which asks whether
// anything changed since, would not notice: somebody who knows the old password could
// log in right after it was changed because of that.
func (e *Engine) stillProved(id Identity, proved *candidate) bool {
	return proved == nil || proved.id != id.ID() ||
		proved.generation == id.p.st.generation && !e.denied.user(id.ID()).password
}

// loginFailed records a refused attempt and returns the error for it.
func (e *Engine) loginFailed(ctx context.Context, c Credentials, refused error) error {
	f := LoginFailure{Throttled: errors.Is(refused, ErrThrottled)}
	switch c := c.(type) {
	case Password:
		f.Username, f.Client = clip(c.Username, maxAuditName), c.Client
	case RemoteUser:
		f.Username, f.Client = clip(c.Username, maxAuditName), c.Client
	}
	detail := ""
	if c != nil {
		detail = c.Kind()
	}
	if f.Throttled {
		detail += ", throttled"
	}
	e.later(ctx, "recording a failed login", func(tx *Tx) error {
		return tx.audit(AuditEntry{Action: ActionLoginFailed, Username: f.Username, Addr: f.Client.Addr, Failed: true, Detail: detail})
	}, nil)
	if fn := e.cfg.Events.UserLoginFailed; fn != nil {
		fn(f)
	}
	return refused
}

// RemoteUserBackend trusts a [RemoteUser]. It is for programs behind a proxy
// that authenticates; the caller must have made sure that the name comes from there.
type RemoteUserBackend struct {
	// NoCreate refuses names that no user has. Otherwise such users are made,
	// with an unusable password.
	NoCreate bool
	// Inactive lets inactive users in.
	Inactive bool
	// Clean turns the name that came into the user name. Nil leaves it alone.
	Clean func(name string) string
	// Configure is called before a user that is being made is stored, and may set its
	// other fields. It may run more than once. Nil leaves them alone.
	Configure func(u *User)
}

// Name returns "remote", or "remote-all" if inactive users are let in.
func (b RemoteUserBackend) Name() string {
	if b.Inactive {
		return "remote-all"
	}
	return "remote"
}

// AllowInactive reports whether inactive users are let in.
func (b RemoteUserBackend) AllowInactive() bool { return b.Inactive }

// Authenticate finds or makes the user that a [RemoteUser] names.
func (b RemoteUserBackend) Authenticate(ctx context.Context, e *Engine, c Credentials) (UserID, error) {
	r, ok := c.(RemoteUser)
	if !ok {
		return 0, ErrSkip
	}
	if r.Username == "" {
		return 0, ErrCredentials
	}
	name := r.Username
	if b.Clean != nil {
		name = b.Clean(name)
	}
	u, err := e.UserByName(ctx, name)
	switch {
	case err == nil:
		return u.ID, nil
	case !errors.Is(err, ErrNotFound):
		return 0, err
	case b.NoCreate:
		return 0, ErrCredentials
	}
	u = &User{Username: name}
	if b.Configure != nil {
		b.Configure(u)
	}
	err = e.InsertUser(ctx, u, PasswordHash{})
	if errors.Is(err, ErrExists) {
		// Two requests brought the new name at once, or another field is taken.
		var there *User
		if there, err = e.UserByName(ctx, name); err == nil {
			return there.ID, nil
		}
	}
	if errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound) {
		return 0, ErrCredentials
	}
	return u.ID, err
}
