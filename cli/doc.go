// Package cli is the command line of latchbolt as a cobra command: everything that can be done with a file of users, groups,
// permissions and sessions, also while the program that owns the file is running.
//
// A program mounts it under its own root, so that "myapp auth createsuperuser" works:
//
//	root.AddCommand(cli.New(&cli.Options{Use: "auth", Path: "app.db", Config: config}))
//	os.Exit(cli.Run(ctx, root))
//
// While it serves, it lets the same commands in through a control socket beside the file:
//
//	go func() { errs <- cli.Serve(ctx, eng, "") }()
//
// A command that finds the file locked then runs inside the program, on its engine, with the output, the
// prompts and the exit code that it would have had alone.
//
// # What scripts can rely on
//
// Results go to standard output and everything else to standard error. With --json, standard output is one JSON document,
// or one a line where the help of a command says so, whose keys do not change within a major version. Exit codes are those of
// the Exit constants. Passwords come from a prompt without echo or with --password-stdin from standard input, never
// from an argument, which other users of the machine can see.
package cli
