package latchbolt

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A UserID identifies a user for ever: it is never given to another one, also
// not after the user was deleted. The zero UserID is nobody.
type UserID uint64

// A GroupID identifies a group for ever. The zero GroupID is no group.
type GroupID uint64

// A Subject is what a permission can be granted to: a [UserID] or a [GroupID].
type Subject interface {
	subject() (kind byte, id uint64)
}

func (id UserID) subject() (byte, uint64)  { return subjectUser, uint64(id) }
func (id GroupID) subject() (byte, uint64) { return subjectGroup, uint64(id) }

const (
	subjectUser  = 'u'
	subjectGroup = 'g'
)

// A User is one account, with the fields of Django's User. It is a copy:
// changing it changes nothing until it is given to a method that stores it.
// The password is not part of it.
type User struct {
	ID UserID // given by the engine; 0 for a user not stored yet

	// Username is at most 150 characters, letters, digits and @.+-_ only, and
	// is stored in Unicode form NFKC.
	Username  string
	Email     string // may be empty; at most 254 characters; the part after the last @ is stored in lower case
	FirstName string // at most 150 characters
	LastName  string // at most 150 characters

	Inactive  bool // Django's is_active, turned round so that the zero User may log in
	Staff     bool // may enter the console; gives no permission by itself
	Superuser bool // has every permission while active

	DateJoined time.Time // set on creation if zero; UTC, to the microsecond
	LastLogin  time.Time // zero: never logged in

	// Groups are the groups the user is in, ascending. InsertUser reads them;
	// afterwards AddToGroup, RemoveFromGroup and SetGroups change them.
	Groups []GroupID

	// Password tells how the password is kept, never the hash itself. It is
	// filled in on reading and ignored on writing.
	Password HashInfo
}

// FullName returns the first and the last name with a space between them,
// without outer white space, as Django's get_full_name does.
func (u *User) FullName() string { return trimSpace(u.FirstName + " " + u.LastName) }

// maxGroups bounds the groups of one user, which stand in the user's record.
const maxGroups = 4096

// canonicalName is the form in which user names are unique and looked up.
func (e *Engine) canonicalName(name string) string {
	if e.caseSensitive {
		return name
	}
	return foldName(name)
}

// normalizeUser brings the fields of u into the form in which they are stored, or returns
// all the reasons why it cannot.
func normalizeUser(u *User) error { return normalizeChanges(u, nil) }

// normalizeChanges does so for the fields that differ from old's; nil stands for a new user. A stored name or
// address that today's rules would refuse stays valid while it is left alone: users of another system must be able to
// change the rest.
func normalizeChanges(u, old *User) error {
	isNew := old == nil
	if isNew {
		old = new(User)
	}
	name, email := u.Username, u.Email
	var errs FieldErrors
	if isNew || u.Username != old.Username {
		var err error
		if name, err = NormalizeUsername(u.Username); err == nil {
			err = ValidateUsername(name)
		}
		errs = errs.add(err)
	}
	if u.Email != old.Email {
		email = NormalizeEmail(u.Email)
		errs = errs.add(ValidateEmail(email))
	}
	if u.FirstName != old.FirstName {
		errs = errs.add(validateText("first_name", u.FirstName, 150, false))
	}
	if u.LastName != old.LastName {
		errs = errs.add(validateText("last_name", u.LastName, 150, false))
	}
	if len(errs) > 0 {
		return errs
	}
	u.Username, u.Email = name, email
	return nil
}

