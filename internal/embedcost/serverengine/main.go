// Command serverengine has a server of net/http and an open file, and waits.
package main

import (
	"log/slog"
	"net/http"
	"os"

	"github.com/latchbolt-go/latchbolt"
)

func main() {
	eng, err := latchbolt.Open(os.Args[1], &latchbolt.Config{Create: true})
	if err != nil {
		panic(err)
	}
	s := &http.Server{Handler: http.NotFoundHandler()}
	go func() { slog.Error("serving", "err", s.ListenAndServeTLS("", "")) }() // there is no certificate
	os.Stdout.WriteString("ready\n")
	os.Stdin.Read(make([]byte, 1))
	if err := eng.Close(); err != nil {
		panic(err)
	}
}
