package latchbolt_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

func TestUserComesBackAsStored(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	g1, err := eng.CreateGroup(ctx, "one")
	must(t, "group", err)
	g2, err := eng.CreateGroup(ctx, "two")
	must(t, "group", err)
	zone := time.FixedZone("somewhere", 3*3600)
	u := &latchbolt.User{
		Username: "Ａda", Email: "Ada@EXAMPLE.com", FirstName: "Ada", LastName: "King",
		Inactive: true, Staff: true, Superuser: true,
		DateJoined: time.Date(2020, 1, 2, 3, 4, 5, 123456789, zone),
		LastLogin:  time.Date(2021, 1, 2, 3, 4, 5, 123456789, zone),
		Groups:     []latchbolt.GroupID{g2, g1, g2},
	}
	hash, err := eng.HashPassword(ctx, goodPassword)
	must(t, "hashing", err)
	must(t, "inserting", eng.InsertUser(ctx, u, hash))
	got, err := eng.User(ctx, u.ID)
	must(t, "reading", err)
	want := &latchbolt.User{
		ID: u.ID, Username: "Ada", Email: "Ada@example.com", FirstName: "Ada", LastName: "King",
		Inactive: true, Staff: true, Superuser: true,
		DateJoined: time.Date(2020, 1, 2, 0, 4, 5, 123456000, time.UTC),
		LastLogin:  time.Date(2021, 1, 2, 0, 4, 5, 123456000, time.UTC),
		Groups:     []latchbolt.GroupID{g1, g2},
		Password:   latchbolt.HashInfo{Usable: true, Algorithm: "pbkdf2_sha256", Summary: hash.Info().Summary},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("stored:\ngot  %+v\nwant %+v", got, want)
	}
	if !reflect.DeepEqual(u, want) {
		t.Errorf("given back:\ngot  %+v\nwant %+v", u, want)
	}
	if got := u.FullName(); got != "Ada King" {
		t.Errorf("FullName: got %q", got)
	}
	got.Groups[0], got.Username = 999, "changed"
	again, err := eng.User(ctx, u.ID)
	must(t, "reading again", err)
	if !reflect.DeepEqual(again, want) {
		t.Errorf("changing a copy changed the original: %+v", again)
	}
}

func TestNewUserHasDjangosDefaults(t *testing.T) {
	clock := newTestClock()
	eng := open(t, &latchbolt.Config{Clock: clock.now})
	u := addUser(t, eng, "ada")
	if !u.DateJoined.Equal(clock.now()) || !u.LastLogin.IsZero() || u.Email != "" || u.Inactive || u.Staff || u.Superuser || u.Groups != nil {
		t.Errorf("got %+v", u)
	}
	for name, want := range map[string]string{"": "", "Ada ": "Ada", " King": "King"} {
		first, last, _ := strings.Cut(name, " ")
		if got := (&latchbolt.User{FirstName: first, LastName: last}).FullName(); got != want {
			t.Errorf("FullName of %q: got %q, want %q", name, got, want)
		}
	}
}

