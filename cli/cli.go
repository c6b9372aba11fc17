package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/latchbolt-go/latchbolt"
)

// Options say how the commands fit into a program. Nil, and the zero Options, are those of a program of its own.
type Options struct {
	// Use is the name of the command that the verbs stand under. Empty means "latchbolt".
	Use string
	// Path is the file to work on if neither --db nor the environment variable LATCHBOLT_DB names one. Empty
	// means that one of them is needed.
	Path string
	// Config is how the program opens the file; hashers, peppers, backends, validators and the like have to be the
	// same here. Nil means the defaults. Create, LockTimeout and SweepEvery are not used: only init makes a file, and
	// a command removes nothing by the way.
	Config *latchbolt.Config
	// Socket is the control socket of the running program. Empty means the path of the file with ".sock" behind it. See [Serve].
	Socket string
	// Version is what the verb version prints. Empty means the version of this module in the program's build information.
	Version string
}

// New returns the command that all verbs stand under, for a program's own root command or for use as one. It may be
// added to one root only and executed once at a time. An error that it returns has an [ExitCode] and was not printed; [Run] does both.
func New(o *Options) *cobra.Command {
	t := &tree{}
	if o != nil {
		t.opts = *o
	}
	return t.build()
}

// A tree is one set of commands with the values of its flags. The server makes one for each connection.
type tree struct {
	opts  Options
	root  *cobra.Command
	front front             // set when a verb begins
	eng   *latchbolt.Engine // of the running program, at the far end of a control socket; else nil

	db      string
	json    bool
	yes     bool
	noInput bool
}

func (t *tree) build() *cobra.Command {
	use := t.opts.Use
	if use == "" {
		use = "latchbolt"
	}
	t.root = &cobra.Command{
		Use:   use,
		Short: "Users, groups, permissions and sessions in one file",
		Args:  noVerb,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	t.root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return withHint(usagef("%w", err), "See %s --help.", cmd.CommandPath())
	})
	flags := t.root.PersistentFlags()
	flags.StringVar(&t.db, "db", "", "the `file`; the default is $LATCHBOLT_DB"+orElse(t.opts.Path))
	flags.BoolVar(&t.json, "json", false, "print the result as JSON")
	flags.BoolVar(&t.yes, "yes", false, "do not ask before something is destroyed")
	flags.BoolVar(&t.noInput, "no-input", false, "never ask for anything")
	t.addVerbs()
	t.root.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "noinput" { // as Django spells it
			name = "no-input"
		}
		return pflag.NormalizedName(name)
	})
	t.root.SetHelpFunc(t.help)
	t.strictHelp()
	quiet(t.root)
	reflow(t.root)
	return t.root
}

// help shows the help of a command as its root does, with the examples as they are typed below that root.
func (t *tree) help(cmd *cobra.Command, args []string) {
	show := new(cobra.Command).HelpFunc()
	if t.root.HasParent() {
		show = t.root.Parent().HelpFunc()
	}
	example := cmd.Example
	defer func() { cmd.Example = example }()
	cmd.Example = strings.ReplaceAll(example, exampleName+" ", t.root.CommandPath()+" ")
	show(cmd, args)
}

// strictHelp makes it a usage error to ask for help about what is no command; cobra's own help shows something else then and succeeds.
func (t *tree) strictHelp() {
	t.root.InitDefaultHelpCmd()
	help, _, err := t.root.Find([]string{"help"})
	if err != nil {
		panic(err) // it was added just now
	}
	t.root.RemoveCommand(help) // cobra adds it to what turns out to be the root
	quiet(help)
	help.Run = nil
	help.RunE = func(cmd *cobra.Command, args []string) error {
		about, rest, err := cmd.Root().Find(args)
		if err != nil { // the first word was no command
			about, rest = cmd.Root(), args
		}
		if about.HasSubCommands() { // else the words are its arguments
			if err := noVerb(about, rest); err != nil {
				return err
			}
		}
		return about.Help()
	}
}

// exampleName stands in examples for the command that the verbs stand under.
const exampleName = "latchbolt"

// quiet leaves the printing of errors to whoever executes the commands, whatever root they stand under.
func quiet(cmd *cobra.Command) {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	for _, c := range cmd.Commands() {
		quiet(c)
	}
}

func orElse(path string) string {
	if path == "" {
		return ""
	}
	return ", else " + path
}

// noVerb refuses words that are no verb of a command that only has verbs.
func noVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := usagef("%q is not a command of %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2 // cobra sets its default elsewhere
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		return withHint(err, "Did you mean %q?", like[0])
	}
	return withHint(err, "See %s --help.", cmd.CommandPath())
}

// wantArgs makes a wrong number of arguments a usage error.
func wantArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return withHint(usagef("%w", err), "Usage: %s", cmd.UseLine())
		}
		return noEmptyFlags(cmd)
	}
}

// mayBeEmpty are the flags whose text is stored, or looked for, as it is. All others name something: without a name the command would be another
// one, on all users in place of some, or to the terminal in place of a file, where a script has a variable that is not set.
var mayBeEmpty = []string{"email", "first-name", "last-name", "name", "model", "prefix", "text"}

