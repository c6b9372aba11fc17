// Package htpasswd takes over the users of an htpasswd file, with which Apache, nginx and others protect folders.
//
//	report, err := htpasswd.Import(ctx, eng, file, nil)
//
// takes all of it over or nothing. Passwords go on: bcrypt, $apr1$, SHA-crypt ($5$, $6$) and {SHA}, the last one only with
// Config.LegacyHashes, and the first login replaces them by a stronger hash. Hashes that the engine cannot verify are left out with their
// users, each with a line in the [interop.Report]. Where the file says a name twice, the first counts, as in Apache.
//
// docs/MIGRATING.md describes the forms one by one.
package htpasswd
