// Package testsize says how much tests do: what is enough for every day, or what CI does.
package testsize

import "os"

// Full reports whether tests are to have the size of CI: if LATCHBOLT_CI or LATCHBOLT_LONG is set. Otherwise it is an everyday run, which has
// to end within two minutes on two cores.
func Full() bool { return os.Getenv("LATCHBOLT_CI") != "" || os.Getenv("LATCHBOLT_LONG") != "" }

// Of returns how large something is that a test works through: everyday, or ci in the size of CI.
func Of(everyday, ci int) int {
	if Full() {
		return ci
	}
	return everyday
}
