package pwhash

// Outdated reports whether h should be replaced by what m makes: if h costs less,
// or as much and is weaker in another way. A hash that costs more is never
// outdated, since replacing it would make guessing cheaper; Django replaces
// every hash that differs. The two need not be of one algorithm; at the
// same cost another algorithm is outdated.
func Outdated(m Maker, h Hash) bool {
	if got, want := h.Cost(), m.Cost(); got != want {
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

// weakSalt is Django's rule: characters of an alphabet of 62 give 128 bits from
// 22 on. Django does not look at the salts of bcrypt and scrypt.
func weakSalt(salt string) bool { return len([]rune(salt)) < newSaltLen }
