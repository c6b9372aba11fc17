package latchbolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/kv/boltkv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// What of each kind of record is taken over from a damaged file.

func (s *salvager) perm(tx *Tx, r boltkv.Relic, b *record.Body) error {
	id := PermissionID(binary.BigEndian.Uint32(r.Key))
	p, err := decodePermission(id, b)
	if err != nil {
		return err
	}
	s.ids.perm = max(s.ids.perm, id)
	if again, err := s.again(tx, salvagePerms, bucketPerm, r.Key); again || err != nil {
		return err
	}
	name := permNameKey(p.App, p.Codename, p.Model)
	if taken, err := tx.has(bucketPermName, name); taken || err != nil {
		s.drop(salvagePerms, bucketPerm, r.Key, "%s is the name of another one", quote(string(p.Perm())))
		return err
	}
	s.counts[salvagePerms].Kept++
	return errors.Join(tx.putID(bucketPermName, name, uint64(id)), tx.put(bucketPerm, r.Key, encodePermission(p)))
}

func (s *salvager) group(tx *Tx, r boltkv.Relic, b *record.Body) error {
	id := keyGroup(r.Key)
	g, err := decodeGroup(id, b)
	if err != nil {
		return err
	}
	s.ids.group = max(s.ids.group, id)
	if again, err := s.again(tx, salvageGroups, bucketGroup, r.Key); again || err != nil {
		return err
	}
	if taken, err := tx.has(bucketGroupName, nameKey(g.Name)); taken || err != nil {
		s.drop(salvageGroups, bucketGroup, r.Key, "%s is the name of another one", quote(g.Name))
		return err
	}
	s.counts[salvageGroups].Kept++
	return errors.Join(tx.putID(bucketGroupName, nameKey(g.Name), uint64(id)), tx.put(bucketGroup, r.Key, g.encode()))
}

func (s *salvager) user(tx *Tx, r boltkv.Relic, b *record.Body) error {
	id := keyUser(r.Key)
	u, err := decodeUser(id, b)
	if err != nil {
		return err
	}
	s.ids.user = max(s.ids.user, id)
	if again, err := s.again(tx, salvageUsers, bucketUser, r.Key); again || err != nil {
		return err
	}
	if other, err := tx.idByName(u.Username); other != 0 || err != nil {
		s.drop(salvageUsers, bucketUser, r.Key, "%s is the name of user %d", quote(u.Username), other)
		return err
	}
	if s.trusted(r) {
		s.counts[salvageUsers].Kept++
	} else {
		s.counts[salvageUsers].Stripped++
		s.stripped[id] = true
		s.found(fmt.Sprintf("%s %x", bucketUser, r.Key), "user %s may be out of date, and was stripped of password and rights", quote(u.Username))
		u.Inactive, u.Staff, u.Superuser, u.Groups, u.objects = true, false, false, nil, false
		u.hash = PasswordHash{}
	}
	if err := tx.indexUser(nil, u); err != nil {
		return err
	}
	groups := u.Groups
	u.Groups = nil
	for _, g := range groups {
		s.ids.group = max(s.ids.group, g)
		switch ok, err := tx.has(bucketGroup, groupKey(g)); {
		case err != nil:
			return err
		case !ok:
			s.lose(salvageGroups, bucketGroup, groupKey(g), "user %d was in it", id)
			continue
		}
		if err := tx.enter(u, g); err != nil {
			return err
		}
	}
	tx.countHash(PasswordHash{}, u.hash)
	return tx.putUser(u)
}

