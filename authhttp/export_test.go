package authhttp

import (
	"net/http"
	"net/netip"
)

// CookieNamed is the value of a cookie as the middleware reads it.
func CookieNamed(r *http.Request, name string) (string, bool) { return cookieNamed(r, name) }

// LoginLocation is where a person is sent to log in, with the way back in a field.
func LoginLocation(loginURL, field, next string) string { return loginLocation(loginURL, field, next) }

// FinalLocation is a target as it leaves.
func FinalLocation(target string) string { return finalLocation(target) }

// SafeNext is where a request is sent that asks for a target; "" if it is not.
func (a *Auth) SafeNext(r *http.Request, next string) string {
	a.ready()
	return a.safeNext(r, next)
}

// HopAddr reads an element of a forwarded header.
func HopAddr(elem string, rfc7239 bool) (netip.Addr, bool) { return hopAddr(elem, rfc7239) }

// CodeTexts are the texts that stand in the code.
func CodeTexts() []string { return codeTexts }
