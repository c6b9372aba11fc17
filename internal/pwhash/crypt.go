package pwhash

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"strings"
)

// Crypt is one of the forms of crypt(3) that are made of a fast digest and many
// rounds: $1$ (MD5), $apr1$ (the same with another name, of htpasswd), $5$ (SHA-256) and $6$ (SHA-512).
type Crypt struct {
	kind   *cryptKind
	rounds int64
	salt   string
	hash   string // in crypt's base 64
}

type cryptKind struct {
	ident     string // between the first two dollar signs
	algorithm string
	new       func() hash.Hash
	milli     int64 // weight of a block
	lenField  int   // bytes of the length at the end of the last block
	maxSalt   int   // characters; crypt(3) cuts longer salts, and writes them cut
	rounds    int64 // if the text does not say
	// order tells which byte of the digest goes where: three by three, from
	// the high bits of 24 to the low. -1 is no byte.
	order []int
}

var cryptKinds = map[string]*cryptKind{
	"1": {ident: "1", algorithm: "md5_crypt", new: md5.New, milli: milliMD5, lenField: 8, maxSalt: 8, rounds: 1000, order: md5Order},
	// Apache's differs only in the name, which is hashed too.
	"apr1": {ident: "apr1", algorithm: "apr1", new: md5.New, milli: milliMD5, lenField: 8, maxSalt: 8, rounds: 1000, order: md5Order},
	"5":    {ident: "5", algorithm: "sha256_crypt", new: sha256.New, milli: milliSHA256, lenField: 8, maxSalt: 16, rounds: 5000, order: sha256Order},
	"6":    {ident: "6", algorithm: "sha512_crypt", new: sha512.New, milli: milliSHA512, lenField: 16, maxSalt: 16, rounds: 5000, order: sha512Order},
}

var (
	md5Order    = []int{0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 4, 10, 5, -1, -1, 11}
	sha256Order = []int{
		0, 10, 20, 21, 1, 11, 12, 22, 2, 3, 13, 23, 24, 4, 14, 15, 25, 5,
		6, 16, 26, 27, 7, 17, 18, 28, 8, 9, 19, 29, -1, 31, 30,
	}
	sha512Order = []int{
		0, 21, 42, 22, 43, 1, 44, 2, 23, 3, 24, 45, 25, 46, 4, 47, 5, 26,
		6, 27, 48, 28, 49, 7, 50, 8, 29, 9, 30, 51, 31, 52, 10, 53, 11, 32,
		12, 33, 54, 34, 55, 13, 56, 14, 35, 15, 36, 57, 37, 58, 16, 59, 17, 38,
		18, 39, 60, 40, 61, 19, 62, 20, 41, -1, -1, 63,
	}
)

const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func parseCrypt(ident, rest string) (Hash, error) {
	k := cryptKinds[ident]
	h := &Crypt{kind: k, rounds: k.rounds}
	if tail, ok := strings.CutPrefix(rest, "rounds="); ok && k.maxSalt == 16 {
		digits, tail, _ := strings.Cut(tail, "$")
		var err error
		if h.rounds, err = number(k.algorithm, "rounds", digits, minCryptRounds, maxCryptRounds); err != nil {
			return nil, err
		}
		rest = tail
	}
	var ok bool
	if h.salt, h.hash, ok = strings.Cut(rest, "$"); !ok || len(h.salt) > k.maxSalt {
		return nil, malformed(k.algorithm, "not a salt of at most %d bytes, $ and the hash", k.maxSalt)
	}
	if strings.ContainsAny(h.salt, ":\n\x00") {
		return nil, malformed(k.algorithm, "the salt has a character that crypt refuses")
	}
	if want := len(k.encode(make([]byte, k.new().Size()))); len(h.hash) != want || strings.Trim(h.hash, cryptAlphabet) != "" {
		return nil, malformed(k.algorithm, "the hash is not %d characters of crypt's base 64", want)
	}
	return h, nil
}

// Algorithm implements [Hash].
func (h *Crypt) Algorithm() string { return h.kind.algorithm }

// Summary implements [Hash].
func (h *Crypt) Summary() string { return fmt.Sprintf("%s rounds=%d", h.kind.algorithm, h.rounds) }

// Cost implements [Hash].
func (h *Crypt) Cost() int64 { return h.Work(maxCryptPassword) }

