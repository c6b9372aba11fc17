// Package ndjson takes over users, groups and permissions from files with one JSON object on each line, and writes
// such files.
//
// [Import] reads
//
//	{"username":"ada","email":"ada@example.org","groups":["editors"],"password_hash":"$2b$12$…"}
//	{"username":"bob","password":"correct horse battery staple","user_permissions":["blog.add_post"]}
//
// and takes all of it over or nothing. Only the name is needed. What is damaged, misspelt or contradicts what is there
// is refused with the number of the line; what is doubtful stands in the [interop.Report]. [Export] writes everything that Import reads:
//
//	report, err := ndjson.Export(ctx, eng, w, &ndjson.ExportOptions{WithHashes: true})
//
// docs/MIGRATING.md describes the format field by field.
package ndjson
