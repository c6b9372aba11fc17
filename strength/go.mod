module github.com/latchbolt-go/latchbolt/strength

go 1.26.0

require (
	github.com/ccojocar/zxcvbn-go v1.0.4
	github.com/latchbolt-go/latchbolt v0.0.0
)

require golang.org/x/text v0.43.0 // indirect

replace github.com/latchbolt-go/latchbolt => ../
