package cli

// addAccountVerbs adds the commands about users, groups, permissions and sessions.
func (t *tree) addAccountVerbs() {
	t.root.AddCommand(
		t.createSuperuser(),
		t.changePassword(),
		t.clearSessions(),
		t.userCommand(),
		t.groupCommand(),
		t.permCommand(),
		t.authenticate(),
		t.sessionCommand(),
	)
}
