// Package console is pages for people who administer a latchbolt engine: users, groups, permissions, sessions, the audit
// trail and the state of the file.
//
//	auth := &authhttp.Auth{Engine: eng, BaseURL: "https://intranet.example.org"}
//	con := &console.Console{Auth: auth}
//	mux.Handle("/admin/", con.Handler())
//	http.ListenAndServe(addr, auth.Handler(mux))
//
// Whoever is active, staff and was granted something that [latchbolt.Engine.DefineAdmin] defines can use it, as far as
// that goes. What each person may do is decided by the engine, field by field: the console only shows what [latchbolt.Administrator] gives, and asks it for each change.
// It never has a password hash in its hands, and shows a token once and only as part of a link that somebody asked for who may see it.
//
// Everything works without script. What is sensitive asks for the password again if it was given more than
// [latchbolt.Config.FreshFor] ago. docs/CONSOLE.md has the pages, the rules and the limits.
package console
