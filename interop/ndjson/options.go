package ndjson

import (
	"github.com/latchbolt-go/latchbolt/interop"
)

// ImportOptions say how a file is taken over. Nil, and the zero ImportOptions, are fine: then whatever is doubtful is refused.
type ImportOptions struct {
	// SkipExisting leaves users and groups alone whose names are there already, and reports them. Otherwise such a name
	// is refused. A name that occurs twice in the file is refused in any case.
	SkipExisting bool
	// NewIDs gives users, groups and permissions the next identifiers that are free, whatever the file says.
	NewIDs bool
	// KnownGroups refuses groups that are neither there nor defined in the file. Otherwise they are made, without permissions.
	KnownGroups bool
	// SkipPermissions leaves out permissions that are neither there nor defined in the file, and reports them. Otherwise they are refused.
	SkipPermissions bool
	// SkipFields passes over fields that are not known and reports them. Otherwise they are refused, so that no slip of the pen loses a field.
	SkipFields bool
	// AnyPassword takes plain passwords that the engine's validators would refuse.
	AnyPassword bool

	// MaxLine is how many bytes a line may have. 0 means 16 MiB, in which a user can have some hundred thousand grants for single objects.
	MaxLine int
	// TempDir is where input is put that can be read only once; see [Import]. "" means os.TempDir.
	TempDir string
	// Progress, if not nil, is called now and then, also while a transaction is open: it must not call the engine.
	Progress func(interop.Progress)
	// DryRun does everything but hash passwords and keep the result.
	DryRun bool
}

// ExportOptions say how a file is written. Nil, and the zero ExportOptions, are fine.
type ExportOptions struct {
	// WithHashes writes password hashes too. Whoever has them can guess passwords as fast as their machines allow. Without
	// them, users who are taken over from the file need new passwords.
	WithHashes bool
	// Progress, if not nil, is called now and then. It must not call the engine.
	Progress func(interop.Progress)
}

// progressEvery is how many records go by between two reports.
const progressEvery = 1000

// The reasons why something is left out or deserves a look, besides those that all importers have.
const (
	reasonGroup     = "there is a group of that name already, which was left as it is"
	reasonUndefined = "a permission is not defined and was left out"
	reasonField     = "a field is not known and was left out"
	reasonNoHash    = "has_usable_password says yes, but there is no password hash: the user has no usable password"
	reasonPepper    = "the password hash depends on a pepper and was left out: it would verify nowhere else"
	reasonTime      = "a time outside the years 0 to 9999, which RFC 3339 cannot say, was replaced by the nearest that it can"
	reasonObject    = "a grant is for an object whose name is not UTF-8, which JSON cannot hold"
)
