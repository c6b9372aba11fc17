package console

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/latchbolt-go/latchbolt"
)

type allSessions struct {
	Page   latchbolt.SessionPage
	More   string
	MayEnd bool
	Users  bool // users may be seen
}

func (v *view) sessions() error {
	var after *latchbolt.SessionID
	if from := v.query.Get("from"); from != "" {
		id, err := latchbolt.ParseSessionID(from)
		if err != nil {
			return errBadRequest
		}
		after = &id
	}
	d := &allSessions{MayEnd: v.can.May("EndSession", ""), Users: v.can.May("User", "")}
	var err error
	if d.Page, err = v.admin.AllSessions(v.ctx, after, perPage); err != nil {
		return err
	}
	if d.Page.Next != nil {
		d.More = v.nextPage(d.Page.Next.String(), "sessions/")
	}
	return v.show(http.StatusOK, "sessions", v.newPage("Sessions", d))
}

// auditActions are what the trail can be filtered by, besides the program's own: an action, or all that begin with it.
var auditActions = []string{
	latchbolt.ActionLogin, latchbolt.ActionLoginFailed, latchbolt.ActionLogout,
	"session.", latchbolt.ActionSessionEnd, latchbolt.ActionSessionsEnd,
	"user.", latchbolt.ActionUserCreate, latchbolt.ActionUserUpdate, latchbolt.ActionUserDelete, latchbolt.ActionUserUnlock,
	"password.", latchbolt.ActionPasswordSet, latchbolt.ActionPasswordChange, latchbolt.ActionPasswordReset,
	"token.", latchbolt.ActionTokenIssue, latchbolt.ActionTokenUse, latchbolt.ActionTokenFailed,
	"group.", latchbolt.ActionGroupCreate, latchbolt.ActionGroupUpdate, latchbolt.ActionGroupDelete,
	latchbolt.ActionGroupAdd, latchbolt.ActionGroupRemove, latchbolt.ActionGroupSet,
	"perm.", latchbolt.ActionPermGrant, latchbolt.ActionPermRevoke, latchbolt.ActionPermUndefine,
	latchbolt.ActionForbidden, latchbolt.ActionLoad, latchbolt.ActionRestore, latchbolt.ActionSalvage,
}

// actions are what the trail can be filtered by.
func (v *view) actions() []string { return slices.Concat(auditActions, v.c.Actions) }

type auditRow struct {
	*latchbolt.AuditEntry
	ActorName, UserName string
}

type auditData struct {
	Query   map[string]string
	Rows    []auditRow
	More    string
	Actions []string
	CSV     string // address of the export
	NDJSON  string
	Users   bool // users may be seen
}

// auditQuery reads what to filter by.
func (v *view) auditQuery() (q latchbolt.AuditQuery, err error) {
	if q.Action, err = v.choice("action", append([]string{""}, v.actions()...)...); err != nil {
		return q, err
	}
	outcome, err := v.choice("outcome", "", "ok", "failed")
	if err != nil {
		return q, err
	}
	q.Failed = map[string]latchbolt.Filter{"": latchbolt.Any, "ok": latchbolt.Except, "failed": latchbolt.Only}[outcome]
	if u := v.query.Get("user"); u != "" {
		id, err := parseID(u)
		if err != nil {
			return q, errBadRequest
		}
		q.User = latchbolt.UserID(id)
	}
	for name, at := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if s := v.query.Get(name); s != "" {
			if *at, err = time.Parse("2006-01-02", s); err != nil {
				return q, errBadRequest
			}
		}
	}
	if !q.Until.IsZero() {
		q.Until = q.Until.AddDate(0, 0, 1) // the day is meant with all its hours
	}
	return q, nil
}

func (v *view) audit() error {
	q, err := v.auditQuery()
	if err != nil {
		return err
	}
	if from := v.query.Get("from"); from != "" {
		ns, err := strconv.ParseInt(from, 10, 64)
		if err != nil || ns <= 0 {
			return errBadRequest
		}
		if at := time.Unix(0, ns).UTC(); q.Until.IsZero() || at.Before(q.Until) {
			q.Until = at
		}
	}
	entries, next, more, err := v.admin.AuditPage(v.ctx, q, perPage)
	if err != nil {
		return err
	}
	d := &auditData{Actions: v.actions(), Query: make(map[string]string), Users: v.can.May("User", "")}
	d.CSV, d.NDJSON = v.exportPath("csv"), v.exportPath("ndjson")
	for name := range v.query {
		d.Query[name] = v.query.Get(name)
	}
	if d.Rows, err = v.named(entries); err != nil {
		return err
	}
	if more {
		d.More = v.nextPage(strconv.FormatInt(next.UnixNano(), 10), "audit/")
	}
	return v.show(http.StatusOK, "audit", v.newPage("Audit trail", d))
}

// exportPath is the address of what the filter of this page picks.
func (v *view) exportPath(format string) string {
	path := v.c.Prefix + "audit/export/?format=" + format
	if q := withoutKeys(v.query, "from"); q != "" {
		path += "&" + q
	}
	return path
}

