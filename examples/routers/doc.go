// Package routers has one small program four times: with net/http alone, with chi, with gin and with echo. They differ in how routes are
// written down and in nothing else: [authhttp.Auth.Handler] goes around the router, and what needs a right is wrapped with a Require
// method. docs/ROUTERS.md shows these files; the tests run the same requests against all four.
package routers

import (
	"fmt"
	"net/http"

	"github.com/latchbolt-go/latchbolt/authhttp"
)

// The pages of the program.

// start is for everybody. It does not ask who it is, so caches may keep it.
func start(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=60")
	fmt.Fprintln(w, "Welcome.")
}

// hello counts visits in the session.
func hello(auth *authhttp.Auth) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := authhttp.User(r)
		if err != nil {
			auth.Fail(w, r, err)
			return
		}
		n, _, err := authhttp.Value[int](r, "visits")
		if err == nil {
			err = authhttp.Session(r).Set("visits", n+1)
		}
		if err != nil {
			auth.Fail(w, r, err)
			return
		}
		fmt.Fprintf(w, "Hello, %s, for the %d. time.\n", id.Username(), n+1)
	}
}

// publish needs a right.
func publish(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Published.") }
