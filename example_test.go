package latchbolt_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/latchbolt-go/latchbolt"
)

// exampleEngine opens an engine on a fresh file. Programs use the default
// hashers; examples shall not take long.
func exampleEngine() (*latchbolt.Engine, func()) {
	dir, err := os.MkdirTemp("", "latchbolt-example-*")
	if err != nil {
		log.Fatal(err)
	}
	eng, err := latchbolt.Open(filepath.Join(dir, "app.db"), &latchbolt.Config{
		Create:  true,
		Hashers: []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 1}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return eng, func() {
		eng.Close()
		os.RemoveAll(dir)
	}
}

func Example() {
	ctx := context.Background()
	eng, done := exampleEngine()
	defer done()

	must := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	ada := &latchbolt.User{Username: "ada"}
	must(eng.CreateUser(ctx, ada, "correct horse battery staple"))
	must(eng.DefineModel(ctx, "blog", "post"))
	must(eng.Grant(ctx, ada.ID, "blog.add_post"))

	id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "correct horse battery staple"})
	must(err)
	sess, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
	must(err)

	id, err = eng.SessionUser(ctx, sess.Token) // every request
	must(err)
	ok, err := eng.HasPerm(ctx, id, "blog.add_post")
	must(err)
	fmt.Println(id.Username(), "may add posts:", ok)

	must(eng.Logout(ctx, sess.Token))
	_, err = eng.SessionUser(ctx, sess.Token)
	fmt.Println("after logout:", err)
	fmt.Println("printing a token:", sess.Token)
	// Output:
	// ada may add posts: true
	// after logout: latchbolt: no such session
	// printing a token: [redacted]
}

func ExampleEngine_Explain() {
	ctx := context.Background()
	eng, done := exampleEngine()
	defer done()

	bob := &latchbolt.User{Username: "bob"}
	eng.InsertUser(ctx, bob, latchbolt.PasswordHash{})
	eng.DefineModel(ctx, "blog", "post")
	editors, _ := eng.CreateGroup(ctx, "editors")
	eng.Grant(ctx, editors, "blog.change_post")
	eng.Grant(ctx, bob.ID, "blog.delete_post", "blog.post:42")
	eng.AddToGroup(ctx, bob.ID, editors)
	id, _ := eng.Identity(ctx, bob.ID)

	show := func(p latchbolt.Perm, o ...latchbolt.Object) {
		d, err := eng.Explain(ctx, id, p, o...)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(p, " ", o, ": ", d.Allowed, ", ", d.Reason)
		for _, g := range d.Via {
			fmt.Printf(" via %T %d", g.Subject, g.Subject)
		}
		fmt.Println()
	}
	show("blog.change_post")
	show("blog.delete_post")
	show("blog.delete_post", "blog.post:42")
	show("blog.paint_post")
	// Output:
	// blog.change_post []: true, granted via latchbolt.GroupID 1
	// blog.delete_post []: false, not granted
	// blog.delete_post [blog.post:42]: true, granted via latchbolt.UserID 1
	// blog.paint_post []: false, undefined
}

func ExampleEngine_Update() {
	ctx := context.Background()
	eng, done := exampleEngine()
	defer done()

	// All of it happens, or nothing does.
	err := eng.Update(ctx, func(tx *latchbolt.Tx) error {
		g := latchbolt.Group{Name: "night shift"}
		if err := tx.InsertGroup(&g); err != nil {
			return err
		}
		for _, name := range []string{"ada", "bob", "ada"} {
			u := latchbolt.User{Username: name, Groups: []latchbolt.GroupID{g.ID}}
			if err := tx.InsertUser(&u, latchbolt.PasswordHash{}); err != nil {
				return err
			}
		}
		return nil
	})
	fmt.Println("taken:", errors.Is(err, latchbolt.ErrExists))
	_, err = eng.GroupByName(ctx, "night shift")
	fmt.Println("group:", err)
	// Output:
	// taken: true
	// group: latchbolt: not found: group "night shift"
}

func ExampleEngine_Users() {
	ctx := context.Background()
	eng, done := exampleEngine()
	defer done()
	for _, name := range []string{"carol", "ada", "bob"} {
		eng.InsertUser(ctx, &latchbolt.User{Username: name, Staff: name != "bob"}, latchbolt.PasswordHash{})
	}
	for u, err := range eng.Users(ctx, latchbolt.UserQuery{Staff: latchbolt.Only, Order: latchbolt.OrderByName}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(u.ID, u.Username)
	}
	// Output:
	// 2 ada
	// 1 carol
}

func ExampleEngine_UpdateValues() {
	ctx := context.Background()
	eng, done := exampleEngine()
	defer done()
	sess, _ := eng.NewSession(ctx, latchbolt.LoginOptions{})
	token, err := eng.UpdateValues(ctx, sess.Token, func(v *latchbolt.Values) error {
		return v.Set("cart", []string{"tea", "milk"})
	})
	if err != nil {
		log.Fatal(err)
	}
	v, _ := eng.Values(ctx, token)
	var cart []string
	v.Get("cart", &cart)
	fmt.Println(v.Names(), cart)
	// Output:
	// [cart] [tea milk]
}

func ExampleEngine_ResetPassword() {
	ctx := context.Background()
	eng, done := exampleEngine()
	defer done()
	ada := &latchbolt.User{Username: "ada"}
	eng.CreateUser(ctx, ada, "correct horse battery staple")

	token, _ := eng.ResetToken(ctx, ada.ID) // token.Reveal() goes into the link
	_, err := eng.ResetPassword(ctx, token, "short")
	fmt.Println(err)
	_, err = eng.ResetPassword(ctx, token, "a much longer passphrase")
	fmt.Println(err)
	_, err = eng.ResetPassword(ctx, token, "once more, with feeling")
	fmt.Println(err)
	// Output:
	// latchbolt: password: This password is too short. It must contain at least 15 characters.
	// <nil>
	// latchbolt: token is not valid
}

func ExampleEngine_As() {
	ctx := context.Background()
	eng, done := exampleEngine()
	defer done()
	eng.DefineAdmin(ctx)
	clerk := &latchbolt.User{Username: "clerk", Staff: true}
	eng.CreateUser(ctx, clerk, "correct horse battery staple")
	ada := &latchbolt.User{Username: "ada"}
	eng.CreateUser(ctx, ada, "correct horse battery staple")
	eng.Grant(ctx, clerk.ID, "auth.change_user")
	id, _ := eng.Authenticate(ctx, latchbolt.Password{Username: "clerk", Password: "correct horse battery staple"})

	name, yes := "Lovelace", true
	err := eng.As(id).UpdateUser(ctx, ada.ID, latchbolt.UserChange{LastName: &name})
	fmt.Println(err)
	err = eng.As(id).UpdateUser(ctx, ada.ID, latchbolt.UserChange{Superuser: &yes})
	fmt.Println(err)
	// Output:
	// <nil>
	// latchbolt: forbidden: only superusers may do this
}
