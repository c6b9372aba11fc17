package cli

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/htpasswd"
	"github.com/latchbolt-go/latchbolt/interop/ndjson"
)

func (t *tree) importHtpasswd() *cobra.Command {
	var opts htpasswd.ImportOptions
	cmd := &cobra.Command{
		Use:   "htpasswd FILE",
		Short: "Take over the users of an htpasswd file",
		Long: "Take over the users of a password file of Apache or nginx: all of it or nothing. Passwords go on, and the first login of each user makes a stronger\n" +
			"hash. Users whose hash cannot be verified are left out and listed. A file named - is read from standard input.",
		Example: "  latchbolt import htpasswd /etc/nginx/.htpasswd --dry-run\n  latchbolt import htpasswd .htpasswd --skip-existing --json",
		Args:    wantArgs(cobra.ExactArgs(1)),
	}
	f := cmd.Flags()
	f.BoolVar(&opts.SkipExisting, "skip-existing", false, "leave users alone who are there already; otherwise they are refused")
	f.BoolVar(&opts.Unusable, "unusable", false, "also take over users whose hash cannot be verified, without a password")
	f.BoolVar(&opts.Plain, "plain", false, "take passwords that are not hashed, and hash them")
	f.BoolVar(&opts.AnyPassword, "any-password", false, "with --plain, take passwords that are too weak")
	f.Int64Var(&opts.MaxBytes, "max-bytes", 64<<20, "how many `bytes` the file may have")
	f.BoolVar(&opts.DryRun, "dry-run", false, "do everything but hash passwords and keep the result")
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		if opts.MaxBytes <= 0 {
			return usagef("--max-bytes must be positive")
		}
		return t.fromLines(ctx, args[0], eng.Path(), opts.MaxBytes, opts.DryRun, func(in io.Reader, p func(interop.Progress)) (interop.Report, error) {
			opts := opts
			opts.Progress = p
			report, err := htpasswd.Import(ctx, eng, in, &opts)
			var line *interop.LineError
			if !opts.Plain && errors.As(err, &line) && line.Field == "password" {
				err = withHint(&exitError{code: ExitConflict, err: err}, "Give --plain to take what is not hashed for the password itself.")
			}
			return report, err
		})
	})
	return cmd
}

func (t *tree) importUsers() *cobra.Command {
	var opts ndjson.ImportOptions
	cmd := &cobra.Command{
		Use:   "users FILE",
		Short: "Take over users, groups and permissions from a file with a JSON object a line",
		Long: "Take over users, groups and permissions from a file with one JSON object on each line: all of it or nothing, a million users as well as three.\n\n" +
			"  {\"username\":\"ada\",\"email\":\"ada@example.org\",\"groups\":[\"editors\"],\"password_hash\":\"$2b$12$...\"}\n" +
			"  {\"username\":\"bob\",\"password\":\"correct horse battery staple\",\"user_permissions\":[\"blog.add_post\"]}\n\n" +
			"Only the name is needed. Hashes are in Django's form, PHC strings, or what hash identify knows; plain passwords are judged and hashed. What is damaged,\n" +
			"misspelt or contradicts what is there is refused with the number of its line, unless a flag says otherwise. export ndjson writes such files.\n" +
			"A file named - is read from standard input.",
		Example: "  latchbolt import users users.ndjson --dry-run\n  zcat users.ndjson.gz | latchbolt import users - --skip-existing --json",
		Args:    wantArgs(cobra.ExactArgs(1)),
	}
	f := cmd.Flags()
	f.BoolVar(&opts.SkipExisting, "skip-existing", false, "leave users and groups alone that are there already; otherwise they are refused")
	f.BoolVar(&opts.NewIDs, "new-ids", false, "give out new identifiers, whatever the file says")
	f.BoolVar(&opts.KnownGroups, "known-groups", false, "refuse groups that are not defined; otherwise they are made")
	f.BoolVar(&opts.SkipPermissions, "skip-permissions", false, "leave out permissions that are not defined; otherwise they are refused")
	f.BoolVar(&opts.SkipFields, "skip-fields", false, "pass over fields that are not known; otherwise they are refused")
	f.BoolVar(&opts.AnyPassword, "any-password", false, "take plain passwords that are too weak")
	f.BoolVar(&opts.DryRun, "dry-run", false, "do everything but hash passwords and keep the result")
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, args []string) error {
		return t.fromLines(ctx, args[0], eng.Path(), 0, opts.DryRun, func(in io.Reader, p func(interop.Progress)) (interop.Report, error) {
			opts := opts
			opts.Progress = p
			return ndjson.Import(ctx, eng, in, &opts)
		})
	})
	return cmd
}

// fromLines has run take over a file with a record a line, and prints the result.
func (t *tree) fromLines(ctx context.Context, name, path string, most int64, dryRun bool, run func(io.Reader, func(interop.Progress)) (interop.Report, error)) error {
	in, _, err := t.input(ctx, name, path, most)
	if err != nil {
		return stopped(err)
	}
	defer func() { _ = in.Close() }()
	bar := t.startProgress()
	report, err := run(in, bar.lines)
	bar.end()
	if err != nil {
		return linesError(stopped(err))
	}
	v := viewLines(&report)
	v.DryRun = dryRun
	return t.print(v, v.text)
}

// lines shows how far an import or export by lines is.
func (p *progress) lines(at interop.Progress) {
	unit := "records"
	if at.Stage == interop.Hashing {
		unit = "passwords"
	}
	if at.Total == 0 && at.Size > 0 { // then bytes tell more
		p.set(string(at.Stage), at.Bytes, at.Size, "")
		return
	}
	p.set(string(at.Stage), int64(at.Done), int64(at.Total), unit)
}

func viewLines(r *interop.Report) *importView {
	return &importView{Users: r.Users, Groups: r.Groups, Permissions: r.Permissions, Hashed: r.Hashed,
		Skipped: viewLineNotes(r.Skipped), Warnings: viewLineNotes(r.Warnings), Reasons: orEmpty(r.Reasons), OtherModels: map[string]int{}}
}

func viewLineNotes(notes []interop.Note) []noteView {
	out := make([]noteView, 0, len(notes))
	for _, n := range notes {
		out = append(out, noteView{n.Line, string(n.Type), n.Name, n.Reason})
	}
	return out
}

// linesError gives the errors of a file their exit code.
func linesError(err error) error {
	var line *interop.LineError
	switch {
	case errors.Is(err, htpasswd.ErrTooLarge):
		return withHint(&exitError{code: ExitConflict, err: err}, "Raise --max-bytes.")
	case errors.As(err, &line):
		return &exitError{code: ExitConflict, err: err}
	}
	return err
}
