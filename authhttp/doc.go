// Package authhttp puts a latchbolt engine into a web program, on net/http
// only: who asks, sessions, logins and the pages for them.
//
// # The calls to know, in order
//
//	auth := &authhttp.Auth{Engine: eng, BaseURL: "https://intranet.example.org"}
//
//	mux.Handle("/accounts/", auth.Accounts())                   // login, logout, passwords, devices
//	mux.Handle("/board/", auth.RequireLogin(board))             // the login page, and back
//	mux.Handle("/admin/", auth.RequirePerm("board.admin")(adm)) // 403 for who lacks it
//	http.ListenAndServe(addr, auth.Handler(mux))                // around everything
//
//	id, err := authhttp.User(r)                                 // in a handler: who asks
//	err = authhttp.Session(r).Set("cart", items)                // Django's request.session
//	items, ok, err := authhttp.Value[[]Item](r, "cart")
//
// [Auth.BasicAuth] and [Auth.Bearer] are for programs that ask,
// [Auth.RemoteUser] is for proxies that authenticate.
//
// # What can be relied on
//
// Nothing is looked up for pages that do not ask, and they may be cached. The
// answer of a handler that asked who it is says so to caches, and no shared
// cache keeps it if somebody is signed in. A question that the store could not answer ends in 503,
// whatever the handler does with the error; it is never taken for "nobody".
//
// Values of a session are saved before the header of the answer leaves, however
// the handler makes it leave, and not if the answer is an error of the server. An
// unknown cookie creates nothing and is never adopted.
//
// Requests that change something and come from another site are refused before
// any handler sees them.
//
// docs/WEB.md has set-up, proxies, cookies, mail, templates and what is defended against.
package authhttp
