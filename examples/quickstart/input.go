package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"io"
	"os"

	"github.com/latchbolt-go/latchbolt/interop/django"
)

//go:embed testdata/*.json
var testdata embed.FS

// Answers are what Django said about the built-in dump.
type Answers struct {
	SecretKey string   `json:"secret_key"`
	Fallbacks []string `json:"secret_key_fallbacks"`
	Perms     []string `json:"perms"` // for which every user was asked
	Users     []UserAnswers
	Sessions  map[string]string // session key → user, "" for nobody
}

// UserAnswers are those about one user.
type UserAnswers struct {
	Username  string
	Password  *string  // nil: none that is known
	LogsIn    bool     `json:"logs_in"` // with that password
	Algorithm string   // of the hash, "" if Django does not know it
	Perms     []string // of Answers.Perms, those that has_perm grants
}

// onPurpose are the users for whom the answer differs, with the reason; see docs/MIGRATING.md.
var onPurpose = map[string]string{
	"niaj": "plain bcrypt refuses a password of more than 72 bytes",
}

// An input is a dump with what is known about it.
type input struct {
	name    string
	dump    io.ReadCloser
	options django.ImportOptions
	answers *Answers // nil for a dump of the user's own
}

// builtIn is the dump that is part of the program.
func builtIn() (*input, error) {
	var a Answers
	data, err := testdata.ReadFile("testdata/answers.json")
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err != nil {
		return nil, err
	}
	dump, err := testdata.Open("testdata/auth.json")
	if err != nil {
		return nil, err
	}
	sessions, err := testdata.ReadFile("testdata/sessions_dump.json")
	if err != nil {
		return nil, err
	}
	return &input{name: "the built-in dump", dump: dump, answers: &a, options: django.ImportOptions{
		SecretKey: a.SecretKey, SecretKeyFallbacks: a.Fallbacks, Sessions: bytes.NewReader(sessions)}}, nil
}

// open returns the dump at a path, or the built-in one if it is empty.
func open(path string) (*input, error) {
	if path == "" {
		return builtIn()
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &input{name: path, dump: f, options: django.ImportOptions{SecretKey: os.Getenv("DJANGO_SECRET_KEY")}}, nil
}
