package latchbolt

import (
	"sync"
	"time"
)

// What an Administrator may do stands here and nowhere else: the methods ask these rules, and docs/CONSOLE.md
// lists them. What has no rule has no method.

// An adminRule says what a method, or a field that it sets, asks for. Superusers are exempt from all of it.
type adminRule struct {
	function string // the method of Administrator
	field    string // as Django spells it; empty for what the method asks for in any case
	needs    []need // all of them
	limits   limit
}

// A limit is a condition beside the permissions.
type limit uint8

const (
	onlySuperusers     limit = 1 << iota // nobody else
	superusersTheirOwn                   // if the user is a superuser: nobody else
	notOneself                           // not to the own account
	onlyWhatIsHeld                       // gives nothing that the one who acts does not have
	coversStaff                          // if the user is staff: only by who has all that the user has
)

var limitTexts = []struct {
	limit limit
	text  string
}{
	{onlySuperusers, "superusers only"},
	{superusersTheirOwn, "not if the user is a superuser"},
	{notOneself, "not for oneself"},
	{onlyWhatIsHeld, "only permissions that one has oneself"},
	{coversStaff, "if the user is staff, only by who has all permissions that the user has"},
}

// needView is what looking at a model takes: who may change it may look at it, as in Django.
func needView(model string) need {
	return need{Perm("auth.view_" + model), Perm("auth.change_" + model)}
}

var (
	needChangeUser = need{"auth.change_user"}
	needSession    = need{"auth.view_session", "auth.delete_session"}
)

var (
	ruleAllowed = adminRule{function: "Allowed"}

	ruleUser       = adminRule{function: "User", needs: []need{needView("user")}}
	ruleUserGroups = adminRule{function: "User", field: "groups", needs: []need{needView("user"), needView("group")}}
	ruleSearch     = adminRule{function: "Search", needs: []need{needView("user")}}
	ruleSearchIn   = adminRule{function: "Search", field: "group", needs: []need{needView("user"), needView("group")}}
	ruleSearchPerm = adminRule{function: "Search", field: "permission", needs: []need{needView("user"), needView("permission")}}
	ruleGrants     = adminRule{function: "UserGrants", needs: []need{needView("user"), needView("permission")}}
	ruleExplain    = adminRule{function: "Explain", needs: []need{needView("user"), needView("permission")}}
	ruleThrottled  = adminRule{function: "Throttled", needs: []need{needView("user")}}

	ruleCreate       = adminRule{function: "CreateUser", needs: []need{{"auth.add_user"}}}
	ruleCreatePass   = adminRule{function: "CreateUser", field: "password", needs: []need{{"auth.add_user"}, {"auth.set_password"}}}
	ruleCreateGroups = adminRule{function: "CreateUser", field: "groups", needs: []need{{"auth.add_user"}, needChangeUser, needView("group")}, limits: onlyWhatIsHeld}
	ruleCreateStaff  = adminRule{function: "CreateUser", field: "is_staff", limits: onlySuperusers}
	ruleCreateSuper  = adminRule{function: "CreateUser", field: "is_superuser", limits: onlySuperusers}

	ruleUpdate       = adminRule{function: "UpdateUser", needs: []need{needChangeUser}, limits: superusersTheirOwn}
	ruleUpdateEmail  = adminRule{function: "UpdateUser", field: "email", needs: []need{needChangeUser}, limits: superusersTheirOwn | coversStaff}
	ruleUpdateActive = adminRule{function: "UpdateUser", field: "is_active", needs: []need{needChangeUser}, limits: superusersTheirOwn | notOneself}
	ruleUpdateStaff  = adminRule{function: "UpdateUser", field: "is_staff", limits: onlySuperusers}
	ruleUpdateSuper  = adminRule{function: "UpdateUser", field: "is_superuser", limits: onlySuperusers}
	ruleUpdateGroups = adminRule{function: "UpdateUser", field: "groups", needs: []need{needChangeUser, needView("group")}, limits: superusersTheirOwn | notOneself | onlyWhatIsHeld}
	ruleUpdateName   = adminRule{function: "UpdateUser", field: "username", needs: []need{needChangeUser}, limits: superusersTheirOwn | coversStaff}
	ruleUpdateFirst  = adminRule{function: "UpdateUser", field: "first_name", needs: []need{needChangeUser}, limits: superusersTheirOwn}
	ruleUpdateLast   = adminRule{function: "UpdateUser", field: "last_name", needs: []need{needChangeUser}, limits: superusersTheirOwn}
	ruleUserPerms    = adminRule{function: "SetUserPermissions", needs: []need{needChangeUser, needView("permission")}, limits: superusersTheirOwn | notOneself | onlyWhatIsHeld}
	ruleUnlock       = adminRule{function: "Unlock", needs: []need{needChangeUser}, limits: superusersTheirOwn | coversStaff}
	ruleDelete       = adminRule{function: "DeleteUser", needs: []need{{"auth.delete_user"}}, limits: superusersTheirOwn | notOneself}
	ruleWhatGoes     = adminRule{function: "WhatGoesWith", needs: []need{{"auth.delete_user"}}, limits: superusersTheirOwn | notOneself}

	ruleSetPassword = adminRule{function: "SetPassword", needs: []need{{"auth.set_password"}}, limits: superusersTheirOwn | coversStaff}
	ruleResetToken  = adminRule{function: "ResetToken", needs: []need{{"auth.set_password"}}, limits: superusersTheirOwn | coversStaff}
	ruleSendReset   = adminRule{function: "SendReset", needs: []need{{"auth.send_reset"}}, limits: superusersTheirOwn}

	ruleGroup       = adminRule{function: "Group", needs: []need{needView("group")}}
	ruleGroups      = adminRule{function: "Groups", needs: []need{needView("group")}}
	ruleGroupGrants = adminRule{function: "GroupGrants", needs: []need{needView("group")}}
	ruleCreateGroup = adminRule{function: "CreateGroup", needs: []need{{"auth.add_group"}}}
	ruleRenameGroup = adminRule{function: "RenameGroup", needs: []need{{"auth.change_group"}}}
	ruleGroupPerms  = adminRule{function: "SetGroupPermissions", needs: []need{{"auth.change_group"}}, limits: onlyWhatIsHeld}
	ruleDeleteGroup = adminRule{function: "DeleteGroup", needs: []need{{"auth.delete_group"}}}

	rulePermissions = adminRule{function: "Permissions", needs: []need{{"auth.view_permission", "auth.change_permission", "auth.view_group", "auth.change_group"}}}
	ruleHolders     = adminRule{function: "Holders", needs: []need{needView("permission"), needView("group")}}

	ruleSessions    = adminRule{function: "Sessions", needs: []need{needSession}, limits: superusersTheirOwn}
	ruleAllSessions = adminRule{function: "AllSessions", needs: []need{needSession}}
	ruleEndSession  = adminRule{function: "EndSession", needs: []need{{"auth.delete_session"}}, limits: superusersTheirOwn}
	ruleEndSessions = adminRule{function: "EndSessions", needs: []need{{"auth.delete_session"}}, limits: superusersTheirOwn}

	ruleAudit    = adminRule{function: "Audit", needs: []need{{"auth.view_audit"}}}
	ruleOverview = adminRule{function: "Overview", needs: []need{{"auth.view_audit"}}}
)

