package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// A proof is a step as the table has it, for both sizes.
type proof struct {
	name, promises string
	pkg            string
	ci, long       string   // what is set, in front of the command; "-" leaves the step out. For the small size nothing is
	small          string   // likewise: "-" leaves the step out of the small size
	run            string   // pattern of tests; empty: all of the package
	tests          []string // that have to be among them
	seed           bool     // the tests take -seed
	flags          string   // further flags of go test
	counts         []string
	command        string // instead of go test, with SEED for the seed
	longCommand    string // the same for the long size; empty: no other
}

// proofs are all steps but the fuzz targets, which are found in the sources.
var proofs = []proof{
	{name: "crash-images", promises: "1, 2", pkg: "./internal/crashtest", ci: "LATCHBOLT_IMAGES=100000", long: "LATCHBOLT_IMAGES=1000000", run: "^Test([^K]|KillT)",
		tests: []string{"TestAlone", "TestTogether", "TestImport", "TestNames", "TestEveryCall", "TestRestore", "TestKillThenCut", "TestSalvage", "TestControls", "TestControlSteps", "TestControlTwoTransactions", "TestControlKillThenCut", "TestStrace"},
		seed:  true, counts: []string{"images>0", "bad", "controls>0"}},
	{name: "kills", promises: "1, 2", pkg: "./internal/crashtest", ci: "LATCHBOLT_KILLS=1000", long: "LATCHBOLT_KILLS=10000", run: "^TestKill$",
		tests: []string{"TestKill"}, seed: true, counts: []string{"kills>0", "acknowledged>0"}},
	{name: "power-cuts", promises: "1, 2", pkg: "./internal/powercut", ci: "LATCHBOLT_CUTS=200", long: "LATCHBOLT_CUTS=5000",
		tests: []string{"TestPowerCut", "TestControlNoSync"}, seed: true, counts: []string{"cuts", "skipped"}},
	{name: "faults", promises: "1, 2", pkg: "./internal/faultrun", ci: "LATCHBOLT_FAULTS=1", long: "LATCHBOLT_LONG=1 LATCHBOLT_FAULTS=1", run: "^TestFaultSweep$",
		tests: []string{"TestFaultSweep"}, counts: []string{"faults>0"}},
	{name: "full-disk", promises: "1, 2, 3", pkg: "./internal/faultrun", run: "^TestFullDisk$",
		tests: []string{"TestFullDisk"}, counts: []string{"disks>0"}},
	{name: "damage", promises: "2, 4", pkg: "./internal/damagetest", ci: "LATCHBOLT_DAMAGE=3000", long: "LATCHBOLT_DAMAGE=20000",
		tests: []string{"TestDamage", "TestDamageCanFail", "TestNewerMeta", "TestFewerElements", "TestOldCopies", "TestSalvageWhole", "TestSalvageOfKilled", "TestSalvageLostPage", "TestSalvageRefuses"},
		seed:  true, counts: []string{"cases>0", "effective>0", "unnoticed"}},
	{name: "linearizable", promises: "3", pkg: ".", ci: "LATCHBOLT_LINEAR=200000", long: "LATCHBOLT_LINEAR=1000000", run: "^TestLinearizable",
		tests: []string{"TestLinearizable", "TestLinearizableCanFail"}, counts: []string{"operations>0"}},
	{name: "revocation", promises: "3", pkg: ".", ci: "LATCHBOLT_REVOKE=2000000", long: "LATCHBOLT_REVOKE=10000000", run: "^Test(NothingPassesAfterRevocation|RevocationsOnAFullDisk)$",
		tests: []string{"TestNothingPassesAfterRevocation", "TestRevocationsOnAFullDisk"}, counts: []string{"checks>0", "revocations>0"}},
	{name: "model", promises: "2, 3", pkg: ".", ci: "LATCHBOLT_MODEL=60000", long: "LATCHBOLT_MODEL=1000000", run: "^TestModel", flags: "-race",
		tests: []string{"TestModel", "TestModelCallsEverything"}, counts: []string{"operations>0"}},
	{name: "work", promises: "5", pkg: ".", run: "^Test(CVE_2016_2513|EveryFailureLooksTheSame)$", tests: []string{"TestCVE_2016_2513", "TestEveryFailureLooksTheSame"}},
	{name: "work-web", promises: "5", pkg: "./authhttp", run: "^TestEveryPathCostsTheSame$", tests: []string{"TestEveryPathCostsTheSame"}},
	{name: "timing", promises: "5", pkg: ".", ci: "-", long: "LATCHBOLT_TIMING=1", run: "^TestTiming", tests: []string{"TestTimingOfLogins", "TestTimingCanFail"},
		counts: []string{"samples>0", "attempts>0"}},
	{name: "timing-web", promises: "5", pkg: "./authhttp", ci: "-", long: "LATCHBOLT_TIMING=1", run: "^TestTimingOfPaths$",
		tests: []string{"TestTimingOfPaths"}, counts: []string{"samples>0", "attempts>0"}},
	{name: "hostile", promises: "4", pkg: ".", ci: "LATCHBOLT_CI=1", long: "LATCHBOLT_HOSTILE=1", run: "^Test(FloodOfLogins|SlotsBoundHashes|InventedNames|InventedCookies)$",
		tests: []string{"TestFloodOfLogins", "TestSlotsBoundHashes", "TestInventedNames", "TestInventedCookies"}, counts: []string{"clients>0", "told-busy>0", "names>0", "cookies>0"}},
	{name: "hostile-web", promises: "4", pkg: "./authhttp", ci: "LATCHBOLT_CI=1", long: "LATCHBOLT_HOSTILE=1", run: "^TestFloodOfForms$",
		tests: []string{"TestFloodOfForms"}, counts: []string{"clients>0", "told-busy>0"}},
	{name: "space", promises: "4", pkg: ".", ci: "LATCHBOLT_CI=1", long: "LATCHBOLT_SPACE=1", run: "^Test(ExpiredSessionsGo|HeldReader)$",
		tests: []string{"TestExpiredSessionsGo", "TestHeldReader"}, counts: []string{"sessions>0", "writes-beside>0", "max-wait-us>0", "held>0", "ended>0"}},
	{name: "space-views", promises: "4", pkg: "./internal/kv/boltkv", ci: "LATCHBOLT_CI=1", long: "LATCHBOLT_SPACE=1", run: "^Test(HeldView|SlowBackup|StoreHeld)", flags: "-race",
		tests: []string{"TestStoreHeld", "TestHeldViewEnds", "TestHeldViewLasts", "TestHeldViewsRace", "TestSlowBackup"}, counts: []string{"views-whole>0", "views-ended>0"}},
	{name: "secrets", promises: "6", pkg: ".", run: "^Test(SecretsDoNotPrint|PasswordHashSecret|TokensAreNotStored|Canaries|EveryChangeIsRecorded)$",
		tests: []string{"TestSecretsDoNotPrint", "TestPasswordHashSecret", "TestTokensAreNotStored", "TestCanaries", "TestEveryChangeIsRecorded"}},
	{name: "canaries", promises: "6", pkg: ".", ci: "LATCHBOLT_CANARY=temp", long: "LATCHBOLT_CANARY=temp", small: "-",
		tests: []string{"TestCanaries"}, counts: []string{"secrets>0", "log-lines>0", "databases>0", "hits"}},
	{name: "canaries-web", promises: "6", pkg: "./authhttp", ci: "LATCHBOLT_CANARY=temp", long: "LATCHBOLT_CANARY=temp", small: "-",
		tests: []string{"TestEveryPathCostsTheSame"}, counts: []string{"secrets>0", "log-lines>0", "databases>0", "hits"}},
	{name: "canaries-console", promises: "6", pkg: "./console", ci: "LATCHBOLT_CANARY=temp", long: "LATCHBOLT_CANARY=temp", small: "-",
		tests: []string{"TestPages", "TestForms"}, counts: []string{"secrets>0", "log-lines>0", "databases>0", "hits"}},
	{name: "canaries-cli", promises: "6", pkg: "./cli", ci: "LATCHBOLT_CANARY=temp", long: "LATCHBOLT_CANARY=temp", small: "-",
		tests: []string{"TestScripts"}, counts: []string{"secrets>0", "log-lines>0", "hits"}},
	{name: "history", pkg: ".", run: "^Test(History|Standards|FuzzTargets|PastDefects)$", tests: []string{"TestHistory", "TestStandards", "TestFuzzTargets", "TestPastDefects"},
		counts: []string{"rows>0", "tested>0"}},
	{name: "supply", pkg: ".", run: "^Test(Modules|ModulesCanFail|GO_2025_3451|CVE_2024_21495)$", tests: []string{"TestModules", "TestModulesCanFail", "TestGO_2025_3451"}},
	{name: "mutants", command: "go run ./internal/mutate -n 120 -seed 1", longCommand: "go run ./internal/mutate",
		counts: []string{"mutants>0", "noticed>0"}},
	{name: "coverage", ci: "-", command: "go run ./internal/coverage", counts: []string{"statements>0", "reached>0"}},
	{name: "race", ci: "-", pkg: "./...", flags: "-race", counts: nil},
}

