package latchbolt

import "github.com/latchbolt-go/latchbolt/internal/commonpw"

// isCommon reports whether key, a password in lower case without outer white
// space, is on the built-in list.
func isCommon(key string) bool { return commonpw.Contains(key) }
