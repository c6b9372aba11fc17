//go:build !race

package django_test

const raceDetector = false