func TestUserFieldsAreChecked(t *testing.T) {
	eng := open(t, nil)
	long := strings.Repeat("x", 151)
	for _, c := range []struct {
		what string
		user latchbolt.User
		want string
	}{
		{"a name of 150 characters is taken", latchbolt.User{Username: long[:150]}, ""},
		{"a name of 151 is too long", latchbolt.User{Username: long}, "username max_length"},
		{"no name", latchbolt.User{}, "username blank"},
		{"a space in the name", latchbolt.User{Username: "a b"}, "username invalid"},
		{"a line break at the end", latchbolt.User{Username: "ada\n"}, "username invalid"},
		{"a zero-width space", latchbolt.User{Username: "ada\u200b"}, "username invalid"},
		{"a no-break space", latchbolt.User{Username: "ada\u00a0"}, "username invalid"},
		{"a NUL", latchbolt.User{Username: "ada\x00"}, "username invalid"},
		{"not UTF-8", latchbolt.User{Username: "ada\xff"}, "username invalid"},
		{"a name that NFKC makes invalid", latchbolt.User{Username: "½"}, "username invalid"},
		{"a name that NFKC makes valid", latchbolt.User{Username: "№1"}, ""},
		{"a bad address", latchbolt.User{Username: "u1", Email: "ada"}, "email invalid"},
		{"an address with a line break inside", latchbolt.User{Username: "u1", Email: "a\nb@example.com"}, "email invalid"},
		{"an address that is too long", latchbolt.User{Username: "u1", Email: strings.Repeat("x", 250) + "@example.com"}, "email max_length"},
		{"a first name of 151", latchbolt.User{Username: "u1", FirstName: long}, "first_name max_length"},
		{"a last name of two lines", latchbolt.User{Username: "u1", LastName: "a\nb"}, "last_name invalid"},
		{"a NUL in the first name", latchbolt.User{Username: "u1", FirstName: "a\x00"}, "first_name null_characters_not_allowed"},
		{"everything wrong at once", latchbolt.User{Email: "ada", FirstName: long, LastName: long}, "username blank, email invalid, first_name max_length, last_name max_length"},
	} {
		u := c.user
		wantFields(t, c.what, eng.InsertUser(t.Context(), &u, latchbolt.PasswordHash{}), c.want)
		if c.want != "" && !reflect.DeepEqual(u, c.user) {
			t.Errorf("%s: the user given was changed: %+v", c.what, u)
		}
	}
}

func TestCreateUserTellsOfFieldsAndPasswordTogether(t *testing.T) {
	eng := open(t, nil)
	err := eng.CreateUser(t.Context(), &latchbolt.User{Username: "a b", Email: "x"}, "123")
	wantFields(t, "creating", err, "username invalid, email invalid, password password_too_short, password password_too_common, password password_entirely_numeric")
	addUser(t, eng, "ada")
	err = eng.CreateUser(t.Context(), &latchbolt.User{Username: "ada"}, goodPassword)
	wantFields(t, "a taken name", err, "username unique")
	want(t, "a taken name", err, latchbolt.ErrExists)
}

func TestValidatorOutageIsNoRefusal(t *testing.T) {
	outage := errors.New("list of passwords cannot be read")
	eng := open(t, &latchbolt.Config{Validators: []latchbolt.Validator{
		latchbolt.ValidatorFunc(func(pw string, _ *latchbolt.User) error {
			if pw == "outage" {
				return outage
			}
			return nil
		})}})
	u := &latchbolt.User{Username: "ada"}
	must(t, "creating", eng.CreateUser(t.Context(), u, "fine"))
	for what, err := range map[string]error{
		"CreateUser":  eng.CreateUser(t.Context(), &latchbolt.User{Username: "bob"}, "outage"),
		"SetPassword": eng.SetPassword(t.Context(), u.ID, "outage"),
	} {
		want(t, what, err, outage)
		if errors.Is(err, latchbolt.ErrInvalid) {
			t.Errorf("%s: an outage counts as a refusal: %v", what, err)
		}
	}
}

func TestUsernamesCollide(t *testing.T) {
	pairs := []struct {
		what, a, b string
		folded     bool // only if case does not count
	}{
		{"the same", "ada", "ada", false},
		{"Ohm and Omega", "iamtheΩ", "iamtheΩ", false},
		{"full width", "ada", "ａｄａ", false},
		{"composed and decomposed", "andr\u00e9", "andre\u0301", false},
		{"case", "Ada", "aDA", true},
		{"sharp s", "straße", "STRASSE", true},
		{"final sigma", "ΣΟΦΟΣ", "σοφος", true},
	}
	for _, sensitive := range []bool{false, true} {
		for _, p := range pairs {
			for _, order := range [][2]string{{p.a, p.b}, {p.b, p.a}} {
				eng := open(t, &latchbolt.Config{CaseSensitive: sensitive})
				first := addUser(t, eng, order[0])
				err := eng.InsertUser(t.Context(), &latchbolt.User{Username: order[1]}, latchbolt.PasswordHash{})
				collide := !p.folded || !sensitive
				if got := errors.Is(err, latchbolt.ErrExists); got != collide {
					t.Errorf("%s, case-sensitive %v: got %v, want collision %v", p.what, sensitive, err, collide)
				}
				u, err := eng.UserByName(t.Context(), order[1])
				if err != nil || (u.ID == first.ID) != collide {
					t.Errorf("%s, case-sensitive %v: UserByName got %v, %v", p.what, sensitive, u, err)
				}
			}
		}
	}
}