// Work implements [Hash]. It counts the blocks of the rounds, and of the digest over the
// password repeated as often as it is long.
func (h *Crypt) Work(n int) int64 {
	if n > maxCryptPassword {
		return 0
	}
	d := h.kind.new()
	size, block := d.Size(), d.BlockSize()
	sum := 0
	for i := range cryptCycle {
		length := size + n
		if i%3 != 0 {
			length += len(h.salt)
		}
		if i%7 != 0 {
			length += n
		}
		sum += (length + 1 + h.kind.lenField + block - 1) / block
	}
	return units(h.rounds*int64(sum)/cryptCycle+int64(n*n/block), h.kind.milli)
}

// cryptCycle is after how many rounds what they hash repeats: 2*3*7.
const cryptCycle = 42

// Verify implements [Hash].
func (h *Crypt) Verify(password string) bool {
	if len(password) > maxCryptPassword {
		return false
	}
	got := h.kind.encode(h.digest([]byte(password)))
	return equal([]byte(got), []byte(h.hash))
}

func (h *Crypt) digest(pw []byte) []byte {
	salt, p, s := []byte(h.salt), pw, []byte(h.salt)
	var a []byte
	if h.kind.maxSalt == 16 {
		a, p, s = h.startSHA(pw, salt)
	} else {
		a = h.startMD5(pw, salt)
	}
	d := h.kind.new()
	for i := range h.rounds {
		d.Reset()
		if i&1 != 0 {
			d.Write(p)
		} else {
			d.Write(a)
		}
		if i%3 != 0 {
			d.Write(s)
		}
		if i%7 != 0 {
			d.Write(p)
		}
		if i&1 != 0 {
			d.Write(a)
		} else {
			d.Write(p)
		}
		a = d.Sum(a[:0])
	}
	return a
}

// startMD5 is what comes before the rounds of Poul-Henning Kamp's MD5 crypt.
func (h *Crypt) startMD5(pw, salt []byte) []byte {
	b := h.sum(pw, salt, pw)
	d := h.kind.new()
	d.Write(pw)
	d.Write([]byte("$" + h.kind.ident + "$"))
	d.Write(salt)
	d.Write(repeat(b, len(pw)))
	for n := len(pw); n > 0; n >>= 1 {
		if n&1 != 0 {
			d.Write([]byte{0})
		} else {
			d.Write(pw[:1])
		}
	}
	return d.Sum(nil)
}

// startSHA is what comes before the rounds of Ulrich Drepper's SHA-crypt. It
// returns the first digest and what the rounds take for password and salt.
func (h *Crypt) startSHA(pw, salt []byte) (a, p, s []byte) {
	b := h.sum(pw, salt, pw)
	d := h.kind.new()
	d.Write(pw)
	d.Write(salt)
	d.Write(repeat(b, len(pw)))
	for n := len(pw); n > 0; n >>= 1 {
		if n&1 != 0 {
			d.Write(b)
		} else {
			d.Write(pw)
		}
	}
	a = d.Sum(nil)
	d.Reset()
	for range pw {
		d.Write(pw)
	}
	p = repeat(d.Sum(nil), len(pw))
	d.Reset()
	for range 16 + int(a[0]) {
		d.Write(salt)
	}
	return a, p, repeat(d.Sum(nil), len(salt))
}

func (h *Crypt) sum(parts ...[]byte) []byte {
	d := h.kind.new()
	for _, p := range parts {
		d.Write(p)
	}
	return d.Sum(nil)
}

// repeat returns n bytes of b, b, b…
func repeat(b []byte, n int) []byte {
	out := make([]byte, 0, n+len(b))
	for len(out) < n {
		out = append(out, b...)
	}
	return out[:n]
}

// encode writes a digest in crypt's base 64, which begins with the low bits and
// takes the bytes in an order of its own.
func (k *cryptKind) encode(sum []byte) string {
	out := make([]byte, 0, 86)
	for i := 0; i < len(k.order); i += 3 {
		var w, bytes uint32
		for _, at := range k.order[i : i+3] {
			w <<= 8
			if at >= 0 {
				w |= uint32(sum[at])
				bytes++
			}
		}
		for range bytes + 1 { // 8 bits take 2 characters, 16 take 3, 24 take 4
			out = append(out, cryptAlphabet[w&63])
			w >>= 6
		}
	}
	return string(out)
}
