package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/interop/django"
	"github.com/latchbolt-go/latchbolt/interop/ndjson"
)

func (t *tree) exportCommand() *cobra.Command {
	return group("export", "Write users out for other programs",
		t.exportDjango(),
		t.exportNDJSON(),
	)
}

// An exportView is the result of an export into a file. The keys are part of the contract.
type exportView struct {
	Path        string         `json:"path"`
	Users       int            `json:"users"`
	Groups      int            `json:"groups"`
	Permissions int            `json:"permissions"`
	Skipped     []noteView     `json:"skipped"`
	Warnings    []noteView     `json:"warnings"`
	Reasons     map[string]int `json:"reasons"`
}

// text writes the result for people.
func (v *exportView) text(w io.Writer) {
	_, _ = fmt.Fprintf(w, "Exported %s, %s and %s to %s.\n", plural(v.Users, "user", "users"), plural(v.Groups, "group", "groups"),
		plural(v.Permissions, "permission", "permissions"), clean(v.Path))
	v.notes(w)
}

func (v *exportView) notes(w io.Writer) {
	(&importView{Skipped: v.Skipped, Warnings: v.Warnings, Reasons: v.Reasons}).notes(w)
}

// An exportFlags says where an export goes.
type exportFlags struct {
	output string
	force  bool
}

func (f *exportFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "`file` to write, in place of standard output")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace an existing file")
}

const exportLong = "Without --output the export goes to standard output when all of it is there. With it, the file appears whole or not at all, with mode 0600, is\n" +
	"durable, and is written by whoever has the file of users: if a program is running, with that program's rights. What could not be written as it is,\n" +
	"is listed."

func (t *tree) exportDjango() *cobra.Command {
	var f exportFlags
	var natural bool
	cmd := &cobra.Command{
		Use:   "django",
		Short: "Write a dump that Django's loaddata accepts",
		Long: "Write all permissions, groups and users of one moment as a dump for manage.py loaddata. It holds the password hashes, since Django needs them.\n" +
			"Sessions are not written, as only hashes of their keys are stored, nor grants for single objects.\n\n" +
			"With --natural names stand in place of primary keys, for a database that has content types and permissions already; without it the\n" +
			"identifiers of users stay, for a database that is empty.\n\n" + exportLong,
		Example: "  latchbolt export django --output dump.json\n  latchbolt export django --natural | ssh web manage.py loaddata --format json -",
		Args:    wantArgs(cobra.NoArgs),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&natural, "natural", false, "write names in place of primary keys")
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
		return t.export(eng, &f, true, func(w io.Writer, bar *progress) (*exportView, error) {
			r, err := django.Export(ctx, eng, w, &django.ExportOptions{NaturalKeys: natural, Progress: func(p django.Progress) {
				bar.set(string(p.Stage), int64(p.Done), int64(p.Total), "records")
			}})
			return &exportView{Users: r.Users, Groups: r.Groups, Permissions: r.Permissions,
				Skipped: viewNotes(r.Skipped), Warnings: viewNotes(r.Warnings), Reasons: orEmpty(r.Reasons)}, err
		})
	})
	return cmd
}

func (t *tree) exportNDJSON() *cobra.Command {
	var f exportFlags
	var hashes bool
	cmd := &cobra.Command{
		Use:   "ndjson",
		Short: "Write users, groups and permissions with a JSON object a line",
		Long: "Write all permissions, groups and users of one moment, an object on each line, as import users reads them. Sessions, one-time tokens and the audit\n" +
			"trail are not written. Without --with-hashes nobody can log in where the file is taken over, until new passwords are set.\n\n" + exportLong,
		Example: "  latchbolt export ndjson --output users.ndjson --with-hashes\n  latchbolt export ndjson | jq -r 'select(.email) | .email'",
		Args:    wantArgs(cobra.NoArgs),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&hashes, "with-hashes", false, "write password hashes too")
	cmd.RunE = t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
		return t.export(eng, &f, hashes, func(w io.Writer, bar *progress) (*exportView, error) {
			r, err := ndjson.Export(ctx, eng, w, &ndjson.ExportOptions{WithHashes: hashes, Progress: bar.lines})
			return &exportView{Users: r.Users, Groups: r.Groups, Permissions: r.Permissions,
				Skipped: viewLineNotes(r.Skipped), Warnings: viewLineNotes(r.Warnings), Reasons: orEmpty(r.Reasons)}, err
		})
	})
	return cmd
}

// export has write make the export, which it puts aside, so that no slow reader makes the engine wait, and hands it over when it is whole.
func (t *tree) export(eng *latchbolt.Engine, f *exportFlags, hashes bool, write func(io.Writer, *progress) (*exportView, error)) error {
	if f.force && f.output == "" {
		return usagef("--force is for --output")
	}
	if f.output != "" {
		dest, err := t.front.Place().abs(f.output)
		if err != nil {
			return err
		}
		if sameFile(dest, eng.Path()) {
			return invalidf("%s is the file itself", clean(dest))
		}
		return t.exportFile(dest, f.force, hashes, write)
	}
	s, err := newSpool(filepath.Dir(eng.Path()))
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	v, err := t.writeExport(s.File, write)
	if err == nil {
		_, err = s.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	t.warnHashes(hashes)
	v.notes(t.front.Stderr())
	_, err = io.Copy(t.front.Stdout(), s)
	return err
}

func (t *tree) warnHashes(hashes bool) {
	if hashes {
		t.note("warning: the output holds password hashes; whoever has it can guess passwords as fast as their machines allow")
	}
}

// writeExport writes an export into a file that nobody sees yet.
func (t *tree) writeExport(f *os.File, write func(io.Writer, *progress) (*exportView, error)) (*exportView, error) {
	bar := t.startProgress()
	defer bar.end()
	w := bufio.NewWriterSize(f, 1<<20)
	v, err := write(w, bar)
	if err != nil {
		return nil, err
	}
	return v, w.Flush()
}

// exportFile writes an export to a file, whole or not at all.
func (t *tree) exportFile(dest string, force, hashes bool, write func(io.Writer, *progress) (*exportView, error)) (err error) {
	switch info, err := os.Lstat(dest); {
	case err == nil && !force:
		return forceHint(&fs.PathError{Op: "export", Path: dest, Err: fs.ErrExist})
	case err == nil && !info.Mode().IsRegular():
		return invalidf("%s is not a regular file", clean(dest))
	}
	f, err := os.CreateTemp(filepath.Dir(dest), "."+filepath.Base(dest)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone if all went well
	v, err := t.writeExport(f, write)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if force {
		err = boltkv.Replace(f.Name(), dest)
	} else {
		err = forceHint(boltkv.Publish(f.Name(), dest))
	}
	if err != nil {
		return err
	}
	t.warnHashes(hashes)
	v.Path = dest
	return t.print(v, v.text)
}
