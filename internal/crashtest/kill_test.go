//go:build unix

package crashtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/tally"
)

// childEnv, if set to "FOLDER CYCLE SEED", makes the test binary a program that works on the file in a folder
// until it is killed.
const childEnv = "CRASHTEST_CHILD"

func child(run string) {
	var dir, cycle, seed string
	_, err := fmt.Sscan(run, &dir, &cycle, &seed)
	if err == nil {
		err = killChild(dir, cycle, seed)
	}
	fmt.Println("error", err)
	os.Exit(1)
}

// killLanes is how many callers a child has, each with users of its own.
const killLanes = 4

// A killTeller prints what a child does: "begin KEY VALUE" before a call, "ack KEY VALUE" after it. A key is
// changed by one caller alone.
type killTeller struct {
	mu sync.Mutex // one line at a time
	w  io.Writer
}

func (t *killTeller) tell(what, key, value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.w, what, key, value)
}

// set makes a call between its two lines.
func (t *killTeller) set(key, value string, call func() error) error {
	t.tell("begin", key, value)
	if err := call(); err != nil {
		return fmt.Errorf("%s %s: %w", key, value, err)
	}
	t.tell("ack", key, value)
	return nil
}

func killConfig() *latchbolt.Config {
	c := config(nil)
	c.SessionLimit = -1
	return c
}

func killChild(dir, cycle, seed string) error {
	t := &killTeller{w: os.Stdout}
	t.tell("start", cycle, seed)
	e, err := latchbolt.Open(filepath.Join(dir, dbName), killConfig())
	if err != nil {
		return err
	}
	t.tell("ack", "file", "there")
	if err := e.Define(context.Background(), latchbolt.Permission{App: "kill", Codename: "add", Name: "add"}); err != nil {
		return err
	}
	var s uint64
	if _, err := fmt.Sscan(seed, &s); err != nil {
		return err
	}
	errs := make(chan error)
	for lane := range killLanes {
		go func() {
			errs <- killLane(e, t, fmt.Sprintf("u%s-%d", cycle, lane), rand.New(rand.NewPCG(s, uint64(lane))))
		}()
	}
	go func() {
		for {
			_, sweepErr := e.Sweep(context.Background())
			_, _, err := e.Compact(context.Background())
			if err := errors.Join(sweepErr, err); err != nil {
				errs <- err
				return
			}
		}
	}()
	return <-errs
}

// killLane works until it is killed, on one user after another.
func killLane(e *latchbolt.Engine, t *killTeller, prefix string, rng *rand.Rand) error {
	for n := 0; ; n++ {
		u := &latchbolt.User{Username: fmt.Sprintf("%s-%d", prefix, n)}
		if err := e.CreateUser(context.Background(), u, "password"); err != nil {
			return err
		}
		t.tell("ack", "user/"+u.Username, fmt.Sprint(u.ID))
		t.tell("ack", "password/"+u.Username, "password")
		if err := killUser(e, t, u, rng); err != nil {
			return err
		}
	}
}

