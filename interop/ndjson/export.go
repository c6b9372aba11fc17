package ndjson

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intake"
)

// Export writes all permissions, groups and users of one moment, each kind by identifier. What it wrote into a fresh file by
// [Import] comes out of it again byte by byte, if WithHashes is set, but for hashes with a pepper: those are left
// out and reported, since they would verify nowhere else.
//
// Sessions, tokens and the audit trail are not written. If Export fails, what is written may end in the middle of a line. All is read in one
// [latchbolt.Engine.View], which fails with [latchbolt.ErrViewTooOld] if w is slow and others write much meanwhile: give it
// memory, or a file.
func Export(ctx context.Context, eng *latchbolt.Engine, w io.Writer, opts *ExportOptions) (interop.Report, error) {
	x := &export{ctx: ctx, report: intake.NewReport()}
	if opts != nil {
		x.opts = *opts
	}
	counter := &counter{w: w}
	x.count, x.out = counter, bufio.NewWriterSize(counter, 64<<10)
	x.enc = json.NewEncoder(x.out)
	x.enc.SetEscapeHTML(false)
	err := eng.View(ctx, x.run)
	if err == nil {
		err = x.out.Flush()
	}
	if err != nil {
		return x.report, fmt.Errorf("ndjson: exporting: %w", err)
	}
	x.progress()
	return x.report, nil
}

// A counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

type export struct {
	ctx    context.Context
	opts   ExportOptions
	out    *bufio.Writer
	count  *counter
	enc    *json.Encoder
	report interop.Report
	done   int

	first  map[latchbolt.Perm]latchbolt.PermissionID // of each name
	groups map[latchbolt.GroupID]string
}

func (x *export) progress() {
	if x.opts.Progress != nil {
		x.opts.Progress(interop.Progress{Stage: interop.Writing, Done: x.done, Bytes: x.count.n})
	}
}

// The lines, with their members in the order in which they are written.
type (
	permissionLine struct {
		Type     interop.Type `json:"type"`
		ID       uint32       `json:"id"`
		App      string       `json:"app"`
		Model    string       `json:"model"`
		Codename string       `json:"codename"`
		Name     string       `json:"name"`
	}
	groupLine struct {
		Type        interop.Type `json:"type"`
		ID          uint64       `json:"id"`
		Name        string       `json:"name"`
		Permissions []any        `json:"permissions"`
	}
	userLine struct {
		Type         interop.Type `json:"type"`
		ID           uint64       `json:"id"`
		Username     string       `json:"username"`
		Email        string       `json:"email"`
		FirstName    string       `json:"first_name"`
		LastName     string       `json:"last_name"`
		IsActive     bool         `json:"is_active"`
		IsStaff      bool         `json:"is_staff"`
		IsSuperuser  bool         `json:"is_superuser"`
		DateJoined   time.Time    `json:"date_joined"`
		LastLogin    *time.Time   `json:"last_login"`
		Groups       []string     `json:"groups"`
		Permissions  []any        `json:"user_permissions"`
		PasswordHash string       `json:"password_hash,omitempty"`
	}
	// grantLine is a grant that is more than the name of a permission.
	grantLine struct {
		Permission latchbolt.Perm   `json:"permission"`
		Model      *string          `json:"model,omitempty"`
		Object     latchbolt.Object `json:"object,omitempty"`
	}
)

func (x *export) run(tx *latchbolt.ReadTx) error {
	for _, step := range []func(*latchbolt.ReadTx) error{x.writePermissions, x.writeGroups, x.writeUsers} {
		if err := step(tx); err != nil {
			return err
		}
	}
	return nil
}

// write writes one line and counts it.
func (x *export) write(line any, n *int) error {
	if err := x.enc.Encode(line); err != nil {
		return err
	}
	*n++
	if x.done++; x.done%progressEvery != 0 {
		return nil
	}
	x.progress()
	return x.ctx.Err()
}

