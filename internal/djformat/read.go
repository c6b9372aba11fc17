package djformat

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"maps"
	"strings"
)

// A Reader reads a dump that manage.py dumpdata wrote, in the formats json and
// jsonl, with plain or with natural keys. It needs memory for one record only,
// however long the dump. A Reader must not be used concurrently.
type Reader struct {
	scan    scanner
	limits  Limits
	skipped map[string]int
	err     error // the first failure; io.EOF at the end
}

// NewReader returns a Reader that reads a dump from r. It reads ahead.
func NewReader(r io.Reader, limits Limits) *Reader {
	limits = limits.withDefaults()
	return &Reader{
		scan:    scanner{in: bufio.NewReaderSize(r, 64<<10), limits: limits},
		limits:  limits,
		skipped: make(map[string]int),
	}
}

// Records walks the records of the models that this package knows, in the
// order of the dump; others are skipped and counted. The records belong to the
// caller. If the dump cannot be read, the last pair is a nil Record and an
// error: a [*SyntaxError], or one that wraps the error of the underlying
// reader. A loop that was left early can be continued by a new one.
//
// Unknown fields are ignored. Whether a primary key occurs twice or a reference
// leads nowhere is not checked.
func (r *Reader) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for r.err == nil {
			rec, err := r.next()
			if r.err = err; err == io.EOF {
				return
			} else if err != nil {
				yield(nil, err)
				return
			}
			if rec != nil && !yield(rec, nil) {
				return
			}
		}
	}
}

// Position returns the number of the last record, counted from 1 and with
// skipped ones, and the byte of the dump at which it begins. Callers that
// refuse a record can say with it where it is.
func (r *Reader) Position() (record int, offset int64) {
	return r.scan.record, r.scan.start
}

// Skipped returns how many records were skipped so far, by model in lower case.
func (r *Reader) Skipped() map[string]int { return maps.Clone(r.skipped) }

// next returns the next record, nil if it was skipped, or io.EOF.
func (r *Reader) next() (Record, error) {
	if err := r.scan.next(); err != nil {
		return nil, err
	}
	d := &decoder{scan: &r.scan, limits: &r.limits}
	top := d.members(value{raw: r.scan.raw, offset: r.scan.start})
	d.model = d.modelName(top)
	if d.err != nil {
		return nil, d.err
	}
	decode, known := decoders[d.model]
	if !known {
		return nil, r.skip(d)
	}
	d.pk = top["pk"]
	fields, ok := top["fields"]
	switch {
	case !ok:
		d.fail(r.scan.start, "fields", "is missing; this is not a dump of Django")
	case fields.kind() != kindObject:
		d.wrongKind(fields.named("fields"), kindObject)
	default:
		d.fields = d.members(fields)
		d.fieldsAt = fields.offset
	}
	if d.err != nil {
		return nil, d.err
	}
	rec := decode(d)
	if d.err != nil {
		return nil, d.err
	}
	return rec, nil
}

// skip counts the present record as one of a model that is not known.
func (r *Reader) skip(d *decoder) error {
	if _, ok := r.skipped[d.model]; !ok && len(r.skipped) >= r.limits.SkippedModels {
		return d.fail(r.scan.start, "model", fmt.Sprintf("is one of more than %d other models (Limits.SkippedModels); "+
			"dump only contenttypes, auth and sessions", r.limits.SkippedModels))
	}
	r.skipped[d.model]++
	return nil
}

// decoders holds one function for each model, which reads the fields of d. If
// one of them is wrong, the function's result is meaningless and d.err is set.
var decoders = map[string]func(d *decoder) Record{
	modelContentType: func(d *decoder) Record {
		return &ContentType{
			ID:       d.id(),
			AppLabel: d.text("app_label", d.limits.AppLabel, "AppLabel"),
			Name:     d.text("model", d.limits.Model, "Model"),
		}
	},
	modelPermission: func(d *decoder) Record {
		return &Permission{
			ID:          d.id(),
			Name:        d.text("name", d.limits.PermissionName, "PermissionName"),
			ContentType: d.contentType("content_type"),
			Codename:    d.text("codename", d.limits.Codename, "Codename"),
		}
	},
	modelGroup: func(d *decoder) Record {
		return &Group{
			ID:          d.id(),
			Name:        d.text("name", d.limits.GroupName, "GroupName"),
			Permissions: d.permissions("permissions"),
		}
	},
	modelUser: func(d *decoder) Record {
		return &User{
			ID:          d.id(),
			Password:    d.text("password", d.limits.Password, "Password"),
			LastLogin:   d.time("last_login", true),
			Superuser:   d.flag("is_superuser"),
			Username:    d.text("username", d.limits.Username, "Username"),
			FirstName:   d.text("first_name", d.limits.PersonName, "PersonName"),
			LastName:    d.text("last_name", d.limits.PersonName, "PersonName"),
			Email:       d.text("email", d.limits.Email, "Email"),
			Staff:       d.flag("is_staff"),
			Active:      d.flag("is_active"),
			DateJoined:  d.time("date_joined", false),
			Groups:      d.groups("groups"),
			Permissions: d.permissions("user_permissions"),
		}
	},
	modelSession: func(d *decoder) Record {
		return &Session{
			Key:        d.sessionKey(),
			Data:       d.text("session_data", d.limits.SessionData, "SessionData"),
			ExpireDate: d.time("expire_date", false),
		}
	},
}

// modelName returns the model of a record in lower case, since Django does not
// look at the case either.
func (d *decoder) modelName(top map[string]value) string {
	v, ok := top["model"]
	if !ok {
		d.fail(d.scan.start, "model", "is missing; this is not a dump of Django")
		return ""
	}
	// An app label, a dot and a model.
	name := d.textOf(v.named("model"), d.limits.AppLabel+1+d.limits.Model, "AppLabel and Limits.Model")
	app, model, ok := strings.Cut(name, ".")
	if d.err == nil && (!ok || app == "" || model == "") {
		d.fail(v.offset, "model", "is not an app label, a dot and a model; this is not a dump of Django")
	}
	return strings.ToLower(name)
}
