package cli

import (
	"context"
	"io"
	"path/filepath"
)

// A front is where the person or the script is that gave a command: this process's terminal, files and environment, or
// those of the other end of the control socket. Commands use nothing else of their surroundings.
type front interface {
	Stdin() io.Reader
	Stdout() io.Writer
	Stderr() io.Writer
	// ReadLine shows a prompt and reads a line, without its end. The error is io.EOF if there is no more.
	ReadLine(ctx context.Context, prompt string) (string, error)
	// ReadPassword is ReadLine without echo.
	ReadPassword(ctx context.Context, prompt string) (string, error)
	// Open opens a file for reading; size is -1 if it has none, such as a pipe. Where it has to be fetched first, no more of it is than
	// most bytes and one that tells that it is too much; 0 is no limit.
	Open(name string, most int64) (r io.ReadCloser, size int64, err error)
	Place() *place
}

// A place describes a front. It is what crosses the control socket first.
type place struct {
	Dir    string            `json:"dir"`  // the working folder
	User   string            `json:"user"` // the name that the system knows the person by
	In     bool              `json:"in"`   // standard input is a terminal
	Out    bool              `json:"out"`  // standard output is
	Err    bool              `json:"err"`  // standard error is
	Width  int               `json:"width"`
	Env    map[string]string `json:"env"` // variables that start with envPrefix, and NO_COLOR and TERM
	Color  bool              `json:"color"`
	Prefix string            `json:"prefix"` // the command as it was typed, up to the verb: "myapp auth"
}

// envPrefix starts the names of this package's environment variables.
const envPrefix = "LATCHBOLT_"

// abs makes a path of the front's one that holds elsewhere too.
func (p *place) abs(name string) (string, error) {
	switch {
	case name == "": // else it would be the folder itself
		return "", usagef("a file or folder has no name")
	case filepath.IsAbs(name):
		return filepath.Clean(name), nil
	case p.Dir == "": // elsewhere it would be in another folder
		return "", notFoundf("the folder that %s is in cannot be told: was it removed? Give a whole path", clean(name))
	}
	return filepath.Join(p.Dir, name), nil
}
