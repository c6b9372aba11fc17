package cli

// addVerbs adds every command, in the order in which help lists them.
func (t *tree) addVerbs() {
	t.root.AddCommand(
		t.initCommand(),
		t.infoCommand(),
		t.auditCommand(),
		t.importCommand(),
		t.exportCommand(),
		t.backupCommand(),
		t.restoreCommand(),
		t.compactCommand(),
		t.verifyCommand(),
		t.verifyFileCommand(),
		t.snapshotCommand(),
		t.hashCommand(),
		t.completionCommand(),
		t.manCommand(),
		t.versionCommand(),
		t.salvageCommand(),
	)
	t.addAccountVerbs()
}
