package django

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

// ImportOptions say how a dump is taken over. Nil, and the zero ImportOptions, are fine: then sessions are left out.
type ImportOptions struct {
	// SecretKey is the project's SECRET_KEY. With it, sessions are verified and go on with the cookies
	// that clients have. It is needed at the import only and kept nowhere.
	SecretKey string
	// SecretKeyFallbacks are the project's SECRET_KEY_FALLBACKS. None may be empty.
	SecretKeyFallbacks []string
	// Sessions is a dump of sessions alone, if they do not stand in the main one.
	Sessions io.Reader
	// SessionLifetime, if positive, ends sessions that would live longer so long after the import.
	// Otherwise they end when Django would have ended them.
	SessionLifetime time.Duration
	// Backends gives, for further paths in AUTHENTICATION_BACKENDS, the names that the backends have here.
	// Django's own four are known.
	Backends map[string]string

	// MaxBytes is how long a dump may be. 0 means 1 GiB. An import takes about eight times the length of the dump in
	// memory, most of it for the transaction.
	MaxBytes int64
	// Limits bounds single records and fields. The zero Limits are Django's columns, but for
	// Password, which may have 1024 characters.
	Limits Limits
	// Progress, if not nil, is called now and then, also while a transaction is open: it must not call the engine.
	Progress func(Progress)
	// DryRun does everything but keep the result.
	DryRun bool
}

// Limits bounds what is accepted of a dump, field by field, in characters; RecordBytes, Depth and
// SkippedModels are in bytes, levels and models. Zero fields have the defaults of Django's columns. SQLite
// does not enforce them, so that a dump from there may need larger ones.
type Limits = djformat.Limits

// A DumpError says which record of a dump cannot be taken over and why. Record counts from 1, Offset is the byte at which the
// trouble is. It never quotes a password hash or a session.
type DumpError = djformat.SyntaxError

// Errors of this package. They are compared with errors.Is.
var (
	// ErrNotFresh means that the file has held users, groups or permissions before. errors.Is(err,
	// latchbolt.ErrConflict) holds for it too.
	ErrNotFresh = fmt.Errorf("django: the file is not a fresh one; import into a new file: %w", latchbolt.ErrConflict)
	// ErrNeedsCaseSensitive means that the names of two users differ in case only. It comes with the place in the dump.
	ErrNeedsCaseSensitive = errors.New("django: names of users differ in case only; " +
		"make the file with Config.CaseSensitive, or rename one of them in Django")
	// ErrTooLarge means that a dump is longer than ImportOptions.MaxBytes.
	ErrTooLarge = errors.New("django: the dump is too long; raise ImportOptions.MaxBytes")
)

// A Stage is what an import is doing.
type Stage string

// The stages of an import and of an export.
const (
	Reading Stage = "reading"
	Storing Stage = "storing"
	Writing Stage = "writing"
)

// Progress tells how far an import or export is. A transaction may run again, so Done may go back.
type Progress struct {
	Stage Stage
	Done  int // records
	Total int // records in all, as far as known; 0 while reading
}

// progressEvery is how many records go by between two reports.
const progressEvery = 1000

// A Report says what was taken over.
type Report struct {
	// How many records were stored or written.
	Permissions, Groups, Users, Sessions int
	// ContentTypes is how many content types stood in the dump. They are not kept as such: a permission knows its app
	// and model, and a content type without permissions leaves no trace.
	ContentTypes int
	// CaseSensitive is the setting of the file.
	CaseSensitive bool

	// Skipped are records, or parts of records, that were left out, and Warnings those that were taken over in another form
	// or deserve a look. At most 1000 of each are listed.
	Skipped, Warnings []Note
	// Reasons counts all of both by reason.
	Reasons map[string]int
	// OtherModels counts the records of models that are not Django's own for users and sessions.
	OtherModels map[string]int
}

// A Note is about one record.
type Note struct {
	Record int    // number of the record in its dump, counted from 1; 0 at an export
	Model  string // "auth.user", "sessions.session" and so on
	Key    string // the user, group or row; never the key of a session
	Reason string // in English
}

// String returns the note on one line. What came from the dump is quoted.
func (n Note) String() string {
	if n.Record == 0 {
		return fmt.Sprintf("%s %s: %s", n.Model, n.Key, n.Reason)
	}
	return fmt.Sprintf("record %d, %s %s: %s", n.Record, n.Model, n.Key, n.Reason)
}

// maxNotes bounds the lists of a Report.
const maxNotes = 1000

func (r *Report) skip(n Note) { r.note(&r.Skipped, n) }
func (r *Report) warn(n Note) { r.note(&r.Warnings, n) }

func (r *Report) note(list *[]Note, n Note) {
	if r.Reasons == nil {
		r.Reasons = make(map[string]int)
	}
	r.Reasons[n.Reason]++
	if len(*list) < maxNotes {
		*list = append(*list, n)
	}
}

// clone returns a copy that shares nothing.
func (r *Report) clone() Report {
	c := *r
	c.Skipped, c.Warnings = slices.Clone(r.Skipped), slices.Clone(r.Warnings)
	c.Reasons, c.OtherModels = maps.Clone(r.Reasons), maps.Clone(r.OtherModels)
	return c
}

// The reasons why something is left out or changed.
const (
	reasonNoSecret  = "no SECRET_KEY was given, so the session cannot be read"
	reasonExpired   = "the session is over"
	reasonSignature = "the session is signed with none of the keys"
	reasonPayload   = "the content of the session cannot be read or is not an object"
	reasonEmpty     = "the session is empty"
	reasonNobody    = "the user of the session is not in the dump under that primary key"
	reasonInactive  = "the user of the session is inactive and its backend does not let inactive users in"
	reasonHash      = "the session belongs to another password of its user, or to none"
	reasonBackend   = "the backend of the session is not known; see ImportOptions.Backends"
	reasonKey       = "the key of the session has not 8 to 40 bytes"
	reasonValues    = "the values of the session are too large, or a name is empty or too long"

	reasonBadHash   = "the password hash is damaged or beyond all bounds and was left out: the user has no usable password"
	reasonOddHash   = "the password hash is of a form that none of the hashers here verifies; it is kept"
	reasonOldHash   = "the password hash is of a form that verifies only with Config.LegacyHashes; it is kept"
	reasonNFKC      = "the user name was brought into form NFKC"
	reasonOddName   = "the user name has characters that new names must not have; it is kept"
	reasonOddEmail  = "the e-mail address is not valid; it is kept"
	reasonOddText   = "the first or last name has characters that new ones must not have; it is kept"
	reasonNoTokens  = "sessions cannot be exported: only hashes of their keys are stored"
	reasonObject    = "a grant for a single object has no counterpart in Django"
	reasonPepper    = "the password hash depends on a pepper, which Django has not; the user is exported with an unusable password"
	reasonLongHash  = "the password hash is too long for Django's column; the user is exported with an unusable password"
	reasonForeign   = "the password hash is of a form that Django does not verify; it is exported as it is"
	reasonEmptyHash = "the user has no password; Django calls that usable and would mail a link to set one"
	reasonNoModel   = "the permission has no model and was given a content type"
)