func killUser(e *latchbolt.Engine, t *killTeller, u *latchbolt.User, rng *rand.Rand) error {
	ctx := context.Background()
	var alive []latchbolt.Session
	for i := range 30 {
		var err error
		switch n := rng.IntN(10); {
		case n < 4 || len(alive) == 0:
			var id latchbolt.Identity
			if id, err = e.Identity(ctx, u.ID); err != nil {
				return err
			}
			var s latchbolt.Session
			if s, err = e.Login(ctx, id, latchbolt.LoginOptions{}); err == nil {
				t.tell("ack", "session/"+s.Token.Reveal(), fmt.Sprint(u.ID))
				alive = append(alive, s)
			}
		case n < 6:
			s := alive[0]
			alive = alive[1:]
			err = t.set("session/"+s.Token.Reveal(), "none", func() error { return e.Logout(ctx, s.Token) })
		case n == 6:
			next := fmt.Sprintf("password%d", i)
			for _, s := range alive {
				t.tell("begin", "session/"+s.Token.Reveal(), "none")
			}
			err = t.set("password/"+u.Username, next, func() error { return e.SetPassword(ctx, u.ID, next) })
			for _, s := range alive {
				t.tell("ack", "session/"+s.Token.Reveal(), "none")
			}
			alive = nil
		case n == 7:
			err = t.set(fmt.Sprint("perm/", u.ID), "true", func() error { return e.Grant(ctx, u.ID, "kill.add") })
		default:
			err = t.set(fmt.Sprint("perm/", u.ID), "false", func() error { return e.Revoke(ctx, u.ID, "kill.add") })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// facts are what children told.
type facts struct {
	acked   map[string]string
	begun   map[string]string // under way when the child was killed
	former  map[string]string // the password before, which must be refused
	highest uint64            // user that was given out
	floor   uint64            // the highest before the last start
	n       int
}

// heard takes one line in.
func (f *facts) heard(line string) error {
	p := strings.Fields(line)
	if len(p) != 3 || p[0] == "error" {
		return errors.New(line)
	}
	switch key, value := p[1], p[2]; p[0] {
	case "begin":
		f.begun[key] = value
	case "ack":
		f.n++
		if name, ok := strings.CutPrefix(key, "password/"); ok && f.acked[key] != value {
			f.former[name] = f.acked[key]
		}
		f.acked[key] = value
		delete(f.begun, key)
		var id uint64
		if _, err := fmt.Sscan(value, &id); err == nil && strings.HasPrefix(key, "user/") {
			if id <= f.floor {
				return fmt.Errorf("%s: identifier %d was given out after %d", key, id, f.floor)
			}
			f.highest = max(f.highest, id)
		}
	}
	return nil
}

// check opens the file after a kill and compares; what was checked is forgotten, but for a few.
func (f *facts) check(t *testing.T, path string) {
	t.Helper()
	e, err := latchbolt.Open(path, killConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := verify(e); err != nil {
		t.Error(err)
	}
	if err := left(filepath.Dir(path)); err != nil {
		t.Error(err)
	}
	for key, value := range f.acked {
		if young, ok := f.begun[key]; ok && f.holds(t, e, key, young) {
			f.acked[key] = young
			continue
		}
		if !f.holds(t, e, key, value) {
			t.Errorf("%s was acknowledged to be %q; under way was %q", key, value, f.begun[key])
		}
	}
	u := &latchbolt.User{Username: fmt.Sprintf("after-%d", f.highest)}
	if err := e.InsertUser(t.Context(), u, latchbolt.PasswordHash{}); err != nil {
		t.Error(err)
	}
	if uint64(u.ID) <= f.highest {
		t.Errorf("user %d is given out after %d", u.ID, f.highest)
	}
	f.highest = uint64(u.ID)
	f.floor = f.highest
	f.forget()
}

// forget keeps some facts for the checks after later kills.
func (f *facts) forget() {
	clear(f.begun)
	keep := 0
	for key := range f.acked {
		if keep++; keep > 200 {
			delete(f.acked, key)
		}
	}
	clear(f.former)
}

// holds reports whether a key has a value.
func (f *facts) holds(t *testing.T, e *latchbolt.Engine, key, value string) bool {
	t.Helper()
	ctx := t.Context()
	kind, rest, _ := strings.Cut(key, "/")
	got, err := value, error(nil)
	switch kind {
	case "user":
		got, err = new(world).askUser(ctx, e, "name", rest)
	case "session":
		var token latchbolt.Token
		if token, err = latchbolt.ParseToken(rest); err != nil {
			break
		}
		w := &world{sessions: []*session{{token: token}}}
		got, err = w.askToken(ctx, e, "session", "0")
	case "perm":
		got, err = new(world).askUser(ctx, e, "perm", rest+"/kill.add")
	case "password":
		if got, err = new(world).askUser(ctx, e, "~login", rest+"/"+value); got == "ok" {
			got = value
		}
		if old := f.former[rest]; err == nil && old != "" && old != value {
			if answer, err := new(world).askUser(ctx, e, "~login", rest+"/"+old); err != nil || answer != "refused" {
				t.Errorf("the old password of %s is %s, %v", rest, answer, err)
			}
		}
	}
	if err != nil {
		t.Errorf("%s: %v", key, err)
	}
	return got == value
}

// TestKill kills a process that works on a file, again and again. What it told to be done must be there.
func TestKill(t *testing.T) {
	s := seed(t)
	cycles := 20
	if raceEnabled || testing.Short() {
		cycles = 10
	}
	if os.Getenv("LATCHBOLT_LONG") != "" {
		cycles = 1000
	}
	if text := os.Getenv("LATCHBOLT_KILLS"); text != "" {
		var err error
		if cycles, err = strconv.Atoi(text); err != nil {
			t.Fatalf("LATCHBOLT_KILLS: %v", err)
		}
	}
	rng := rand.New(rand.NewPCG(s, 4))
	start := time.Now()
	dir, total := scratch(t), 0
	f := &facts{acked: make(map[string]string), begun: make(map[string]string), former: make(map[string]string)}
	for i := range cycles {
		lines := rng.IntN(250)
		if i%5 == 0 { // killed while the file is made, or opened
			lines = rng.IntN(3)
		}
		if i%15 == 0 {
			dir = scratch(t)
			clear(f.acked)
			f.highest, f.floor = 0, 0
		}
		f.n = 0
		runAndKill(t, dir, fmt.Sprint(i), rng.Uint64(), lines, f)
		total += f.n
		if t.Failed() {
			t.Fatalf("in cycle %d", i)
		}
		if _, err := os.Stat(filepath.Join(dir, dbName)); err != nil && len(f.acked) > 0 {
			t.Fatalf("after %d calls that were acknowledged: %v", len(f.acked), err)
		}
		f.check(t, filepath.Join(dir, dbName))
	}
	t.Logf("%d kills, %d calls acknowledged, in %v", cycles, total, time.Since(start).Round(time.Millisecond))
	tally.Log(t, "kills", cycles, "acknowledged", total, "seed", s)
}

// runAndKill starts a child, kills it when it has printed so many lines, and listens to the end.
func runAndKill(t *testing.T, dir, cycle string, seed uint64, lines int, f *facts) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", childEnv, dir, cycle, seed))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	for n := 0; in.Scan(); n++ {
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
		// The last line may have been cut by the kill; an acknowledgement counts only if it is whole.
		if err := f.heard(in.Text()); err != nil && (n < lines || strings.HasPrefix(in.Text(), "error")) {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
}
