// Command engine opens a file and waits.
package main

import (
	"os"

	"github.com/latchbolt-go/latchbolt"
)

func main() {
	eng, err := latchbolt.Open(os.Args[1], &latchbolt.Config{Create: true})
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("ready\n")
	os.Stdin.Read(make([]byte, 1))
	if err := eng.Close(); err != nil {
		panic(err)
	}
}
