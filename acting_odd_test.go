package latchbolt_test

import (
	"errors"
	"math"
	"testing"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authtest"
)

// TestOddLimits: numbers that make no sense end no program.
func TestOddLimits(t *testing.T) {
	ctx := t.Context()
	eng := authtest.New(t, nil)
	id, err := eng.Identity(ctx, authtest.Superuser(t, eng, "boss").ID)
	if err != nil {
		t.Fatal(err)
	}
	ada := authtest.User(t, eng, "ada")
	authtest.Login(t, eng, ada)
	authtest.Login(t, eng, ada)
	g, err := eng.CreateGroup(ctx, "board")
	if err == nil {
		err = errors.Join(eng.AddToGroup(ctx, ada.ID, g), eng.AddToGroup(ctx, id.ID(), g))
	}
	if err != nil {
		t.Fatal(err)
	}
	admin := eng.As(id)
	for _, n := range []int{0, -1, math.MinInt} {
		page, _, more, err := admin.AuditPage(ctx, latchbolt.AuditQuery{}, n)
		if err != nil || len(page) != 1 || !more {
			t.Errorf("AuditPage with a limit of %d: %d entries, more %v, %v", n, len(page), more, err)
		}
		o, err := admin.Overview(ctx, n)
		if err != nil || len(o.Days) != 1 {
			t.Errorf("Overview of %d days: %v", n, err)
		}
		sessions, err := admin.AllSessions(ctx, nil, n)
		if err != nil || len(sessions.Sessions) != 1 || sessions.Next == nil {
			t.Errorf("AllSessions with a limit of %d: %d sessions, next %v, %v", n, len(sessions.Sessions), sessions.Next, err)
		}
		if members, err := admin.CountMembers(ctx, g, n); err != nil || members != 1 {
			t.Errorf("CountMembers with a limit of %d: %d, %v", n, members, err)
		}
	}
	if o, err := admin.Overview(ctx, math.MaxInt); err != nil || len(o.Days) != 3660 {
		t.Errorf("Overview of all days: %v", err)
	}
}
