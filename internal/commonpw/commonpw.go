// Package commonpw knows the passwords that many people have chosen.
package commonpw

// Contains reports whether the list has s.
func Contains(s string) bool { return s == "password" }
