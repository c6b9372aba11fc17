package latchbolt_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/internal/testsize"
)

// searchAll gathers all pages of a search.
func searchAll(t testing.TB, a latchbolt.Administrator, q latchbolt.UserSearch) (all []*latchbolt.User) {
	t.Helper()
	for range 100_000 {
		page, err := a.Search(t.Context(), q)
		must(t, fmt.Sprintf("searching %+v", q), err)
		all = append(all, page.Users...)
		if q.Limit > 0 && len(page.Users) > q.Limit {
			t.Fatalf("a page of %d users, limit %d", len(page.Users), q.Limit)
		}
		if q.From = page.Next; q.From == "" {
			return all
		}
	}
	t.Fatal("no end")
	return nil
}

// folded is a simple fold that does for the names of a crowd.
func folded(s string) string { return strings.ReplaceAll(strings.ToLower(s), "ß", "ss") }

// wanted says in a second way what a search finds.
func wantedBy(q latchbolt.UserSearch, has func(*latchbolt.User) bool, users []*latchbolt.User) (all []*latchbolt.User) {
	for _, u := range users {
		ok := passes(q.Active, !u.Inactive) && passes(q.Staff, u.Staff) && passes(q.Superuser, u.Superuser) &&
			(q.Group == 0 || slices.Contains(u.Groups, q.Group)) && (q.Perm == "" || has(u))
		for w := range strings.FieldsSeq(folded(q.Text)) {
			ok = ok && slices.ContainsFunc([]string{u.Username, u.Email, u.FirstName, u.LastName}, func(s string) bool {
				return strings.Contains(folded(s), w)
			})
		}
		if ok {
			all = append(all, u)
		}
	}
	rank := func(u *latchbolt.User) int {
		words := strings.Fields(folded(q.Text))
		switch {
		case len(words) != 1:
			return 0
		case strings.HasPrefix(folded(u.Username), words[0]):
			return 1
		case strings.HasPrefix(folded(u.Email), words[0]):
			return 2
		}
		return 3
	}
	slices.SortStableFunc(all, func(a, b *latchbolt.User) int {
		byName := strings.Compare(folded(a.Username), folded(b.Username))
		byID := cmp.Compare(a.ID, b.ID)
		switch r := rank(a); {
		case r != rank(b):
			return r - rank(b)
		case r == 1, r == 0 && q.Text == "" && q.Order == latchbolt.SearchByName:
			return byName
		case r == 2:
			return cmp.Or(strings.Compare(folded(a.Email)+"\x00", folded(b.Email)+"\x00"), byID)
		case r == 0 && q.Text == "" && q.Order == latchbolt.SearchNewest:
			return -byID
		}
		return byID
	})
	return all
}

// TestSearch compares what a search finds, page by page, with what it should.
func TestSearch(t *testing.T) {
	c := newCrowd(t, 400, nil)
	must(t, "defining", c.eng.DefineAdmin(t.Context()))
	boss := addUser(t, c.eng, "theboss")
	must(t, "promoting", c.eng.UpdateUser(t.Context(), boss.ID, set(func(u *latchbolt.User) { u.Staff, u.Superuser = true, true })))
	boss, err := c.eng.User(t.Context(), boss.ID)
	must(t, "user", err)
	users := append(c.users, boss)
	a := c.eng.As(must2(c.eng.Identity(t.Context(), boss.ID)))
	has := func(u *latchbolt.User) bool {
		return u.Superuser && !u.Inactive || c.own[u.ID][""] || slices.ContainsFunc(u.Groups, func(g latchbolt.GroupID) bool { return c.group[g][""] })
	}
	rnd := rand.New(rand.NewPCG(5, 5))
	texts := []string{"", "ada", "b", "bob", "BOB1", "césar", "CÉSAR", "жанна", "dør", "7", "77@", "example", "strasse", "O'HARA", "ada hara", "o'hara 7 straße", "zzz", "theboss", " ada "}
	found := 0
	for i := range testsize.Of(300, 2000) {
		q := latchbolt.UserSearch{Text: texts[i%len(texts)], Active: latchbolt.Filter(rnd.IntN(3)), Staff: latchbolt.Filter(rnd.IntN(3)),
			Superuser: latchbolt.Filter(rnd.IntN(3)), Order: latchbolt.SearchOrder(rnd.IntN(3)), Limit: 1 + rnd.IntN(60)}
		if rnd.IntN(3) == 0 {
			q.Group = c.groups[rnd.IntN(len(c.groups))]
		}
		if rnd.IntN(3) == 0 {
			q.Perm = "blog.add"
		}
		got, want := searchAll(t, a, q), wantedBy(q, has, users)
		if !slices.Equal(usernames(got), usernames(want)) {
			t.Fatalf("%+v:\ngot  %v\nwant %v", q, usernames(got), usernames(want))
		}
		found += len(want)
	}
	if found < testsize.Of(1500, 10_000) {
		t.Errorf("only %d users were found in all", found)
	}
}

