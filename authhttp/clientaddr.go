package authhttp

import (
	"net/http"
	"net/netip"
	"strings"
)

const (
	maxHops = 32 // proxies one behind the other
	maxHop  = 64 // bytes in one element of a forwarded header that are looked at
)

// peerAddr returns the address of who opened the connection; it is not valid if that is no address.
func peerAddr(r *http.Request) netip.Addr {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return plain(ap.Addr())
	}
	if addr, err := netip.ParseAddr(r.RemoteAddr); err == nil {
		return plain(addr)
	}
	return netip.Addr{}
}

// plain gives each address one form.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func contains(ps []netip.Prefix, a netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// addr returns the client's address, which is found once.
func (s *request) addr() netip.Addr {
	s.found.Do(func() { s.from = s.a.clientAddr(s.in) })
	return s.from
}

// clientAddr goes back from the connection through the proxies that are trusted, and stops at
// the first address that is none of them. What stands further to the left anybody could have written.
func (a *Auth) clientAddr(r *http.Request) netip.Addr {
	at := peerAddr(r)
	if len(a.TrustedProxies) == 0 || !contains(a.TrustedProxies, at) {
		return at
	}
	name := orElse(a.ForwardedHeader, "X-Forwarded-For")
	lines := r.Header[name]
	for hops := 0; hops < maxHops && len(lines) > 0; {
		line := lines[len(lines)-1]
		i := strings.LastIndexByte(line, ',')
		elem := line[i+1:]
		if i < 0 {
			lines = lines[:len(lines)-1]
		} else {
			lines = append(lines[:len(lines)-1:len(lines)-1], line[:i])
		}
		hops++
		next, ok := hopAddr(elem, name == "Forwarded")
		if !ok {
			return at
		}
		if at = next; !contains(a.TrustedProxies, at) {
			return at
		}
	}
	return at
}

// hopAddr reads one element of a forwarded header.
func hopAddr(elem string, rfc7239 bool) (netip.Addr, bool) {
	if len(elem) > maxHop && !rfc7239 || len(elem) > 4*maxHop {
		return netip.Addr{}, false
	}
	if rfc7239 {
		var ok bool
		if elem, ok = forwardedFor(elem); !ok || len(elem) > maxHop {
			return netip.Addr{}, false
		}
	}
	elem = strings.Trim(elem, " \t")
	if a, err := netip.ParseAddr(elem); err == nil {
		return plain(a), true
	}
	if ap, err := netip.ParseAddrPort(elem); err == nil {
		return plain(ap.Addr()), true
	}
	if strings.HasPrefix(elem, "[") && strings.HasSuffix(elem, "]") {
		if a, err := netip.ParseAddr(elem[1 : len(elem)-1]); err == nil && a.Is6() {
			return plain(a), true
		}
	}
	return netip.Addr{}, false
}

// forwardedFor returns the value of the one "for" in an element such as
// for="[2001:db8::1]:4711";proto=https. Commas inside quotation marks do not occur in
// addresses; an element that was cut there is refused for its odd quotation mark.
func forwardedFor(elem string) (value string, ok bool) {
	for pair := range strings.SplitSeq(elem, ";") {
		k, v, found := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !found || strings.ContainsAny(k, " \t\"") {
			return "", false
		}
		if n := strings.Count(v, `"`); n != 0 && (n != 2 || v[0] != '"' || v[len(v)-1] != '"') {
			return "", false
		}
		if !strings.EqualFold(k, "for") {
			continue
		}
		if ok {
			return "", false // which of the two?
		}
		value, ok = strings.Trim(v, `"`), true
	}
	return value, ok
}
