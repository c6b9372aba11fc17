package main

const (
	passphrase    = "correct horse battery staple"
	alicePassword = "wonderland-1865" // in the dump, and in testdata/django/expected.json
	newPhrase     = "a quiet walk to the far lighthouse"
)

// sessions are all pictures.
var sessions = []session{
	{
		name: "term-django.svg", title: "A Django user base, taken over as it is",
		steps: []step{
			{line: "latchbolt init --from-django dump.json"},
			{line: "latchbolt user list --limit 4"},
			{line: "latchbolt authenticate alice", answers: []answer{{"Password: ", alicePassword}}},
			{line: "latchbolt perm explain alice catalog.add_book"},
		},
	},
	{
		name: "term-accounts.svg", title: "From nothing to a superuser",
		steps: []step{
			{line: "latchbolt init"},
			{line: "latchbolt createsuperuser", answers: []answer{
				{"'): ", "ada"}, {"address: ", "ada@example.org"}, {"Password: ", "12345678"}, {"(again): ", "12345678"},
				{"[y/N]: ", "n"},
				{"Password: ", newPhrase}, {"(again): ", newPhrase}}},
			{line: "latchbolt perm define blog.post --for-model"},
			{line: "latchbolt authenticate ada", answers: []answer{{"Password: ", passphrase}}, exit: 1},
			{line: "latchbolt audit"},
		},
	},
	{
		name: "term-running.svg", title: "The same commands while the program runs",
		steps: []step{
			{line: "latchbolt init --from-django dump.json", hidden: true},
			{line: "latchbolt info", hold: true},
			{line: "latchbolt backup nightly.db"},
			{line: "latchbolt verify"},
			{line: "latchbolt restore nightly.db --yes", exit: 5},
		},
	},
}
