package htpasswd

import (
	"context"
	"errors"
	"io"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intake"
)

// ImportOptions say how a file is taken over. Nil, and the zero ImportOptions, are fine.
type ImportOptions struct {
	// Plain takes passwords that are not hashed, as htpasswd -p writes them, and hashes them. Otherwise they are refused. A plain password that
	// looks like one of the hashes is taken for that.
	Plain bool
	// AnyPassword takes plain passwords that the engine's validators would refuse.
	AnyPassword bool
	// Unusable also takes over users whose password hash cannot be verified, without a usable password: somebody has to
	// give them a new one.
	Unusable bool
	// SkipExisting leaves users alone who are there already, and reports them. Otherwise such a name is refused.
	SkipExisting bool

	// MaxBytes is how long a file may be. 0 means 64 MiB. All of it is held in memory, which takes up to forty times as much where lines have a
	// few bytes only.
	MaxBytes int64
	// MaxLine is how many bytes a line may have. 0 means 8,192, as in Apache.
	MaxLine int
	// Progress, if not nil, is called now and then, also while a transaction is open: it must not call the engine.
	Progress func(interop.Progress)
	// DryRun does everything but hash passwords and keep the result.
	DryRun bool
}

// progressEvery is how many users go by between two reports.
const progressEvery = 1000

// Import takes the users of an htpasswd file over into an engine: all of the file or nothing. The error is an
// [interop.LineError] for what stands in the file, and wraps [ErrTooLarge], the error of the context or that of the reader
// otherwise. It may be [latchbolt.ErrIndeterminate], as with every change.
//
// Names that differ only in case, in an engine that does not tell case apart, are refused: only one of them could log in.
func Import(ctx context.Context, eng *latchbolt.Engine, in io.Reader, opts *ImportOptions) (interop.Report, error) {
	im := &importing{eng: eng}
	if opts != nil {
		im.opts = *opts
	}
	var err error
	if im.entries, err = read(ctx, in, &im.opts); err != nil {
		return interop.Report{}, wrap(err)
	}
	if err := im.hashPasswords(ctx); err != nil {
		return interop.Report{}, wrap(err)
	}
	var report interop.Report
	err = intake.Load(ctx, eng, "htpasswd", im.opts.DryRun, func(to intake.Target) (err error) {
		report, err = im.store(ctx, to)
		return err
	})
	if err != nil {
		return interop.Report{}, wrap(err)
	}
	return report, nil
}

// An importing is one call of Import.
type importing struct {
	eng     *latchbolt.Engine
	opts    ImportOptions
	entries []*entry
	hashes  *intake.Hashes
}

func (im *importing) progress(s interop.Stage, done, total int) {
	if im.opts.Progress != nil {
		im.opts.Progress(interop.Progress{Stage: s, Done: done, Total: total})
	}
}

// hashPasswords hashes the plain passwords.
func (im *importing) hashPasswords(ctx context.Context) error {
	im.hashes = intake.NewHashes(ctx, im.eng, im.opts.DryRun)
	defer im.hashes.Stop()
	var plain []*entry
	for _, e := range im.entries {
		if !e.plain || e.skip != "" {
			continue
		}
		if im.opts.SkipExisting {
			if _, err := im.eng.UserByName(ctx, e.name); err == nil {
				continue
			} else if !errors.Is(err, latchbolt.ErrNotFound) {
				return err
			}
		}
		if !im.opts.AnyPassword {
			if err := im.eng.ValidatePassword(e.pw, &latchbolt.User{Username: e.name}); err != nil {
				return intake.Refused(e.line, err)
			}
		}
		plain = append(plain, e)
	}
	for _, e := range plain {
		if err := im.hashes.Add(e.line, e.pw); err != nil {
			return err
		}
		im.progress(interop.Hashing, im.hashes.Done(), len(plain))
	}
	return im.hashes.Wait()
}

// store stores the entries.
func (im *importing) store(ctx context.Context, to intake.Target) (interop.Report, error) {
	report := intake.NewReport()
	for i, e := range im.entries {
		if err := im.user(to, e, &report); err != nil {
			return report, err
		}
		if i%progressEvery == progressEvery-1 {
			im.progress(interop.Storing, i+1, len(im.entries))
			if err := ctx.Err(); err != nil {
				return report, err
			}
		}
	}
	im.progress(interop.Storing, len(im.entries), len(im.entries))
	return report, nil
}

// user stores one entry, or notes why not.
func (im *importing) user(to intake.Target, e *entry, report *interop.Report) error {
	if e.skip != "" {
		intake.Skip(report, e.note(e.skip))
		if !im.opts.Unusable || e.skip == reasonTwice {
			return nil
		}
	}
	if im.opts.SkipExisting {
		if there, err := intake.Exists(to, e.name); err != nil {
			return err
		} else if there {
			intake.Skip(report, e.note(intake.ReasonExists))
			return nil
		}
	}
	hash := e.hash
	if e.plain {
		var ok bool
		if hash, ok = im.hashes.Of(e.line); !ok {
			return &interop.LineError{Line: e.line, Field: "username", Msg: "the users changed during the import; begin it again", Err: latchbolt.ErrConflict}
		}
		report.Hashed++
	}
	u := latchbolt.User{Username: e.name}
	to.At(e.line)
	if err := to.InsertBroughtUser(&u, hash); err != nil {
		return intake.Refused(e.line, err)
	}
	report.Users++
	for _, reason := range append(intake.JudgeUser(&latchbolt.User{Username: e.name}), e.notes...) {
		intake.Warn(report, e.note(reason))
	}
	return nil
}
