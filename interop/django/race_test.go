//go:build race

package django_test

// raceDetector says that everything takes several times as long.
const raceDetector = true
