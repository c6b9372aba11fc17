module github.com/latchbolt-go/latchbolt/strength

go 1.26.0

toolchain go1.26.8

require (
	github.com/ccojocar/zxcvbn-go v1.0.4
	github.com/latchbolt-go/latchbolt v0.0.0
)

require (
	go.etcd.io/bbolt v1.5.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/latchbolt-go/latchbolt => ../
