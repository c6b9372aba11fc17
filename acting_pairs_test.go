package latchbolt_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/latchbolt-go/latchbolt"
)

// Two superusers who take each other's rights at once: one of them stays.
func TestSuperusersAgainstEachOther(t *testing.T) {
	no, yes := false, true
	for what, do := range map[string]func(a latchbolt.Administrator, id latchbolt.UserID) error{
		"demote": func(a latchbolt.Administrator, id latchbolt.UserID) error {
			return a.UpdateUser(t.Context(), id, latchbolt.UserChange{Superuser: &no})
		},
		"deactivate": func(a latchbolt.Administrator, id latchbolt.UserID) error {
			return a.UpdateUser(t.Context(), id, latchbolt.UserChange{Inactive: &yes})
		},
		"delete": func(a latchbolt.Administrator, id latchbolt.UserID) error { return a.DeleteUser(t.Context(), id, "") },
	} {
		r := newStaffRoom(t)
		boss, chief := r.as(r.boss), r.as(r.chief)
		var errs [4]error
		var wg sync.WaitGroup
		wg.Go(func() { errs[0] = do(boss, r.chief) })
		wg.Go(func() { errs[1] = do(chief, r.boss) })
		wg.Go(func() { errs[2] = do(boss, r.boss) })
		wg.Go(func() { errs[3] = do(chief, r.chief) })
		wg.Wait()
		for _, err := range errs {
			if err != nil && !errors.Is(err, latchbolt.ErrForbidden) && !errors.Is(err, latchbolt.ErrLastSuperuser) && !errors.Is(err, latchbolt.ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		left := 0
		for u, err := range r.eng.Users(t.Context(), latchbolt.UserQuery{Superuser: latchbolt.Only, Active: latchbolt.Only}) {
			must(t, "users", err)
			if u.Superuser && !u.Inactive {
				left++
			}
		}
		if left != 1 {
			t.Errorf("%s: %d active superusers are left: %v", what, left, errs)
		}
	}
}
