package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
)

// Hidden verbs that verify needs.
const (
	verifyChildVerb = "verify-file" // reads the file, in a process of its own
	snapshotVerb    = "snapshot"    // has a running program write a copy
)

// A verifyView is the result of a verification. The keys are part of the contract.
type verifyView struct {
	Path     string        `json:"path"`
	OK       bool          `json:"ok"`
	Findings []findingView `json:"findings"`
	Seconds  float64       `json:"seconds"`
}

type findingView struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

func (t *tree) verifyCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the whole file",
		Long: "Check the structure of the file, the checksum of every record, and that all of them agree with each other. At most 1000 findings are listed.\n" +
			"The exit code is 0 if there are none and 6 otherwise.\n\n" +
			"The file is read by a process of its own, with bounds for memory and time, so that no damage can take more down than that; a file that kills its\n" +
			"reader is damaged too. It works for files that cannot be opened. If a program is running, it writes a copy of the file beside it, which\n" +
			"is verified in its place and removed.",
		Example: "  latchbolt verify\n  latchbolt verify --db suspect.db --json",
		Args:    wantArgs(cobra.NoArgs),
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long it may take; 0 is a minute, and one more for each 100 MiB")
	cmd.RunE = t.here(func(cmd *cobra.Command, _ []string) error {
		path, err := t.path()
		if err != nil {
			return err
		}
		if timeout < 0 {
			return usagef("--timeout cannot be negative")
		}
		start := time.Now()
		findings, err := t.verify(cmd, path, timeout)
		if err != nil {
			return err
		}
		v := verifyView{Path: path, OK: len(findings) == 0, Findings: append([]findingView{}, findings...), Seconds: time.Since(start).Seconds()}
		return t.verified(&v)
	})
	return cmd
}

// verified prints the result.
func (t *tree) verified(v *verifyView) error {
	err := t.print(v, func(w io.Writer) {
		for _, f := range v.Findings {
			_, _ = fmt.Fprintf(w, "%s: %s\n", clean(f.Where), clean(f.What))
		}
		if v.OK {
			_, _ = fmt.Fprintf(w, "%s\n", t.paint(green, clean(v.Path)+" is sound."))
		}
	})
	if err != nil || v.OK {
		return err
	}
	return &exitError{code: ExitDamaged, err: fmt.Errorf("%s is damaged: %s", clean(v.Path), plural(len(v.Findings), "finding", "findings")),
		hint: "A backup is put in its place with restore."}
}

