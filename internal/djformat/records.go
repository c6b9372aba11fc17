package djformat

import "time"

// A Record is one object of a dump: a [*ContentType], [*Permission], [*Group],
// [*User] or [*Session].
type Record interface {
	// model returns the name by which Django calls the model, in lower case.
	model() string
}

// The models that this package knows, as dumps name them.
const (
	modelContentType = "contenttypes.contenttype"
	modelPermission  = "auth.permission"
	modelGroup       = "auth.group"
	modelUser        = "auth.user"
	modelSession     = "sessions.session"
)

// A ContentType is a row of django_content_type: the name of one model.
type ContentType struct {
	ID       int64 // 0 in a dump with natural primary keys
	AppLabel string
	Name     string // the model, which Django writes in lower case
}

// A Permission is a row of auth_permission.
type Permission struct {
	ID          int64 // 0 in a dump with natural primary keys
	Name        string
	ContentType ContentTypeRef
	Codename    string
}

// A Group is a row of auth_group with the permissions granted to it.
type Group struct {
	ID          int64 // 0 in a dump with natural primary keys
	Name        string
	Permissions []PermissionRef // never nil after reading
}

// A User is a row of auth_user with its groups and its own permissions.
type User struct {
	ID          int64 // 0 in a dump with natural primary keys
	Password    string
	LastLogin   Time // the zero time stands for null: never logged in
	Superuser   bool
	Username    string
	FirstName   string
	LastName    string
	Email       string
	Staff       bool
	Active      bool
	DateJoined  Time
	Groups      []GroupRef      // never nil after reading
	Permissions []PermissionRef // never nil after reading
}

// A Session is a row of django_session. Data is signed and not decoded; see
// [Keys.DecodeSession].
type Session struct {
	Key        string
	Data       string
	ExpireDate Time
}

func (*ContentType) model() string { return modelContentType }
func (*Permission) model() string  { return modelPermission }
func (*Group) model() string       { return modelGroup }
func (*User) model() string        { return modelUser }
func (*Session) model() string     { return modelSession }

// A ContentTypeRef refers to a content type: by primary key if ID is not 0,
// otherwise by its natural key.
type ContentTypeRef struct {
	ID              int64
	AppLabel, Model string
}

// A PermissionRef refers to a permission: by primary key if ID is not 0,
// otherwise by its natural key.
type PermissionRef struct {
	ID                        int64
	Codename, AppLabel, Model string
}

// A GroupRef refers to a group: by primary key if ID is not 0, otherwise by
// its name.
type GroupRef struct {
	ID   int64
	Name string
}

// A Time is a time as a dump has it, in UTC. Django writes a fraction only if
// the stored time has one, and cuts it to milliseconds. What was stored with
// less than a millisecond is therefore written with the fraction ".000", and
// CutToZero remembers this so that the same text can be written again.
type Time struct {
	time.Time
	CutToZero bool // the text had a fraction, of which nothing is left
}
