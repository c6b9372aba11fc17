package latchbolt

import (
	"context"
	"encoding/binary"
	"iter"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/latchbolt-go/latchbolt/internal/record"
)

// Actions that the engine writes into the audit trail. A program adds its own
// with [Engine.Record].
const (
	ActionLogin          = "login"
	ActionLoginFailed    = "login.failed"
	ActionLogout         = "logout"
	ActionSessionEnd     = "session.end"
	ActionSessionsEnd    = "session.end-all"
	ActionUserCreate     = "user.create"
	ActionUserUpdate     = "user.update"
	ActionUserDelete     = "user.delete"
	ActionUserUnlock     = "user.unlock"
	ActionPasswordSet    = "password.set"
	ActionPasswordChange = "password.change"
	ActionPasswordReset  = "password.reset"
	ActionTokenIssue     = "token.issue"
	ActionTokenUse       = "token.use"
	ActionTokenFailed    = "token.failed"
	ActionGroupCreate    = "group.create"
	ActionGroupUpdate    = "group.update"
	ActionGroupDelete    = "group.delete"
	ActionGroupAdd       = "group.add"
	ActionGroupRemove    = "group.remove"
	ActionGroupSet       = "group.set"
	ActionPermGrant      = "perm.grant"
	ActionPermRevoke     = "perm.revoke"
	ActionPermUndefine   = "perm.undefine"
	ActionForbidden      = "access.denied" // an [Administrator] was refused something
)

// An AuditEntry is one line of the audit trail: who did what to whom, when,
// from where, with what outcome. It never holds a secret. Its texts are valid UTF-8 and may hold any
// characters, line breaks too: quote them where a line of output is an entry.
type AuditEntry struct {
	Time     time.Time  // set by the engine
	Action   string     // one of the Action constants, or the program's own; at most 64 bytes
	Actor    UserID     // who acted; 0 if nobody is known. See [WithActor]
	User     UserID     // whom it was about; 0 if nobody
	Username string     // the name as it was then, or as it was typed; at most 256 bytes
	Addr     netip.Addr // where from; invalid if unknown
	Failed   bool       // the outcome
	Detail   string     // more, for people; at most 1024 bytes
}

// AuditConfig bounds the audit trail.
type AuditConfig struct {
	// MaxAge is how long entries are kept. 0 means 180 days, negative for ever.
	MaxAge time.Duration
	// MaxCount is how many entries are kept. 0 means 100,000; negative means
	// that no trail is kept at all.
	MaxCount int
}

func (c *AuditConfig) setDefaults() {
	orDefault(&c.MaxAge, 180*24*time.Hour)
	orDefault(&c.MaxCount, 100_000)
}

type actorKey struct{}

// An actor is what WithActor puts into a context.
type actor struct {
	id   UserID
	addr netip.Addr
}

// WithActor returns a context whose changes are recorded in the audit trail as
// made by a user, from an address. Middleware sets it for each request.
func WithActor(ctx context.Context, id UserID, addr netip.Addr) context.Context {
	return context.WithValue(ctx, actorKey{}, actor{id, addr})
}

const (
	maxAuditAction = 64
	maxAuditName   = 256
	maxAuditDetail = 1024
)

// audit adds an entry to the trail in this transaction.
func (tx *Tx) audit(a AuditEntry) error {
	if tx.e.cfg.Audit.MaxCount < 0 {
		return nil
	}
	a.by(tx.ctx)
	r := encodeAudit(&a)
	defer r.Free()
	return tx.putAudit(r)
}

// by adds who acts according to a context.
func (a *AuditEntry) by(ctx context.Context) {
	if by, ok := ctx.Value(actorKey{}).(actor); ok {
		if a.Actor == 0 {
			a.Actor = by.id
		}
		if !a.Addr.IsValid() {
			a.Addr = by.addr
		}
	}
}

// putAudit adds an entry to the trail that was encoded before. The same can be put
// again in another run of the function.
func (tx *Tx) putAudit(r *record.Builder) error {
	tx.fx.audited++
	return tx.putAgain(bucketAudit, auditKey(tx.e.auditTime(tx.now)), r)
}

// auditTime returns a time that no other entry has: it is the key. Nearly
// always it is now. Entries of the file are not later than the clock's start, see lastTime, and this
// process alone adds some.
func (e *Engine) auditTime(now time.Time) time.Time {
	at := now.UnixNano()
	for {
		last := e.lastAudit.Load()
		if at <= last {
			at = last + 1
		}
		if e.lastAudit.CompareAndSwap(last, at) {
			return time.Unix(0, at)
		}
	}
}