func (s *salvager) grant(tx *Tx, r boltkv.Relic, b *record.Body) error {
	subject, ok := parseSubject(r.Key)
	if err := b.Done(); err != nil || !ok || len(r.Key) < grantObjectFrom {
		return corrupt("not a grant", err)
	}
	p, o := PermissionID(binary.BigEndian.Uint32(r.Key[subjectLen:])), Object(r.Key[grantObjectFrom:])
	s.ids.perm = max(s.ids.perm, p)
	if !s.trusted(r) {
		s.drop(salvageGrants, bucketGrant, r.Key, "it may have been withdrawn since")
		return nil
	}
	if again, err := s.again(tx, salvageGrants, bucketGrant, r.Key); again || err != nil {
		return err
	}
	switch ok, err := s.powerful(tx, subject); {
	case err != nil:
		return err
	case !ok:
		s.drop(salvageGrants, bucketGrant, r.Key, "whom it was given to is lost, or was stripped")
		return nil
	}
	switch ok, err := tx.has(bucketPerm, permKey(p)); {
	case err != nil:
		return err
	case !ok:
		s.lose(salvagePerms, bucketPerm, permKey(p), "it was granted")
		s.drop(salvageGrants, bucketGrant, r.Key, "permission %d is lost", p)
		return nil
	}
	s.counts[salvageGrants].Kept++
	return errors.Join(tx.mark(bucketGrant, r.Key), tx.mark(bucketHolder, holderKey(p, subject, o)), tx.noteObjects(subject, o != ""))
}

// powerful reports whether a subject is there, and may have rights.
func (s *salvager) powerful(tx *Tx, subject Subject) (bool, error) {
	if id, ok := subject.(GroupID); ok {
		s.ids.group = max(s.ids.group, id)
		there, err := tx.has(bucketGroup, groupKey(id))
		if !there && err == nil {
			s.lose(salvageGroups, bucketGroup, groupKey(id), "it had a permission")
		}
		return there, err
	}
	id := subject.(UserID)
	s.ids.user = max(s.ids.user, id)
	there, err := tx.has(bucketUser, userKey(id))
	if !there && err == nil {
		s.lose(salvageUsers, bucketUser, userKey(id), "the user had a permission")
	}
	return there && !s.stripped[id], err
}

func (s *salvager) login(tx *Tx, r boltkv.Relic, b *record.Body) error {
	at := readTime(b)
	if err := b.Done(); err != nil {
		return err
	}
	return s.loggedIn(tx, keyUser(r.Key), bucketLogin, r.Key, at)
}

// newLogin takes the login from a session that was not merged yet.
func (s *salvager) newLogin(tx *Tx, r boltkv.Relic, b *record.Body) error {
	at := readTime(b)
	if err := b.Done(); err != nil {
		return err
	}
	return s.loggedIn(tx, keyUser(r.Key), bucketSessionNew, r.Key, at)
}

func (s *salvager) loggedIn(tx *Tx, id UserID, b kv.Bucket, key []byte, at time.Time) error {
	there, err := tx.has(bucketUser, userKey(id))
	if err != nil {
		return err
	}
	if !there {
		s.ids.user = max(s.ids.user, id)
		s.drop(salvageLogins, b, key, "user %d is not there", id)
		return nil
	}
	last, err := tx.storedLogin(id)
	if err != nil || !at.After(last) {
		return err
	}
	if last.IsZero() {
		s.counts[salvageLogins].Kept++
	}
	return tx.put(bucketLogin, userKey(id), timeRecord(at))
}

func (s *salvager) counter(tx *Tx, r boltkv.Relic, b *record.Body) error {
	t, err := decodeThrottle(r.Key, b)
	if err != nil {
		return err
	}
	if again, err := s.again(tx, salvageCounters, bucketThrottle, r.Key); again || err != nil {
		return err
	}
	if r.Key[0] == throttleUser {
		switch there, err := tx.has(bucketUser, r.Key[1:]); {
		case err != nil:
			return err
		case !there:
			s.drop(salvageCounters, bucketThrottle, r.Key, "the user is not there")
			return nil
		}
	}
	s.counts[salvageCounters].Kept++
	return tx.put(bucketThrottle, r.Key, t.encode())
}

func (s *salvager) audit(tx *Tx, r boltkv.Relic, b *record.Body) error {
	a, err := decodeAudit(r.Key, b)
	if err != nil {
		return err
	}
	if again, err := s.again(tx, salvageAudit, bucketAudit, r.Key); again || err != nil {
		return err
	}
	s.ids.user = max(s.ids.user, a.User, a.Actor)
	s.counts[salvageAudit].Kept++
	return tx.put(bucketAudit, r.Key, encodeAudit(a))
}
