package latchbolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// A Finding is one thing that is wrong with a file.
type Finding struct {
	Where string // bucket and key, or "file"
	What  string // what is wrong, in English
}

func (f Finding) String() string { return f.Where + ": " + f.What }

// Verify checks the whole file: its structure, the checksum of every record,
// and that all of them agree with each other. It yields what is wrong and
// nothing if all is well. It holds one transaction while it runs, but none while the body of the loop runs:
// findings are collected first, at most 1000 of them.
//
// Damage may be such that looking at it ends the process; for a file of doubtful origin, run
// it in a process of its own.
func (e *Engine) Verify(ctx context.Context) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		v := &verifier{}
		if s, ok := e.store.(kv.Verifier); ok {
			for err := range s.Verify(ctx) {
				v.found("file", "%v", err)
			}
		}
		// Sessions that live elsewhere are not part of the file.
		records, err := e.findings(ctx)
		if err != nil {
			yield(Finding{}, err)
			return
		}
		for _, f := range append(v.findings, records...) {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// findings returns what the records of the file show to be wrong.
func (e *Engine) findings(ctx context.Context) ([]Finding, error) {
	v := &verifier{}
	if err := e.view(ctx, v.run); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return v.findings, nil
}

// errEnough ends a verification that found too much.
var errEnough = errors.New("latchbolt: too many findings")

const maxFindings = 1000

type verifier struct {
	tx       *ReadTx
	ids      *idsRecord
	findings []Finding
}

func (v *verifier) found(where, format string, args ...any) {
	if len(v.findings) < maxFindings {
		v.findings = append(v.findings, Finding{Where: where, What: fmt.Sprintf(format, args...)})
	}
}

// at reports a finding about one record.
func (v *verifier) at(b kv.Bucket, key []byte, format string, args ...any) {
	v.found(fmt.Sprintf("%s %x", b, key), format, args...)
}

func (v *verifier) run(tx *ReadTx) error {
	v.tx = tx
	ids, err := tx.ids()
	if err != nil {
		v.at(bucketMeta, keyIDs, "%v", err)
		ids = &idsRecord{user: ^UserID(0), group: ^GroupID(0), perm: ^PermissionID(0)}
	}
	v.ids = ids
	for _, check := range []struct {
		bucket kv.Bucket
		keyLen int // 0: any
		each   func(key []byte, b *record.Body) error
	}{
		{bucketMeta, 0, v.settings},
		{bucketUser, 8, v.user},
		{bucketUserName, 0, v.userName},
		{bucketUserEmail, 0, v.userEmail},
		{bucketLogin, 8, v.ofUser},
		{bucketSuperuser, 8, v.superuser},
		{bucketGroup, 8, v.group},
		{bucketGroupName, 0, v.groupName},
		{bucketMember, 16, v.member},
		{bucketPerm, 4, v.perm},
		{bucketPermName, 0, v.permName},
		{bucketGrant, 0, v.grant},
		{bucketHolder, 0, v.holder},
		{bucketSession, 16, v.session},
		{bucketValues, 16, v.values},
		{bucketSessionNew, 24, v.sessionNew},
		{bucketSessionUser, 28, v.sessionUser},
		{bucketSessionKey, 32, v.sessionKey},
		{bucketToken, 16, v.token},
		{bucketTokenUser, 0, v.tokenUser},
		{bucketThrottle, 9, v.throttle},
		{bucketAudit, 8, v.audit},
		{bucketHashCost, 8, v.hashCost},
	} {
		if err := v.bucket(check.bucket, check.keyLen, check.each); err != nil {
			return err
		}
	}
	return nil
}

// bucket opens every record of a bucket and looks at it. A record that is damaged is a finding and
// not the end.
func (v *verifier) bucket(b kv.Bucket, keyLen int, each func([]byte, *record.Body) error) error {
	for p, err := range v.tx.r.Scan(b, nil, nil) {
		if err != nil {
			if err = fromStore(err); errors.Is(err, ErrCorrupt) {
				v.found(string(b), "%v", err)
				return nil
			}
			return err
		}
		if len(v.findings) >= maxFindings {
			return errEnough
		}
		if keyLen > 0 && len(p.Key) != keyLen {
			v.at(b, p.Key, "key has %d bytes, not %d", len(p.Key), keyLen)
			continue
		}
		body, err := unseal(b, p.Key, p.Value)
		if err == nil {
			err = each(p.Key, &body)
		}
		if err != nil {
			v.at(b, p.Key, "%v", err)
		}
	}
	return nil
}

// must reports a record that ought to be there.
func (v *verifier) must(b kv.Bucket, key []byte, why string) {
	if ok, err := v.tx.has(b, key); err != nil {
		v.at(b, key, "%v", err)
	} else if !ok {
		v.at(b, key, "is missing: %s", why)
	}
}

// leads checks that an index entry leads to what it should.
func (v *verifier) leads(b kv.Bucket, key []byte, id uint64) {
	if got, err := v.tx.getID(b, key); err != nil {
		v.at(b, key, "%v", err)
	} else if got != id {
		v.at(b, key, "leads to %d, not %d", got, id)
	}
}

func (v *verifier) settings(key []byte, b *record.Body) error {
	switch string(key) {
	case string(keyFormat), string(keyIDs), string(keyClock), string(keyEpoch):
		return nil
	}
	return errors.New("unknown setting")
}

func (v *verifier) user(key []byte, b *record.Body) error {
	id := keyUser(key)
	u, err := decodeUser(id, b)
	if err != nil {
		return err
	}
	if id == 0 || id > v.ids.user {
		v.at(bucketUser, key, "identifier was never given out; the last one is %d", v.ids.user)
	}
	v.leads(bucketUserName, nameKey(v.tx.e.canonicalName(u.Username)), uint64(id))
	if u.Email != "" {
		v.leads(bucketUserEmail, emailKey(foldEmail(u.Email), id), uint64(id))
	}
	if u.Superuser && !u.Inactive {
		v.must(bucketSuperuser, key, "the user is an active superuser")
	}
	if !slices.IsSorted(u.Groups) || len(slices.Compact(slices.Clone(u.Groups))) != len(u.Groups) {
		v.at(bucketUser, key, "groups are not in order")
	}
	for _, g := range u.Groups {
		v.must(bucketGroup, groupKey(g), fmt.Sprintf("user %d is in it", id))
		v.must(bucketMember, memberKey(g, id), "the user says so")
	}
	return nil
}

// userAt returns a user that something hangs on.
func (v *verifier) userAt(id UserID) (*userRecord, error) {
	u, err := v.tx.user(id)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("belongs to user %d, who does not exist", id)
	}
	return u, err
}

