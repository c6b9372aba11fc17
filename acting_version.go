package latchbolt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// A Version stands for one state of something that is edited. A change that names the
// version it was decided upon fails with [ErrConflict] if that is not the present one, so that nobody
// overwrites what somebody else did meanwhile. The empty Version matches any.
type Version string

// check compares with the present state.
func (v Version) check(now Version) error {
	if v != "" && v != now {
		return fmt.Errorf("%w: it was changed meanwhile", ErrConflict)
	}
	return nil
}

// versionOf makes a version of what write adds. It has a key that is in the file, as otherwise who sees a version could try
// out what else of the state, that is not shown to everybody, gives it.
func (tx *ReadTx) versionOf(write func(*cryptobyte.Builder)) (Version, error) {
	var b cryptobyte.Builder
	addCounted(&b, "version")
	write(&b)
	data, err := b.Bytes()
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, tx.e.meta.secret[:])
	mac.Write(data)
	return Version(base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:12])), nil
}

func addCounted(b *cryptobyte.Builder, s string) {
	b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes([]byte(s)) })
}

// userVersion is of what an administrator can change of a user; the password is not part of it.
func (tx *ReadTx) userVersion(u *userRecord) (Version, error) {
	return tx.versionOf(func(b *cryptobyte.Builder) {
		b.AddUint64(uint64(u.ID))
		for _, s := range []string{u.Username, u.Email, u.FirstName, u.LastName} {
			addCounted(b, s)
		}
		b.AddUint8(flag(u.Inactive, userInactive) | flag(u.Staff, userStaff) | flag(u.Superuser, userSuperuser))
		for _, g := range u.Groups {
			b.AddUint64(uint64(g))
		}
	})
}

// groupVersion is of a group's name.
func (tx *ReadTx) groupVersion(g *groupRecord) (Version, error) {
	return tx.versionOf(func(b *cryptobyte.Builder) {
		b.AddUint64(uint64(g.ID))
		addCounted(b, g.Name)
	})
}

// grantsVersion is of what was granted.
func (tx *ReadTx) grantsVersion(grants []Grant) (Version, error) {
	return tx.versionOf(func(b *cryptobyte.Builder) {
		for _, g := range grants {
			b.AddUint32(uint32(g.Permission.ID))
			addCounted(b, string(g.Object))
		}
	})
}
