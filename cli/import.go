package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

func (t *tree) importCommand() *cobra.Command {
	return group("import", "Take users over from elsewhere",
		t.importDjango(),
		t.importHtpasswd(),
		t.importUsers(),
	)
}

// An importView is the result of an import. The keys are part of the contract.
type importView struct {
	Users         int            `json:"users"`
	Groups        int            `json:"groups"`
	Permissions   int            `json:"permissions"`
	Sessions      int            `json:"sessions"`
	Hashed        int            `json:"hashed"` // plain passwords; in a dry run those that would be
	Skipped       []noteView     `json:"skipped"`
	Warnings      []noteView     `json:"warnings"`
	Reasons       map[string]int `json:"reasons"`      // how often each reason to skip or to warn occurred
	OtherModels   map[string]int `json:"other_models"` // records of a dump that are of no concern here
	CaseSensitive bool           `json:"case_sensitive"`
	DryRun        bool           `json:"dry_run"`
}

// A noteView is about one record that was left out or deserves a look.
type noteView struct {
	Record int    `json:"record"` // its number in the dump, or its line; 0 if it has none
	Type   string `json:"type"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func viewDjango(r *django.Report, dryRun bool) *importView {
	return &importView{
		Users: r.Users, Groups: r.Groups, Permissions: r.Permissions, Sessions: r.Sessions,
		Skipped: viewNotes(r.Skipped), Warnings: viewNotes(r.Warnings),
		Reasons: orEmpty(r.Reasons), OtherModels: orEmpty(r.OtherModels), CaseSensitive: r.CaseSensitive, DryRun: dryRun,
	}
}

func orEmpty(m map[string]int) map[string]int {
	if m == nil {
		return map[string]int{}
	}
	return m
}

func viewNotes(notes []django.Note) []noteView {
	out := make([]noteView, 0, len(notes))
	for _, n := range notes {
		name := n.Key
		if plain, err := strconv.Unquote(name); err == nil {
			name = plain
		}
		out = append(out, noteView{n.Record, n.Model, name, n.Reason})
	}
	return out
}

// maxNotes is how many notes of one reason people are shown.
const maxNotes = 20

// text writes the result for people.
func (v *importView) text(w io.Writer) {
	verb := "Imported"
	if v.DryRun {
		verb = "A dry run, nothing was changed. An import would take over"
	}
	_, _ = fmt.Fprintf(w, "%s %s, %s, %s and %s.\n", verb, plural(v.Users, "user", "users"), plural(v.Groups, "group", "groups"),
		plural(v.Permissions, "permission", "permissions"), plural(v.Sessions, "session", "sessions"))
	switch {
	case v.Hashed > 0 && v.DryRun:
		_, _ = fmt.Fprintf(w, "It would hash %s.\n", plural(v.Hashed, "plain password", "plain passwords"))
	case v.Hashed > 0:
		_, _ = fmt.Fprintf(w, "%s hashed.\n", plural(v.Hashed, "plain password was", "plain passwords were"))
	}
	v.notes(w)
	for _, m := range slices.Sorted(maps.Keys(v.OtherModels)) {
		_, _ = fmt.Fprintf(w, "Passed over %s of %s.\n", plural(v.OtherModels[m], "record", "records"), clean(m))
	}
}

func (v *importView) notes(w io.Writer) {
	listNotes(w, "left out", v.Skipped, v.Reasons)
	listNotes(w, "to look at", v.Warnings, v.Reasons)
}

// listNotes writes notes by their reason. Reasons counts all there are, also those that are not listed.
func listNotes(w io.Writer, title string, notes []noteView, reasons map[string]int) {
	var order []string
	by := make(map[string][]noteView)
	for _, n := range notes {
		if by[n.Reason] == nil {
			order = append(order, n.Reason)
		}
		by[n.Reason] = append(by[n.Reason], n)
	}
	for _, reason := range order {
		list := by[reason]
		all := max(reasons[reason], len(list))
		_, _ = fmt.Fprintf(w, "%s %s: %s\n", count(all), title, clean(reason))
		for _, n := range list[:min(len(list), maxNotes)] {
			where := clean(n.Type) + " " + clean(strconv.Quote(n.Name))
			if n.Record > 0 {
				where = fmt.Sprintf("record %d, %s", n.Record, where)
			}
			_, _ = fmt.Fprintf(w, "  %s\n", where)
		}
		if more := all - maxNotes; more > 0 {
			_, _ = fmt.Fprintf(w, "  and %s; see them with --json\n", plural(more, "other", "others"))
		}
	}
}

// stopped says that an interrupted import changed nothing.
func stopped(err error) error {
	over := errors.Is(err, context.Canceled) || errors.Is(err, errInterrupted)
	if !over || errors.Is(err, latchbolt.ErrIndeterminate) {
		return err
	}
	return &exitError{code: ExitFailed, err: errors.New("interrupted"), hint: "Nothing was taken over; the file is as it was."}
}

// A djangoFlags says what to take over of Django.
type djangoFlags struct {
	sessions  string
	keyFile   string
	fallbacks []string
	lifetime  time.Duration
	backends  []string
	maxBytes  int64
	dryRun    bool
}

func (f *djangoFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.sessions, "sessions", "", "dump `file` of sessions alone, if they do not stand in the main one")
	fl.StringVar(&f.keyFile, "secret-key-file", "", "`file` with the SECRET_KEY, with which sessions go on: all of it, less one newline")
	fl.StringArrayVar(&f.fallbacks, "secret-key-fallback-file", nil, "`file` with one of SECRET_KEY_FALLBACKS; can be repeated")
	fl.DurationVar(&f.lifetime, "session-lifetime", 0, "end sessions so long after the import that would live longer")
	fl.StringArrayVar(&f.backends, "backend", nil, "`path=name`: what a further path in AUTHENTICATION_BACKENDS is called here; can be repeated")
	fl.Int64Var(&f.maxBytes, "max-bytes", 1<<30, "how many `bytes` a dump may have; it takes about eight times as much memory")
	fl.BoolVar(&f.dryRun, "dry-run", false, "do everything but keep the result")
}

const djangoLong = "The dump is made by Django:\n\n  manage.py dumpdata contenttypes auth sessions --output dump.json\n\n" +
	"Identifiers, password hashes, flags, groups and permissions are kept as they are. With the SECRET_KEY users stay logged in with the\n" +
	"cookies they have; it is needed for the import only and kept nowhere. What cannot be taken over as it is, is listed; a dump that is damaged or\n" +
	"contradicts itself is refused, and nothing is taken over, nor if the command is interrupted. A dump named - is read from standard input."

func (t *tree) importDjango() *cobra.Command {
	var f djangoFlags
	cmd := &cobra.Command{
		Use:   "django DUMP",
		Short: "Take over the users, groups, permissions and sessions of a Django project",
		Long:  "Take over the users of a Django project into a file that has never held anything. See init --from-django for a new file.\n\n" + djangoLong,
		Example: "  latchbolt import django dump.json --dry-run\n" +
			"  latchbolt import django auth.json --sessions sessions.json --secret-key-file secret.txt --json",
		Args: wantArgs(cobra.ExactArgs(1)),
	}
	f.add(cmd)
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		return t.fromDjango(ctx, args[0], eng.Path(), &f, func(dump io.Reader, opts *django.ImportOptions) (django.Report, error) {
			return django.Import(ctx, eng, dump, opts)
		})
	})
	return cmd
}

// fromDjango opens what is needed, has run take it over, and prints the result.
func (t *tree) fromDjango(ctx context.Context, dump, path string, f *djangoFlags, run func(io.Reader, *django.ImportOptions) (django.Report, error)) error {
	opts, done, err := t.djangoOptions(ctx, f, path)
	if err != nil {
		return stopped(err)
	}
	defer done()
	in, size, err := t.input(ctx, dump, path, f.maxBytes)
	if err != nil {
		return stopped(err)
	}
	defer func() { _ = in.Close() }()
	bar := t.startProgress()
	opts.Progress = func(p django.Progress) {
		if p.Stage != django.Reading { // which the meter tells better
			bar.set(string(p.Stage), int64(p.Done), int64(p.Total), "records")
		}
	}
	report, err := run(&meter{Reader: in, p: bar, stage: string(django.Reading), size: size}, opts)
	bar.end()
	if err != nil {
		return djangoHint(stopped(err))
	}
	v := viewDjango(&report, f.dryRun)
	return t.print(v, v.text)
}

func (t *tree) djangoOptions(ctx context.Context, f *djangoFlags, path string) (opts *django.ImportOptions, done func(), err error) {
	opts = &django.ImportOptions{SessionLifetime: f.lifetime, MaxBytes: f.maxBytes, DryRun: f.dryRun, Backends: make(map[string]string)}
	if f.lifetime < 0 || f.maxBytes <= 0 {
		return nil, nil, usagef("--session-lifetime and --max-bytes cannot be negative")
	}
	for _, b := range f.backends {
		path, name, ok := strings.Cut(b, "=")
		if !ok || path == "" || name == "" {
			return nil, nil, usagef("--backend: %q is not path=name", b)
		}
		opts.Backends[path] = name
	}
	if f.keyFile == "" && len(f.fallbacks) > 0 {
		return nil, nil, usagef("--secret-key-fallback-file needs --secret-key-file")
	}
	if f.keyFile != "" {
		if opts.SecretKey, err = t.secretFile(f.keyFile); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range f.fallbacks {
		key, err := t.secretFile(name)
		if err != nil {
			return nil, nil, err
		}
		opts.SecretKeyFallbacks = append(opts.SecretKeyFallbacks, key)
	}
	if f.sessions == "" {
		return opts, func() {}, nil
	}
	in, _, err := t.input(ctx, f.sessions, path, f.maxBytes)
	if err != nil {
		return nil, nil, err
	}
	opts.Sessions = in
	return opts, func() { _ = in.Close() }, nil
}

// djangoHint gives the errors of a dump their exit code and says what to do.
func djangoHint(err error) error {
	var dump *django.DumpError
	switch {
	case errors.Is(err, django.ErrNotFresh):
		return withHint(err, "Make a new file of the dump: init --from-django DUMP --db NEWFILE")
	case errors.Is(err, django.ErrNeedsCaseSensitive):
		return withHint(&exitError{code: ExitConflict, err: err}, "init --from-django makes a file that tells case apart by itself.")
	case errors.Is(err, django.ErrTooLarge):
		return withHint(&exitError{code: ExitConflict, err: err}, "Raise --max-bytes.")
	case errors.As(err, &dump):
		return &exitError{code: ExitConflict, err: err}
	}
	return err
}
