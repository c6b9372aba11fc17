package main

import "regexp"

// This file says what the page shows, in which order, and what has to be known about each peer.

// A section is a table of peers that do one task, each measured in turn with latchbolt.
type section struct {
	title, intro string
	rows         []row
}

// A row is a peer: the name of its benchmark, or of several that differ in size, and what it does not do.
type row struct {
	label, bench, lacks string
}

var sections = []section{
	{
		title: "Who is asking?",
		intro: "One request brings a token; the program wants to know whose it is. latchbolt answers from its exact cache: the session is alive now, " +
			"the user is active now, and the permissions come with it. 1,000 sessions of 1,000 users, chosen at random.",
		rows: []row{
			{"a Go map under SHA-256, with a lock", "BenchmarkSession/map_sha256", "memory alone: a restart signs everybody out; no idle limit, no end of all sessions of a user"},
			{"scs, in memory", "BenchmarkSession/scs_memory", "no user and no permissions are looked up; a restart signs everybody out"},
			{"bbolt itself, a View with two Gets", "BenchmarkSession/bbolt_two_gets", "bytes that nobody decoded or checked"},
			{"golang-jwt, HS256", "BenchmarkSession/jwt_hs256", "cannot be ended before it expires; says what was true when it was made"},
			{"gorilla/sessions, signed cookie", "BenchmarkSession/gorilla_signed", "cannot be ended by the server; no user, no permissions"},
			{"gorilla/sessions, signed and encrypted", "BenchmarkSession/gorilla_sealed", "as above"},
			{"scs + a bbolt store as its boltstore does it", "BenchmarkSession/scs_bbolt", "no user and no permissions; no idle limit"},
			{"the same with an idle limit", "BenchmarkSession/scs_bbolt_idle", "writes and syncs on every request, alone or not"},
			{"SQLite (modernc), sessions joined with users", "BenchmarkSession/sqlite", "no permissions; with a prepared statement and everything in its page cache"},
			{"PocketBase, in process", "BenchmarkSession/pocketbase", "a token cannot be ended by itself, only all of a user's"},
			{"Django, session and user from SQLite", "BenchmarkSession/django", "permissions are loaded when first asked for"},
		},
	},
	{
		title: "May they?",
		intro: "One decision whether a user has a permission through a group. The sizes are those of casbin's own benchmarks: a tenth of the rules are grants to " +
			"groups, the others put users into them. latchbolt decides by what is true now.",
		rows: []row{
			{"a Go map of strings, under a lock", "BenchmarkMay/map", "has to be kept up to date by somebody"},
			{"casbin v3, RBAC model", "BenchmarkMay/casbin_v3", "rules in memory; must not be changed and asked at once without its synced enforcer"},
			{"casbin v2, RBAC model", "BenchmarkMay/casbin_v2", "as above"},
			{"casbin v3, cached enforcer", "BenchmarkMay/casbin_v3_cached", "**still allows after the role was taken away**, until the cache is emptied (`TestCasbinCacheIsStale`)"},
			{"casbin v2, cached enforcer", "BenchmarkMay/casbin_v2_cached", "**still allows after the role was taken away**, as above"},
			{"SQLite (modernc), a join", "BenchmarkMay/sqlite", "with a prepared statement and everything in its page cache"},
			{"Django, has_perm", "BenchmarkMay/django", "a fresh user object, as in a request's first check"},
			{"Django, has_perm again on the same object", "BenchmarkMay/django_again", "as stale as the object"},
		},
	},
	{
		title: "Signing in",
		intro: "A session is begun and durable when the call returns: stored, filed under its user, in the audit trail, last login noted. The password is not in " +
			"these figures; it costs every one of them the same. At once means from 64 goroutines; the figure is the time for each sign-in.",
		rows: []row{
			{"bbolt itself, an Update with three Puts", "BenchmarkSignIn/bbolt", "bytes; nothing is decided"},
			{"scs + a bbolt store as its boltstore does it", "BenchmarkSignIn/scs_bbolt", "no index by user, no audit trail, no last login"},
			{"SQLite (modernc), WAL, synchronous=FULL", "BenchmarkSignIn/sqlite", "session, last login and audit row in one transaction"},
			{"Django, login() on SQLite", "BenchmarkSignIn/django", "no audit trail"},
		},
	},
	{
		title: "Many users at once",
		intro: "100,000 users, each with a password hash, an address and two groups, into a fresh file; the figure is the time for each user.",
		rows: []row{
			{"bbolt itself, the same keys in order", "BenchmarkBulk/bbolt", "the same bytes, sorted beforehand; nothing is checked"},
			{"SQLite (modernc), one transaction", "BenchmarkBulk/sqlite", "straightforward schema with its indexes"},
			{"Django, bulk_create on SQLite", "BenchmarkBulk/django", "names are not normalized, signals are not sent"},
		},
	},
	{
		title: "Who has this permission?",
		intro: "The first hundred of the users who have a permission, by themselves or through a group, of 20,000.",
		rows: []row{
			{"SQLite (modernc), a join", "BenchmarkWithPerm/sqlite", ""},
			{"Django, with_perm on SQLite", "BenchmarkWithPerm/django", "all rows are found before the first is shown"},
		},
	},
}

// A recorded figure was measured elsewhere and cannot be here.
type recorded struct{ what, figure, why string }

