module github.com/latchbolt-go/latchbolt

go 1.26

toolchain go1.26.8
