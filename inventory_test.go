package latchbolt_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Why a behaviour of Django's is not pinned in this package.
const (
	tools  = "belongs to the command line or the console"
	python = "exists only in Python or in Django's ORM"
)

// The behaviours that a re-implementation usually gets wrong, by their numbers in section 29
// of the inventory: the tests that pin each of them here ("folder:Test" if they are in another package),
// or why there is none, or both where only a part applies or the difference is intended.
var inventory = map[int]struct {
	tests string
	why   string
}{
	1:   {"TestEveryFailureLooksTheSame TestCVE_2016_2513", ""},
	2:   {"TestCredentialsOfAnotherKind TestPasswordsAreTakenAsTheyAre", "an empty password is looked at like any other; an empty name costs nothing"},
	3:   {"TestBackendsAreAskedInOrder", ""},
	4:   {"TestBackendsAreAskedInOrder TestCredentialsOfAnotherKind", ""},
	5:   {"TestSessionDiesWithItsBackend", "a backend has a name in place of a path"},
	6:   {"TestLoginWithoutProof", "intended difference: Login takes an Identity, which knows its backend"},
	7:   {"TestSessionDiesWithItsBackend", ""},
	8:   {"TestLoginWithoutProof TestInactiveUsers", "intended difference: Login accepts an inactive user only if the backend lets such users in"},
	9:   {"TestEveryFailureLooksTheSame", ""},
	10:  {"TestInactiveUsers", ""},
	11:  {"TestWhoHasAPermission", ""},
	12:  {"TestWhoHasAPermission TestInactiveUsers", ""},
	13:  {"TestGrantsOnObjects TestWhoHasAPermission", "intended difference: a grant for all objects covers each"},
	14:  {"TestWhoHasAPermission", "the compiler refuses a text for a list"},
	15:  {"TestPermBackendOrder", ""},
	16:  {"TestPermBackendOrder", ""},
	17:  {"TestIdentityAnswersAsOfItsMoment TestChangesAreInForceElsewhereAtOnce", "intended difference: only Identity.Has is of its moment, HasPerm is of now"},
	18:  {"TestWhoHasAPermission", ""},
	19:  {"TestWhoHasAPermission", ""},
	20:  {"TestWhoHasAPermission", ""},
	21:  {"TestUserQueryFiltersAgreeWithTheModel", "intended difference: who is active is for UserQuery.Active to say"},
	22:  {"TestUserQueryTakesPermissionsWithDots TestWhoHasAPermission", "intended difference: dots in a codename are fine in both"},
	23:  {"", python + ": there are no proxy models"},
	24:  {"TestDefine", "DefineModel gives the four, Define any others; nothing is removed by defining less"},
	25:  {"TestUsernamesCollide TestUsernamesAgainstDjango", ""},
	26:  {"TestCVE_2023_46695 TestUserByNameThatIsNotThere", ""},
	27:  {"TestUserFieldsAreChecked TestCVE_2015_5144", ""},
	28:  {"TestUsernamesCollide TestCaseSensitivityIsKeptInTheFile", "intended difference: the file decides, for all paths alike"},
	29:  {"TestEmailsAgainstDjango TestUserComesBackAsStored", ""},
	30:  {"TestNewUserHasDjangosDefaults", ""},
	31:  {"TestPasswordHashForExport TestUnusablePasswordsNeverVerify", ""},
	32:  {"", "intended difference: Staff and Superuser are two fields of a User, and no call sets one for the other"},
	33:  {"TestUnusablePasswordsNeverVerify TestPasswordHashInfoAsDjango", "intended difference: the empty hash counts as unusable"},
	34:  {"TestPasswordsAreTakenAsTheyAre", "if the validators allow it"},
	35:  {"TestUnusablePasswordsNeverVerify", ""},
	36:  {"TestEveryFailureLooksTheSame TestUnusablePasswordsNeverVerify", ""},
	37:  {"TestEveryFailureLooksTheSame TestCVE_2016_2513", ""},
	38:  {"TestHashUpgrade", ""},
	39:  {"TestHashUpgradeEndsNothing internal/pwhash:TestOutdated", "intended difference: a hash is never made weaker"},
	40:  {"TestDjangoMustUpdate internal/pwhash:TestOutdated", ""},
	41:  {"TestDjangoMustUpdate internal/pwhash:TestOutdated", ""},
	42:  {"TestHashUpgradeEndsNothing", ""},
	43:  {"TestDjangoVerdicts internal/pwhash:TestGoIssue36546", ""},
	44:  {"TestDjangoVerdicts TestParsePasswordHash", ""},
	45:  {"internal/pwhash:TestStrict", ""},
	46:  {"TestLoginRotatesAndCarriesOver authhttp:TestValuesAndLogin", ""},
	47:  {"TestLoginRotatesAndCarriesOver authhttp:TestValuesAndLogin", "intended difference: every login rotates the token"},
	48:  {"", "intended difference: every session of a user carries its generation"},
	49:  {"authhttp:TestCVE_2025_24358", "intended difference: the origin is proved by headers that browsers send; there is no token to rotate"},
	50:  {"", "there is no key that sessions are signed with, so none falls back"},
	51:  {"TestPasswordChangeAndSessions", ""},
	52:  {"TestPasswordChangeAndSessions authhttp:TestPasswordChange", ""},
	53:  {"TestEndingSessions", ""},
	54:  {"", python + ": identifiers are numbers throughout"},
	55:  {"TestNewUserHasDjangosDefaults TestLoginTellsWhatTheSessionIs", ""},
	56:  {"authhttp:TestLoginAndOut authhttp:TestHeadersAndMethods", ""},
	57:  {"authhttp:TestRedirectsOfDjango authhttp:TestCVE_2012_3442", ""},
	58:  {"authhttp:TestRedirectsOfDjango authhttp:TestNextOfDjango", ""},
	59:  {"authhttp:TestResetByMail", "intended difference: the token is kept in a cookie of its own, since the file holds no token that is good"},
	60:  {"TestTokensDoNotMix authhttp:TestCVE_2010_4535", ""},
	61:  {"TestCVE_2024_37897 authhttp:TestCVE_2024_45231 authhttp:TestCVE_2019_19844", ""},
	62:  {"TestUsersByEmail authhttp:TestCVE_2019_19844", ""},
	63:  {"TestTokenIsGoodUntilItsLastMoment", ""},
	64:  {"TestCVE_2026_26060", "tokens are random, so two of one user are not the same"},
	65:  {"", "there is no key that tokens are made with, so none falls back"},
	66:  {"TestUnknownTokensWriteNothing TestLoginRotatesAndCarriesOver authhttp:TestCVE_2015_5143", ""},
	67:  {"TestEndedSessionIsNotBroughtBack authhttp:TestSessionEndedMeanwhile", ""},
	68:  {"TestRenewKeepsEverythingButTheToken", ""},
	69:  {"TestSessionsEndInTime", ""},
	70:  {"TestSetExpiry", ""},
	71:  {"TestParseTokenIsStrict", ""},
	72:  {"TestOutageOfTheStoreIsNoRefusal", "intended difference: damage is ErrCorrupt and never an empty session"},
	73:  {"TestValuesMethods TestUpdateValues authhttp:TestSessionValues", ""},
	74:  {"authhttp:TestNothingSavedOnErrors authhttp:TestCookiesOfDjango", ""},
	75:  {"TestUpdateValues authhttp:TestCookiesOfDjango", ""},
	76:  {"authhttp:TestCookiesOfDjango authhttp:TestCVE_2015_5963", ""},
	77:  {"", "the cache is in memory and cannot fail"},
	78:  {"authhttp:TestCVE_2014_0482", ""},
	79:  {"TestRemoteUser authhttp:TestCVE_2014_0482", ""},
	80:  {"TestLoginTellsWhatTheSessionIs authhttp:TestCVE_2014_0482", ""},
	81:  {"TestValidatorsAgainstDjango TestSettingsThatMakeNoSense", "attributes that are properties exist only in Python"},
	82:  {"TestAllFourAgainstDjango TestCreateUserTellsOfFieldsAndPasswordTogether", ""},
	83:  {"TestPasswordsAreTakenAsTheyAre authhttp:TestResetByMail", ""},
	84:  {"", tools},
	85:  {"", tools},
	86:  {"", tools + "; a UserQuery has no condition about passwords"},
	87:  {"authhttp:TestLazy", ""},
	88:  {"authhttp:TestRequire", ""},
	89:  {"authhttp:TestRequire", ""},
	90:  {"TestWhoHasAPermission", ""},
	91:  {"TestEndingSessions TestSessionDiesWithItsBackend", "in part: sessions of an inactive user stay stored and are refused, those of a deleted one go"},
	92:  {"TestRemoteUser", "intended difference: such users get an unusable password and a name in form NFKC"},
	93:  {"TestUsernamesCollide TestCVE_2025_24806", "intended difference: what is typed is normalized on every path"},
	94:  {"TestEmailsAgainstDjango TestLowerIsPythons", ""},
	95:  {"TestUsernamesAgainstDjango TestUserFieldsAreChecked", ""},
	96:  {"TestParsePasswordHash TestDjangoVerdicts TestUnusablePasswordsNeverVerify", "intended difference: a malformed hash is refused on the way in and never verifies"},
	97:  {"TestLoginWithoutProof", "a login without a backend cannot be written"},
	98:  {"TestUnknownTokensWriteNothing", "an unknown token gives ErrNoSession"},
	99:  {"TestHashUpgradeEndsNothing", "intended difference: an upgrade voids reset tokens, but ends no session"},
	100: {"TestValidatorsAgainstDjango", ""},
	101: {"TestWhoHasAPermission TestUserQueryTakesPermissionsWithDots", "intended difference: the query takes them too"},
	102: {"TestTokenIsGoodUntilItsLastMoment", "intended difference: the engine's clock is in UTC and does not go back"},
}

// testsIn returns the names of the tests in the sources of a package.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*_test.go"))
	must(t, "looking for tests", err)
	if len(files) == 0 {
		t.Fatalf("%s has no tests", dir)
	}
	names := make(map[string]bool)
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		must(t, "parsing", err)
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}

func TestInventoryIsCovered(t *testing.T) {
	const behaviours = 102
	tests := make(map[string]map[string]bool)
	for n := 1; n <= behaviours; n++ {
		e, ok := inventory[n]
		if !ok || e.tests == "" && e.why == "" {
			t.Errorf("behaviour %d has neither a test nor a reason", n)
		}
		for _, name := range strings.Fields(e.tests) {
			dir, fn, elsewhere := strings.Cut(name, ":")
			if !elsewhere {
				dir, fn = ".", name
			}
			if tests[dir] == nil {
				tests[dir] = testsIn(t, dir)
			}
			if !tests[dir][fn] {
				t.Errorf("behaviour %d: there is no test %s", n, name)
			}
		}
	}
	if len(inventory) != behaviours {
		t.Errorf("got %d entries, want %d", len(inventory), behaviours)
	}
}