var records = []recorded{
	{"scs + its own boltstore, load a session", "12 … 18 µs, about 200 allocations; with an idle limit 216 … 590 µs", "the module cannot be had here; the store of the tables above does what its documentation says"},
	{"PocketBase, token → user", "50 µs, 235 allocations", "the tables have the newest version that Go 1.26 builds; the present one needs Go 1.27"},
	{"permissionbolt, users and cookies on bbolt", "none", "Go's module proxy does not have it; raw bbolt and scs on bbolt are what it could be built of at best"},
	{"Django 5.2 on SQLite: session and user; has_perm; login", "343 µs; 567 µs, again 1.05 µs; 2.9 ms", "the tables above have the version that Debian has"},
}

// A picture is a chart of several benchmarks of growing size.
type picture struct {
	file, title, x, y string
	bytes             bool   // the y axis is of bytes and not of time
	belongs           string // the title of the section that shows it; "" is the one about growth
	lines             []pictureLine
}

// A pictureLine takes its points from all benchmarks whose name matches; the first group is the size.
type pictureLine struct {
	label, module string
	name          *regexp.Regexp
	unit          string
}

func of(label, module, name, unit string) pictureLine {
	return pictureLine{label, module, regexp.MustCompile("^" + name + "$"), unit}
}

var pictures = []picture{
	{
		file: "bench-may.svg", title: "One decision, as the rules grow", x: "rules (users in groups, grants to groups)", y: "time for one check", belongs: "May they?",
		lines: []pictureLine{
			of("latchbolt", "bench", `BenchmarkMay/casbin_v3/rules=(\d+)`, "latchbolt-ns/call"),
			of("casbin v3", "bench", `BenchmarkMay/casbin_v3/rules=(\d+)`, "ns/call"),
			of("casbin v2", "bench", `BenchmarkMay/casbin_v2/rules=(\d+)`, "ns/call"),
			of("casbin v3, its stale cache", "bench", `BenchmarkMay/casbin_v3_cached/rules=(\d+)`, "ns/call"),
			of("SQLite", "bench", `BenchmarkMay/sqlite/rules=(\d+)`, "ns/call"),
			of("a Go map", "bench", `BenchmarkMay/map/rules=(\d+)`, "ns/call"),
			of("Django", "bench", `BenchmarkMay/django/rules=(\d+)`, "ns/call"),
		},
	},
	{
		file: "bench-sessions.svg", title: "Who is asking, as the sessions grow", x: "sessions in the file, asked at random (warm: a million of them at most)", y: "time for one request",
		lines: []pictureLine{
			of("latchbolt, warm", "bench", `BenchmarkGrowth/sessions=(\d+)/warm`, "ns/call"),
			of("latchbolt, cold", "bench", `BenchmarkGrowth/sessions=(\d+)/cold`, "ns/call"),
			of("bbolt, two Gets", "bench", `BenchmarkGrowth/sessions=(\d+)/bbolt`, "ns/call"),
			of("SQLite", "bench", `BenchmarkGrowth/sessions=(\d+)/sqlite`, "ns/call"),
			of("a Go map", "bench", `BenchmarkGrowth/sessions=(\d+)/map`, "ns/call"),
		},
	},
	{
		file: "bench-login.svg", title: "Signing in, as the sessions grow", x: "sessions in the file", y: "time for one sign-in, durable",
		lines: []pictureLine{
			of("latchbolt, alone", "bench", `BenchmarkGrowth/sessions=(\d+)/login`, "ns/call"),
			of("latchbolt, 64 at once", "bench", `BenchmarkGrowth/sessions=(\d+)/login_64`, "ns/call"),
			of("SQLite, alone", "bench", `BenchmarkGrowth/sessions=(\d+)/sqlite`, "login-ns/call"),
		},
	},
	{
		file: "bench-open.svg", title: "Opening the file, as it grows", x: "sessions in the file", y: "time for Open",
		lines: []pictureLine{
			of("latchbolt", "bench", `BenchmarkGrowth/sessions=(\d+)/open`, "ns/call"),
		},
	},
	{
		file: "bench-size.svg", title: "The size of the file", x: "sessions in the file", y: "size", bytes: true,
		lines: []pictureLine{
			of("latchbolt", "bench", `BenchmarkGrowth/sessions=(\d+)/open`, "file-B"),
			of("SQLite", "bench", `BenchmarkGrowth/sessions=(\d+)/sqlite`, "file-B"),
		},
	},
	{
		file: "bench-users.svg", title: "As the users grow", x: "users in the file", y: "time for one call",
		lines: []pictureLine{
			of("HasPerm, warm", "bench", `BenchmarkGrowth/users=(\d+)/has_perm`, "ns/call"),
			of("SessionUser, warm", "bench", `BenchmarkGrowth/users=(\d+)/warm`, "ns/call"),
			of("SessionUser, cold", "bench", `BenchmarkGrowth/users=(\d+)/cold`, "ns/call"),
			of("UserByName", "bench", `BenchmarkGrowth/users=(\d+)/by_name`, "ns/call"),
			of("Login", "bench", `BenchmarkGrowth/users=(\d+)/login`, "ns/call"),
		},
	},
	{
		file: "bench-perms.svg", title: "As the permissions grow", x: "permissions, of which the user has half through ten groups", y: "time for one check",
		lines: []pictureLine{
			of("Engine.HasPerm", "bench", `BenchmarkGrowth/perms=(\d+)/has_perm`, "ns/call"),
			of("Identity.Has", "bench", `BenchmarkGrowth/perms=(\d+)/has`, "ns/call"),
			of("HasPerm, after a change of that user", "bench", `BenchmarkGrowth/perms=(\d+)/after_a_change`, "ns/call"),
			of("a Go map", "bench", `BenchmarkGrowth/perms=(\d+)/map`, "ns/call"),
		},
	},
}