// named adds the present names of users, for who may see users, where the trail has only numbers.
func (v *view) named(entries []*latchbolt.AuditEntry) ([]auditRow, error) {
	names := make(map[latchbolt.UserID]string)
	name := func(id latchbolt.UserID) (string, error) {
		if id == 0 {
			return "", nil
		}
		if n, ok := names[id]; ok {
			return n, nil
		}
		names[id] = "user " + strconv.FormatUint(uint64(id), 10)
		if v.can.May("User", "") {
			u, _, err := v.admin.User(v.ctx, id)
			if err == nil {
				names[id] = u.Username
			} else if !errors.Is(err, latchbolt.ErrNotFound) && !errors.Is(err, latchbolt.ErrForbidden) {
				return "", err
			}
		}
		return names[id], nil
	}
	rows := make([]auditRow, len(entries))
	for i, e := range entries {
		rows[i].AuditEntry = e
		var err error
		if rows[i].ActorName, err = name(e.Actor); err != nil {
			return nil, err
		}
		if rows[i].UserName = e.Username; e.Username == "" {
			if rows[i].UserName, err = name(e.User); err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
}

// export writes the entries that the filter picks, all of them, as they are read.
func (v *view) export() error {
	q, err := v.auditQuery()
	if err != nil {
		return err
	}
	format, err := v.choice("format", "csv", "ndjson")
	if err != nil {
		return err
	}
	if err := v.check("Audit", ""); err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Disposition", `attachment; filename="audit.`+format+`"`)
	var write func(*latchbolt.AuditEntry) error
	var flush func() error
	if format == "csv" {
		h.Set("Content-Type", "text/csv; charset=utf-8")
		write, flush = csvWriter(v.w)
	} else {
		h.Set("Content-Type", "application/x-ndjson; charset=utf-8")
		enc := json.NewEncoder(v.w)
		write, flush = func(e *latchbolt.AuditEntry) error { return enc.Encode(exported(e)) }, func() error { return nil }
	}
	if v.r.Method == http.MethodHead {
		return nil
	}
	for e, err := range v.admin.Audit(v.ctx, q) {
		if err == nil {
			err = write(e)
		}
		if err != nil {
			// Half a file must not look like a whole one.
			v.c.log.Warn("console: an export was broken off", "err", err)
			panic(http.ErrAbortHandler)
		}
	}
	return flush()
}

// An exportedEntry is an entry as a program reads it.
type exportedEntry struct {
	Time     time.Time        `json:"time"`
	Action   string           `json:"action"`
	Actor    latchbolt.UserID `json:"actor,omitempty"`
	User     latchbolt.UserID `json:"user,omitempty"`
	Username string           `json:"username,omitempty"`
	Addr     string           `json:"addr,omitempty"`
	Failed   bool             `json:"failed"`
	Detail   string           `json:"detail,omitempty"`
}

func exported(e *latchbolt.AuditEntry) exportedEntry {
	x := exportedEntry{Time: e.Time, Action: e.Action, Actor: e.Actor, User: e.User, Username: e.Username, Failed: e.Failed, Detail: e.Detail}
	if e.Addr.IsValid() {
		x.Addr = e.Addr.String()
	}
	return x
}

func csvWriter(w http.ResponseWriter) (write func(*latchbolt.AuditEntry) error, flush func() error) {
	out := csv.NewWriter(w)
	first := true
	return func(e *latchbolt.AuditEntry) error {
			if first {
				first = false
				if err := out.Write(csvHead); err != nil {
					return err
				}
			}
			x := exported(e)
			row := []string{x.Time.Format(time.RFC3339Nano), x.Action, number(x.Actor), number(x.User), x.Username, x.Addr, strconv.FormatBool(x.Failed), x.Detail}
			for i := range row {
				row[i] = plainCell(row[i])
			}
			return out.Write(row)
		}, func() error {
			if first {
				if err := out.Write(csvHead); err != nil {
					return err
				}
			}
			out.Flush()
			return out.Error()
		}
}

var csvHead = []string{"time", "action", "actor", "user", "username", "addr", "failed", "detail"}

func number(id latchbolt.UserID) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(id), 10)
}

// plainCell keeps a program for tables from taking a text for a formula: what could begin one gets an apostrophe in
// front, as OWASP recommends. White space goes by, because such programs skip it. A cell also begins within a text where such a program
// goes by semicolons or tabs, as in many countries, or takes a line break within quotation marks for the end of a line.
func plainCell(s string) string {
	t := strings.TrimLeft(s, " \u00a0\t\r\n\x00\ufeff")
	begins := t != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(t)[0]) || s != t && strings.ContainsAny(s[:1], "\t\r\n")
	if s = formulaWithin.ReplaceAllString(s, "$1'$2"); begins {
		return "'" + s
	}
	return s
}

var formulaWithin = regexp.MustCompile("([;\t\r\n][ \u00a0\t\r\n\x00\ufeff;\"]*)([-=+@＝＋－＠])")
