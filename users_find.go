package latchbolt

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How users are found: by identifier, by name and by address.

func (tx *ReadTx) user(id UserID) (*userRecord, error) {
	body, ok, err := tx.get(bucketUser, userKey(id))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFound("user", fmt.Sprint(id))
	}
	u, err := decodeUser(id, &body)
	if err != nil {
		return nil, err
	}
	u.LastLogin, err = tx.lastLogin(id)
	return u, err
}

// lastLogin returns when a user logged in last, merged or not.
func (tx *ReadTx) lastLogin(id UserID) (time.Time, error) {
	last, err := tx.storedLogin(id)
	if err != nil {
		return last, err
	}
	for en, err := range tx.scan(bucketSessionNew, userKey(id), nil) {
		if err != nil {
			return last, err
		}
		if at := readTime(&en.body); at.After(last) {
			last = at
		}
	}
	return last, nil
}

// storedLogin returns the last login that is merged, or zero.
func (tx *ReadTx) storedLogin(id UserID) (time.Time, error) {
	body, ok, err := tx.get(bucketLogin, userKey(id))
	if err != nil || !ok {
		return time.Time{}, err
	}
	at := readTime(&body)
	return at, fromRecord(bucketLogin, userKey(id), body.Done())
}

// User returns a user by identifier, or an error that is [ErrNotFound].
func (tx *ReadTx) User(id UserID) (*User, error) {
	u, err := tx.user(id)
	if err != nil {
		return nil, err
	}
	return &u.User, nil
}

// idByName returns the user with a name, or 0. It does not normalize more than
// the caller did; see [Engine.UserByName].
func (tx *ReadTx) idByName(name string) (UserID, error) {
	id, err := tx.getID(bucketUserName, nameKey(tx.e.canonicalName(name)))
	return UserID(id), err
}

// UserByName returns the user with a name, which is brought into form NFKC
// first, and compared without regard to case if the file is set up that way.
func (tx *ReadTx) UserByName(name string) (*User, error) {
	normal, err := NormalizeUsername(name)
	if err != nil {
		return nil, notFound("user", name)
	}
	id, err := tx.idByName(normal)
	if err != nil {
		return nil, err
	}
	if id == 0 {
		return nil, notFound("user", name)
	}
	return tx.User(id)
}

// UsersByEmail returns the users with an address, compared without regard to
// case as in Django's password reset: both in form NFKC and case-folded. There may be
// several, or none, which is no error. What is sent to a user goes to the
// address stored there, never to the one that was typed.
func (tx *ReadTx) UsersByEmail(email string) ([]*User, error) {
	if email == "" || ValidateEmail(email) != nil {
		return nil, nil
	}
	ids, err := tx.idsByEmail(emailPrefix(foldEmail(email)), 0)
	if err != nil {
		return nil, err
	}
	var users []*User
	for _, id := range ids {
		u, err := tx.User(id)
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

// idsByEmail returns at most limit users whose keys begin with an address; limit 0 means all.
func (tx *ReadTx) idsByEmail(prefix []byte, limit int) ([]UserID, error) {
	var ids []UserID
	for p, err := range tx.r.Scan(bucketUserEmail, prefix, nil) {
		switch {
		case err != nil:
			return nil, fromStore(err)
		case len(p.Key) < len(prefix)+8:
			return nil, corrupt(fmt.Sprintf("%s %x", bucketUserEmail, p.Key), errors.New("the key is too short"))
		case len(p.Key) > len(prefix)+8:
			continue // of a longer address: the hash at the end of its part of the key has the byte that ends this one
		}
		if ids = append(ids, keyUser(p.Key[len(prefix):])); len(ids) == limit {
			break
		}
	}
	return ids, nil
}

// User returns a user by identifier, or an error that is [ErrNotFound].
func (e *Engine) User(ctx context.Context, id UserID) (u *User, err error) {
	err = e.view(ctx, func(tx *ReadTx) error {
		u, err = tx.User(id)
		return err
	})
	return u, err
}

// UserByName returns the user with a name; see [ReadTx.UserByName].
func (e *Engine) UserByName(ctx context.Context, name string) (u *User, err error) {
	err = e.view(ctx, func(tx *ReadTx) error {
		u, err = tx.UserByName(name)
		return err
	})
	return u, err
}

// UsersByEmail returns the users with an address; see [ReadTx.UsersByEmail].
func (e *Engine) UsersByEmail(ctx context.Context, email string) (us []*User, err error) {
	err = e.view(ctx, func(tx *ReadTx) error {
		us, err = tx.UsersByEmail(email)
		return err
	})
	return us, err
}
