package latchbolt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/kv"
)

// A history on a file also holds the end of its process. From one moment on, which may lie anywhere in a
// transaction, no answer gets out and no transaction is committed that had not begun to be. What was under way
// then happened wholly or not at all, and the checker is told so; all else has to be as it was answered.

// linearSize is how many operations LATCHBOLT_LINEAR asks for; 0 means the everyday size. LATCHBOLT_LONG=1 is a million.
func linearSize() int { return sizeFrom("LATCHBOLT_LINEAR", 500_000, 1_000_000) }

// sizeFrom reads a size from an environment variable, and takes the one for CI or the long one if the
// variables for these are set. 0 means the everyday size.
func sizeFrom(variable string, ci, long int) int {
	switch text := os.Getenv(variable); {
	case text != "":
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			panic(fmt.Sprintf("%s=%q is not a number above 0", variable, text))
		}
		return n
	case longTests:
		return long
	case os.Getenv("LATCHBOLT_CI") != "":
		return ci
	}
	return 0
}

// A doom ends a store.
type doom struct {
	left   atomic.Int64 // points of updates until the end; 0 or less: it does not come
	killed atomic.Bool
}

var errKilled = fmt.Errorf("%w: killed", kv.ErrUnknown)

// point is a point of an update, at which the end may come.
func (d *doom) point() error {
	if d.left.Load() > 0 && d.left.Add(-1) == 0 {
		d.killed.Store(true)
	}
	return d.alive()
}

func (d *doom) alive() error {
	if d.killed.Load() {
		return errKilled
	}
	return nil
}

// choices are the states that may come after an operation: one that was under way at the end happened, or did not.
func (s linState) choices(in linInput, out linOutput) (all []any) {
	if !out.killed {
		if ok, next := s.step(in, out); ok {
			all = append(all, next)
		}
		return all
	}
	all = []any{s}
	for _, out.ok = range []bool{true, false} {
		if right, next := s.step(in, out); right && next != s {
			all = append(all, next)
		}
	}
	return all
}

// How often a process was killed, and how many changes were under way then.
var linKills, linUnderWay atomic.Int64

// underWay makes an operation one that was under way at the end. What only asks is left out, as is
// a login whose session nobody knows.
func underWay(op *porcupine.Operation) {
	in, out := op.Input.(linInput), op.Output.(linOutput)
	switch {
	case in.kind == linAsk, in.kind == linHasPerm, in.kind == linByName, in.kind == linByID, in.kind == linLogin && !out.ok:
		op.Output = nil
	default:
		op.Output = linOutput{killed: true, id: out.id}
	}
}

// killedHistory is history that ends by a kill, with what is found after it. The file is at path.
func (w *linWorld) killedHistory(setup *linSetup, mix *linMix, clients, ops int, seed uint64, path string) []porcupine.Operation {
	w.t.Helper()
	// Some four in ten operations write, and a write has three points.
	w.store.left.Store(int64(1 + (seed*0x9e3779b97f4a7c15>>32)%uint64(ops*6/5+1)))
	history := w.history(mix, clients, ops, seed)
	w.store.killed.Store(true)
	w.eng.Settle(w.ctx)
	// Behind all commits that had begun.
	_, err := w.store.Store.Update(w.ctx, func(kv.Tx) error { return nil })
	must(w.t, "waiting for the last commit", err)
	left, err := os.ReadFile(path)
	must(w.t, "reading what is left", err)
	_ = w.eng.Close() // nothing that it says matters
	must(w.t, "removing the file", os.Remove(path))
	must(w.t, "writing what is left", os.WriteFile(path, left, 0o600))
	w.reopen(setup, path)
	w.identify(history)
	for i := range history {
		if history[i].Output.(linOutput).killed {
			history[i].Return = int64(time.Since(w.start))
			linUnderWay.Add(1)
		}
	}
	linKills.Add(1)
	return append(history, w.askAll(mix)...)
}

// reopen opens the file again.
func (w *linWorld) reopen(setup *linSetup, path string) {
	w.t.Helper()
	w.eng, w.store = setup.open(w.t, path)
	for slot := range linSlots {
		w.idents[slot].Store(new(latchbolt.Identity{}))
		w.meet(slot, latchbolt.UserID(w.ids[slot].Load()))
	}
}

// identify finds the users that were made when the end came, and whose identifiers nobody was told.
func (w *linWorld) identify(history []porcupine.Operation) {
	w.t.Helper()
	for slot := range linSlots {
		for name := range linNames {
			u, err := w.eng.UserByName(w.ctx, linName(slot, name))
			if !w.good(err) || uint64(u.ID) == w.ids[slot].Load() {
				continue
			}
			w.ids[slot].Store(uint64(u.ID))
			w.meet(slot, u.ID)
			// Nobody could delete or rename it. If several would have made it, the others did not.
			first := -1
			for i, op := range history {
				in, out := op.Input.(linInput), op.Output.(linOutput)
				if in.kind == linCreate && out.killed && in.slot == slot && in.name == name && (first < 0 || op.Call < history[first].Call) {
					first = i
				}
			}
			if first < 0 {
				w.t.Errorf("user %d, %s, was made by nobody", u.ID, u.Username)
				continue
			}
			history[first].Output = linOutput{killed: true, id: u.ID}
		}
	}
}

// askAll asks about all users and all sessions that were ever begun.
func (w *linWorld) askAll(mix *linMix) (history []porcupine.Operation) {
	do := func(in linInput, s linSession) {
		op := porcupine.Operation{Input: in, Call: int64(time.Since(w.start))}
		op.Output = w.run(in, s)
		op.Return = int64(time.Since(w.start))
		history = append(history, op)
	}
	for slot := range mix.slots {
		for name := range linNames {
			do(linInput{kind: linByName, slot: slot, name: name}, linSession{})
		}
		do(linInput{kind: linByID, slot: slot, id: latchbolt.UserID(w.ids[slot].Load())}, linSession{})
		ident := *w.idents[slot].Load()
		for perm := range linPerms {
			do(linInput{kind: linHasPerm, slot: slot, id: ident.ID(), perm: perm}, linSession{ident: ident})
		}
	}
	w.mu.Lock()
	sessions := slices.Clone(w.sessions)
	w.mu.Unlock()
	for _, s := range sessions {
		do(linInput{kind: linAsk, slot: s.slot, id: s.id, session: s.n}, s)
	}
	return history
}

// TestKillIsNoticed has the file lose its last acknowledged write, which the checker has to notice.
func TestKillIsNoticed(t *testing.T) {
	noticed := 0
	for seed := range uint64(5) {
		mix, setup := &linMixes[0], &linSetups[4]
		path := filepath.Join(fastDir(t), "app.db")
		eng, store := setup.open(t, path)
		w, start := newLinWorld(t, eng)
		w.store = store
		before := w.history(mix, 4, 200, seed)
		old, err := os.ReadFile(path)
		must(t, "reading", err)
		history := append(before, w.history(mix, 4, 100, seed+50)...)
		must(t, "closing", w.eng.Close())
		must(t, "removing", os.Remove(path))
		must(t, "undoing", os.WriteFile(path, old, 0o600))
		w.reopen(setup, path)
		history = append(history, w.askAll(mix)...)
		if porcupine.CheckOperationsTimeout(linModel(start, mix.partition), history, time.Minute) == porcupine.Illegal {
			noticed++
		}
	}
	if noticed < 4 {
		t.Errorf("undone changes were noticed in %d of 5 histories", noticed)
	}
}