func TestCaseSensitivityIsKeptInTheFile(t *testing.T) {
	eng := open(t, &latchbolt.Config{CaseSensitive: true})
	addUser(t, eng, "ada")
	eng = reopen(t, eng, nil)
	if !eng.CaseSensitive() {
		t.Fatal("the file forgot that case counts")
	}
	addUser(t, eng, "Ada")
}

func TestOnlyOneOfManyGetsAName(t *testing.T) {
	eng := open(t, &latchbolt.Config{UniqueEmail: true})
	names := []string{"ada", "Ada", "ADA", "ａda", "adA", "aDa"}
	errs := parallel(len(names), func(i int) error {
		return eng.CreateUser(t.Context(), &latchbolt.User{Username: names[i]}, goodPassword)
	})
	if count(errs, nil) != 1 || count(errs, latchbolt.ErrExists) != len(names)-1 {
		t.Errorf("got %v", errs)
	}
	errs = parallel(6, func(i int) error {
		return eng.InsertUser(t.Context(), &latchbolt.User{Username: fmt.Sprint("u", i), Email: "Shared@example.com"}, latchbolt.PasswordHash{})
	})
	if count(errs, nil) != 1 || count(errs, latchbolt.ErrExists) != 5 {
		t.Errorf("addresses: got %v", errs)
	}
	a, b := addUser(t, eng, "a"), addUser(t, eng, "b")
	errs = parallel(2, func(i int) error {
		id := []latchbolt.UserID{a.ID, b.ID}[i]
		return eng.UpdateUser(t.Context(), id, set(func(u *latchbolt.User) { u.Username = "wanted" }))
	})
	if count(errs, nil) != 1 || count(errs, latchbolt.ErrExists) != 1 {
		t.Errorf("renaming: got %v", errs)
	}
}

func TestUserByNameThatIsNotThere(t *testing.T) {
	eng := open(t, nil)
	addUser(t, eng, "ada")
	for what, name := range map[string]string{
		"another name": "bob", "the empty name": "", "a prefix": "ad", "a longer one": "adaa", "a NUL behind it": "ada\x00",
		"not UTF-8": "ada\xff", "a huge one": strings.Repeat("a", 1<<20), "a huge one of few bytes too many": strings.Repeat("ﷺ", 151),
	} {
		_, err := eng.UserByName(t.Context(), name)
		want(t, what, err, latchbolt.ErrNotFound)
		if err != nil && len(err.Error()) > 600 {
			t.Errorf("%s: the error has %d bytes", what, len(err.Error()))
		}
	}
	for _, id := range []latchbolt.UserID{0, 2, math.MaxUint64} {
		_, err := eng.User(t.Context(), id)
		want(t, fmt.Sprint("user ", id), err, latchbolt.ErrNotFound)
	}
}

