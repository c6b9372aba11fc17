package django_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchbolt-go/latchbolt"
	"github.com/latchbolt-go/latchbolt/interop/django"
)

// testdata is where the answers of real Django are.
const testdata = "../../testdata/django"

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testdata, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, name), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// frozen is the time at which Django gave its answers.
var frozen = time.Date(2026, 5, 4, 10, 20, 30, 123456000, time.UTC)

// cheap are hashers whose new hashes cost next to nothing.
var cheap = []latchbolt.Hasher{latchbolt.PBKDF2SHA256{Iterations: 1000}}

// config is for tests: cheap, at the frozen time, without a throttle.
func config() *latchbolt.Config {
	return &latchbolt.Config{
		Create: true, CaseSensitive: true, Hashers: cheap, HashSlots: 2, HashQueue: 1000,
		Clock:    func() time.Time { return frozen },
		Throttle: latchbolt.ThrottleConfig{Free: -1, SourceFree: -1},
		Audit:    latchbolt.AuditConfig{MaxCount: -1}, Validators: []latchbolt.Validator{},
		SweepEvery: -1,
	}
}

// open makes an engine on a fresh file. At the end of the test the file is verified.
func open(t testing.TB, cfg *latchbolt.Config) *latchbolt.Engine {
	t.Helper()
	eng, err := latchbolt.Open(filepath.Join(t.TempDir(), "app.db"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { verifyAndClose(t, eng) })
	return eng
}

func verifyAndClose(t testing.TB, eng *latchbolt.Engine) {
	for f, err := range eng.Verify(context.Background()) {
		if errors.Is(err, latchbolt.ErrClosed) {
			break
		}
		t.Errorf("verifying: %v %v", f, err)
	}
	if err := eng.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// imported is an engine that took over a dump.
func imported(t testing.TB, cfg *latchbolt.Config, dump []byte, opts *django.ImportOptions) (*latchbolt.Engine, django.Report) {
	t.Helper()
	eng := open(t, cfg)
	report, err := django.Import(t.Context(), eng, bytes.NewReader(dump), opts)
	if err != nil {
		t.Fatal(err)
	}
	return eng, report
}

// secrets are the options with which the sessions of the test data come along.
func secrets(t testing.TB) *django.ImportOptions {
	e := answers(t)
	return &django.ImportOptions{SecretKey: e.SecretKey, SecretKeyFallbacks: e.Fallbacks, Sessions: bytes.NewReader(readFile(t, "sessions_dump.json"))}
}

// only returns the records of a dump that are no users, and those of the users named.
func only(t testing.TB, dump []byte, keep func(username string) bool) []byte {
	t.Helper()
	var records []map[string]json.RawMessage
	if err := json.Unmarshal(dump, &records); err != nil {
		t.Fatal(err)
	}
	records = slices.DeleteFunc(records, func(r map[string]json.RawMessage) bool {
		var u struct{ Username string }
		return string(r["model"]) == `"auth.user"` && (json.Unmarshal(r["fields"], &u) != nil || !keep(u.Username))
	})
	out, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A maybe is an answer that may be an exception.
type maybe[T any] struct {
	Value  T
	Raises string
}

func (m *maybe[T]) UnmarshalJSON(data []byte) error {
	var raised struct{ Raises string }
	if bytes.HasPrefix(data, []byte("{")) && json.Unmarshal(data, &raised) == nil && raised.Raises != "" {
		m.Raises = raised.Raises
		return nil
	}
	return json.Unmarshal(data, &m.Value)
}

type expected struct {
	SecretKey string   `json:"SECRET_KEY"`
	Fallbacks []string `json:"SECRET_KEY_FALLBACKS"`
	Users     []userRow
	Anonymous struct {
		Username, Str  string
		PK             *int
		IsActive       bool            `json:"is_active"`
		IsStaff        bool            `json:"is_staff"`
		IsSuperuser    bool            `json:"is_superuser"`
		All            []string        `json:"all_permissions"`
		HasPerm        map[string]bool `json:"has_perm"`
		HasModulePerms map[string]bool `json:"has_module_perms"`
	} `json:"anonymous_user"`
	Groups []struct {
		PK                 int
		Name               string
		Permissions, Users []string
	}
	Permissions []struct {
		App                   string `json:"app_label"`
		Model, Codename, Name string
		NaturalKey            []string `json:"natural_key"`
	}
	WithPerm []struct {
		Perm              string
		IsActive          *bool           `json:"is_active"`
		IncludeSuperusers bool            `json:"include_superusers"`
		Usernames         maybe[[]string] `json:"usernames"`
	} `json:"with_perm"`
	Authenticate []struct {
		Credentials map[string]string
		Username    *string
		Failed      map[string]string `json:"login_failed_credentials"`
	}
	RemoteUser []remoteRow `json:"remote_user"`
	LoginFlows []flowRow   `json:"login_flows"`
}

type userRow struct {
	PK            int
	Username      string
	Password      *string
	Encoded       string
	Email         string
	FirstName     string     `json:"first_name"`
	LastName      string     `json:"last_name"`
	IsActive      bool       `json:"is_active"`
	IsStaff       bool       `json:"is_staff"`
	IsSuperuser   bool       `json:"is_superuser"`
	DateJoined    time.Time  `json:"date_joined"`
	LastLogin     *time.Time `json:"last_login"`
	FullName      string     `json:"full_name"`
	Groups        []string
	Usable        bool `json:"has_usable_password"`
	CheckPassword struct {
		Right      bool
		Others     [][2]any
		HashItself maybe[bool] `json:"the_hash_itself"`
	} `json:"check_password"`
	Hasher struct{ Identify maybe[string] }

	UserPermissions  []string        `json:"user_permissions"`
	GroupPermissions []string        `json:"group_permissions"`
	AllPermissions   []string        `json:"all_permissions"`
	HasPerm          map[string]bool `json:"has_perm"`
	HasPermObject    map[string]bool `json:"has_perm_with_object"`
	AllWithObject    []string        `json:"all_permissions_with_object"`
	HasModulePerms   map[string]bool `json:"has_module_perms"`
	HasPerms         [][2]any        `json:"has_perms"`
	Authenticate     authRow
	AuthenticateAll  authRow `json:"authenticate_allow_all"`
}

type authRow struct {
	Username *string
	Backend  string
	Upgraded bool   `json:"hash_upgraded"`
	After    string `json:"hash_after_prefix"`
}

type remoteRow struct {
	Backend    string
	RemoteUser string `json:"remote_user"`
	Username   *string
	Created    int
	Usable     *bool   `json:"has_usable_password"`
	Password   *string `json:"password_field"`
}

type flowRow struct {
	Case       string
	KeyBefore  bool     `json:"key_before"`
	KeyChanged bool     `json:"key_changed"`
	OldRow     bool     `json:"old_row_still_there"`
	NamesAfter []string `json:"names_after"`
	Signals    [][2]*string
	Result     struct {
		UserID string `json:"user_id"`
		User   *string
		Raises string
	}
}

var (
	answersOnce sync.Once
	answersRead expected
)

// answers are those of real Django.
func answers(t testing.TB) *expected {
	answersOnce.Do(func() { readJSON(t, "expected.json", &answersRead) })
	if len(answersRead.Users) == 0 {
		t.Fatal("no answers of Django")
	}
	return &answersRead
}

// A checker compares rows with Django's answers and counts them.
type checker struct {
	mu      sync.Mutex // guards all below
	section string
	rows    int
	differ  map[string]int // by reason
}

// check starts the comparison of one section. At the end of the test it fails if there were no rows, or if other
// rows differ than those meant to.
func check(t *testing.T, section string) *checker {
	c := &checker{section: section, differ: make(map[string]int)}
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.rows == 0 {
			t.Errorf("%s: no rows were checked", section)
		}
		n := 0
		for _, d := range differences {
			if d.section != section {
				continue
			}
			n += c.differ[d.reason]
			if got := c.differ[d.reason]; got != d.rows {
				t.Errorf("%s: %d rows differ, want %d: %s", section, got, d.rows, d.reason)
			}
		}
		t.Logf("%s: %d rows checked, %d of them differ on purpose", section, c.rows, n)
	})
	return c
}

// row compares one answer. A row that differs must be in the table of differences.
func (c *checker) row(t testing.TB, row string, got, want any) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows++
	if fmt.Sprintf("%v", got) == fmt.Sprintf("%v", want) {
		return
	}
	for _, d := range differences {
		if d.section == c.section && slices.ContainsFunc(d.where, func(part string) bool { return strings.Contains(row, part) }) {
			c.differ[d.reason]++
			return
		}
	}
	t.Errorf("%s: %s: got %v, Django says %v", c.section, row, got, want)
}

// names are those of users, sorted.
func userNames(t testing.TB, eng *latchbolt.Engine, q latchbolt.UserQuery) []string {
	t.Helper()
	list := []string{}
	for u, err := range eng.Users(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, u.Username)
	}
	slices.Sort(list)
	return list
}

func perms(list []latchbolt.Perm) []string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = string(p)
	}
	return names
}

// must fails the test if a call failed.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// exported is a dump of an engine.
func exported(t testing.TB, eng *latchbolt.Engine, opts *django.ExportOptions) ([]byte, django.Report) {
	t.Helper()
	var out bytes.Buffer
	report, err := django.Export(t.Context(), eng, &out, opts)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), report
}
