package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (t *tree) manCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man [COMMAND ...]",
		Short: "Print manual pages",
		Long: "Print the manual page of a command, or of all together, in the form that man(1) shows. With --dir, write a page for each command into a folder,\n" +
			"which is made if it is not there; pages that are there are replaced.",
		Example: "  latchbolt man user create | man -l -\n  latchbolt man --dir /usr/local/share/man/man1",
		Args:    wantArgs(cobra.ArbitraryArgs),
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` to write all pages into")
	cmd.RunE = t.here(func(cmd *cobra.Command, args []string) error {
		if dir != "" {
			if len(args) > 0 {
				return usagef("--dir writes all pages; do not name a command")
			}
			dir, err := t.front.Place().abs(dir)
			if err != nil {
				return err
			}
			return t.writePages(dir)
		}
		page := t.root
		for _, word := range args {
			next := childOf(page, word)
			if next == nil {
				return notFoundf("%q has no command %q", page.CommandPath(), word)
			}
			page = next
		}
		_, err := io.WriteString(t.front.Stdout(), t.manPage(page))
		return err
	})
	return cmd
}

func childOf(cmd *cobra.Command, name string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == name && c.IsAvailableCommand() {
			return c
		}
	}
	return nil
}

// writePages writes a page for each command.
func (t *tree) writePages(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	n := 0
	var walk func(*cobra.Command) error
	walk = func(cmd *cobra.Command) error {
		name := filepath.Join(dir, manName(cmd)+".1")
		if err := os.WriteFile(name, []byte(t.manPage(cmd)), 0o644); err != nil {
			return err
		}
		n++
		for _, c := range cmd.Commands() {
			if !c.IsAvailableCommand() {
				continue
			}
			if err := walk(c); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(t.root); err != nil {
		return err
	}
	return t.print(map[string]any{"dir": dir, "pages": n}, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "Wrote %s into %s.\n", plural(n, "page", "pages"), clean(dir))
	})
}

// manName is the name of a command's page: "latchbolt-user-create".
func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// A roff writes the source of a manual page; see man(7).
type roff struct{ strings.Builder }

func (r *roff) macro(name string, args ...string) {
	r.WriteString("." + name)
	for _, a := range args {
		r.WriteString(` "` + strings.ReplaceAll(roffText(a), `"`, `\(dq`) + `"`)
	}
	r.WriteByte('\n')
}

// paragraphs writes text whose paragraphs are divided by empty lines.
func (r *roff) paragraphs(text string) {
	for _, p := range strings.Split(text, "\n\n") {
		r.macro("PP")
		if strings.HasPrefix(p, " ") {
			r.verbatim(unindent(p))
			continue
		}
		r.text(strings.Join(strings.Fields(p), " "))
	}
}

// text writes one line of running text.
func (r *roff) text(s string) {
	s = roffText(s)
	if s != "" && strings.ContainsAny(s[:1], ".'") {
		s = `\&` + s
	}
	r.WriteString(s + "\n")
}

// verbatim writes lines as they are.
func (r *roff) verbatim(text string) {
	r.macro("nf")
	for line := range strings.SplitSeq(text, "\n") {
		r.text(line)
	}
	r.macro("fi")
}

// roffText escapes what has a meaning in roff. A hyphen is written so that it can be copied into a shell.
func roffText(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}

// manPage returns the manual page of a command, made of what its help says.
func (t *tree) manPage(cmd *cobra.Command) string {
	r := &roff{}
	r.macro("TH", strings.ToUpper(manName(cmd)), "1", "", t.version(), "User Commands")
	r.macro("SH", "NAME")
	r.text(manName(cmd) + " - " + lowerFirst(cmd.Short))
	r.macro("SH", "SYNOPSIS")
	r.macro("B", cmd.CommandPath())
	r.text(synopsis(cmd))
	r.macro("SH", "DESCRIPTION")
	if cmd.Long != "" {
		r.paragraphs(cmd.Long)
	} else {
		r.text(cmd.Short + ".")
	}
	t.manCommands(r, cmd)
	manFlags(r, "OPTIONS", cmd.NonInheritedFlags())
	if cmd != t.root {
		manFlags(r, "GLOBAL OPTIONS", cmd.InheritedFlags())
	}
	if cmd.Example != "" {
		r.macro("SH", "EXAMPLES")
		r.verbatim(unindent(strings.ReplaceAll(cmd.Example, exampleName+" ", t.root.CommandPath()+" ")))
	}
	manExit(r)
	manEnvironment(r)
	t.manSeeAlso(r, cmd)
	return r.String()
}

// synopsis is what may follow the name of a command.
func synopsis(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return "COMMAND [options]"
	}
	_, args, _ := strings.Cut(cmd.Use, " ")
	return strings.TrimSpace("[options] " + args)
}

func (t *tree) manCommands(r *roff, cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	r.macro("SH", "COMMANDS")
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		r.macro("TP")
		r.macro("B", c.Name())
		r.text(c.Short + ".")
	}
}

func manFlags(r *roff, title string, flags *pflag.FlagSet) {
	any := false
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if !any {
			any = true
			r.macro("SH", title)
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		r.macro("TP")
		r.macro("B", name)
		if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "[]" && d != "0s" {
			usage += " (default " + d + ")"
		}
		r.text(usage)
	})
}

func manExit(r *roff) {
	r.macro("SH", "EXIT STATUS")
	for _, e := range []struct {
		code int
		what string
	}{
		{ExitOK, "Done, or the answer is yes."},
		{ExitNo, "The answer is no: a wrong password, a permission denied."},
		{ExitUsage, "The command line is wrong."},
		{ExitNotFound, "A user, group, permission, session or file does not exist."},
		{ExitConflict, "The input is not valid, or contradicts what is stored."},
		{ExitLocked, "Another program holds the file and does not let commands in."},
		{ExitDamaged, "The file is damaged."},
		{ExitFailed, "Anything else."},
	} {
		r.macro("TP")
		r.macro("B", fmt.Sprint(e.code))
		r.text(e.what)
	}
}

func manEnvironment(r *roff) {
	r.macro("SH", "ENVIRONMENT")
	r.macro("TP")
	r.macro("B", envPrefix+"DB")
	r.text("The file, if --db is not given.")
	r.macro("TP")
	r.macro("B", "NO_COLOR")
	r.text("If set, no colours are used.")
}

func (t *tree) manSeeAlso(r *roff, cmd *cobra.Command) {
	var names []string
	if cmd != t.root {
		names = append(names, manName(cmd.Parent()))
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, manName(c))
		}
	}
	if len(names) == 0 {
		return
	}
	r.macro("SH", "SEE ALSO")
	for i, n := range names {
		after := ","
		if i == len(names)-1 {
			after = ""
		}
		r.WriteString(`.BR ` + roffText(n) + ` (1)` + after + "\n")
	}
}

var firstWord = regexp.MustCompile(`^[A-Z][a-z]`)

// lowerFirst makes a sentence part of another, unless it begins with a name.
func lowerFirst(s string) string {
	if firstWord.MatchString(s) {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// unindent takes the indentation of help away.
func unindent(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "  ")
	}
	return strings.Join(lines, "\n")
}