// allSteps makes the steps of a size.
func allSteps(ctx context.Context, root string, o *options) ([]*step, error) {
	var all []*step
	for i := range proofs {
		if s := proofs[i].step(o); s != nil {
			all = append(all, s)
		}
	}
	fuzz, err := fuzzSteps(ctx, root, o)
	return append(all, fuzz...), err
}

func (p *proof) step(o *options) *step {
	size := map[string]string{"small": p.small, "ci": p.ci, "long": p.long}[o.size]
	if size == "-" || o.size == "small" && (p.command != "" || p.ci == "-") {
		return nil
	}
	s := &step{name: p.name, promises: p.promises, env: strings.Fields(size), tests: p.tests, counts: p.counts, pkg: p.pkg}
	if command := p.command; command != "" {
		if o.size == "long" && p.longCommand != "" {
			command = p.longCommand
		}
		s.args, s.pkg = strings.Fields(strings.ReplaceAll(command, "SEED", fmt.Sprint(o.seed))), ""
		return s
	}
	timeout := 20 * time.Minute
	if o.size == "long" {
		timeout = 6 * time.Hour
	}
	s.args = []string{"go", "test", "-count=1", "-v", "-timeout", timeout.String()}
	if o.size != "small" {
		s.args = append(s.args, strings.Fields(p.flags)...)
	}
	if p.run != "" {
		s.args = append(s.args, "-run", p.run)
	}
	if s.args = append(s.args, p.pkg); p.seed {
		s.args = append(s.args, "-seed", fmt.Sprint(o.seed))
	}
	return s
}

