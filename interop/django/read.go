package django

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/djformat"
)

// Models as notes and errors name them.
const (
	modelContentType = "contenttypes.contenttype"
	modelPermission  = "auth.permission"
	modelGroup       = "auth.group"
	modelUser        = "auth.user"
	modelSession     = "sessions.session"
)

// A plan is a whole dump in memory, checked as far as it can be without a file. Records may come in any
// order, so references are resolved when all of them are there.
type plan struct {
	opts  *ImportOptions
	keys  djformat.Keys
	now   time.Time
	names nameTables

	types       map[int64]typeKey // content types by primary key
	typeSeen    map[typeKey]bool
	permissions []permission
	groups      []group
	users       []user
	sessions    []session

	report Report
}

// A place is where a record stands.
type place struct {
	record int
	offset int64
	model  string
}

// errorf says what is wrong with a record.
func (p place) errorf(field, format string, args ...any) error {
	return &DumpError{Record: p.record, Offset: p.offset, Model: p.model, Field: field, Msg: fmt.Sprintf(format, args...)}
}

func (p place) note(key, reason string) Note {
	return Note{Record: p.record, Model: p.model, Key: key, Reason: reason}
}

// Natural keys.
type (
	typeKey struct{ app, model string }
	permKey struct{ app, model, codename string }
)

// A ref is a primary key if it is positive. Otherwise it stands for a natural key; see names.
type ref int64

// names gives each natural key that occurs a number, so that a million references take a million numbers.
type names[K comparable] struct {
	refs map[K]ref
	keys []K
}

func (n *names[K]) ref(id int64, key K) ref {
	if id != 0 {
		return ref(id)
	}
	r, ok := n.refs[key]
	if !ok {
		if n.refs == nil {
			n.refs = make(map[K]ref)
		}
		n.keys = append(n.keys, key)
		r = ref(-len(n.keys))
		n.refs[key] = r
	}
	return r
}

func (n *names[K]) key(r ref) K { return n.keys[-r-1] }

type nameTables struct {
	types  names[typeKey]
	perms  names[permKey]
	groups names[string]
}

type permission struct {
	place
	id   int64 // 0: to be given
	typ  ref
	perm latchbolt.Permission // App and Model are set by resolve
}

type group struct {
	place
	id    int64
	name  string
	perms []ref
	has   []int // indexes of perms, set by resolve
}

type user struct {
	place
	id       int64
	user     latchbolt.User
	password string // the column
	groups   []ref
	perms    []ref
	in, has  []int                  // indexes of groups and perms, set by resolve
	hash     latchbolt.PasswordHash // set by resolve
}

// read reads a dump, and the one of sessions, and resolves them.
func read(ctx context.Context, dump io.Reader, opts *ImportOptions, now time.Time) (*plan, error) {
	p := &plan{opts: opts, now: now, types: make(map[int64]typeKey), typeSeen: make(map[typeKey]bool)}
	p.keys = djformat.Keys{Key: opts.SecretKey, Fallbacks: opts.SecretKeyFallbacks}
	if slices.Contains(opts.SecretKeyFallbacks, "") {
		return nil, errors.New("django: one of ImportOptions.SecretKeyFallbacks is empty: anybody could sign with it")
	}
	if err := p.readStream(ctx, dump, p.add); err != nil {
		return nil, fmt.Errorf("django: importing: %w", err)
	}
	if opts.Sessions != nil {
		if err := p.readStream(ctx, opts.Sessions, p.addSessionOnly); err != nil {
			return nil, fmt.Errorf("django: importing sessions: %w", err)
		}
	}
	if err := p.resolve(); err != nil {
		return nil, fmt.Errorf("django: importing: %w", err)
	}
	return p, nil
}

// readStream gives each record of a dump to add.
func (p *plan) readStream(ctx context.Context, in io.Reader, add func(djformat.Record, place) error) error {
	limits := p.opts.Limits
	limits.Password = cmp.Or(limits.Password, 1024)
	r := djformat.NewReader(&boundedReader{ctx: ctx, in: in, left: cmp.Or(p.opts.MaxBytes, 1<<30)}, limits)
	n := 0
	for rec, err := range r.Records() {
		if err != nil {
			return err
		}
		at := place{}
		at.record, at.offset = r.Position()
		if err := add(rec, at); err != nil {
			return err
		}
		if n++; n%progressEvery == 0 {
			p.progress(Reading, n, 0)
		}
	}
	p.progress(Reading, n, 0)
	if other := r.Skipped(); len(other) > 0 && p.report.OtherModels == nil {
		p.report.OtherModels = other
	} else {
		for model, n := range other {
			p.report.OtherModels[model] += n
		}
	}
	return nil
}