// asStored returns a time as it comes back from the file; the zero Time stays as it is.
func asStored(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// add appends the field errors in err, if any.
func (e FieldErrors) add(err error) FieldErrors {
	if err == nil {
		return e // before there is anything to allocate
	}
	var many FieldErrors
	var one *FieldError
	switch {
	case errors.As(err, &many):
		return append(e, many...)
	case errors.As(err, &one):
		return append(e, one)
	default:
		return append(e, &FieldError{Field: "value", Code: "invalid", Msg: err.Error()})
	}
}

// InsertUser stores a new user with a password hash; the zero PasswordHash
// makes the password unusable. If u.ID is not 0 it is kept, as for a user from
// another system: it must never have been given out before. The groups
// in u.Groups must exist. On success u holds what was stored. The error is a
// [FieldErrors], or is [ErrExists] if the name is taken.
//
// The password is not validated, having been hashed already; [Engine.CreateUser] does both.
func (tx *Tx) InsertUser(u *User, h PasswordHash) error {
	return tx.insertUser(u, h, normalizeUser)
}

func (tx *Tx) insertUser(u *User, h PasswordHash, normalize func(*User) error) error {
	r, err := newUserRecord(u, h, tx.now, normalize)
	if err != nil {
		return err
	}
	if err := tx.checkFree(&r.User, nil); err != nil {
		return err
	}
	id, err := takeID(tx, r.ID, func(i *idsRecord) *UserID { return &i.user }, bucketUser, userKey, "user")
	if err != nil {
		return err
	}
	groups := r.Groups
	r.ID, r.Groups = id, nil
	if err := tx.indexUser(nil, r); err != nil {
		return err
	}
	if err := tx.putLogin(id, r.LastLogin); err != nil {
		return err
	}
	for _, g := range groups {
		if err := tx.enter(r, g); err != nil {
			return err
		}
	}
	tx.countHash(PasswordHash{}, h)
	r.Password = h.Info()
	*u = r.User
	return tx.putUser(r)
}

// newUserRecord returns what is to be stored of a new user, all but the identifier and
// the groups, which are those that u asks for.
func newUserRecord(u *User, h PasswordHash, now time.Time, normalize func(*User) error) (*userRecord, error) {
	r := &userRecord{User: *u, hash: h, generation: 1}
	if err := normalize(&r.User); err != nil {
		return nil, err
	}
	if r.DateJoined.IsZero() {
		r.DateJoined = now
	}
	r.DateJoined, r.LastLogin = asStored(r.DateJoined), asStored(r.LastLogin)
	return r, nil
}

// checkFree makes sure that the name of u, and its address if addresses are to
// be unique, belong to no other user. An address that old has already is left alone: there may
// be others with it from before addresses had to be unique.
func (tx *Tx) checkFree(u, old *User) error {
	if id, err := tx.idByName(u.Username); err != nil {
		return err
	} else if id != 0 && id != u.ID {
		return errNameTaken()
	}
	if !tx.e.cfg.UniqueEmail || u.Email == "" || old != nil && u.Email == old.Email {
		return nil
	}
	others, err := tx.idsByEmail(emailPrefix(foldEmail(u.Email)), 2)
	for _, id := range others {
		if id != u.ID {
			return &FieldError{Field: "email", Code: "unique", Msg: "A user with that e-mail address already exists."}
		}
	}
	return err
}

func errNameTaken() error {
	return &FieldError{Field: "username", Code: "unique", Msg: "A user with that username already exists."}
}

// putUser stores the record itself. The indexes are kept by indexUser.
func (tx *Tx) putUser(u *userRecord) error {
	tx.touchUser(u.ID)
	return tx.put(bucketUser, userKey(u.ID), u.encode())
}

// putLogin sets the last login, whatever it was.
func (tx *Tx) putLogin(id UserID, at time.Time) error {
	if err := tx.mergeNew(userKey(id)); err != nil {
		return err
	}
	if at.IsZero() {
		return tx.delete(bucketLogin, userKey(id))
	}
	return tx.put(bucketLogin, userKey(id), timeRecord(at))
}

// indexUser makes the indexes follow from old to u; either may be nil for none.
func (tx *Tx) indexUser(old, u *userRecord) error {
	oldName, oldEmail, oldSuper := tx.e.indexKeys(old)
	name, email, super := tx.e.indexKeys(u)
	if err := tx.moveIndex(indexMove{bucketUserName, oldName, name}, u); err != nil {
		return err
	}
	if err := tx.moveIndex(indexMove{bucketUserEmail, oldEmail, email}, u); err != nil {
		return err
	}
	return tx.moveIndex(indexMove{bucketSuperuser, oldSuper, super}, u)
}

// indexKeys returns the keys under which a user stands in the indexes; nil is nowhere.
func (e *Engine) indexKeys(r *userRecord) (name, email, super []byte) {
	if r == nil {
		return nil, nil, nil
	}
	name = nameKey(e.canonicalName(r.Username))
	if r.Email != "" {
		email = emailKey(foldEmail(r.Email), r.ID)
	}
	if r.Superuser && !r.Inactive {
		super = userKey(r.ID)
	}
	return name, email, super
}

// guardSuperuser refuses to take away the last active superuser.
func (tx *Tx) guardSuperuser(old, u *userRecord) error {
	if !old.Superuser || old.Inactive || u != nil && u.Superuser && !u.Inactive {
		return nil
	}
	keys, err := tx.keys(bucketSuperuser, nil, nil, 2)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(keys, func(k []byte) bool { return keyUser(k) != old.ID }) {
		return ErrLastSuperuser
	}
	return nil
}

// UpdateUser changes a user: fn is given a copy and alters it. It may run more
// than once. The identifier, the groups and the password are not changed that
// way. Deactivation ends all sessions of the user and voids its tokens, for every call that starts after the
// transaction; [ErrLastSuperuser] is returned if nobody would be left.
func (tx *Tx) UpdateUser(id UserID, fn func(*User) error) error {
	old, err := tx.user(id)
	if err != nil {
		return err
	}
	u := *old
	u.Groups = slices.Clone(old.Groups)
	if err := fn(&u.User); err != nil {
		return err
	}
	u.ID, u.Groups = old.ID, old.Groups
	if err := normalizeChanges(&u.User, &old.User); err != nil {
		return err
	}
	if err := tx.checkFree(&u.User, &old.User); err != nil {
		return err
	}
	if err := tx.guardSuperuser(old, &u); err != nil {
		return err
	}
	if err := tx.indexUser(old, &u); err != nil {
		return err
	}
	if u.Inactive && !old.Inactive {
		// For good: they do not come back to life with the user.
		if err := tx.endAll(&u); err != nil {
			return err
		}
		tx.written(denial{users: []UserID{id}, inactive: true})
	}
	if !u.LastLogin.Equal(old.LastLogin) {
		if err := tx.putLogin(id, u.LastLogin); err != nil {
			return err
		}
	}
	return tx.putUser(&u)
}

// DeleteUser removes a user with everything that hangs on it: memberships,
// grants, sessions, tokens and counters. The identifier is not used again.
func (tx *Tx) DeleteUser(id UserID) error {
	u, err := tx.user(id)
	if err != nil {
		return err
	}
	if err := tx.guardSuperuser(u, nil); err != nil {
		return err
	}
	if err := tx.indexUser(u, nil); err != nil {
		return err
	}
	for _, g := range u.Groups {
		if err := tx.delete(bucketMember, memberKey(g, id)); err != nil {
			return err
		}
	}
	if err := tx.deleteGrants(id); err != nil {
		return err
	}
	if err := tx.deleteSessions(id, nil); err != nil {
		return err
	}
	if err := tx.deleteTokens(id, ""); err != nil {
		return err
	}
	if err := tx.putLogin(id, time.Time{}); err != nil {
		return err
	}
	if err := tx.delete(bucketThrottle, throttleKey(throttleUser, uint64(id))); err != nil {
		return err
	}
	tx.countHash(u.hash, PasswordHash{})
	tx.touchUser(id)
	tx.written(denial{users: []UserID{id}, inactive: true, password: true})
	return tx.delete(bucketUser, userKey(id))
}

// InsertUser stores a new user with a hash made before; see [Tx.InsertUser].
func (e *Engine) InsertUser(ctx context.Context, u *User, h PasswordHash) error {
	return e.Update(ctx, func(tx *Tx) error { return tx.insertUserAudited(u, h) })
}

// insertUserAudited stores what u says; u holds what was stored once that is durable.
func (tx *Tx) insertUserAudited(u *User, h PasswordHash) error {
	n := *u
	if err := tx.InsertUser(&n, h); err != nil {
		return err
	}
	tx.OnCommit(func() { *u = n })
	return tx.audit(AuditEntry{Action: ActionUserCreate, User: n.ID, Username: n.Username})
}

// CreateUser stores a new user with a password, after the password passed the
// validators. On success u holds what was stored, with its identifier. The
// error is [FieldErrors] if a field or the password was refused.
//
// For a user who shall not log in with a password, use [Engine.InsertUser]
// with the zero PasswordHash.
func (e *Engine) CreateUser(ctx context.Context, u *User, password string) error {
	n := *u
	var errs FieldErrors
	errs = errs.add(normalizeUser(&n))
	refused := e.ValidatePassword(password, &n)
	if refused != nil && !errors.Is(refused, ErrInvalid) {
		return refused // it could not be judged
	}
	errs = errs.add(refused)
	if len(errs) > 0 {
		return errs
	}
	// Look before hashing: a taken name should not cost a hash.
	if err := e.view(ctx, func(tx *ReadTx) error {
		id, err := tx.idByName(n.Username)
		if err == nil && id != 0 {
			err = errNameTaken()
		}
		return err
	}); err != nil {
		return err
	}
	h, err := e.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	return e.InsertUser(ctx, u, h)
}

// UpdateUser changes a user; see [Tx.UpdateUser]. If it deactivates the user
// and the change cannot be written, the user's sessions and logins are refused in this process
// all the same, and the error is returned.
func (e *Engine) UpdateUser(ctx context.Context, id UserID, fn func(*User) error) error {
	var inactive bool
	err := e.revoke(ctx, func(tx *Tx) error {
		inactive = false
		return tx.updateAudited(id, func(u *User) error {
			was := u.Inactive
			err := fn(u)
			inactive = u.Inactive && !was
			return err
		})
	}, func() denial {
		if inactive {
			return denial{users: []UserID{id}, inactive: true}
		}
		return denial{}
	})
	return err
}

// updateAudited updates a user and records which fields changed, not their values.
func (tx *Tx) updateAudited(id UserID, fn func(*User) error) error {
	var before, after User
	err := tx.UpdateUser(id, func(u *User) error {
		before = *u
		err := fn(u)
		after = *u
		return err
	})
	if err != nil {
		return err
	}
	tx.changed(ChangeUser, id)
	return tx.audit(AuditEntry{Action: ActionUserUpdate, User: id, Username: after.Username, Detail: changedFields(&before, &after)})
}

func changedFields(a, b *User) string {
	var names []string
	add := func(name string, changed bool) {
		if changed {
			names = append(names, name)
		}
	}
	add("username", a.Username != b.Username)
	add("email", a.Email != b.Email)
	add("first_name", a.FirstName != b.FirstName)
	add("last_name", a.LastName != b.LastName)
	add("is_active", a.Inactive != b.Inactive)
	add("is_staff", a.Staff != b.Staff)
	add("is_superuser", a.Superuser != b.Superuser)
	return joinComma(names)
}

// DeleteUser removes a user and everything that hangs on it; see [Tx.DeleteUser].
func (e *Engine) DeleteUser(ctx context.Context, id UserID) error {
	return e.revoke(ctx, func(tx *Tx) error { return tx.deleteUserAudited(id) },
		func() denial { return denial{users: []UserID{id}, inactive: true} })
}

func (tx *Tx) deleteUserAudited(id UserID) error {
	u, err := tx.user(id)
	if err != nil {
		return err
	}
	if err := tx.DeleteUser(id); err != nil {
		return err
	}
	tx.changed(ChangeUser, id)
	return tx.audit(AuditEntry{Action: ActionUserDelete, User: id, Username: u.Username})
}
