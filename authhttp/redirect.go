package authhttp

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxRedirect is the length in characters of the longest target that is looked at, as in Django.
const maxRedirect = 2048

// SafeRedirect reports whether sending a browser to target keeps it on this site or on one of hosts, whose ports
// count. With https, a target that names the http scheme is refused. It is
// Django's url_has_allowed_host_and_scheme, and gives the same answers.
func SafeRedirect(target string, hosts []string, https bool) bool {
	if len(target) > 4*maxRedirect { // before any work
		return false
	}
	target = strings.TrimFunc(target, isSpace)
	// Browsers take a backslash for a slash, except in a user name: both readings have to be safe.
	return safeReading(target, hosts, https) && safeReading(strings.ReplaceAll(target, `\`, "/"), hosts, https)
}

// isSpace is white space as Python's str.strip knows it.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func safeReading(target string, hosts []string, https bool) bool {
	if target == "" || strings.HasPrefix(target, "///") || utf8.RuneCountInString(target) > maxRedirect {
		return false
	}
	if r, _ := utf8.DecodeRuneInString(target); isOther(r) {
		return false
	}
	scheme, host := splitTarget(target)
	if host == "" {
		return scheme == ""
	}
	if scheme == "" {
		scheme = "http" // the browser goes on with what it has
		if https {
			return false
		}
	}
	return slices.Contains(hosts, host) && (scheme == "https" || scheme == "http" && !https)
}

// isOther reports whether r is in one of Unicode's categories C: controls, formats,
// surrogates, private use, unassigned.
func isOther(r rune) bool {
	return r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z)
}

// splitTarget finds scheme and host as browsers do: controls in front and tabs and line breaks
// anywhere do not count, and the host ends at the first slash, question mark or number sign.
func splitTarget(target string) (scheme, host string) {
	target = strings.TrimLeftFunc(target, func(r rune) bool { return r <= ' ' })
	target = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(target)
	if i := strings.IndexByte(target, ':'); i > 0 && isScheme(target[:i]) {
		scheme, target = strings.ToLower(target[:i]), target[i+1:]
	}
	if !strings.HasPrefix(target, "//") {
		return scheme, ""
	}
	host = target[2:]
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	return scheme, host
}

func isScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if i == 0 && !letter || !letter && (c < '0' || c > '9') && !strings.ContainsRune("+-.", rune(c)) {
			return false
		}
	}
	return true
}

// finalLocation is target as it leaves in a header: what is not printable ASCII is escaped. Nothing changes
// it afterwards, so what is checked is what leaves.
func finalLocation(target string) string {
	var b strings.Builder
	for _, c := range []byte(target) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\' || c == '^' || c == '`' || c == '{' || c == '|' || c == '}' {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// hosts are the hosts that a redirect may name.
func (a *Auth) hosts(r *http.Request) []string {
	own := r.Host
	if a.setup.base != nil {
		own = a.setup.base.Host
	}
	if own == "" {
		return a.RedirectHosts
	}
	return append([]string{own}, a.RedirectHosts...)
}

// safeNext returns where a request asks to be sent, in the form in which it leaves, or "" if
// it does not ask or must not be followed.
func (a *Auth) safeNext(r *http.Request, next string) string {
	next = strings.TrimFunc(next, isSpace)
	if next == "" || !SafeRedirect(next, a.hosts(r), !a.Insecure) {
		return ""
	}
	if next = finalLocation(next); !SafeRedirect(next, a.hosts(r), !a.Insecure) || !a.absolute(next) {
		return ""
	}
	return next
}

// absolute reports whether a safe target means the same wherever it is followed: it is a path
// from the root, or names a host. A browser that resolves dots must not come to two slashes either.
func (a *Auth) absolute(target string) bool {
	if _, host := splitTarget(target); host != "" {
		return true
	}
	return strings.HasPrefix(target, "/") && !dotsLeadOut(target)
}

// dotsLeadOut reports whether resolving the dots of a path gives one that starts with two slashes.
func dotsLeadOut(target string) bool {
	path := target
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	var out []string
	segments := strings.Split(path[1:], "/")
	for i, seg := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(seg), "%2e", ".") {
		case "..":
			out = out[:max(len(out)-1, 0)]
			fallthrough
		case ".":
			if last {
				out = append(out, "") // dots at the end leave their slash
			}
			continue
		}
		out = append(out, seg)
	}
	return len(out) > 1 && out[0] == "" || strings.HasPrefix(strings.ToLower(strings.Join(out, "/")), "%5c")
}

// redirect sends the client to a target of this package's own or one that safeNext returned. It
// does not use [http.Redirect], which would change the target after it was checked.
func redirect(w http.ResponseWriter, target string, status int) {
	w.Header().Set("Location", target)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
}

// loginLocation is a login URL with a field that says where to go afterwards. A field of that
// name that is there already is replaced; an empty name adds nothing. Slashes stay readable.
func loginLocation(loginURL, field, next string) string {
	if field == "" {
		return loginURL
	}
	rest, frag, hasFrag := strings.Cut(loginURL, "#")
	path, query, _ := strings.Cut(rest, "?")
	pair := escapeQuery(field) + "=" + escapeQuery(next)
	var pairs []string
	placed := false
	for p := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(p, "=")
		key, err := url.QueryUnescape(k)
		if p == "" || err != nil {
			continue
		}
		if key == field {
			if !placed {
				pairs = append(pairs, pair)
			}
			placed = true
			continue
		}
		if value, err := url.QueryUnescape(v); err == nil {
			v = escapeQuery(value)
		}
		pairs = append(pairs, escapeQuery(key)+"="+v)
	}
	if !placed {
		pairs = append(pairs, pair)
	}
	out := path + "?" + strings.Join(pairs, "&")
	if hasFrag {
		out += "#" + frag
	}
	return out
}

func escapeQuery(s string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(s))
}

// nextFor is what a login page is told to lead back to: a path if it is on the
// same site, else the whole address.
func nextFor(loginURL string, r *http.Request, scheme string) string {
	target := r.URL.RequestURI()
	s, host := splitTarget(loginURL)
	if (s == "" || s == scheme) && (host == "" || host == r.Host) {
		return target
	}
	return scheme + "://" + r.Host + target
}
