package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/pwhash"
)

// hashCommand has the verbs about password hashes. None of them needs a file.
func (t *tree) hashCommand() *cobra.Command {
	return group("hash", "Make, verify and measure password hashes",
		t.hashTune(),
		t.hashIdentify(),
		t.hashMake(),
		t.hashVerify(),
	)
}

// hashers returns the hashers that new passwords can be hashed with.
func (t *tree) hashers() []latchbolt.Hasher {
	if t.opts.Config != nil && t.opts.Config.Hashers != nil {
		return t.opts.Config.Hashers
	}
	return latchbolt.DefaultHashers()
}

// A tuneView is what hash tune found out.
type tuneView struct {
	Target  float64      `json:"target_ms"`
	Hashers []tunedView  `json:"hashers"`
	Weights []weightView `json:"weights"`
	Go      string       `json:"go"`
}

type tunedView struct {
	Algorithm string  `json:"algorithm"`
	Go        string  `json:"go"`
	Elapsed   float64 `json:"ms"`
	Units     int64   `json:"units"`
	AtMinimum bool    `json:"at_minimum"`
}

type weightView struct {
	Algorithm string  `json:"algorithm"`
	Operation string  `json:"operation"`
	BuiltIn   float64 `json:"built_in"`
	Measured  float64 `json:"measured"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (t *tree) hashTune() *cobra.Command {
	var target time.Duration
	cmd := &cobra.Command{
		Use:   "tune",
		Short: "Measure this machine and print the settings to paste",
		Long: "Find, for each algorithm, the parameters with which one hash takes about the target on this machine, but never less than the minimum of the OWASP\n" +
			"Password Storage Cheat Sheet, and print them as the field of a latchbolt.Config. The first hasher makes new hashes; put the one that you\n" +
			"want in front. Let the machine be idle: this hashes on one processor, some ten times as long as the target for each algorithm.",
		Example: "  latchbolt hash tune\n  latchbolt hash tune --target 100ms --json",
		Args:    wantArgs(cobra.NoArgs),
	}
	cmd.Flags().DurationVar(&target, "target", 250*time.Millisecond, "how long one hash may take, 1ms to 10s")
	cmd.RunE = t.here(func(cmd *cobra.Command, _ []string) error {
		if t.front.Place().Err {
			t.note("Measuring; this takes about %v.", max(time.Second, (40*target).Round(time.Second)))
		}
		c, err := latchbolt.Calibrate(cmd.Context(), target)
		if err != nil {
			return err
		}
		v := tuneView{Target: millis(c.Target), Go: c.Go()}
		for _, h := range c.Hashers {
			v.Hashers = append(v.Hashers, tunedView{h.Hasher.Algorithm(), h.Go(), millis(h.Elapsed), h.Units, h.AtMinimum})
		}
		for _, w := range c.Weights {
			v.Weights = append(v.Weights, weightView{w.Algorithm, w.Operation, w.BuiltIn, w.Measured})
		}
		return t.print(v, func(w io.Writer) { _, _ = io.WriteString(w, v.Go) })
	})
	return cmd
}

// An identifiedView is what can be told of a hash without the password.
type identifiedView struct {
	Line       int    `json:"line"`
	Known      bool   `json:"known"`
	Usable     bool   `json:"usable"`     // not one of Django's unusable passwords
	Verifiable bool   `json:"verifiable"` // some password can match it
	Algorithm  string `json:"algorithm"`
	Summary    string `json:"summary"`
	Units      int64  `json:"units"` // of work to verify a password, in iterations of PBKDF2-HMAC-SHA256
	Problem    string `json:"problem"`
}

func (t *tree) hashIdentify() *cobra.Command {
	return &cobra.Command{
		Use:   "identify [FILE]",
		Short: "Say what kind of hashes a file has",
		Long: "Say for each line of a file, or of standard input, what kind of password hash it is and what it costs to verify.\n" +
			"Hashes are never taken from the command line, which other users of the machine can see, and never printed.\n\n" +
			"With --json there is one document a line. The exit code is 1 if a line is no hash that passwords can be verified against.",
		Example: "  latchbolt hash identify hashes.txt\n  cut -d: -f2 .htpasswd | latchbolt hash identify --json",
		Args:    wantArgs(cobra.MaximumNArgs(1)),
		RunE: t.here(func(cmd *cobra.Command, args []string) error {
			var in io.Reader = t.front.Stdin()
			if len(args) > 0 && args[0] != "-" {
				f, _, err := t.front.Open(args[0], 0)
				if err != nil {
					return err
				}
				defer func() { _ = f.Close() }()
				in = f
			}
			return t.identifyAll(cmd.Context(), in)
		}),
	}
}

// maxHashLine is how long a line may be that is read as a hash: longer than any that is a hash.
const maxHashLine = 64 << 10

func (t *tree) identifyAll(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxHashLine)
	out := bufio.NewWriter(t.front.Stdout())
	no := false
	for n := 1; lines.Scan(); n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		v := t.identify(strings.TrimSuffix(lines.Text(), "\r"))
		v.Line = n
		no = no || !v.Verifiable
		if t.json {
			if err := encodeJSON(out, v); err != nil {
				return err
			}
		} else {
			_, _ = fmt.Fprintf(out, "%d: %s\n", n, v.text())
		}
	}
	if err := out.Flush(); err != nil { // also what was found before a line that cannot be read
		return err
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return invalidf("a line has more than %d bytes, which no hash has", maxHashLine)
	} else if err != nil {
		return err
	}
	if no {
		return errNo
	}
	return nil
}

// identify looks at one hash.
func (t *tree) identify(encoded string) identifiedView {
	v := identifiedView{}
	h, err := latchbolt.ParsePasswordHash(encoded)
	if err != nil {
		v.Problem = err.Error()
		v.Usable = !strings.HasPrefix(encoded, "!")
		v.Algorithm = pwhash.Known(encoded)
		return v
	}
	info := h.Info()
	v.Usable, v.Algorithm, v.Summary = info.Usable, info.Algorithm, info.Summary
	if own := t.ownHasher(encoded); own != nil {
		units, err := own.Work(encoded)
		v.Known, v.Algorithm, v.Units, v.Verifiable = true, own.Algorithm(), units, err == nil
		if err != nil {
			v.Problem = err.Error()
		}
		return v
	}
	if parsed, err := pwhash.Parse(encoded); err == nil {
		v.Known, v.Units = true, parsed.Cost()
		v.Verifiable = v.Units > 0
	}
	switch {
	case v.Verifiable:
	case !v.Usable && encoded != "":
		v.Known, v.Problem = true, "an unusable password, which nothing matches"
	case encoded == "":
		v.Problem = "empty"
	case v.Known:
		v.Problem = "a form that cannot be verified here"
	default:
		v.Problem = "not a known form"
	}
	return v
}

func (v *identifiedView) text() string {
	what := v.Summary
	if what == "" {
		what = v.Algorithm
	}
	if v.Problem == "" {
		return fmt.Sprintf("%s (%d units of work)", clean(what), v.Units)
	}
	if what == "" {
		return clean(v.Problem)
	}
	return clean(what) + ": " + clean(v.Problem)
}

// ownHasher returns the hasher of the program's own that a hash belongs to, if one does.
func (t *tree) ownHasher(encoded string) latchbolt.Hasher {
	name, _, ok := strings.Cut(encoded, "$")
	if !ok || pwhash.Known(encoded) != "" {
		return nil
	}
	for _, h := range t.hashers() {
		if h.Algorithm() == name {
			return h
		}
	}
	return nil
}

func (t *tree) hashMake() *cobra.Command {
	var algorithm string
	var password passwordFlag
	cmd := &cobra.Command{
		Use:   "make",
		Short: "Make the hash of a password",
		Long: "Print the hash of a password in Django's form, with a new random salt. The password is not judged, and no pepper is mixed in.\n" +
			"Such a hash can stand in a file for import users.",
		Example: "  latchbolt hash make\n  printf %s \"$PASSWORD\" | latchbolt hash make --algorithm scrypt --password-stdin",
		Args:    wantArgs(cobra.NoArgs),
	}
	var names []string
	for _, h := range t.hashers() {
		names = append(names, h.Algorithm())
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", names[0], "`one` of "+strings.Join(names, ", "))
	password.add(cmd.Flags())
	cmd.RunE = t.here(func(cmd *cobra.Command, _ []string) error {
		for _, h := range t.hashers() {
			if h.Algorithm() != algorithm {
				continue
			}
			secret, err := password.readNew(cmd.Context(), t, func(string) error { return nil })
			if err != nil {
				return err
			}
			encoded, err := h.Hash(secret)
			if err != nil {
				return err
			}
			return t.print(map[string]string{"algorithm": algorithm, "hash": encoded}, func(w io.Writer) { _, _ = fmt.Fprintln(w, encoded) })
		}
		return usagef("%q is not one of %s", algorithm, strings.Join(names, ", "))
	})
	return cmd
}

func (t *tree) hashVerify() *cobra.Command {
	var file string
	var password passwordFlag
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Say whether a password belongs to a hash",
		Long: "Say whether a password belongs to a hash of any form that can be imported. The exit code is 0 if it does and 1 if not.\n\n" +
			"The hash is never taken from the command line, which other users of the machine can see. It is the first line of the file\n" +
			"that --hash-file names; without it, it is asked for. With --hash-file - it is the first line of standard input, and with --password-stdin\n" +
			"all that follows, less one final newline, is the password.",
		Example: "  latchbolt hash verify --hash-file hash.txt\n" +
			"  printf '%s\\n%s' \"$HASH\" \"$PASSWORD\" | latchbolt hash verify --hash-file - --password-stdin",
		Args: wantArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&file, "hash-file", "", "`file` whose first line is the hash; - for standard input")
	password.add(cmd.Flags())
	cmd.RunE = t.here(func(cmd *cobra.Command, _ []string) error {
		encoded, secret, err := t.hashAndPassword(cmd.Context(), file, &password)
		if err != nil {
			return err
		}
		v := t.identify(encoded)
		if !v.Verifiable {
			return invalidf("the hash cannot be verified: %s", v.text())
		}
		ok, err := t.matches(secret, encoded)
		if err != nil {
			return err
		}
		answer := map[string]any{"ok": ok, "algorithm": v.Algorithm, "summary": v.Summary}
		if err := t.print(answer, func(w io.Writer) {
			if ok {
				_, _ = fmt.Fprintln(w, "The password belongs to the hash.")
			} else {
				_, _ = fmt.Fprintln(w, "The password does not belong to the hash.")
			}
		}); err != nil {
			return err
		}
		if !ok {
			return errNo
		}
		return nil
	})
	return cmd
}

// hashAndPassword reads what hash verify compares.
func (t *tree) hashAndPassword(ctx context.Context, file string, password *passwordFlag) (encoded, secret string, err error) {
	switch {
	case file == "-" && password.stdin:
		both, err := t.readSecret()
		if err != nil {
			return "", "", err
		}
		encoded, secret, found := strings.Cut(both, "\n")
		if !found {
			return "", "", usagef("standard input has one line; the hash has to be the first and the password what follows")
		}
		return strings.TrimSuffix(encoded, "\r"), secret, nil
	case file == "-":
		encoded, err = t.front.ReadLine(ctx, "")
	case file != "":
		encoded, err = t.firstLine(file)
	default:
		if err := t.canPrompt(); err != nil {
			return "", "", withHint(usagef("a hash is needed, and nobody can be asked for it"), "Give --hash-file.")
		}
		encoded, err = t.front.ReadLine(ctx, "Hash: ")
	}
	if err != nil {
		return "", "", err
	}
	secret, err = password.read(ctx, t, "Password: ")
	return encoded, secret, err
}

func (t *tree) firstLine(name string) (string, error) {
	f, _, err := t.front.Open(name, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	line, err := bufio.NewReader(io.LimitReader(f, maxHashLine)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// matches reports whether a password belongs to a hash that identify knows.
func (t *tree) matches(password, encoded string) (bool, error) {
	if own := t.ownHasher(encoded); own != nil {
		return own.Verify(password, encoded)
	}
	h, err := pwhash.Parse(encoded)
	if err != nil {
		return false, err
	}
	return h.Verify(password), nil
}