func TestUsersByEmail(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	emails := map[string]string{"mike": "mike@example.org", "mike2": "Mike@example.org", "other": "mike@example.com", "none": "", "none2": ""}
	for name, email := range emails {
		must(t, name, eng.InsertUser(ctx, &latchbolt.User{Username: name, Email: email}, latchbolt.PasswordHash{}))
	}
	for _, c := range []struct {
		what, typed string
		want        []string
	}{
		{"as stored, and the one that differs in case", "mike@example.org", []string{"mike", "mike2"}},
		{"in capitals", "MIKE@EXAMPLE.ORG", []string{"mike", "mike2"}},
		{"another domain", "mike@example.com", []string{"other"}},
		{"a dotless i", "mıke@example.org", nil},
		{"a Kelvin sign", "mi\u212ae@example.org", nil},
		{"a domain with a dotless i", "mike@examplı.org", nil},
		{"a prefix of the address", "mike@example.or", nil},
		{"the address and more", "mike@example.organ", nil},
		{"a NUL behind it", "mike@example.org\x00", nil},
		{"nothing", "", nil},
		{"a huge one", strings.Repeat("a", 1<<20) + "@example.org", nil},
	} {
		users, err := eng.UsersByEmail(ctx, c.typed)
		must(t, c.what, err)
		var got []string
		for _, u := range users {
			got = append(got, u.Username)
			if u.Email != emails[u.Username] {
				t.Errorf("%s: %s has address %q, stored was %q", c.what, u.Username, u.Email, emails[u.Username])
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
	u, err := eng.UserByName(ctx, "other")
	must(t, "other", err)
	must(t, "moving", eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Email = "new@example.com" })))
	for email, n := range map[string]int{"mike@example.com": 0, "new@example.com": 1} {
		if users, err := eng.UsersByEmail(ctx, email); err != nil || len(users) != n {
			t.Errorf("after the change %s: got %d, %v, want %d", email, len(users), err, n)
		}
	}
}

func TestUniqueEmail(t *testing.T) {
	eng := open(t, &latchbolt.Config{UniqueEmail: true})
	ctx := t.Context()
	insert := func(name, email string) error {
		return eng.InsertUser(ctx, &latchbolt.User{Username: name, Email: email}, latchbolt.PasswordHash{})
	}
	must(t, "first", insert("a", "Ada@example.com"))
	must(t, "none", insert("b", ""))
	must(t, "none again", insert("c", ""))
	must(t, "another", insert("d", "d@example.com"))
	wantFields(t, "the same in another case", insert("e", "ada@EXAMPLE.com"), "email unique")
	d, err := eng.UserByName(ctx, "d")
	must(t, "d", err)
	wantFields(t, "changing to a taken one", eng.UpdateUser(ctx, d.ID, set(func(u *latchbolt.User) { u.Email = "ADA@example.com" })), "email unique")
	must(t, "changing the case of the own one", eng.UpdateUser(ctx, d.ID, set(func(u *latchbolt.User) { u.Email = "D@example.com" })))
}

// A setting that is switched on later must not keep anybody from deactivating an account.
func TestUniqueEmailComesLater(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	var ids []latchbolt.UserID
	for _, name := range []string{"a", "b"} {
		u := &latchbolt.User{Username: name, Email: "shared@example.com"}
		must(t, name, eng.InsertUser(ctx, u, latchbolt.PasswordHash{}))
		ids = append(ids, u.ID)
	}
	eng = reopen(t, eng, &latchbolt.Config{UniqueEmail: true})
	must(t, "deactivating", eng.UpdateUser(ctx, ids[0], set(deactivated)))
	must(t, "renaming", eng.UpdateUser(ctx, ids[0], set(func(u *latchbolt.User) { u.FirstName = "A" })))
	wantFields(t, "another spelling of it", eng.UpdateUser(ctx, ids[0], set(func(u *latchbolt.User) { u.Email = "Shared@example.com" })), "email unique")
}

