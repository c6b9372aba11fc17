package latchbolt

import (
	"bytes"
	"context"
	"encoding/base64"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt/internal/kv"
	"github.com/latchbolt-go/latchbolt/internal/record"
)

// A UserSearch finds users while somebody types, among a million of them. Conditions are those of [UserQuery]; all must hold.
type UserSearch struct {
	// Text are words, each of which occurs in user name, address, first or last name, whatever the case. Those
	// whose user name begins with it come first, then those whose address does: both are found
	// in an index. The rest is gone through, by identifier.
	Text string

	Active, Staff, Superuser Filter
	Group                    GroupID
	Perm                     Perm

	// Order is the order without Text.
	Order SearchOrder
	// From continues where a page before ended: its Next. Empty begins at the beginning.
	From string
	// Limit is how many users a page has at most. 0 means 50; more than 1000 are 1000.
	Limit int
	// Budget is how long a page may take to be found. 0 means 15 ms. At least some hundred users are looked at.
	Budget time.Duration
}

// A SearchOrder is the order of the users that a [UserSearch] without Text finds.
type SearchOrder uint8

const (
	SearchByName SearchOrder = iota // by canonical user name
	SearchNewest                    // by identifier, the highest first
	SearchOldest                    // by identifier
)

// A UserPage is a part of what a [UserSearch] finds.
type UserPage struct {
	Users []*User
	// Next is the From of the page that follows; empty at the end. A page can have few users, or none, and yet a
	// Next: then the time was over.
	Next string
	// Looked is how many users were looked at for this page.
	Looked int
	// Done is which part of the file is gone through so far, from 0 to 1. It is known for what goes
	// by identifier and 0 otherwise.
	Done float64
}

const (
	searchLimit    = 50
	searchLimitMax = 1000
	searchBudget   = 15 * time.Millisecond
	countBudget    = 100 * time.Millisecond
	budgetStep     = 256 // how many records go by between two looks at the clock
	maxSearchText  = 300 // bytes
)

// A budget bounds how long a transaction goes through records.
type budget struct {
	end  time.Time
	seen int
}

func newBudget(d time.Duration) *budget {
	if d <= 0 {
		d = searchBudget
	}
	return &budget{end: time.Now().Add(d)}
}

// spent counts one more record, and reports whether it is one too many.
func (b *budget) spent(ctx context.Context) bool {
	b.seen++
	return b.seen%budgetStep == 0 && (ctx.Err() != nil || time.Now().After(b.end))
}

// count counts the records of a bucket until the time is over, which more says.
func (tx *ReadTx) count(b kv.Bucket) (n int, more bool, err error) {
	seen := newBudget(countBudget)
	for _, err := range tx.r.Scan(b, nil, nil) {
		if err != nil {
			return n, false, fromStore(err)
		}
		if seen.spent(tx.ctx) {
			return n, true, tx.ctx.Err()
		}
		n++
	}
	return n, false, nil
}

// A searchPhase is one way of going through users. A search with text goes through three.
type searchPhase byte

const (
	phaseName   searchPhase = 'n' // index of names, by prefix or all of it
	phaseEmail  searchPhase = 'e' // index of addresses, by prefix
	phaseRest   searchPhase = 'r' // users by identifier, without those the phases before found
	phaseNewest searchPhase = 'd' // users by identifier, backwards
	phaseOldest searchPhase = 'o' // users by identifier
)

// Search finds users. The groups of the users are left out for who may not see groups. From that is not a Next of the
// same search is a [FieldError].
func (a Administrator) Search(ctx context.Context, q UserSearch) (page UserPage, err error) {
	s := searching{UserSearch: q}
	if err := s.prepare(a.e); err != nil {
		return page, err
	}
	err = a.read(ctx, &ruleSearch, 0, func(by *acting) error {
		s.page = UserPage{}
		if err := by.maySearch(&q); err != nil {
			return err
		}
		return s.run(by)
	})
	if err != nil {
		return UserPage{}, err
	}
	return s.page, nil
}

func (a *acting) maySearch(q *UserSearch) error {
	rules := []*adminRule{&ruleSearch}
	if q.Group != 0 {
		rules = append(rules, &ruleSearchIn)
	}
	if q.Perm != "" {
		rules = append(rules, &ruleSearchPerm)
	}
	for _, r := range rules {
		if err := a.allow(r, nil); err != nil {
			return err
		}
	}
	return nil
}

// searching is a search under way.
type searching struct {
	UserSearch
	words  []string // folded
	prefix string   // of addresses, folded; empty if the indexes do not help
	name   string   // the same for names, in their canonical form
	phase  searchPhase
	from   []byte // key to go on behind; nil: the beginning

	page   UserPage
	budget *budget
	sel    *selection
	by     *acting
	top    UserID // the highest identifier that was given out
}

func badSearch(field, msg string) error { return &FieldError{Field: field, Code: "invalid", Msg: msg} }

