package damagetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	campaign "github.com/latchbolt-go/latchbolt/internal/tally"
)

// childEnv, if set to "FOLDER SEED FROM TO;ONLY", makes the test binary a program that damages the specimen in the folder and
// looks at the result, one case after the other.
const childEnv = "DAMAGETEST_CHILD"

var seedFlag = flag.Uint64("seed", 0, "the `number` that decides about the damage; 0 draws one")

func TestMain(m *testing.M) {
	if run := os.Getenv(childEnv); run != "" {
		child(run)
	}
	flag.Parse()
	os.Exit(m.Run())
}

func seed(t *testing.T) uint64 {
	s := *seedFlag
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; once more: -run '^%s$' -seed %d", s, t.Name(), s)
	return s
}

func scratch(t testing.TB) string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		if dir, err := os.MkdirTemp("/dev/shm", "damagetest-"); err == nil {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			return dir
		}
	}
	return t.TempDir()
}

// A verdict says what became of one damaged file.
type verdict struct {
	Case      int
	What      string
	Effective bool   // an answer is another one, or there is none
	Noticed   string // how the damage showed; "" if it did not
	Differs   string // an answer that is another one
	Bad       []string
	Salvaged  string // "", "refused", "proven" or "doubtful"
	Kept      int
	// Old tells that the tree of a file that was not closed in order leads to an old copy now, which has all that a page
	// can have but truth: see TestOldCopies.
	Old bool
}