// adminRules are all of them, in the order of the documentation.
var adminRules = []*adminRule{
	&ruleAllowed,
	&ruleUser, &ruleUserGroups, &ruleSearch, &ruleSearchIn, &ruleSearchPerm, &ruleGrants, &ruleExplain, &ruleThrottled,
	&ruleCreate, &ruleCreatePass, &ruleCreateGroups, &ruleCreateStaff, &ruleCreateSuper,
	&ruleUpdate, &ruleUpdateName, &ruleUpdateEmail, &ruleUpdateFirst, &ruleUpdateLast, &ruleUpdateActive, &ruleUpdateStaff, &ruleUpdateSuper, &ruleUpdateGroups,
	&ruleUserPerms, &ruleUnlock, &ruleWhatGoes, &ruleDelete,
	&ruleSetPassword, &ruleResetToken, &ruleSendReset,
	&ruleGroup, &ruleGroups, &ruleGroupGrants, &ruleCreateGroup, &ruleRenameGroup, &ruleGroupPerms, &ruleDeleteGroup,
	&rulePermissions, &ruleHolders,
	&ruleSessions, &ruleAllSessions, &ruleEndSession, &ruleEndSessions,
	&ruleAudit, &ruleOverview,
}

// refusals bounds how many refusals of one administrator are recorded, so that nobody who is
// signed in can push everything else out of the audit trail.
type refusals struct {
	mu    sync.Mutex // guards all below
	since time.Time
	count map[UserID]int
}

const (
	refusalsEach  = 60 // of one user in refusalsEvery
	refusalsEvery = time.Minute
)

// take reports whether one more is to be recorded.
func (r *refusals) take(id UserID, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil || now.Sub(r.since) >= refusalsEvery {
		r.count, r.since = make(map[UserID]int), now
	}
	r.count[id]++
	return r.count[id] <= refusalsEach
}