func (v *verifier) userName(key []byte, b *record.Body) error {
	u, err := v.userAt(UserID(b.Uint64()))
	if err == nil && !bytes.Equal(key, nameKey(v.tx.e.canonicalName(u.Username))) {
		err = fmt.Errorf("leads to user %d, whose name is another", u.ID)
	}
	return errors.Join(err, b.Done())
}

func (v *verifier) userEmail(key []byte, b *record.Body) error {
	u, err := v.userAt(UserID(b.Uint64()))
	if err == nil && !bytes.Equal(key, emailKey(foldEmail(u.Email), u.ID)) {
		err = fmt.Errorf("leads to user %d, whose address is another", u.ID)
	}
	return errors.Join(err, b.Done())
}

func (v *verifier) ofUser(key []byte, _ *record.Body) error {
	_, err := v.userAt(keyUser(key))
	return err
}

func (v *verifier) superuser(key []byte, _ *record.Body) error {
	u, err := v.userAt(keyUser(key))
	if err == nil && (!u.Superuser || u.Inactive) {
		err = fmt.Errorf("user %d is no active superuser", u.ID)
	}
	return err
}

func (v *verifier) group(key []byte, b *record.Body) error {
	id := keyGroup(key)
	g, err := decodeGroup(id, b)
	if err != nil {
		return err
	}
	if id == 0 || id > v.ids.group {
		v.at(bucketGroup, key, "identifier was never given out; the last one is %d", v.ids.group)
	}
	v.leads(bucketGroupName, nameKey(g.Name), uint64(id))
	return nil
}