func child(run string) {
	var dir string
	var s uint64
	var from, to int
	run, only, _ := strings.Cut(run, ";")
	_, err := fmt.Sscan(run, &dir, &s, &from, &to)
	if err == nil {
		err = runCases(dir, s, from, to, only)
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runCases prints "begin N" before each case and its verdict after it.
func runCases(dir string, s uint64, from, to int, only string) error {
	spec, err := loadSpecimen(dir)
	if err != nil {
		return err
	}
	files, copies := make(map[string][]byte), make(map[string][]oldCopy)
	for _, name := range []string{closedFile, killedFile} {
		if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	copies[killedFile] = oldCopies(files[killedFile])
	for n := from; n < to; n++ {
		fmt.Println("begin", n)
		rng := rand.New(rand.NewPCG(s, uint64(n)))
		file := []string{closedFile, killedFile}[n/2%2]
		name, do := draw(rng, only)
		data, detail := do(rng, bytes.Clone(files[file]))
		v := &verdict{Case: n, What: fmt.Sprintf("%s, %s: %s", file, name, detail)}
		for _, c := range copies[file] {
			v.Old = v.Old || len(data) >= c.at+8 && binary.NativeEndian.Uint64(data[c.at:]) == uint64(c.old)
		}
		if err := v.look(dir, spec, data, n%3 == 0); err != nil {
			return fmt.Errorf("case %d: %w", n, err)
		}
		out, err := json.Marshal(v)
		if err != nil {
			return err
		}
		fmt.Println(string(out))
	}
	return nil
}

// look opens a damaged file and asks it everything.
func (v *verdict) look(dir string, spec *specimen, data []byte, salvage bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	path := filepath.Join(dir, "damaged.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	if salvage {
		v.salvage(ctx, spec, path, data)
	}
	if v.Case%2 == 0 {
		for f, err := range latchbolt.VerifyFile(ctx, path) {
			v.notice("VerifyFile", f, err)
		}
	}
	e, err := latchbolt.Open(path, config(false))
	if err != nil {
		v.notice("Open", latchbolt.Finding{}, err)
		v.Effective = true
		return nil
	}
	if v.Case%2 != 0 {
		for f, err := range e.Verify(ctx) {
			v.notice("Verify", f, err)
		}
	}
	q := spec.ask(ctx, e)
	if q.noticed != nil && v.Noticed == "" {
		v.Noticed = q.noticed.Error()
	}
	if q.untyped != nil {
		v.bad("%v", q.untyped)
	}
	v.Differs = spec.differs(q)
	v.Effective = v.Differs != ""
	for _, w := range spec.wider(q) {
		if v.Old {
			break
		}
		v.bad("is allowed, and was not: %s", w)
	}
	if err := e.Close(); err != nil && !typed(err) {
		v.bad("Close: %v", err)
	}
	return nil
}

func (v *verdict) bad(format string, args ...any) {
	v.Bad = append(v.Bad, fmt.Sprintf(format, args...))
}

// typed reports whether an error is one that callers can tell.
func typed(err error) bool {
	for _, known := range []error{latchbolt.ErrCorrupt, latchbolt.ErrNewerFormat, latchbolt.ErrIndeterminate} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func (v *verdict) notice(by string, f latchbolt.Finding, err error) {
	if err != nil && !typed(err) {
		v.bad("%s: %v", by, err)
	}
	if v.Noticed == "" {
		if v.Noticed = by + ": " + f.String(); err != nil {
			v.Noticed = by + ": " + err.Error()
		}
	}
}

// salvage makes a new file of the damaged one and asks that.
func (v *verdict) salvage(ctx context.Context, spec *specimen, path string, data []byte) {
	dst := filepath.Join(filepath.Dir(path), "salvaged.db")
	defer func() { _ = os.Remove(dst) }()
	r, err := latchbolt.Salvage(ctx, path, dst, nil)
	if after, readErr := os.ReadFile(path); readErr != nil || !bytes.Equal(after, data) {
		v.bad("Salvage changed the damaged file")
	}
	if err != nil {
		v.Salvaged = "refused"
		if !typed(err) {
			v.bad("Salvage: %v", err)
		}
		if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) {
			v.bad("Salvage failed and left a file")
		}
		return
	}
	v.Salvaged = "proven"
	if r.Doubt != "" {
		v.Salvaged = "doubtful"
	}
	v.Kept = r.Count("users").Kept
	e, err := latchbolt.Open(dst, config(false))
	if err != nil {
		v.bad("the salvaged file: %v", err)
		return
	}
	for f, err := range e.Verify(ctx) {
		v.bad("the salvaged file: %v, %v", f, err)
	}
	q := spec.ask(ctx, e)
	if err := errors.Join(q.noticed, q.untyped, e.Close()); err != nil {
		v.bad("the salvaged file: %v", err)
	}
	for _, w := range spec.wider(q) {
		v.bad("is allowed in the salvaged file, and was not: %s", w)
	}
	for question, answer := range q.answers {
		if strings.HasPrefix(question, may+"use ") && answer == "yes" {
			v.bad("is alive in the salvaged file: %s", question)
		}
	}
}

// A tally adds verdicts up.
type tally struct {
	cases, effective, noticed, salvaged, proven, kept, died, old int
	silent                                                       []string
}

// TestDamage damages files in many ways.
func TestDamage(t *testing.T) {
	s := seed(t)
	cases := 200 // LATCHBOLT_DAMAGE and LATCHBOLT_LONG say otherwise
	if testing.Short() || raceEnabled {
		cases = 300
	}
	if os.Getenv("LATCHBOLT_LONG") != "" {
		cases = 24_000
	}
	if text := os.Getenv("LATCHBOLT_DAMAGE"); text != "" {
		var err error
		cases, err = strconv.Atoi(text)
		must(t, err)
	}
	start := time.Now()
	dir := scratch(t)
	spec := makeSpecimen(t, dir, rand.New(rand.NewPCG(s, 0)))
	spec.Answers = spec.askCopy(t, closedFile).answers
	if q := spec.askCopy(t, killedFile); spec.differs(q) != "" {
		t.Fatalf("the two files differ: %s", spec.differs(q))
	}
	must(t, spec.store())
	var sum tally
	const batch = 250
	for from := 0; from < cases && sum.died < 5; {
		from = runChild(t, dir, s, from, min(from+batch, cases), &sum)
	}
	t.Logf("%d cases: %d effective, %d of them noticed; %d salvaged, %d of them proven, with %d users as they were; %d led to old copies; in %v",
		sum.cases, sum.effective, sum.noticed, sum.salvaged, sum.proven, sum.kept, sum.old, time.Since(start).Round(time.Millisecond))
	campaign.Log(t, "cases", sum.cases, "effective", sum.effective, "noticed", sum.noticed, "unnoticed", len(sum.silent), "ended", sum.died, "salvaged", sum.salvaged, "old-copies", sum.old, "seed", s)
	if *onlyFlag != "" {
		return
	}
	if sum.cases < cases || sum.effective < cases/4 || sum.salvaged < cases/6 || sum.proven < cases/50 || sum.kept < cases {
		t.Error("too few of them")
	}
	// One in a thousand; there is about one in ten thousand, so that in a run of fewer than a thousand one is bad luck, and a second one is not.
	if len(sum.silent) > max(1, sum.effective/1000) {
		t.Errorf("%d were not noticed:\n%s", len(sum.silent), strings.Join(sum.silent, "\n"))
	} else if len(sum.silent) > 0 {
		t.Logf("not noticed:\n%s", strings.Join(sum.silent, "\n"))
	}
}

// runChild looks at some cases in a process of their own and returns the next one to look at.
func runChild(t *testing.T, dir string, s uint64, from, to int, sum *tally) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GOGC=400", fmt.Sprintf("%s=%s %d %d %d;%s", childEnv, dir, s, from, to, *onlyFlag))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	begun := from - 1
	in := bufio.NewScanner(out)
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		line := in.Text()
		if _, err := fmt.Sscanf(line, "begin %d", &begun); err == nil {
			continue
		}
		v := new(verdict)
		if err := json.Unmarshal([]byte(line), v); err != nil {
			t.Errorf("child: %s", line)
			continue
		}
		sum.add(t, v)
	}
	if err := cmd.Wait(); err != nil {
		text := stderr.String()
		t.Errorf("case %d ended the process: %v\n%.3000s", begun, err, text)
		sum.died++
		return begun + 1
	}
	return to
}

func (sum *tally) add(t *testing.T, v *verdict) {
	sum.cases++
	for _, bad := range v.Bad {
		t.Errorf("case %d, %s: %s (noticed: %s)", v.Case, v.What, bad, v.Noticed)
	}
	if v.Old {
		sum.old++
	} else if v.Effective {
		sum.effective++
		if v.Noticed != "" {
			sum.noticed++
		} else {
			sum.silent = append(sum.silent, fmt.Sprintf("case %d, %s: %s", v.Case, v.What, v.Differs))
		}
	}
	if v.Salvaged != "" && v.Salvaged != "refused" {
		sum.salvaged++
		if v.Salvaged == "proven" {
			sum.proven++
			sum.kept += v.Kept
		}
	}
}
