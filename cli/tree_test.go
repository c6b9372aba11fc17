package cli_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt/cli"
)

// verbs calls fn for each command that does something.
func verbs(root *cobra.Command, fn func(*cobra.Command)) {
	for _, cmd := range root.Commands() {
		switch {
		case cmd.Hidden: // for other commands only
		case cmd.HasSubCommands():
			verbs(cmd, fn)
		default:
			fn(cmd)
		}
	}
}

func TestEveryVerbHasHelp(t *testing.T) {
	n, examples := 0, 0
	verbs(cli.New(nil), func(cmd *cobra.Command) {
		n++
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short text %q", path, cmd.Short)
		}
		if cmd.Args == nil {
			t.Errorf("%s does not look at its arguments", path)
		}
		if cmd.RunE == nil {
			t.Errorf("%s does nothing", path)
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", path)
		}
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			if !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: example %q is not indented", path, line)
			}
			if err := tryExample(cmd, line); err != nil {
				t.Errorf("%s: example %q: %v", path, line, err)
			}
			examples++
		}
		for line := range strings.SplitSeq(cmd.Long, "\n") {
			if len(line) > 125 {
				t.Errorf("%s: a line of its help has %d characters", path, len(line))
			}
		}
	})
	if n < 30 || examples < n {
		t.Errorf("%d verbs, %d examples", n, examples)
	}
}

// tryExample parses the commands of a line, one of which has to be cmd.
func tryExample(cmd *cobra.Command, line string) error {
	found := false
	for _, args := range commandsIn(line) {
		root := cli.New(nil)
		is, rest, err := root.Find(args)
		if err != nil {
			return err
		}
		if err := is.ParseFlags(rest); err != nil {
			return err
		}
		if err := is.ValidateArgs(is.Flags().Args()); err != nil {
			return err
		}
		if is.PreRunE != nil {
			if err := is.PreRunE(is, is.Flags().Args()); err != nil {
				return err
			}
		}
		found = found || is.CommandPath() == cmd.CommandPath()
	}
	if !found {
		return fmt.Errorf("does not show the command")
	}
	return nil
}

// commandsIn returns the arguments of each command of ours in a line of shell.
func commandsIn(line string) [][]string {
	var commands [][]string
	var words []string
	var word strings.Builder
	inWord := false
	var quote rune
	endWord := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	endCommand := func() {
		endWord()
		for i, w := range words {
			if w == "latchbolt" {
				commands = append(commands, words[i+1:])
				break
			}
		}
		words = nil
	}
	for _, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ':
			endWord()
		case strings.ContainsRune("|;&<>", r):
			endCommand()
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	endCommand()
	return commands
}

// TestHelpUnderAHost looks at the examples in the help of a program that mounts the commands.
func TestHelpUnderAHost(t *testing.T) {
	root := &cobra.Command{Use: "myapp"}
	root.AddCommand(cli.New(&cli.Options{Use: "auth", Path: "app.db"}))
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs([]string{"auth", "user", "show", "--help"})
	if code := cli.Run(t.Context(), root); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, want := range []string{"\n  myapp auth user show ada\n", "myapp auth user show USER [flags]", "--db file"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "latchbolt user") {
		t.Errorf("the help names another program:\n%s", &out)
	}
}

// TestErrorsOfAHost tests that what a program's own command returns is printed once, as docs/CLI.md mounts the commands.
func TestErrorsOfAHost(t *testing.T) {
	for _, args := range [][]string{{"fail"}, {"nope"}} {
		root := &cobra.Command{Use: "myapp"}
		root.AddCommand(&cobra.Command{Use: "fail", SilenceUsage: true, RunE: func(*cobra.Command, []string) error { return errors.New("nope") }})
		root.AddCommand(cli.New(&cli.Options{Use: "auth", Path: "app.db"}))
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(args)
		if code := cli.Run(t.Context(), root); code != cli.ExitFailed {
			t.Errorf("%q: exit code %d", args, code)
		}
		if n := strings.Count(out.String(), "nope"); n != 1 {
			t.Errorf("%q: printed %d times:\n%s", args, n, &out)
		}
	}
}

var update = flag.Bool("update", false, "write docs/CLI.md anew")

// generated is where the part of docs/CLI.md begins that is made of the commands.
const generated = "<!-- From here on this file is made of the commands: go test ./cli -run TestDocs -update -->\n"

func TestDocs(t *testing.T) {
	const name = "../docs/CLI.md"
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	written, _, ok := strings.Cut(string(have), generated)
	if !ok {
		t.Fatalf("%s has no line %q", name, generated)
	}
	want := written + generated + reference()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(have) {
		t.Errorf("%s is not what the commands say: go test ./cli -run TestDocs -update", name)
	}
	// What is written by hand names no verb and no exit code that is not there.
	root := cli.New(nil)
	for _, block := range strings.Split(written, "`")[1:] {
		args, ok := strings.CutPrefix(block, "latchbolt ")
		if !ok {
			continue
		}
		if cmd, _, err := root.Find(strings.Fields(args)); err != nil || cmd == root && !strings.HasPrefix(args, "-") {
			t.Errorf("%s: no command %q: %v", name, block, err)
		}
	}
}

// reference describes every command.
func reference() string {
	var b strings.Builder
	root := cli.New(nil)
	b.WriteString("\n## Flags of all commands\n\n```\n" + root.PersistentFlags().FlagUsages() + "```\n")
	for _, cmd := range root.Commands() {
		if cmd.Hidden {
			continue
		}
		if !cmd.HasSubCommands() {
			describe(&b, "##", cmd)
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n", cmd.CommandPath(), cmd.Short)
		for _, verb := range cmd.Commands() {
			describe(&b, "###", verb)
		}
	}
	return b.String()
}

func describe(b *strings.Builder, level string, cmd *cobra.Command) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(b, "\n%s %s\n\n%s\n\n```\n%s\n", level, cmd.CommandPath(), text, cmd.UseLine())
	if own := cmd.LocalNonPersistentFlags().FlagUsages(); own != "" {
		fmt.Fprintf(b, "\n%s", own)
	}
	fmt.Fprintf(b, "```\n\nExamples:\n\n```sh\n%s\n```\n", strings.ReplaceAll(cmd.Example[2:], "\n  ", "\n"))
}
