package authhttp_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/authhttp"
)

// hello is a whole program: a page for everybody who is signed in, and the views.
func hello(eng *latchbolt.Engine) http.Handler {
	auth := &authhttp.Auth{Engine: eng, Insecure: true} // Insecure: without TLS, for a look at it
	mux := http.NewServeMux()
	mux.Handle("/accounts/", auth.Accounts())
	mux.Handle("/", auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := authhttp.User(r)
		if err != nil {
			auth.Fail(w, r, err)
			return
		}
		visits, _, err := authhttp.Value[int](r, "visits")
		if err == nil {
			err = authhttp.Session(r).Set("visits", visits+1)
		}
		if err != nil {
			auth.Fail(w, r, err)
			return
		}
		fmt.Fprintf(w, "Hello, %s, for the %d. time.\n", id.Username(), visits+1)
	})))
	return auth.Handler(mux)
}

func Example() {
	slog.SetLogLoggerLevel(slog.LevelError) // Insecure is loud
	dir, err := os.MkdirTemp("", "hello")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	eng, err := latchbolt.Open(filepath.Join(dir, "app.db"), &latchbolt.Config{Create: true})
	if err != nil {
		panic(err)
	}
	defer eng.Close()
	if err := eng.CreateUser(context.Background(), &latchbolt.User{Username: "ada"}, "correct horse battery staple"); err != nil {
		panic(err)
	}
	srv := httptest.NewServer(hello(eng)) // http.ListenAndServe in a program
	defer srv.Close()

	// A visitor, as a browser would be.
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	show := func(res *http.Response, err error) {
		if err != nil {
			panic(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		fmt.Print(res.Request.URL.Path, ": ", string(text))
	}
	show(browser.Get(srv.URL + "/"))
	show(browser.PostForm(srv.URL+"/accounts/login/", url.Values{"username": {"ada"}, "password": {"correct horse battery staple"}}))
	show(browser.Get(srv.URL + "/"))
	// Output:
	// /: Please sign in.
	// /: Hello, ada, for the 1. time.
	// /: Hello, ada, for the 2. time.
}

func ExampleSafeRedirect() {
	for _, target := range []string{"/board?page=2", "//evil.example", `/\evil.example`, "https://intranet.example/x"} {
		fmt.Println(target, authhttp.SafeRedirect(target, []string{"intranet.example"}, true))
	}
	// Output:
	// /board?page=2 true
	// //evil.example false
	// /\evil.example false
	// https://intranet.example/x true
}
