package django

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
)

// Create makes a new file at path, takes a dump over into it and opens it with cfg. The file appears under its
// name only when all of it is there, whatever happens before; until then it has a
// hidden name in the same folder. The error wraps [fs.ErrExist] if there is something at path, and is otherwise that of [Import]
// or of [latchbolt.Open].
//
// Names that differ in case only are one in the new file, unless cfg.CaseSensitive is set or the
// dump has two that differ so: then the file tells case apart, as Django does, and Report.CaseSensitive says so. With
// opts.DryRun no file is left and the engine is nil.
func Create(ctx context.Context, path string, dump io.Reader, cfg *latchbolt.Config, opts *ImportOptions) (*latchbolt.Engine, Report, error) {
	var c latchbolt.Config
	if cfg != nil {
		c = *cfg
	}
	if opts == nil {
		opts = &ImportOptions{}
	}
	if there(path) {
		return nil, Report{}, fmt.Errorf("django: importing: %w", taken(path))
	}
	now := time.Now
	if c.Clock != nil {
		now = c.Clock
	}
	p, err := read(ctx, dump, opts, now())
	if err != nil {
		return nil, Report{}, err
	}
	report, err := p.create(ctx, path, c)
	if errors.Is(err, ErrNeedsCaseSensitive) {
		c.CaseSensitive = true
		report, err = p.create(ctx, path, c)
	}
	if err != nil || opts.DryRun {
		return nil, report, err
	}
	c.Create = false
	eng, err := latchbolt.Open(path, &c)
	return eng, report, err
}

// create makes the file, or leaves nothing.
func (p *plan) create(ctx context.Context, path string, cfg latchbolt.Config) (report Report, err error) {
	temp := boltkv.TempName(path)
	defer func() {
		if err != nil || p.opts.DryRun {
			err = errors.Join(err, removeIfThere(temp))
		}
	}()
	if report, err = p.fill(ctx, temp, cfg); err != nil || p.opts.DryRun {
		return report, err
	}
	if err = boltkv.Publish(temp, path); err != nil {
		return Report{}, fmt.Errorf("django: importing: %w", err)
	}
	return report, nil
}

// fill makes a file and stores the plan in it.
func (p *plan) fill(ctx context.Context, temp string, cfg latchbolt.Config) (report Report, err error) {
	cfg.Create, cfg.SweepEvery = true, -1
	eng, err := latchbolt.Open(temp, &cfg)
	if err != nil {
		return Report{}, err
	}
	defer func() {
		if closeErr := eng.Close(); err == nil && closeErr != nil {
			report, err = Report{}, closeErr
		}
	}()
	return p.store(ctx, eng)
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func taken(path string) error { return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist} }

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