// noEmptyFlags makes it a usage error to give a flag that names something without a name.
func noEmptyFlags(cmd *cobra.Command) error {
	var err error
	check := func(f *pflag.Flag) {
		empty := f.Value.Type() == "string" && f.Value.String() == ""
		if list, ok := f.Value.(pflag.SliceValue); ok {
			empty = slices.Contains(list.GetSlice(), "")
		}
		if f.Changed && empty && !slices.Contains(mayBeEmpty, f.Name) && err == nil {
			err = withHint(usagef("--%s is empty", f.Name), "Leave it out, or say what it is to be.")
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(check)
	if db := cmd.Flag("db"); db != nil {
		check(db)
	}
	return err
}

// exclusive makes it a usage error to give more than one of some flags.
func exclusive(cmd *cobra.Command, names ...string) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		var given []string
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				given = append(given, "--"+name)
			}
		}
		if len(given) > 1 {
			return usagef("%s cannot be given together", strings.Join(given, " and "))
		}
		return nil
	}
}

// group returns a command that only has verbs.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: noVerb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(verbs...)
	return cmd
}

// begin finds out where the verb's streams are, unless a control connection said so.
func (t *tree) begin(cmd *cobra.Command) {
	if t.eng == nil {
		l := newLocal(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		l.place.Prefix = t.root.CommandPath()
		t.front = l
	}
}

// path returns the file to work on.
func (t *tree) path() (string, error) {
	switch {
	case t.db != "":
		return t.db, nil
	case os.Getenv(envPrefix+"DB") != "":
		return os.Getenv(envPrefix + "DB"), nil
	case t.opts.Path != "":
		return t.opts.Path, nil
	}
	return "", usagef("which file? Give --db FILE or set %sDB", envPrefix)
}

// socket returns the control socket that belongs to a file.
func (t *tree) socket(path string) string {
	if t.opts.Socket != "" {
		return t.opts.Socket
	}
	if real, err := filepath.EvalSymlinks(path); err == nil { // the program cannot have opened a link
		path = real
	}
	return path + socketSuffix
}

// config returns how to open the file.
func (t *tree) config() *latchbolt.Config {
	cfg := latchbolt.Config{}
	if t.opts.Config != nil {
		cfg = *t.opts.Config
	}
	cfg.Create = false
	cfg.LockTimeout = -1
	cfg.SweepEvery = -1
	return &cfg
}

// A verb does the work of a command on an engine.
type verb func(ctx context.Context, eng *latchbolt.Engine, args []string) error

// onEngine runs a verb on the file, or in the program that holds it.
func (t *tree) onEngine(run verb) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		t.begin(cmd)
		ctx := cmd.Context()
		if t.eng != nil {
			return run(ctx, t.eng, args)
		}
		path, err := t.path()
		if err != nil {
			return err
		}
		eng, conn, err := t.reach(ctx, path)
		switch {
		case err != nil:
			return err
		case conn != nil:
			return t.forward(ctx, conn, cmd, args)
		}
		return errors.Join(run(ctx, eng, args), eng.Close())
	}
}

// How long a command waits for a file that is held by a program without a control socket: mostly another command.
const (
	lockWait  = 2 * time.Second
	lockRetry = 20 * time.Millisecond
)

// reach opens the file or, if somebody has it, a connection to the program that does.
func (t *tree) reach(ctx context.Context, path string) (*latchbolt.Engine, *client, error) {
	for end := time.Now().Add(lockWait); ; {
		eng, err := latchbolt.Open(path, t.config())
		if err == nil {
			return eng, nil, nil
		}
		if !errors.Is(err, latchbolt.ErrLocked) && !errors.Is(err, latchbolt.ErrInsecure) {
			return nil, nil, openHint(path, err)
		}
		conn, dialErr := dial(ctx, t.socket(path), path)
		if dialErr == nil {
			return nil, conn, nil
		}
		if !errors.Is(err, latchbolt.ErrLocked) {
			return nil, nil, openHint(path, err)
		}
		if time.Now().After(end) {
			return nil, nil, lockedHint(path, t.socket(path), dialErr)
		}
		select {
		case <-time.After(lockRetry):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// openHint says what to do about a file that cannot be opened.
func openHint(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return withHint(err, "To make a new file: init --db %s", path)
	case errors.Is(err, latchbolt.ErrNewerFormat):
		return withHint(err, "Use the release that wrote it, or a later one.")
	case errors.Is(err, latchbolt.ErrCorrupt):
		return withHint(err, "See what is wrong with it: verify --db %s. A backup is put in its place with restore.", path)
	}
	return err
}

// lockedHint says who holds a file, if that can be known, and what to do.
func lockedHint(path, socket string, dialErr error) error {
	who := "another program"
	if pid, name, ok := lockHolder(path); ok {
		who = fmt.Sprintf("process %d (%s)", pid, clean(name))
	}
	why := "it has no control socket"
	if !errors.Is(dialErr, os.ErrNotExist) {
		why = "its control socket cannot be used: " + dialErr.Error()
	}
	return &exitError{code: ExitLocked, err: fmt.Errorf("%s is in use", clean(path)),
		hint: fmt.Sprintf("The file is held by %s, and %s (%s). Wait until it is done or stop it, or let it call cli.Serve.", who, why, socket)}
}
