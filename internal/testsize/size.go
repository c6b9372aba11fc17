// Package testsize says how much tests do: what is enough for every day, or what CI does.
package testsize

import (
	"os"
	"runtime/debug"
	"strings"
)

// Full reports whether tests are to have the size of CI: if LATCHBOLT_FULL is set, or one of LATCHBOLT_CI and LATCHBOLT_LONG, which make the
// campaign's proofs large as well. Otherwise it is an everyday run, which has to end within two minutes on two cores.
func Full() bool {
	for _, variable := range []string{"LATCHBOLT_FULL", "LATCHBOLT_CI", "LATCHBOLT_LONG"} {
		if os.Getenv(variable) != "" {
			return true
		}
	}
	return false
}

// Of returns how large something is that a test works through: everyday, or ci in the size of CI.
func Of(everyday, ci int) int {
	if Full() {
		return ci
	}
	return everyday
}

// Collect lets the garbage collector of an everyday run work a quarter as often, unless GOGC or any LATCHBOLT variable is set. It has much to
// do where tests open hundreds of small files, and that was a quarter of the time of such a package.
func Collect() {
	for _, text := range os.Environ() {
		if strings.HasPrefix(text, "GOGC=") || strings.HasPrefix(text, "LATCHBOLT_") {
			return
		}
	}
	debug.SetGCPercent(400)
}