// verify has a child read the file or, if a program has it, a copy that the program makes.
func (t *tree) verify(cmd *cobra.Command, path string, timeout time.Duration) ([]findingView, error) {
	ctx := cmd.Context()
	for end := time.Now().Add(lockWait); ; {
		findings, err := t.verifyChild(cmd, path, timeout)
		if !errors.Is(err, latchbolt.ErrLocked) {
			return findings, err
		}
		conn, dialErr := dial(ctx, t.socket(path), path)
		if dialErr == nil {
			return t.verifySnapshot(cmd, conn, path, timeout)
		}
		if time.Now().After(end) {
			return nil, lockedHint(path, t.socket(path), dialErr)
		}
		select {
		case <-time.After(lockRetry):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// verifySnapshot verifies a copy that the program at the other end makes.
func (t *tree) verifySnapshot(cmd *cobra.Command, conn *client, path string, timeout time.Duration) ([]findingView, error) {
	own := t.front
	kept := &capture{front: own}
	t.front = kept
	err := t.forward(cmd.Context(), conn, childOfAny(t.root, snapshotVerb), nil)
	t.front = own
	if err != nil {
		return nil, err
	}
	copied, err := snapshotBeside(path, strings.TrimSuffix(kept.out.String(), "\n"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(copied) }()
	return t.verifyChild(cmd, copied, timeout)
}

// snapshotBeside returns where the copy is that the program says it made. The program may be that of a user who may less than the one who gave
// the command: what lies elsewhere, or has another name than such a copy, is neither looked at nor removed.
func snapshotBeside(path, said string) (string, error) {
	real, err := filepath.EvalSymlinks(path) // the program cannot have opened a link
	if err != nil {
		return "", err
	}
	name := filepath.Base(said)
	random, ok := strings.CutPrefix(name, snapshotHead(real))
	random, tmp := strings.CutSuffix(random, snapshotTail)
	if !ok || !tmp || len(random) < 26 || strings.Trim(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return "", fmt.Errorf("%w: %q is no name for a copy of %q", errFrame, said, real)
	}
	return filepath.Join(filepath.Dir(real), name), nil
}

// What the name of a snapshot begins and ends with; between them stands a [rand.Text].
func snapshotHead(path string) string { return "." + filepath.Base(path) + "." }

const snapshotTail = ".tmp"

// childOfAny finds a verb, hidden ones too.
func childOfAny(cmd *cobra.Command, name string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// snapshotCommand writes a copy of the file beside it and prints its name. The name is one that the
// next one who opens the file removes, should nobody else do it.
func (t *tree) snapshotCommand() *cobra.Command {
	return &cobra.Command{
		Use:    snapshotVerb,
		Short:  "Write a raw copy beside the file, for verify",
		Hidden: true,
		Args:   wantArgs(cobra.NoArgs),
		RunE: t.onEngine(func(ctx context.Context, eng *latchbolt.Engine, _ []string) error {
			path, err := filepath.Abs(eng.Path())
			if err != nil {
				return err
			}
			name := filepath.Join(filepath.Dir(path), snapshotHead(path)+rand.Text()+snapshotTail)
			if err := eng.Snapshot(ctx, name); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(t.front.Stdout(), name); err != nil {
				return errors.Join(err, os.Remove(name))
			}
			return nil
		}),
	}
}

// A childLine is what the reading process says: a finding, or how it ended.
type childLine struct {
	Where string `json:"where,omitempty"`
	What  string `json:"what,omitempty"`
	End   bool   `json:"end,omitempty"`
	Code  int    `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
}

// Bounds of the child, and of what it may say.
const (
	maxChildLine   = 1 << 20 // bytes
	maxChildStderr = 64 << 10
	childSilence   = 5 * time.Second // for the pipe to close when the child has ended
)

// childTime is how long a child may read a file.
func childTime(path string, timeout time.Duration) time.Duration {
	if timeout > 0 {
		return timeout
	}
	var size int64
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	return time.Minute + time.Duration(size/(100<<20))*time.Minute
}

// verifyChild starts this program again, to read the file.
func (t *tree) verifyChild(cmd *cobra.Command, path string, timeout time.Duration) ([]findingView, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	timeout = childTime(path, timeout)
	ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
	defer cancel()
	words := strings.Fields(t.root.CommandPath())[1:]
	child := exec.CommandContext(ctx, self, append(words, verifyChildVerb, "--db="+path)...)
	child.Args[0] = os.Args[0]
	child.WaitDelay = childSilence
	var stderr headWriter
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	life, err := child.StdinPipe() // its end tells the child that nobody is there any more
	if err != nil {
		return nil, err
	}
	defer func() { _ = life.Close() }()
	if err := child.Start(); err != nil {
		return nil, err
	}
	findings, end := readChild(out)
	waitErr := child.Wait()
	switch {
	case cmd.Context().Err() != nil:
		return nil, cmd.Context().Err()
	case end != nil && end.Code == ExitOK:
		return findings, nil
	case end != nil && end.Code == ExitDamaged:
		return append(findings, findingView{"file", end.Error}), nil
	case end != nil && end.Code == ExitLocked:
		return nil, fmt.Errorf("%s: %w", path, latchbolt.ErrLocked)
	case end != nil:
		return nil, &exitError{code: end.Code, err: errors.New(end.Error)}
	case ctx.Err() != nil:
		return append(findings, findingView{"file", fmt.Sprintf("reading it did not end within %v", round(timeout))}), nil
	}
	return append(findings, findingView{"file", "the file kills who reads it: " + stderr.cause(waitErr)}), nil
}

// readChild reads what the child found. The end is nil if it did not say how it ended.
func readChild(out io.Reader) (findings []findingView, end *childLine) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxChildLine)
	for lines.Scan() {
		var l childLine
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue // the program's own
		}
		switch {
		case l.End:
			end = &l
		case l.What != "" && len(findings) < 1000:
			findings = append(findings, findingView{l.Where, l.What})
		}
	}
	_, _ = io.Copy(io.Discard, out)
	return findings, end
}

// A headWriter keeps the beginning of what is written.
type headWriter struct{ buf bytes.Buffer }

func (h *headWriter) Write(b []byte) (int, error) {
	h.buf.Write(b[:min(len(b), max(0, maxChildStderr-h.buf.Len()))])
	return len(b), nil
}

// cause says why a child died.
func (h *headWriter) cause(err error) string {
	why := "it ended without a word"
	if err != nil {
		why = err.Error()
	}
	for line := range strings.Lines(h.buf.String()) {
		for _, mark := range []string{"panic:", "fatal error:", "runtime:", "unexpected fault", "SIG"} {
			if strings.HasPrefix(line, mark) {
				return why + ", " + strings.TrimSpace(line)
			}
		}
	}
	return why
}

// verifyFileCommand is what the child runs.
func (t *tree) verifyFileCommand() *cobra.Command {
	return &cobra.Command{
		Use:    verifyChildVerb,
		Short:  "Read the file for verify",
		Hidden: true,
		Args:   wantArgs(cobra.NoArgs),
		RunE: t.here(func(cmd *cobra.Command, _ []string) error {
			path, err := t.path()
			if err != nil {
				return err
			}
			boundChild(path)
			go func() {
				_, _ = io.Copy(io.Discard, t.front.Stdin())
				os.Exit(ExitFailed)
			}()
			out := bufio.NewWriter(t.front.Stdout())
			end := childLine{End: true}
			for f, err := range latchbolt.VerifyFile(cmd.Context(), path) {
				if err != nil {
					end.Code, end.Error = ExitCode(err), err.Error()
					break
				}
				if err := encodeJSON(out, childLine{Where: f.Where, What: f.What}); err != nil {
					return err
				}
				if err := out.Flush(); err != nil { // the next step may be the last
					return err
				}
			}
			return errors.Join(encodeJSON(out, end), out.Flush())
		}),
	}
}
