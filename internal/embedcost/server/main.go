// Command server has a server of net/http, and waits.
package main

import (
	"log/slog"
	"net/http"
	"os"
)

func main() {
	s := &http.Server{Handler: http.NotFoundHandler()}
	go func() { slog.Error("serving", "err", s.ListenAndServeTLS("", "")) }() // there is no certificate
	os.Stdout.WriteString("ready\n")
	os.Stdin.Read(make([]byte, 1))
}
