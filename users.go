package latchbolt

import "time"

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

	Groups []GroupID // ascending; changed by AddToGroup and RemoveFromGroup only

	// Password tells how the password is kept, never the hash itself. It is filled in on
	// reading and ignored on writing.
	Password HashInfo
}

// FullName returns the first and the last name with a space between them,
// without outer white space, as Django's get_full_name does.
func (u *User) FullName() string { return trimSpace(u.FirstName + " " + u.LastName) }