func (s *searching) prepare(e *Engine) error {
	if len(s.Text) > maxSearchText {
		return badSearch("text", "The text to search for is too long.")
	}
	s.words = strings.Fields(foldName(s.Text))
	s.phase = phaseName
	switch {
	case len(s.words) == 1:
		s.prefix = s.words[0]
		if s.name = s.prefix; e.caseSensitive {
			s.name = strings.TrimSpace(s.Text)
		}
	case len(s.words) > 1:
		s.phase = phaseRest
	case s.Order == SearchNewest:
		s.phase = phaseNewest
	case s.Order == SearchOldest:
		s.phase = phaseOldest
	}
	if s.Limit <= 0 {
		s.Limit = searchLimit
	}
	s.Limit = min(s.Limit, searchLimitMax)
	if s.From == "" {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s.From)
	if err != nil || len(raw) < 1 || len(raw) > kv.MaxKey {
		return badSearch("from", "This is not where a page begins.")
	}
	if s.phase, s.from = searchPhase(raw[0]), raw[1:]; !s.validPhase() {
		return badSearch("from", "This is not where a page of this search begins.")
	}
	return nil
}

// validPhase reports whether From can have come from this search.
func (s *searching) validPhase() bool {
	byID := len(s.from) == 8 || len(s.from) == 0
	switch {
	case s.prefix != "":
		return s.phase == phaseName || s.phase == phaseEmail || s.phase == phaseRest && byID
	case len(s.words) > 1:
		return s.phase == phaseRest && byID
	}
	return s.phase == map[SearchOrder]searchPhase{SearchByName: phaseName, SearchNewest: phaseNewest, SearchOldest: phaseOldest}[s.Order] &&
		(byID || s.phase == phaseName)
}

// run goes through the phases until the page is full or the time is over.
func (s *searching) run(by *acting) (err error) {
	s.by, s.budget = by, newBudget(s.Budget)
	s.sel, err = by.tx.selection(&UserQuery{Active: s.Active, Staff: s.Staff, Superuser: s.Superuser, Group: s.Group, Perm: s.Perm})
	if err != nil {
		return err
	}
	if err := s.readTop(); err != nil {
		return err
	}
	phase, from := s.phase, s.from // a read may run twice
	for phase != 0 {
		next, more, err := s.through(phase, from)
		if err != nil {
			return err
		}
		s.page.Looked = s.budget.seen
		if more {
			s.page.Next = base64.RawURLEncoding.EncodeToString(append([]byte{byte(phase)}, next...))
			return nil
		}
		from, phase = nil, s.after(phase)
	}
	s.page.Done = 1
	return nil
}

func (s *searching) after(p searchPhase) searchPhase {
	switch {
	case s.prefix != "" && p == phaseName:
		return phaseEmail
	case p == phaseEmail:
		return phaseRest
	}
	return 0
}

func (s *searching) readTop() error {
	body, ok, err := s.by.tx.get(bucketMeta, keyIDs)
	if err != nil || !ok {
		return err
	}
	ids, err := decodeIDs(&body)
	if err == nil {
		s.top = ids.user
	}
	return err
}

// through goes through one phase behind a key. It returns the key of the last user it looked at if it ended
// early, and whether it did.
func (s *searching) through(p searchPhase, from []byte) (last []byte, more bool, err error) {
	tx := s.by.tx
	candidates, err := s.candidates(p, from)
	if err != nil {
		return nil, false, err
	}
	last = from
	for c, err := range candidates {
		if err != nil {
			return nil, false, err
		}
		if len(s.page.Users) == s.Limit || s.budget.spent(tx.ctx) {
			if (p == phaseRest || p == phaseOldest) && len(last) == 8 {
				s.page.Done = float64(keyUser(last)) / float64(max(s.top, 1))
			}
			return last, true, tx.ctx.Err()
		}
		last = slices.Clone(c.key)
		if err := s.look(p, &c); err != nil {
			return nil, false, err
		}
	}
	return nil, false, nil
}

// look adds a user to the page if it is to be found. Most are not, so only what decides is read first.
func (s *searching) look(p searchPhase, c *indexed) error {
	u := c.user
	if u == nil {
		var err error
		if u, err = s.by.tx.userNames(c.id); err != nil {
			return err
		}
	}
	if ok, err := s.picks(p, u); err != nil || !ok {
		return err
	}
	found, err := s.by.tx.user(c.id)
	if err != nil {
		return err
	}
	shown, err := s.by.shown(found)
	if err == nil {
		s.page.Users = append(s.page.Users, shown)
	}
	return err
}

// userNames loads what a search goes by of a user whom an index names.
func (tx *ReadTx) userNames(id UserID) (*userRecord, error) {
	body, ok, err := tx.get(bucketUser, userKey(id))
	if err != nil || !ok {
		return nil, missing(err, "an index names a user who is not there")
	}
	return decodeUserNames(id, &body), nil
}

