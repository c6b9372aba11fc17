package ndjson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop"
	"github.com/latchbolt-go/latchbolt/interop/internal/intake"
)

// A source is input that can be read more than once.
type source struct {
	io.ReadSeeker
	start, size int64
	temp        *os.File // nil: somebody else's
}

// newSource returns in itself, or a temporary copy if it can be read only once.
func newSource(ctx context.Context, in io.Reader, dir string) (*source, error) {
	if seeker, ok := in.(io.ReadSeeker); ok {
		if at, err := seeker.Seek(0, io.SeekCurrent); err == nil { // a pipe is an *os.File too
			return &source{ReadSeeker: seeker, start: at, size: intake.Size(seeker)}, nil
		}
	}
	f, err := os.CreateTemp(dir, "latchbolt-import-*") // of mode 0600
	if err != nil {
		return nil, fmt.Errorf("making a temporary copy: %w", err)
	}
	s := &source{ReadSeeker: f, temp: f}
	os.Remove(f.Name()) // where an open file can go; elsewhere close removes it
	if s.size, err = io.Copy(f, intake.WithContext(ctx, in)); err != nil {
		s.close()
		return nil, fmt.Errorf("making a temporary copy: %w", err)
	}
	return s, nil
}

func (s *source) close() {
	if s.temp != nil {
		s.temp.Close()
		os.Remove(s.temp.Name())
	}
}

// lines begins to read from the start.
func (s *source) lines(ctx context.Context, max int) (*intake.Lines, error) {
	if _, err := s.Seek(s.start, io.SeekStart); err != nil {
		return nil, fmt.Errorf("going back to the start: %w", err)
	}
	return intake.NewLines(ctx, s, max), nil
}

// hashPasswords looks through the input for plain passwords, judges them and hashes them. It also counts the lines.
func (im *importing) hashPasswords(ctx context.Context) (err error) {
	lines, err := im.src.lines(ctx, im.opts.MaxLine)
	if err != nil {
		return err
	}
	im.hashes = intake.NewHashes(ctx, im.eng, im.opts.DryRun)
	defer im.hashes.Stop()
	for {
		line, err := lines.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		im.total++
		if mayHavePassword(line) {
			if err := im.hashPassword(ctx, line, lines.Line()); err != nil {
				return err
			}
		}
		if im.total%progressEvery == 0 {
			im.progress(interop.Hashing, im.hashes.Done(), 0, lines.Read())
		}
	}
	if err := im.hashes.Wait(); err != nil {
		return err
	}
	im.progress(interop.Hashing, im.hashes.Done(), im.hashes.Done(), lines.Read())
	return nil
}

// hashPassword judges the plain password of a line, if it has one, and has it hashed.
func (im *importing) hashPassword(ctx context.Context, line []byte, number int) error {
	rec, err := parse(line, number, im.opts.SkipFields)
	if err != nil || rec.seen&fieldPassword == 0 {
		return err
	}
	if im.opts.SkipExisting {
		if _, err := im.eng.UserByName(ctx, rec.user.Username); err == nil {
			return nil
		} else if !errors.Is(err, latchbolt.ErrNotFound) {
			return err
		}
	}
	if !im.opts.AnyPassword {
		if err := im.eng.ValidatePassword(rec.plain, &rec.user); err != nil {
			return intake.Refused(number, err)
		}
	}
	return im.hashes.Add(number, rec.plain)
}

// A batch is what one goroutine hands to the other.
type batch struct {
	recs []*record
	read int64
	err  error         // behind recs
	done chan struct{} // closed when all of a large batch is stored; nil for others
}

// batchSize is how many records are handed over at once, and batchesAhead how many batches may wait. A record takes some ten times the memory of
// its line, so a batch also ends behind batchText bytes of text, and one that has more, by a single long line, is waited for.
const (
	batchSize    = 256
	batchText    = 256 << 10
	batchesAhead = 8
)

// each parses the input on a goroutine of its own and calls fn with each record.
func (im *importing) each(ctx context.Context, fn func(*record) error) error {
	lines, err := im.src.lines(ctx, im.opts.MaxLine)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	batches := make(chan batch, batchesAhead)
	var parsing sync.WaitGroup
	defer parsing.Wait()
	defer stop()
	parsing.Go(func() { im.parse(ctx, lines, batches) })
	done := 0
	for b := range batches {
		for i, rec := range b.recs {
			if err := fn(rec); err != nil {
				return err
			}
			b.recs[i] = nil
			if done++; done%progressEvery == 0 {
				im.progress(interop.Storing, done, im.total, b.read)
			}
		}
		if b.err != nil && b.err != io.EOF {
			return b.err
		}
		if b.done != nil {
			close(b.done)
		}
	}
	if err := ctx.Err(); err != nil { // then the parser may have left without a word
		return err
	}
	im.progress(interop.Storing, done, im.total, lines.Read())
	return nil
}

// parse sends all records, and what it ended with.
func (im *importing) parse(ctx context.Context, lines *intake.Lines, to chan<- batch) {
	defer close(to)
	for {
		b := batch{recs: make([]*record, 0, batchSize)}
		text := 0
		for len(b.recs) < batchSize && text < batchText && b.err == nil {
			var line []byte
			if line, b.err = lines.Next(); b.err != nil {
				break
			}
			text += len(line)
			var rec *record
			if rec, b.err = parse(line, lines.Line(), im.opts.SkipFields); b.err == nil {
				b.recs = append(b.recs, rec)
			}
		}
		b.read = lines.Read()
		if text > 2*batchText {
			b.done = make(chan struct{})
		}
		select {
		case to <- b:
		case <-ctx.Done():
			return
		}
		if b.err != nil {
			return
		}
		if b.done != nil {
			select {
			case <-b.done:
			case <-ctx.Done():
				return
			}
		}
	}
}
