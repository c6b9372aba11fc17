//go:build !race

package damagetest

const raceEnabled = false