// decodeUserNames reads what a search goes by, and neither the password nor the last login.
func decodeUserNames(id UserID, b *record.Body) *userRecord {
	u := &userRecord{User: User{ID: id}}
	decodeUserHead(b, u)
	u.Username, u.Email, u.FirstName, u.LastName = b.String(), b.String(), b.String(), b.String()
	return u
}

// picks reports whether a user is to be found in this phase.
func (s *searching) picks(p searchPhase, u *userRecord) (bool, error) {
	name, email := s.by.tx.e.canonicalName(u.Username), foldEmail(u.Email)
	if s.prefix != "" {
		byName := strings.HasPrefix(name, s.name)
		byEmail := strings.HasPrefix(email, s.prefix)
		if p == phaseEmail && byName || p == phaseRest && (byName || byEmail) {
			return false, nil // it came up before
		}
	}
	if p != phaseName || s.prefix == "" {
		for _, w := range s.words {
			if !strings.Contains(foldName(name), w) && !strings.Contains(email, w) && !containsFold(w, u.FirstName, u.LastName) {
				return false, nil
			}
		}
	}
	return s.by.tx.picks(s.sel, u)
}

// An indexed user is one that a search has to look at, with the key under which it comes up in its phase.
type indexed struct {
	key  []byte
	id   UserID
	user *userRecord // if it was at hand
}

// candidates yields the users of a phase behind a key.
func (s *searching) candidates(p searchPhase, from []byte) (iter.Seq2[indexed, error], error) {
	switch {
	case p == phaseName && s.prefix == "":
		few, ok, err := s.fewByName(from)
		if ok || err != nil {
			return few, err
		}
		return s.index(bucketUserName, "", from), nil
	case p == phaseName:
		return s.index(bucketUserName, s.name, from), nil
	case p == phaseEmail:
		return s.index(bucketUserEmail, s.prefix, from), nil
	}
	return s.byID(p, from), nil
}

// behind is the first key that can come after one; nil, the beginning, stays nil.
func behind(key []byte) []byte {
	if key == nil {
		return nil
	}
	return append(slices.Clone(key), 0)
}

// index yields what an index says under a prefix.
func (s *searching) index(b kv.Bucket, prefix string, from []byte) iter.Seq2[indexed, error] {
	return func(yield func(indexed, error) bool) {
		for en, err := range s.by.tx.scan(b, []byte(prefix[:min(len(prefix), maxNameKey-32)]), behind(from)) {
			if err != nil {
				yield(indexed{}, err)
				return
			}
			if !yield(indexed{key: en.key, id: UserID(en.body.Uint64())}, nil) {
				return
			}
		}
	}
}

// narrow is where all are filed by identifier that a search can pick, under a prefix.
func (s *searching) narrow() (b kv.Bucket, prefix []byte) {
	switch {
	case s.Group != 0:
		return bucketMember, groupKey(s.Group)
	case s.Superuser == Only && s.Active == Only:
		return bucketSuperuser, nil
	}
	return bucketUser, nil
}

// byID yields users by identifier behind one.
func (s *searching) byID(p searchPhase, from []byte) iter.Seq2[indexed, error] {
	return func(yield func(indexed, error) bool) {
		bucket, prefix := s.narrow()
		scan, bound := s.by.tx.r.Scan, behind(from)
		if p == phaseNewest {
			scan, bound = s.by.tx.r.ScanBack, from
		}
		if bound != nil {
			bound = append(slices.Clone(prefix), bound...)
		}
		for en, err := range opened(bucket, scan(bucket, prefix, bound)) {
			if err != nil {
				yield(indexed{}, err)
				return
			}
			c := indexed{key: en.key[len(prefix):]}
			if c.id = keyUser(c.key); bucket == bucketUser {
				c.user = decodeUserNames(c.id, &en.body)
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// fewByName sorts by name those that the search can pick, if an index says that they are few.
func (s *searching) fewByName(from []byte) (_ iter.Seq2[indexed, error], few bool, err error) {
	tx := s.by.tx
	var ids []UserID
	more := true
	if b, prefix := s.narrow(); s.Group == 0 && s.Perm != "" {
		ids, more, err = tx.candidates(s.sel, 0, scanLimit)
	} else if b != bucketUser {
		ids, err = tx.idsAt(b, prefix, nil, len(prefix), scanLimit)
		more = len(ids) == scanLimit
	}
	if err != nil || more {
		return nil, false, err
	}
	var all []indexed
	for _, id := range ids {
		u, err := tx.userNames(id)
		if err != nil {
			return nil, false, err
		}
		if key := nameKey(tx.e.canonicalName(u.Username)); from == nil || bytes.Compare(key, from) > 0 {
			all = append(all, indexed{key: key, id: id, user: u})
		}
	}
	slices.SortFunc(all, func(a, b indexed) int { return bytes.Compare(a.key, b.key) })
	return func(yield func(indexed, error) bool) {
		for _, c := range all {
			if !yield(c, nil) {
				return
			}
		}
	}, true, nil
}
