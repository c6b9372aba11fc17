package pwhash

// Outdated reports whether h should be replaced by what m makes: if h is cheaper
// to guess, or as dear and weaker in another way. A hash that is dearer to guess is never
// outdated; Django replaces every hash that differs. The two need not be of one
// algorithm; where guessing costs the same, another algorithm is outdated.
func Outdated(m Maker, h Hash) bool {
	if got, want := strength(h), strength(m); got != want {
		return got < want
	}
	switch m := m.(type) {
	case *Argon2:
		h, ok := h.(*Argon2)
		return !ok || h.Variety != "argon2id" || h.Memory < m.Memory || len(h.Tag) < newTagLen || weakSalt(string(h.Salt))
	case *PBKDF2:
		h, ok := h.(*PBKDF2)
		return !ok || h.SHA1 || weakSalt(h.Salt)
	case *Bcrypt:
		h, ok := h.(*Bcrypt)
		return !ok || !h.SHA256
	case *Scrypt:
		h, ok := h.(*Scrypt)
		return !ok || h.N*h.R < m.N*m.R
	}
	return false
}

// hardness is by how much more a unit of work costs who guesses with graphics
// processors if it needs memory. Argon2id at OWASP's minimum (136,192 units) moves about
// 115 MB for each guess, read and written; at the 1 TB/s of an RTX 4090 that makes at most 8,800 guesses
// a second, as many as hashcat makes of PBKDF2-HMAC-SHA256 with 1,000,000 iterations there:
// 1,000,000 / 136,192 is 7.3, rounded to a power of two.
const hardness = 8

// hardMemory is the memory in bytes from which on a hash counts as hard: 7 MiB is
// the least that the OWASP Password Storage Cheat Sheet has for argon2id.
const hardMemory = 7 << 20

// strength is what guessing a hash costs, in units of PBKDF2.
func strength(h interface{ Cost() int64 }) int64 {
	switch h := h.(type) {
	case *Argon2:
		if int64(h.Memory)<<10 >= hardMemory {
			return h.Cost() * hardness
		}
	case *Scrypt:
		if 128*int64(h.N)*int64(h.R) >= hardMemory {
			return h.Cost() * hardness
		}
	}
	return h.Cost()
}

// weakSalt is Django's rule: characters of an alphabet of 62 give 128 bits from
// 22 on. Django does not look at the salts of bcrypt and scrypt.
func weakSalt(salt string) bool { return len([]rune(salt)) < newSaltLen }