func (v *verifier) groupName(key []byte, b *record.Body) error {
	g, err := v.tx.group(GroupID(b.Uint64()))
	if err == nil && !bytes.Equal(key, nameKey(g.Name)) {
		err = fmt.Errorf("leads to group %d, whose name is another", g.ID)
	}
	return errors.Join(err, b.Done())
}

func (v *verifier) member(key []byte, b *record.Body) error {
	g, id := keyGroup(key), keyUser(key[8:])
	u, err := v.userAt(id)
	if err == nil && !slices.Contains(u.Groups, g) {
		err = fmt.Errorf("user %d is not in group %d", id, g)
	}
	return errors.Join(err, b.Done())
}

func (v *verifier) perm(key []byte, b *record.Body) error {
	id := PermissionID(binary.BigEndian.Uint32(key))
	p, err := decodePermission(id, b)
	if err != nil {
		return err
	}
	if id == 0 || id > v.ids.perm {
		v.at(bucketPerm, key, "identifier was never given out; the last one is %d", v.ids.perm)
	}
	v.leads(bucketPermName, permNameKey(p.App, p.Codename, p.Model), uint64(id))
	return nil
}

func (v *verifier) permName(key []byte, b *record.Body) error {
	p, err := v.tx.permission(PermissionID(b.Uint64()))
	if err == nil && !bytes.Equal(key, permNameKey(p.App, p.Codename, p.Model)) {
		err = fmt.Errorf("leads to permission %d, whose name is another", p.ID)
	}
	return errors.Join(err, b.Done())
}

// granted checks the subject and the permission of a grant.
func (v *verifier) granted(s Subject, p PermissionID, o Object) error {
	var objects bool
	var err error
	switch id := s.(type) {
	case UserID:
		var u *userRecord
		if u, err = v.userAt(id); err == nil {
			objects = u.objects
		}
	case GroupID:
		var g *groupRecord
		if g, err = v.tx.group(id); err == nil {
			objects = g.objects
		}
	}
	if err == nil && o != "" && !objects {
		err = errors.New("is for one object, but its subject is not marked to have such")
	}
	_, permErr := v.tx.permission(p)
	return errors.Join(err, permErr)
}

func (v *verifier) grant(key []byte, b *record.Body) error {
	s, ok := parseSubject(key)
	if !ok || len(key) < grantObjectFrom {
		return errors.New("key has no subject")
	}
	p, o := PermissionID(binary.BigEndian.Uint32(key[subjectLen:])), Object(key[grantObjectFrom:])
	v.must(bucketHolder, holderKey(p, s, o), "it was granted")
	return errors.Join(v.granted(s, p, o), b.Done())
}

func (v *verifier) holder(key []byte, b *record.Body) error {
	if len(key) < grantObjectFrom {
		return errors.New("key is too short")
	}
	s, ok := parseSubject(key[4:])
	if !ok {
		return errors.New("key has no subject")
	}
	v.must(bucketGrant, grantKey(s, PermissionID(binary.BigEndian.Uint32(key)), Object(key[grantObjectFrom:])), "it has a holder")
	return b.Done()
}

