package django_test

import (
	"os"
	"strings"
	"testing"
)

// A difference is one that is meant: in so many rows of a section, those whose name contains one of
// where, the answer is not Django's. docs/MIGRATING.md has each of the reasons.
type difference struct {
	section string
	where   []string
	rows    int
	reason  string
}

// differences are all of them. A row that differs and is not here fails its test, and so does one that is here and does
// not differ.
var differences = []difference{
	{"users", []string{"empty_hash: usable"}, 1,
		"An empty password field is an unusable password, so no reset link is mailed."},
	{"users", []string{"legacy_sha1: algorithm", "legacy_md5_raw: algorithm"}, 2,
		"Hashes of very old Django versions are recognized, and verify if Config.LegacyHashes is set."},
	{"permissions", []string{"with object"}, 32,
		"A grant without object covers all objects."},
	{"with_perm", []string{"wiki_pages.publish.all", "nodots", "too.many.dots", "...", `""`}, 25,
		"A query for a permission with any number of dots is answered; the empty permission is no condition."},
	{"with_perm", []string{"active no, superusers true", "active any, superusers true"}, 8,
		"Inactive superusers have no permission, so a query for a permission does not yield them."},
	{"check_password", []string{"niaj: right", "niaj: other"}, 4,
		"Plain bcrypt refuses passwords of more than 72 bytes instead of looking at the first 72."},
	{"upgrade", []string{"niaj: password"}, 2,
		"Plain bcrypt refuses passwords of more than 72 bytes instead of looking at the first 72."},
	{"upgrade", []string{"frank: upgraded", "ivan: upgraded", "laura: upgraded", "olivia: upgraded", "rupert: upgraded"}, 5,
		"A hash is made anew only if that makes it stronger, never because it is another algorithm or costs more."},
	{"authenticate", []string{"(any case)"}, 4,
		"A new file takes names that differ in case only for one, unless Config.CaseSensitive is set."},
	{"authenticate", []string{"Ohm", "ligature"}, 8,
		"User names are brought into form NFKC before they are looked up, also outside a login form."},
	{"remote_user", []string{"(decomposed): name"}, 2,
		"User names are brought into form NFKC before they are looked up, also outside a login form."},
	{"remote_user", []string{"usable"}, 8,
		"An empty password field is an unusable password, so no reset link is mailed."},
	{"sessions", []string{"JSON list", "empty data", "not signed data", "one character of the signature", "neither current nor a fallback"}, 5,
		"A session that cannot be read or holds nothing is not brought over."},
	{"sessions", []string{"not in AUTHENTICATION_BACKENDS", "inactive user", "no session hash", "another password", "does not exist"}, 5,
		"A session in which Django would see nobody is not brought over, nor are its values."},
	{"sessions", []string{"key is cycled"}, 1,
		"A session keeps its key until its user logs in again or changes the password, also if it was signed with a fallback key."},
	{"login_flows", []string{"get_user, hash made with a fallback key"}, 2,
		"A session keeps its key until its user logs in again or changes the password, also if it was signed with a fallback key."},
	{"login_flows", []string{"login of an inactive user"}, 3,
		"Nobody gets an Identity of an inactive user, so there is no login to refuse."},
	{"login_flows", []string{"login again as the same user"}, 2,
		"Every login gives a new token, also to the user who is logged in already; the values are kept."},
	{"login_flows", []string{"for somebody else's password"}, 2,
		"Setting somebody else's password does not touch one's own session."},
	{"login_flows", []string{"hash is upgraded elsewhere"}, 4,
		"Making a hash anew is no change of the password: it ends no session and voids no token."},
	{"login_flows", []string{"user deactivated: anonymous, session not flushed"}, 3,
		"Deactivating a user ends the user's sessions for good."},
	{"login_flows", []string{"no longer configured: anonymous, session not flushed: values"}, 1,
		"While the backend of a session is not configured, its values cannot be read; if it is configured again, all is as before."},
	{"login_flows", []string{"user deleted"}, 2,
		"Deleting a user deletes the user's sessions."},
}

// TestDifferencesAreDocumented holds the table and the page for people together.
func TestDifferencesAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/MIGRATING.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(data)), " ")
	for _, d := range differences {
		if !strings.Contains(page, d.reason) {
			t.Errorf("docs/MIGRATING.md does not say: %s", d.reason)
		}
	}
	t.Logf("%d differences", len(differences))
}
