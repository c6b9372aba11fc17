package latchbolt

// Events are called after something happened and, except for a failed login, is durable, on the goroutine
// that made it happen, never inside a transaction. Each may be nil. They may
// call the Engine. No argument holds a secret.
type Events struct {
	// UserLoggedIn is called after a login, with the new session.
	UserLoggedIn func(Session)
	// UserLoginFailed is called after credentials were refused.
	UserLoginFailed func(LoginFailure)
	// UserLoggedOut is called after a logout; the user is 0 for an anonymous session.
	UserLoggedOut func(UserID)
	// Changed is called after a user that exists, its password, a group or its grants were changed
	// through the Engine's methods.
	Changed func(Change)
}

// A LoginFailure describes a refused attempt.
type LoginFailure struct {
	Username  string // as it was typed, cut to 256 bytes
	Client    Client
	Throttled bool // the attempt was not even looked at
}

// A Change says what changed.
type Change struct {
	Kind  ChangeKind
	User  UserID  // for ChangeUser and ChangePassword
	Group GroupID // for ChangeGroup
}

// A ChangeKind is the kind of a Change.
type ChangeKind string

const (
	ChangeUser     ChangeKind = "user"     // fields, groups or grants of a user; or it was deleted
	ChangePassword ChangeKind = "password" // also set or removed by others
	ChangeGroup    ChangeKind = "group"    // name, grants; or it was deleted
)

// changed calls the Changed event after the commit.
func (tx *Tx) changed(kind ChangeKind, s Subject) {
	fn := tx.e.cfg.Events.Changed
	if fn == nil {
		return
	}
	c := Change{Kind: kind}
	switch id := s.(type) {
	case UserID:
		c.User = id
	case GroupID:
		c.Group = id
	}
	tx.OnCommit(func() { fn(c) })
}

// A Filter picks by a yes-or-no property.
type Filter uint8

const (
	Any    Filter = iota // both
	Only                 // those that have it
	Except               // those that do not
)

func (f Filter) match(v bool) bool { return f == Any || (f == Only) == v }
