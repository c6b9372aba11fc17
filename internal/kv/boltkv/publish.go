package boltkv

// Publish gives the file temp, which must be whole, synced and closed, its name in one durable
// step, for those who make a file in more than one transaction. An error that is [fs.ErrExist]
// says that there is something at path, which is left as it is; temp then stays too.
func Publish(temp, path string) error { return publish(temp, path, false) }

// Replace is [Publish] for a path at which something may be. Until it returns, either file is there.
func Replace(temp, path string) error { return publish(temp, path, true) }