// Record adds an entry of the program's own to the audit trail.
func (tx *Tx) Record(a AuditEntry) error { return tx.audit(a) }

// Record adds an entry of the program's own to the audit trail.
func (e *Engine) Record(ctx context.Context, a AuditEntry) error {
	return e.Update(ctx, func(tx *Tx) error { return tx.audit(a) })
}

func encodeAudit(a *AuditEntry) *record.Builder {
	r := record.New(recordVersion)
	r.AddUint8(flag(a.Failed, 1))
	r.AddUint64(uint64(a.Actor))
	r.AddUint64(uint64(a.User))
	r.AddString(clip(a.Action, maxAuditAction))
	r.AddString(clip(a.Username, maxAuditName))
	r.AddString(addrText(a.Addr))
	r.AddString(clip(a.Detail, maxAuditDetail))
	return r
}

func decodeAudit(key []byte, b *record.Body) (*AuditEntry, error) {
	a := &AuditEntry{Time: auditTime(key), Failed: b.Uint8() != 0,
		Actor: UserID(b.Uint64()), User: UserID(b.Uint64()), Action: clip(b.String(), maxAuditAction), Username: clip(b.String(), maxAuditName)}
	a.Addr, _ = netip.ParseAddr(b.String())
	a.Detail = clip(b.String(), maxAuditDetail)
	return a, fromRecord(bucketAudit, key, b.Done())
}

func auditTime(key []byte) time.Time {
	if len(key) != 8 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(key))).UTC()
}

// clip makes s valid UTF-8 of at most n bytes, at the boundary of a character.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s[:min(len(s), n)], "")
	for len(s) > n || s != "" && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

// An AuditQuery picks entries of the audit trail. The zero AuditQuery picks all.
type AuditQuery struct {
	Since, Until time.Time // Until is exclusive; zero means no limit
	User         UserID    // as actor or as the one it was about
	Action       string    // exactly, or all that start with it if it ends in "."
	Failed       Filter
}

func (q *AuditQuery) match(a *AuditEntry) bool {
	return (q.User == 0 || q.User == a.User || q.User == a.Actor) &&
		(q.Action == "" || q.Action == a.Action || strings.HasSuffix(q.Action, ".") && strings.HasPrefix(a.Action, q.Action)) &&
		q.Failed.match(a.Failed)
}

// Audit yields the entries of the audit trail, the newest first. No transaction is open
// while the body of the loop runs.
func (e *Engine) Audit(ctx context.Context, q AuditQuery) iter.Seq2[*AuditEntry, error] {
	return func(yield func(*AuditEntry, error) bool) {
		e.settleLater(ctx)
		var before []byte
		if !q.Until.IsZero() {
			before = auditKey(q.Until)
		}
		for {
			page, next, err := e.auditPage(ctx, &q, before)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, a := range page {
				if !yield(a, nil) {
					return
				}
			}
			if next == nil {
				return
			}
			before = next
		}
	}
}

// auditPage returns the matching ones of some entries before a key, and the
// key to go on from, or nil at the end.
func (e *Engine) auditPage(ctx context.Context, q *AuditQuery, before []byte) (page []*AuditEntry, next []byte, err error) {
	err = e.view(ctx, func(tx *ReadTx) error {
		page, next = nil, nil
		seen := 0
		for en, err := range tx.scanBack(bucketAudit, nil, before) {
			if err != nil {
				return err
			}
			a, err := decodeAudit(en.key, &en.body)
			if err != nil {
				return err
			}
			if a.Time.Before(q.Since) {
				return nil
			}
			if q.match(a) {
				page = append(page, a)
			}
			if seen++; seen == 4*pageSize || len(page) == pageSize {
				next = append([]byte(nil), en.key...)
				return nil
			}
		}
		return nil
	})
	return page, next, err
}

// trimAudit removes at most n of the oldest entries that are too many or too old,
// and reports how many it removed.
func (tx *Tx) trimAudit(excess, n int) (int, error) {
	c := tx.e.cfg.Audit
	var oldest []byte
	if c.MaxAge > 0 {
		oldest = auditKey(tx.now.Add(-c.MaxAge))
	}
	var keys [][]byte
	for e, err := range tx.scan(bucketAudit, nil, nil) {
		if err != nil {
			return 0, err
		}
		old := oldest != nil && string(e.key) < string(oldest)
		if len(keys) == n || !old && len(keys) >= excess {
			break
		}
		keys = append(keys, append([]byte(nil), e.key...))
	}
	return len(keys), tx.deleteAll(bucketAudit, keys)
}
