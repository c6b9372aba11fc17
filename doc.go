// Package latchbolt is authentication and authorization for programs that keep
// everything in one file: users, groups, permissions and sessions in one bbolt
// database, with no server, no network and no second file. It does what Django's
// contrib.auth and contrib.sessions do, and reads a Django user base as it is.
//
// # The calls to know, in order
//
//	eng, err := latchbolt.Open("app.db", &latchbolt.Config{Create: true})
//	defer eng.Close()
//
//	err = eng.CreateUser(ctx, &latchbolt.User{Username: "ada"}, "correct horse battery staple")
//	id, err := eng.Authenticate(ctx, latchbolt.Password{Username: "ada", Password: "correct horse battery staple"})
//	sess, err := eng.Login(ctx, id, latchbolt.LoginOptions{})
//
//	id, err = eng.SessionUser(ctx, sess.Token)          // every request
//	ok, err := eng.HasPerm(ctx, id, "blog.add_post")    // now, from the engine
//	ok = id.Has("blog.add_post")                        // as of when id was loaded
//
//	err = eng.Logout(ctx, sess.Token)
//
// A program defines its permissions with [Engine.Define] or
// [Engine.DefineModel] and hands them out with [Engine.Grant]. A [Perm] is
// "app.codename"; a grant can be limited to one [Object]. [Engine.Explain] says
// why somebody has a permission or not.
//
// Several changes become one with [Engine.Update], whose [Tx] has a method for
// each of them. [Engine.View] reads one consistent state.
//
// # What can be relied on
//
// When a call that changes something returns nil, the change is durable. When
// it returns an error nothing was changed, except with [ErrIndeterminate]:
// then the engine refuses to go on until the file is opened again, which
// settles the question. A change of permissions, an ended session, a
// deactivated user are in force for every call that starts after the one that made the change
// returned, on every goroutine; the cache never answers with less.
//
// Every failed login with a name and a password that could be ones does the same amount of work and gives the same error.
// Passwords, tokens and hashes are types that do not print; tokens are stored
// as hashes only. docs/SECURITY.md has the promises and their tests.
//
// # Concurrency
//
// All methods of [Engine] may be called concurrently. An [Identity], a
// [Session] and a [User] are values or immutable. A [ReadTx] and a [Tx] belong
// to the function they were given to.
//
// # Compatibility
//
// A file opens with the release that wrote it and with every later one; a file
// of a newer format is refused untouched ([ErrNewerFormat]). The format is
// described in docs/FORMAT.md. Exported names of package latchbolt keep their
// meaning within a major version.
package latchbolt
