// Command empty does nothing but wait: it is what other programs are compared with.
package main

import "os"

func main() {
	os.Stdout.WriteString("ready\n")
	os.Stdin.Read(make([]byte, 1))
}
