module github.com/latchbolt-go/latchbolt/bench

go 1.26.0

toolchain go1.26.8

replace github.com/latchbolt-go/latchbolt => ../

require (
	github.com/alexedwards/scs/v2 v2.9.0
	github.com/latchbolt-go/latchbolt v0.0.0
)

require (
	go.etcd.io/bbolt v1.5.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