func TestUserIDsAreNeverReissued(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	used := make(map[latchbolt.UserID]bool)
	next := 0
	insert := func(id latchbolt.UserID) (latchbolt.UserID, error) {
		next++
		u := &latchbolt.User{ID: id, Username: fmt.Sprint("u", next)}
		err := eng.InsertUser(ctx, u, latchbolt.PasswordHash{})
		return u.ID, err
	}
	fresh := func(what string, id latchbolt.UserID) {
		t.Helper()
		got, err := insert(id)
		must(t, what, err)
		if used[got] || id != 0 && got != id {
			t.Errorf("%s: got %d, which is used, or not the one wanted", what, got)
		}
		used[got] = true
	}
	fresh("the first", 0)
	fresh("the second", 0)
	must(t, "deleting", eng.DeleteUser(ctx, 2))
	fresh("after deleting the newest", 0)
	fresh("brought along", 100)
	must(t, "deleting", eng.DeleteUser(ctx, 100))
	eng = reopen(t, eng, nil)
	fresh("after opening again", 0)
	for _, id := range []latchbolt.UserID{1, 2, 50, 100, 101, math.MaxUint64, 1 << 63} {
		if _, err := insert(id); err == nil {
			t.Errorf("identifier %d was given again, or is out of range", id)
		}
	}
	errFail := errors.New("fail")
	err := eng.Update(ctx, func(tx *latchbolt.Tx) error {
		if err := tx.InsertUser(&latchbolt.User{ID: 500, Username: "undone"}, latchbolt.PasswordHash{}); err != nil {
			return err
		}
		return errFail
	})
	want(t, "undone", err, errFail)
	fresh("one whose insertion was undone", 500)
	must(t, "several in any order at once", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		for _, id := range []latchbolt.UserID{900, 700, 800} {
			if err := tx.InsertUser(&latchbolt.User{ID: id, Username: fmt.Sprint("brought", id)}, latchbolt.PasswordHash{}); err != nil {
				return err
			}
		}
		return nil
	}))
	fresh("behind them", 0)
	if !used[901] {
		t.Errorf("not 901: %v", used)
	}
}

func TestLastSuperuserStays(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	root := func(name string) latchbolt.UserID {
		u := &latchbolt.User{Username: name, Superuser: true}
		must(t, name, eng.CreateUser(ctx, u, goodPassword))
		return u.ID
	}
	a := root("a")
	sleeping := &latchbolt.User{Username: "sleeping", Superuser: true, Inactive: true}
	must(t, "inactive superuser", eng.InsertUser(ctx, sleeping, latchbolt.PasswordHash{}))
	takeAway := map[string]func(latchbolt.UserID) error{
		"delete": func(id latchbolt.UserID) error { return eng.DeleteUser(ctx, id) },
		"deactivate": func(id latchbolt.UserID) error {
			return eng.UpdateUser(ctx, id, set(deactivated))
		},
		"demote": func(id latchbolt.UserID) error {
			return eng.UpdateUser(ctx, id, set(func(u *latchbolt.User) { u.Superuser = false }))
		},
	}
	for what, fn := range takeAway {
		want(t, what+" the last", fn(a), latchbolt.ErrLastSuperuser)
	}
	must(t, "renaming the last", eng.UpdateUser(ctx, a, set(func(u *latchbolt.User) { u.FirstName = "A" })))
	n := 0
	for what, fn := range takeAway {
		for range 20 {
			n++
			b := root(fmt.Sprint("b", n))
			errs := parallel(2, func(i int) error { return fn([]latchbolt.UserID{a, b}[i]) })
			if count(errs, nil) != 1 || count(errs, latchbolt.ErrLastSuperuser) != 1 {
				t.Fatalf("%s both at once: got %v", what, errs)
			}
			if errs[0] == nil {
				a = b
			}
		}
	}
	must(t, "deleting the inactive one", eng.DeleteUser(ctx, sleeping.ID))
	want(t, "both in one transaction", eng.Update(ctx, func(tx *latchbolt.Tx) error {
		if err := tx.InsertUser(&latchbolt.User{Username: "c", Superuser: true}, latchbolt.PasswordHash{}); err != nil {
			return err
		}
		if err := tx.DeleteUser(a); err != nil {
			return err
		}
		c, err := tx.UserByName("c")
		if err != nil {
			return err
		}
		return tx.DeleteUser(c.ID)
	}), latchbolt.ErrLastSuperuser)
}