// TestSearchBudget makes sure that a search gives up in time, says where to go on, and misses nobody by it.
func TestSearchBudget(t *testing.T) {
	c := newCrowd(t, 3000, nil)
	must(t, "promoting", c.eng.UpdateUser(t.Context(), c.users[0].ID, set(func(u *latchbolt.User) { u.Staff, u.Superuser, u.Inactive = true, true, false })))
	a := c.eng.As(must2(c.eng.Identity(t.Context(), c.users[0].ID)))
	q := latchbolt.UserSearch{Text: "hara", Budget: 1, Limit: 1000}
	pages, found, done := 0, 0, 0.0
	for {
		page, err := a.Search(t.Context(), q)
		must(t, "searching", err)
		if page.Looked == 0 || page.Looked > 1024 {
			t.Errorf("looked at %d", page.Looked)
		}
		if page.Done < done || page.Done > 1 {
			t.Errorf("done %v, then %v", done, page.Done)
		}
		done = page.Done
		pages, found = pages+1, found+len(page.Users)
		if q.From = page.Next; q.From == "" {
			break
		}
	}
	q.Budget, q.From = time.Hour, ""
	if all := len(searchAll(t, a, q)); pages < 5 || found != all || all < 500 || done != 1 {
		t.Errorf("%d pages with %d users, at once %d; done %v", pages, found, all, done)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Search(ctx, q)
	want(t, "cancelled", err, context.Canceled)
}

// TestCVE_2010_4534 sends what no search gave as the place to go on from: it is refused, or begins somewhere in the same search.
func TestCVE_2010_4534(t *testing.T) {
	c := newCrowd(t, 50, nil)
	must(t, "promoting", c.eng.UpdateUser(t.Context(), c.users[0].ID, set(func(u *latchbolt.User) { u.Staff, u.Superuser, u.Inactive = true, true, false })))
	a := c.eng.As(must2(c.eng.Identity(t.Context(), c.users[0].ID)))
	enc := base64.RawURLEncoding.EncodeToString
	for _, from := range []string{"x", "====", enc([]byte("z")), enc([]byte("q12345678")), enc([]byte("e12345678")), enc([]byte("o12345678")),
		enc([]byte("r1234567")), enc([]byte("r123456789")), enc([]byte("r12345678")), strings.Repeat("A", 100_000), enc(append([]byte("n"), make([]byte, 2000)...))} {
		_, err := a.Search(t.Context(), latchbolt.UserSearch{From: from})
		want(t, fmt.Sprintf("from %.20q", from), err, latchbolt.ErrInvalid)
	}
	_, err := a.Search(t.Context(), latchbolt.UserSearch{Text: strings.Repeat("a", 301)})
	want(t, "long text", err, latchbolt.ErrInvalid)
	page, err := a.Search(t.Context(), latchbolt.UserSearch{From: enc([]byte("nzzzz"))})
	if err != nil || len(page.Users) > 50 {
		t.Errorf("got %+v, %v", page, err)
	}
}

// TestSearchMillion types into a million users. It takes a minute, and runs with LATCHBOLT_LONG=1.
func TestSearchMillion(t *testing.T) {
	if os.Getenv("LATCHBOLT_LONG") == "" {
		t.Skip("takes a minute; set LATCHBOLT_LONG=1")
	}
	eng := open(t, nil)
	ctx := t.Context()
	boss := million(t, eng, 1_000_000)
	a := eng.As(must2(eng.Identity(ctx, boss)))
	slowest := time.Duration(0)
	for _, q := range []latchbolt.UserSearch{
		{}, {Order: latchbolt.SearchNewest}, {Order: latchbolt.SearchOldest}, {Active: latchbolt.Except}, {Staff: latchbolt.Only},
		{Superuser: latchbolt.Only, Active: latchbolt.Only}, {Superuser: latchbolt.Only},
		{Text: "u"}, {Text: "us"}, {Text: "user"}, {Text: "user5"}, {Text: "user500"}, {Text: "user500000"}, {Text: "mail77"}, {Text: "mail777777@example.org"},
		{Text: "smith"}, {Text: "ada smith"}, {Text: "zzz"}, {Text: "needle"}, {Text: "777777"},
	} {
		var best time.Duration
		var page latchbolt.UserPage
		for i := range 5 {
			start := time.Now()
			var err error
			page, err = a.Search(ctx, q)
			must(t, "searching", err)
			if took := time.Since(start); i == 0 || took < best {
				best = took
			}
		}
		t.Logf("%-30q order %d: %7.2f ms, %2d users, %6d looked at, more: %v, done %.3f", q.Text, q.Order, float64(best)/1e6, len(page.Users), page.Looked, page.Next != "", page.Done)
		slowest = max(slowest, best)
	}
	if limit := 40 * time.Millisecond; slowest > limit {
		t.Errorf("the slowest search took %v, limit %v", slowest, limit)
	}
	start := time.Now()
	o, err := a.Overview(ctx, 14)
	must(t, "overview", err)
	t.Logf("overview: %v, %d users (more: %v)", time.Since(start), o.Users, o.MoreUsers)
}

// million stores n users and returns a superuser among them.
func million(t testing.TB, eng *latchbolt.Engine, n int) (boss latchbolt.UserID) {
	t.Helper()
	for from := 0; from < n; from += 5000 {
		must(t, "filling", eng.Update(t.Context(), func(tx *latchbolt.Tx) error {
			for i := from; i < min(from+5000, n); i++ {
				u := latchbolt.User{Username: fmt.Sprintf("user%d", i), Email: fmt.Sprintf("mail%d@example.org", i), FirstName: "Ada",
					LastName: []string{"Smith", "Jones", "Brown", "Lovelace"}[i%4], Inactive: i%10 == 9, Staff: i%5000 == 0}
				if i == n-10 {
					u.LastName = "Needle"
				}
				if i == n/2 {
					u.Staff, u.Superuser, u.Inactive = true, true, false
				}
				if err := tx.InsertUser(&u, latchbolt.PasswordHash{}); err != nil {
					return err
				}
				if u.Superuser {
					boss = u.ID
				}
			}
			return nil
		}))
	}
	return boss
}
