//go:build race

package latchbolt_test

// raceEnabled tells that the race detector is on, which makes memory dear.
const raceEnabled = true