func TestDeleteUserLeavesNothing(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	u, other := addUser(t, eng, "ada"), addUser(t, eng, "bob")
	must(t, "define", eng.Define(ctx, latchbolt.Permission{App: "blog", Codename: "add"}))
	g, err := eng.CreateGroup(ctx, "g")
	must(t, "group", err)
	for _, id := range []latchbolt.UserID{u.ID, other.ID} {
		must(t, "member", eng.AddToGroup(ctx, id, g))
		must(t, "grant", eng.Grant(ctx, id, "blog.add"))
		must(t, "object grant", eng.Grant(ctx, id, "blog.add", "post:1", "post:2"))
	}
	s, keep := login(t, eng, "ada"), login(t, eng, "bob")
	tok, err := eng.ResetToken(ctx, u.ID)
	must(t, "token", err)
	if _, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "wrong"}); err == nil {
		t.Fatal("wrong password accepted")
	}
	eng.Settle(ctx)
	id := authenticate(t, eng, "ada")
	must(t, "delete", eng.DeleteUser(ctx, u.ID))
	want(t, "deleting again", eng.DeleteUser(ctx, u.ID), latchbolt.ErrNotFound)

	if alive(t, eng, s.Token) || !alive(t, eng, keep.Token) {
		t.Error("the wrong sessions ended")
	}
	_, err = eng.CheckToken(ctx, latchbolt.PurposeReset, tok)
	want(t, "its token", err, latchbolt.ErrToken)
	_, err = eng.Login(ctx, id, latchbolt.LoginOptions{})
	want(t, "logging in with an earlier proof", err, latchbolt.ErrCredentials)
	if ok, err := eng.HasPerm(ctx, id, "blog.add"); ok || err != nil {
		t.Errorf("HasPerm of the deleted user: %v, %v", ok, err)
	}
	var members []latchbolt.UserID
	for id, err := range eng.Members(ctx, g) {
		must(t, "members", err)
		members = append(members, id)
	}
	if !slices.Equal(members, []latchbolt.UserID{other.ID}) {
		t.Errorf("members: got %v", members)
	}
	if holders, err := eng.Holders(ctx, "blog.add"); err != nil || len(holders) != 3 {
		t.Errorf("holders: got %v, %v", holders, err)
	}
	if _, n, err := eng.Throttled(ctx, u.ID); err != nil || n != 0 {
		t.Errorf("failures: got %d, %v", n, err)
	}
	again := addUser(t, eng, "ada")
	if again.ID == u.ID {
		t.Error("the identifier was given again")
	}
}

// A failed login whose user is deleted before the failure is written down leaves no counter.
func TestDeleteUserDuringAFailingLogin(t *testing.T) {
	var eng *latchbolt.Engine
	var victim latchbolt.UserID
	h := &hookedHasher{}
	eng = open(t, &latchbolt.Config{Hashers: []latchbolt.Hasher{h}})
	victim = addUser(t, eng, "ada").ID
	h.onVerify(func() {
		h.onVerify(nil)
		must(t, "deleting", eng.DeleteUser(t.Context(), victim))
	})
	_, err := eng.Authenticate(t.Context(), latchbolt.Password{Username: "ada", Password: "wrong"})
	want(t, "login", err, latchbolt.ErrCredentials)
	eng.Settle(t.Context())
	verify(t, eng)
}

