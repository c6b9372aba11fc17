module github.com/latchbolt-go/latchbolt

go 1.26.0

toolchain go1.26.8

require (
	go.etcd.io/bbolt v1.5.0
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.49.0
	golang.org/x/text v0.43.0
)

require github.com/anishathalye/porcupine v1.3.1
