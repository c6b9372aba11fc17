package cli

// addVerbs adds every command, in the order in which help lists them.
func (t *tree) addVerbs() {
	t.root.AddCommand(
		t.initCommand(),
		t.userCommand(),
		t.salvageCommand(),
	)
}
