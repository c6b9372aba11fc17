package latchbolt

import (
	"context"
	"errors"
	"fmt"
)

// An Identity is a user who was proved by a backend, as of one moment. The
// zero Identity is the anonymous user. It comes only from
// [Engine.Authenticate], [Engine.SessionUser] and [Engine.Identity], so code
// that has one did not forget to check.
//
// An Identity is one pointer, never changes and may be shared by goroutines.
// Two of them may differ although they are of one user; compare with
// [Identity.ID]. Comparing with the zero Identity is sound.
type Identity struct {
	p *identity
}

type identity struct {
	st      *userState
	e       *Engine
	backend string
	allowed bool // the backend lets inactive users in
}

// ID returns the user's identifier, or 0 for the anonymous user.
func (id Identity) ID() UserID {
	if id.p == nil {
		return 0
	}
	return id.p.st.id
}

// Username returns the user's name, or "" for the anonymous user.
func (id Identity) Username() string {
	if id.p == nil {
		return ""
	}
	return id.p.st.name
}

// Anonymous reports whether nobody is signed in.
func (id Identity) Anonymous() bool { return id.p == nil }

// Active reports whether the user was active. The anonymous user is not.
func (id Identity) Active() bool { return id.p != nil && !id.p.st.inactive }

// Staff reports whether the user was marked as staff. It says nothing about permissions.
func (id Identity) Staff() bool { return id.p != nil && id.p.st.staff }

// Superuser reports whether the user was an active superuser.
func (id Identity) Superuser() bool {
	return id.p != nil && id.p.st.superuser && !id.p.st.inactive
}

// Backend returns the name of the backend that proved the user, or "".
func (id Identity) Backend() string {
	if id.p == nil {
		return ""
	}
	return id.p.backend
}

// String returns the user's name quoted, or "anonymous".
func (id Identity) String() string {
	if id.p == nil {
		return "anonymous"
	}
	return quote(id.p.st.name)
}

// Has reports whether the user had a permission for all objects at the moment
// the Identity was loaded, from the engine's own grants. It asks no other
// backend and does not look at the file: it is for templates and loops. What
// counts is [Engine.HasPerm].
func (id Identity) Has(p Perm) bool {
	if id.p == nil || id.p.st.inactive {
		return false
	}
	return id.p.st.superuser || id.p.st.has(p)
}

// has reports whether the engine's own grants for all objects give a permission. Both parts of
// the answer are of one state, whatever was defined or removed since.
func (st *userState) has(p Perm) bool {
	if st.perms == nil {
		return false
	}
	n, ok := st.index.find(p)
	return ok && st.perms.has(n)
}

// Identity returns the identity of a user without any proof: for programs that
// act for a user on their own authority, such as a scheduled job. Its backend
// is the first one configured. The error is [ErrNotFound], or [ErrCredentials]
// if the user is inactive.
func (e *Engine) Identity(ctx context.Context, id UserID) (Identity, error) {
	return e.identity(ctx, id, 0)
}

func (e *Engine) identity(ctx context.Context, id UserID, backend int) (Identity, error) {
	st, err := e.userState(ctx, id)
	if err != nil {
		return Identity{}, err
	}
	if st == nil {
		return Identity{}, notFound("user", fmt.Sprint(id))
	}
	if st.inactive && !st.idents[backend].allowed {
		return Identity{}, ErrCredentials
	}
	return Identity{&st.idents[backend]}, nil
}

// now returns the present state of the user behind id, or nil if it is gone.
func (id Identity) now(ctx context.Context, e *Engine) (*userState, error) {
	if id.p == nil {
		return nil, nil
	}
	if id.p.e != e {
		return nil, errors.New("latchbolt: Identity of another Engine")
	}
	if st := e.cache.users.current(id.p.st.cell, id.p.st.id); st != nil {
		return st, nil
	}
	return e.userState(ctx, id.p.st.id)
}

// as returns the identity with the user's present state, for backends that go by what it says.
func (id Identity) as(st *userState) Identity {
	if id.p == nil || st == nil || id.p.st == st {
		return id
	}
	for i := range st.idents {
		if st.idents[i].backend == id.p.backend {
			return Identity{&st.idents[i]}
		}
	}
	return id
}