func (p *plan) progress(s Stage, done, total int) {
	if p.opts.Progress != nil {
		p.opts.Progress(Progress{Stage: s, Done: done, Total: total})
	}
}

// A boundedReader ends with an error when too much was read or the context is done.
type boundedReader struct {
	ctx  context.Context
	in   io.Reader
	left int64
}

func (r *boundedReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(b)) > r.left+1 {
		b = b[:r.left+1]
	}
	n, err := r.in.Read(b)
	if r.left -= int64(n); r.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

// add takes one record of the main dump.
func (p *plan) add(rec djformat.Record, at place) error {
	switch rec := rec.(type) {
	case *djformat.ContentType:
		at.model = modelContentType
		return p.addType(rec, at)
	case *djformat.Permission:
		at.model = modelPermission
		p.permissions = append(p.permissions, permission{place: at, id: rec.ID,
			typ:  p.names.types.ref(rec.ContentType.ID, typeKey{rec.ContentType.AppLabel, rec.ContentType.Model}),
			perm: latchbolt.Permission{Codename: rec.Codename, Name: rec.Name}})
	case *djformat.Group:
		at.model = modelGroup
		p.groups = append(p.groups, group{place: at, id: rec.ID, name: rec.Name, perms: p.permRefs(rec.Permissions)})
	case *djformat.User:
		at.model = modelUser
		p.users = append(p.users, user{place: at, id: rec.ID, password: rec.Password,
			groups: p.groupRefs(rec.Groups), perms: p.permRefs(rec.Permissions),
			user: latchbolt.User{Username: rec.Username, Email: rec.Email, FirstName: rec.FirstName, LastName: rec.LastName,
				Inactive: !rec.Active, Staff: rec.Staff, Superuser: rec.Superuser,
				DateJoined: toTime(rec.DateJoined), LastLogin: toTime(rec.LastLogin)}})
	case *djformat.Session:
		p.addSession(rec, at)
	}
	return nil
}

// toTime is a time as it is stored. Of one that Django cut to ".000", the microseconds are lost and were not zero; one
// stands for them, so that an export writes the same text.
func toTime(t djformat.Time) time.Time {
	if t.CutToZero {
		return t.Add(time.Microsecond)
	}
	return t.Time
}

// addSessionOnly takes one record of the dump of sessions.
func (p *plan) addSessionOnly(rec djformat.Record, at place) error {
	s, ok := rec.(*djformat.Session)
	if !ok {
		return at.errorf("", "is no session; ImportOptions.Sessions is for a dump of sessions alone")
	}
	p.addSession(s, at)
	return nil
}

func (p *plan) addType(rec *djformat.ContentType, at place) error {
	key := typeKey{strings.Clone(rec.AppLabel), strings.Clone(rec.Name)}
	if p.typeSeen[key] {
		return at.errorf("", "occurs twice: %s", quote(key.app+"."+key.model))
	}
	p.typeSeen[key] = true
	p.report.ContentTypes++
	if rec.ID == 0 {
		return nil
	}
	if _, twice := p.types[rec.ID]; twice {
		return at.errorf("pk", "occurs twice: %d", rec.ID)
	}
	p.types[rec.ID] = key
	return nil
}

// permRefs turns references into numbers, each once: a hostile list of a million times the same takes nothing.
func (p *plan) permRefs(in []djformat.PermissionRef) []ref {
	var refs []ref
	for _, r := range in {
		refs = append(refs, p.names.perms.ref(r.ID, permKey{r.AppLabel, r.Model, r.Codename}))
	}
	return once(refs)
}

func (p *plan) groupRefs(in []djformat.GroupRef) []ref {
	var refs []ref
	for _, r := range in {
		refs = append(refs, p.names.groups.ref(r.ID, r.Name))
	}
	return once(refs)
}

func once(refs []ref) []ref {
	slices.Sort(refs)
	return slices.Clone(slices.Compact(refs))
}

// quote shows a text from the dump in a message.
func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