// fuzzSteps makes a step of each fuzz target of the repository.
func fuzzSteps(ctx context.Context, root string, o *options) ([]*step, error) {
	cmd := exec.CommandContext(ctx, "git", "grep", "-o", "-E", "^func Fuzz[A-Za-z0-9_]*", "--", "*_test.go")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("looking for fuzz targets: %w", err)
	}
	var all []*step
	sc := bufio.NewScanner(strings.NewReader(string(out)))
	for sc.Scan() {
		file, fn, _ := strings.Cut(sc.Text(), ":func ")
		dir := "."
		if i := strings.LastIndexByte(file, '/'); i >= 0 {
			dir = "./" + file[:i]
		}
		replay := []string{"go", "test", "-count=1", "-v", "-run", "^" + fn + "$", dir}
		if o.size == "small" {
			all = append(all, &step{name: fuzzName(dir, fn), promises: "4", fuzz: fn, pkg: dir, tests: []string{fn}, counts: []string{"inputs>0"}, args: replay})
			continue
		}
		all = append(all, &step{name: fuzzName(dir, fn), promises: "4", fuzz: fn, pkg: dir, replay: replay,
			args: []string{"go", "test", "-run", "^$", "-fuzz", "^" + fn + "$", "-fuzztime", o.fuzztime.String(), "-fuzzminimizetime", "2s", "-parallel", "1", "-timeout", "0", dir}, counts: []string{"execs>0"}})
	}
	if len(all) < 14 {
		return nil, fmt.Errorf("only %d fuzz targets were found", len(all))
	}
	return all, nil
}

func fuzzName(dir, fn string) string {
	return "fuzz-" + strings.ReplaceAll(strings.TrimPrefix(dir, "./"), ".", "root") + "-" + fn
}
