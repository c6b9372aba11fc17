package latchbolt

// A PasswordHash is an encoded password hash, such as
// "argon2$argon2id$v=19$m=19456,t=2,p=1$…" in Django's form. It prints as
// "[redacted]"; [PasswordHash.Reveal] gives the text. The zero PasswordHash is
// an unusable password: nothing matches it.
type PasswordHash struct {
	redact
	encoded string
	pepper  uint16 // number of the pepper mixed in; 0 = none
}

// HashInfo describes how a password is kept, without the hash.
type HashInfo struct {
	Usable    bool   // false: no password can match (Django's unusable password)
	Algorithm string // "argon2", "pbkdf2_sha256", …; "" if unknown or unusable
	Summary   string // algorithm and cost for people, such as "argon2id m=19456 t=2 p=1"
}

// A Hasher makes and checks hashes of one algorithm.
type Hasher interface{ Algorithm() string }
