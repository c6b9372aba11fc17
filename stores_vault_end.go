package latchbolt

import (
	"context"
	"errors"
	"fmt"
)

// How sessions of a [SessionStore] end: one, all of a user, those that are too many, those that are over.

func (v *storeVault) logout(ctx context.Context, t *Token) (user UserID, err error) {
	if t.kind != tokenNative {
		return 0, ctx.Err()
	}
	known := false
	err = v.changing(t.sel, func() error {
		h, err := v.find(ctx, t)
		if err != nil || h == nil {
			return err
		}
		known, user = true, h.rec.user
		return v.remove(context.WithoutCancel(ctx), h.sel)
	})
	if err != nil {
		return 0, err
	}
	if known && user != 0 {
		v.e.auditLater(ctx, AuditEntry{Action: ActionLogout, User: user})
	}
	return user, nil
}

func (v *storeVault) end(ctx context.Context, id SessionID) error {
	sel := selector(id)
	var user UserID
	known := false
	err := v.changing(sel, func() error {
		h, err := v.load(ctx, sel)
		if err != nil && !errors.Is(err, ErrCorrupt) || err == nil && h == nil {
			return err
		}
		if known = true; h != nil {
			user = h.rec.user
		}
		return v.remove(context.WithoutCancel(ctx), sel)
	})
	if err == nil && known {
		v.e.auditLater(ctx, AuditEntry{Action: ActionSessionEnd, User: user})
	}
	return err
}

// endAll removes what the user's new generation made void already.
func (v *storeVault) endAll(ctx context.Context, id UserID) {
	ctx = context.WithoutCancel(ctx)
	err := v.index.build(ctx, v)
	if err == nil {
		var st *userState
		if st, err = v.e.userState(ctx, id); err == nil && st != nil {
			v.prune(ctx, id, st.generation, -1)
		}
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		v.e.log.Warn("latchbolt: sessions that ended were not removed from their store", "err", err)
	}
}

func (v *storeVault) endOthers(ctx context.Context, t *Token) error {
	if err := v.index.build(ctx, v); err != nil {
		return err
	}
	began := v.e.clock.now()
	h, _, err := v.living(ctx, t)
	if err != nil || h.rec.user == 0 {
		return err
	}
	write := context.WithoutCancel(ctx)
	var errs []error
	ended := map[selector]struct{}{h.sel: {}}
	for others := v.index.of(h.rec.user); len(others) > 0; others = v.index.since(h, began, ended) {
		for _, sel := range others {
			if sel == h.sel {
				continue
			}
			ended[sel] = struct{}{}
			errs = append(errs, v.changing(sel, func() error { return v.remove(write, sel) }))
		}
	}
	v.e.auditLater(ctx, AuditEntry{Action: ActionSessionsEnd, User: h.rec.user, Detail: "others"})
	return errors.Join(errs...)
}

// prune ends the sessions of a user that are of another generation, and beyond a
// limit those that are over and the oldest; negative is no limit. What cannot be deleted is refused.
func (v *storeVault) prune(ctx context.Context, id UserID, generation uint32, limit int) {
	for _, sel := range v.index.surplus(v.e, id, generation, limit) {
		// A failure is logged and the session refused: there is no more to be done.
		_ = v.changing(sel, func() error { return v.remove(ctx, sel) })
	}
}

// sweep removes what is over. What stands under an hour that is over is removed
// without a look, also if it belongs to another file.
func (v *storeVault) sweep(ctx context.Context) (n int, err error) {
	if err := v.index.build(ctx, v); err != nil {
		return 0, err
	}
	now := v.e.clock.now()
	hour := hourOf(now)
	var errs []error
	for _, sel := range v.index.due(v.e, now) {
		if err := ctx.Err(); err != nil {
			return n, fmt.Errorf("latchbolt: sweeping: %w", err)
		}
		if sel.hour() < hour {
			v.index.drop(sel) // if it is still there, it is removed below
			continue
		}
		errs = append(errs, v.changing(sel, func() error {
			h, err := v.load(ctx, sel)
			if err == nil && h == nil {
				v.index.drop(sel) // the store lost it
			}
			if err != nil || h == nil || !v.e.over(sel, h.rec, now) {
				return err
			}
			if err = v.drop(ctx, sel); err == nil {
				n++
			}
			return err
		}))
	}
	old, err := v.scan(ctx, func(sel selector) bool { return sel.hour() < hour })
	errs = append(errs, err)
	for _, sel := range old {
		if err := ctx.Err(); err != nil {
			return n, fmt.Errorf("latchbolt: sweeping: %w", err)
		}
		if err := v.drop(ctx, sel); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}

// scan returns the selectors of all that is stored and that pick picks.
func (v *storeVault) scan(ctx context.Context, pick func(selector) bool) (all []selector, err error) {
	for id, err := range v.store.Scan(ctx) {
		if err != nil {
			return nil, storeFailed("scanning", err)
		}
		if pick(selector(id)) {
			all = append(all, selector(id))
		}
	}
	return all, nil
}