func (v *verifier) session(key []byte, b *record.Body) error {
	sel := selector(key)
	s, err := decodeSession(sel, b)
	if err != nil {
		return err
	}
	if hourOf(s.expires) > sel.hour() {
		v.at(bucketSession, key, "outlives the hour under which it is filed")
	}
	if s.flags&sessionBrought != 0 {
		v.must(bucketSessionKey, s.digest[:], "the session has no other key")
	}
	if s.user == 0 {
		return nil
	}
	if isNew, err := v.tx.has(bucketSessionNew, sessionNewKey(sel, s.user)); err != nil || !isNew {
		v.must(bucketSessionUser, sessionUserKey(sel, s.user), "the session is the user's")
	}
	if sel.hour() < hourOf(v.tx.now) {
		return nil // it may have been over before its user was deleted, and is going to be swept
	}
	_, err = v.userAt(s.user)
	return err
}

// ofSession checks what hangs on a session.
func (v *verifier) ofSession(key []byte) error {
	s, err := v.tx.sessionBySelector(selector(key))
	if err == nil && s == nil {
		err = errors.New("belongs to a session that does not exist")
	}
	return err
}

func (v *verifier) values(key []byte, b *record.Body) error {
	_, err := decodeValues(b.Rest())
	return errors.Join(err, v.ofSession(key))
}

func (v *verifier) sessionUser(key []byte, b *record.Body) error {
	sel := selector(key[sessionUserSelectorFrom:])
	if binary.BigEndian.Uint32(key) != sel.hour()/hoursPerDay {
		return errors.New("is filed under another day than the session's")
	}
	s, err := v.tx.sessionBySelector(sel)
	switch {
	case err != nil:
		return err
	case s == nil && sel.hour() < hourOf(v.tx.now):
		return nil // the hour was swept and the day is not over
	case s == nil:
		return errors.New("leads to a session that does not exist")
	case s.user != UserID(binary.BigEndian.Uint64(key[4:])):
		return errors.New("leads to a session of another user")
	}
	return b.Done()
}

func (v *verifier) sessionNew(key []byte, b *record.Body) error {
	sel, id := selector(key[sessionNewSelectorFrom:]), keyUser(key)
	readTime(b)
	if err := b.Done(); err != nil {
		return err
	}
	s, err := v.tx.sessionBySelector(sel)
	switch {
	case err != nil:
		return err
	case s == nil && sel.hour() >= hourOf(v.tx.now):
		return errors.New("leads to a session that does not exist")
	case s != nil && s.user != id:
		return errors.New("leads to a session of another user")
	}
	_, err = v.userAt(id)
	return err
}

func (v *verifier) sessionKey(key []byte, b *record.Body) error {
	var sel selector
	b.Copy(sel[:])
	s, err := v.tx.sessionBySelector(sel)
	if err == nil && s != nil && !bytes.Equal(s.digest[:], key) {
		err = errors.New("leads to a session with another key")
	}
	if err == nil && s == nil && sel.hour() >= hourOf(v.tx.now) {
		err = errors.New("leads to a session that does not exist")
	}
	return errors.Join(err, b.Done())
}

func (v *verifier) token(key []byte, b *record.Body) error {
	k, err := decodeToken(selector(key), b)
	if err != nil {
		return err
	}
	v.must(bucketTokenUser, tokenUserKey(k.user, k.purpose, selector(key)), "the token is the user's")
	_, err = v.userAt(k.user)
	return err
}

func (v *verifier) tokenUser(key []byte, b *record.Body) error {
	if len(key) < 8+2+16 {
		return errors.New("key is too short")
	}
	v.must(bucketToken, key[len(key)-16:], "the user is said to have it")
	return b.Done()
}

func (v *verifier) throttle(key []byte, b *record.Body) error {
	if _, err := decodeThrottle(key, b); err != nil {
		return err
	}
	if key[0] == throttleUser {
		_, err := v.userAt(keyUser(key[1:]))
		return err
	}
	return nil
}

func (v *verifier) audit(key []byte, b *record.Body) error {
	_, err := decodeAudit(key, b)
	return err
}

func (v *verifier) hashCost(_ []byte, b *record.Body) error {
	b.Int64()
	return b.Done()
}
