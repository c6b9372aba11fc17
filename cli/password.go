package cli

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/spf13/pflag"

	"github.com/latchbolt-go/latchbolt"
)

// A passwordFlag is where a password comes from.
type passwordFlag struct {
	stdin bool
}

func (p *passwordFlag) add(flags *pflag.FlagSet) {
	flags.BoolVar(&p.stdin, "password-stdin", false, "the password is all of standard input, less one final newline")
}

// read returns a password that exists already.
func (p *passwordFlag) read(ctx context.Context, t *tree, prompt string) (string, error) {
	if p.stdin {
		return t.readSecret()
	}
	if err := t.canPrompt(); err != nil {
		return "", err
	}
	return t.askPassword(ctx, prompt)
}

// askPassword is a prompt for a password. The end of input is somebody's wish to leave.
func (t *tree) askPassword(ctx context.Context, prompt string) (string, error) {
	s, err := t.front.ReadPassword(ctx, prompt)
	return s, leftOff(err)
}

// leftOff says what the end of input means at a prompt.
func leftOff(err error) error {
	if err == io.EOF {
		return errAborted
	}
	return err
}

// errAborted ends a command that somebody left at a prompt.
var errAborted = &exitError{code: ExitFailed, err: errors.New("aborted; nothing was changed")}

// readNew returns a password to set. At a terminal it is asked for twice, and again if the two differ or check
// refuses it, three times in all; an empty one ends it. That is how Django's changepassword does it.
func (p *passwordFlag) readNew(ctx context.Context, t *tree, check func(string) error) (string, error) {
	if p.stdin {
		return t.readSecret()
	}
	if err := t.canPrompt(); err != nil {
		return "", err
	}
	for range 3 {
		first, err := t.askPassword(ctx, "Password: ")
		if err != nil {
			return "", err
		}
		if first == "" {
			return "", errAborted
		}
		second, err := t.askPassword(ctx, "Password (again): ")
		if err != nil {
			return "", err
		}
		if first != second {
			t.note("The passwords are not the same. Please try again.")
			continue
		}
		err = check(first)
		if err == nil {
			return first, nil
		}
		t.complain(err)
	}
	return "", invalidf("gave up after three attempts; nothing was changed")
}

// canPrompt says whether somebody can be asked.
func (t *tree) canPrompt() error {
	if t.noInput || !t.front.Place().In {
		return withHint(usagef("a password is needed, and nobody can be asked for it"), "Give --password-stdin and the password on standard input.")
	}
	return nil
}

// complain lists what is wrong with input.
func (t *tree) complain(err error) {
	var list latchbolt.FieldErrors
	var one *latchbolt.FieldError
	switch {
	case errors.As(err, &list):
		for _, e := range list {
			t.note("%s", clean(e.Msg))
		}
	case errors.As(err, &one):
		t.note("%s", clean(one.Msg))
	default:
		t.note("%s", clean(err.Error()))
	}
}

// maxSecret bounds what is read as a password, in bytes: more than the engine takes, so that the engine says so.
const maxSecret = 1 << 20

// readSecret reads all of standard input, less one final newline.
func (t *tree) readSecret() (string, error) {
	if t.front.Place().In {
		t.note("Reading from the terminal, where what you type can be seen. Ctrl-D ends it.")
	}
	return readSecret(t.front.Stdin())
}

// readSecret reads all of r, less one final newline.
func readSecret(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSecret {
		return "", invalidf("the password has more than %d bytes", maxSecret)
	}
	if text, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		b = bytes.TrimSuffix(text, []byte("\r")) // as Windows ends lines, of files and in pipes: nobody types one at a login
	}
	return string(b), nil
}