func TestUpdateUserChangesFieldsOnly(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	g, err := eng.CreateGroup(ctx, "g")
	must(t, "group", err)
	u := addUser(t, eng, "ada")
	must(t, "member", eng.AddToGroup(ctx, u.ID, g))
	must(t, "update", eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) {
		u.ID = 77
		u.Groups[0] = 99
		u.Groups = append(u.Groups, 98)
		u.Password = latchbolt.HashInfo{}
		u.Username, u.Email, u.FirstName, u.LastName = "Ｂob", "B@EXAMPLE.com", "Bob", "Builder"
		u.Staff = true
	})))
	got, err := eng.User(ctx, u.ID)
	must(t, "reading", err)
	if got.ID != u.ID || !slices.Equal(got.Groups, []latchbolt.GroupID{g}) || !got.Password.Usable ||
		got.Username != "Bob" || got.Email != "B@example.com" || got.FirstName != "Bob" || got.LastName != "Builder" || !got.Staff {
		t.Errorf("got %+v", got)
	}
	_, err = eng.User(ctx, 77)
	want(t, "the other identifier", err, latchbolt.ErrNotFound)
	_, err = eng.UserByName(ctx, "ada")
	want(t, "the old name", err, latchbolt.ErrNotFound)
	errFail := errors.New("fail")
	want(t, "a failing function", eng.UpdateUser(ctx, u.ID, func(u *latchbolt.User) error { u.FirstName = "x"; return errFail }), errFail)
	wantFields(t, "a bad name", eng.UpdateUser(ctx, u.ID, set(func(u *latchbolt.User) { u.Username = "a b" })), "username invalid")
	want(t, "nobody", eng.UpdateUser(ctx, 12345, set(deactivated)), latchbolt.ErrNotFound)
	if after, err := eng.User(ctx, u.ID); err != nil || !reflect.DeepEqual(after, got) {
		t.Errorf("after failures: got %+v, %v", after, err)
	}
}

func TestPasswordHashForExport(t *testing.T) {
	eng := open(t, nil)
	ctx := t.Context()
	stored, err := latchbolt.ParsePasswordHash("pbkdf2_sha256$1$abcdefghijklmnopqrstuv$wYbvBAIkmQAkEDTMmRO9fQnGQMxcoG4Mmg4TL9Kpk28=")
	must(t, "parsing", err)
	u := &latchbolt.User{Username: "ada"}
	must(t, "inserting", eng.InsertUser(ctx, u, stored))
	must(t, "reading", eng.View(ctx, func(tx *latchbolt.ReadTx) error {
		h, err := tx.PasswordHash(u.ID)
		if h != stored || h.Reveal() != stored.Reveal() {
			t.Errorf("got %q, want %q", h.Reveal(), stored.Reveal())
		}
		return err
	}))
	must(t, "unusable", eng.SetPasswordHash(ctx, u.ID, latchbolt.PasswordHash{}))
	if got, err := eng.User(ctx, u.ID); err != nil || got.Password.Usable {
		t.Errorf("after removing it: %+v, %v", got.Password, err)
	}
	want(t, "nobody", eng.SetPasswordHash(ctx, 999, stored), latchbolt.ErrNotFound)
	want(t, "nobody", eng.SetPassword(ctx, 999, goodPassword), latchbolt.ErrNotFound)
	wantFields(t, "a bad password", eng.SetPassword(ctx, u.ID, "short"), "password password_too_short")
}

// Names so long that their keys are hashes are still told apart, found and put in order.
func TestLongNames(t *testing.T) {
	eng := open(t, nil)
	long := strings.Repeat("\U00010428", 149) // four bytes each
	names := []string{long + "a", long + "b", long + "\U00010428", long[4:]}
	for _, name := range names {
		must(t, "inserting", eng.InsertUser(t.Context(), &latchbolt.User{Username: name}, latchbolt.PasswordHash{}))
	}
	for i, name := range names {
		if u, err := eng.UserByName(t.Context(), strings.ToUpper(name)); err != nil || u.ID != latchbolt.UserID(i+1) {
			t.Errorf("name %d: got %v, %v", i, u, err)
		}
	}
	for _, order := range []latchbolt.Order{latchbolt.OrderByID, latchbolt.OrderByName} {
		q := latchbolt.UserQuery{Prefix: long, Order: order, Limit: 1}
		n := 0
		for users := collect(t, eng, q); len(users) > 0; users = collect(t, eng, q) {
			q.After = users[0]
			n++
		}
		if n != 3 {
			t.Errorf("order %d: got %d users, want 3", order, n)
		}
	}
}