func (x *export) writePermissions(tx *latchbolt.ReadTx) error {
	x.first = make(map[latchbolt.Perm]latchbolt.PermissionID)
	for p, err := range tx.Permissions() {
		if err != nil {
			return err
		}
		if _, ok := x.first[p.Perm()]; !ok {
			x.first[p.Perm()] = p.ID
		}
		line := permissionLine{interop.Permission, uint32(p.ID), p.App, p.Model, p.Codename, p.Name}
		if err := x.write(line, &x.report.Permissions); err != nil {
			return err
		}
	}
	return nil
}

func (x *export) writeGroups(tx *latchbolt.ReadTx) error {
	x.groups = make(map[latchbolt.GroupID]string)
	for g, err := range tx.Groups() {
		if err != nil {
			return err
		}
		x.groups[g.ID] = g.Name
		line := groupLine{Type: interop.Group, ID: uint64(g.ID), Name: g.Name}
		if line.Permissions, err = x.granted(tx, g.ID, interop.Group, g.Name); err != nil {
			return err
		}
		if err := x.write(line, &x.report.Groups); err != nil {
			return err
		}
	}
	return nil
}

// granted returns what was granted to a user or group, in the form in which it is written.
func (x *export) granted(tx *latchbolt.ReadTx, s latchbolt.Subject, typ interop.Type, name string) ([]any, error) {
	grants, err := tx.Grants(s)
	if err != nil {
		return nil, err
	}
	list := make([]any, 0, len(grants))
	for _, g := range grants {
		line := grantLine{Permission: g.Permission.Perm(), Object: g.Object}
		if x.first[line.Permission] != g.Permission.ID {
			line.Model = &g.Permission.Model
		}
		switch {
		case !utf8.ValidString(string(g.Object)):
			intake.Skip(&x.report, interop.Note{Type: typ, Name: name, Reason: reasonObject})
		case line.Model == nil && line.Object == "":
			list = append(list, line.Permission)
		default:
			list = append(list, line)
		}
	}
	return list, nil
}

func (x *export) writeUsers(tx *latchbolt.ReadTx) error {
	for u, err := range tx.Users() {
		if err != nil {
			return err
		}
		line := userLine{Type: interop.User, ID: uint64(u.ID), Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
			IsActive: !u.Inactive, IsStaff: u.Staff, IsSuperuser: u.Superuser, DateJoined: x.time(u.DateJoined, u), Groups: make([]string, len(u.Groups))}
		if !u.LastLogin.IsZero() {
			last := x.time(u.LastLogin, u)
			line.LastLogin = &last
		}
		for i, g := range u.Groups {
			line.Groups[i] = x.groups[g]
		}
		slices.Sort(line.Groups)
		if line.Permissions, err = x.granted(tx, u.ID, interop.User, u.Username); err != nil {
			return err
		}
		if line.PasswordHash, err = x.password(tx, u); err != nil {
			return err
		}
		if err := x.write(line, &x.report.Users); err != nil {
			return err
		}
	}
	return nil
}

// writable reports whether RFC 3339 has a time.
func writable(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

// time returns a time of a user as far as it can be written: one that cannot must not keep all others from being exported.
func (x *export) time(t time.Time, u *latchbolt.User) time.Time {
	if writable(t) {
		return t
	}
	intake.Warn(&x.report, interop.Note{Type: interop.User, Name: u.Username, Reason: reasonTime})
	if t.Year() < 0 {
		return time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
}

// password returns the hash of a user as far as it is to be written.
func (x *export) password(tx *latchbolt.ReadTx, u *latchbolt.User) (string, error) {
	if !x.opts.WithHashes {
		return "", nil
	}
	h, err := tx.PasswordHash(u.ID)
	if err != nil {
		return "", err
	}
	if h.Pepper() != 0 {
		intake.Skip(&x.report, interop.Note{Type: interop.User, Name: u.Username, Reason: reasonPepper})
		return "", nil
	}
	return h.Reveal(), nil
}
