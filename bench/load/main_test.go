package main

import (
	"io"
	"strings"
	"testing"
)

func TestBadArguments(t *testing.T) {
	for args, want := range map[string]string{
		"sleep":               `there is no load "sleep"`,
		"-clients 0":          "greater than 0",
		"-for 0s browse":      "greater than 0",
		"-requests -1 browse": "greater than 0",
		"-users 7":            "not defined",
	} {
		if err := run(t.Context(), strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
