#!/usr/bin/env python3
"""Does with Django what the benchmarks in this folder's parent do with latchbolt.

It is told what to do by lines on standard input, and answers each with one line: "ok" and how many nanoseconds it took, or what was asked for. So the
one who asks can take turns with it. It keeps its SQLite file in the folder that is its only argument:

    python3 bench.py FOLDER
    fill USERS GROUPS PERMS     makes users, each in one group, and grants each group one permission, and makes as many sessions as users
    with_perm_fill USERS        grants a permission to one group in a hundred, and to ten users
    who I                       the name of the user of session I
    session N                   N times: session and user of a request, from the key in its cookie
    has_perm N / has_perm_again N
    may USER PERM               whether USER has PERM
    login N                     N times: login() of a request, without the password
    bulk N                      N users with two groups each, by bulk_create, into the file there is
    with_perm N                 N times: the first hundred users that have the permission
    size                        bytes of the file

    python3 bench.py --version  which Django this is
"""
import os
import sys
import time

try:
    import django
except ImportError:
    sys.exit("Django is not installed")

if sys.argv[1:] == ["--version"]:
    print("Django", django.get_version(), "on Python", sys.version.split()[0])
    sys.exit()
if len(sys.argv) != 2:
    sys.exit(__doc__)

from django.conf import settings

PATH = os.path.join(sys.argv[1], "django.sqlite3")
settings.configure(
    SECRET_KEY="only for benchmarks",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": PATH}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    USE_TZ=True,
)
django.setup()

from django.contrib import auth
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import connection, transaction
from django.http import HttpRequest

call_command("migrate", verbosity=0)
# As durable as latchbolt: Django leaves SQLite's journal as it is, which syncs with every commit.

BACKEND = "django.contrib.auth.backends.ModelBackend"
HASH = "pbkdf2_sha256$260000$c2l4dGVlbiBieXRlcyBv$JLgg96RkYmfpY4oRamdktA7Mco8w9WGxzxafx3XIWvo="
keys, ids = [], []
shape = (0, 1, 1)


def rand(i, n):
    """The same as in Go: looks random and is the same in each run."""
    m = (1 << 64) - 1
    x = (i + 1) * 0x9E3779B97F4A7C15 & m
    x ^= x >> 32
    x = x * 0xD6E8FEB86659FD93 & m
    x ^= x >> 29
    return x % n


def name(i):
    return "user%08d" % i


def new_user(i):
    return User(username=name(i), email=name(i) + "@example.org", password=HASH, first_name="Ada", last_name="Lovelace")


@transaction.atomic
def fill(users, groups, perms):
    global shape
    shape = (users, groups, perms)
    ct, _ = ContentType.objects.get_or_create(app_label="app", model="thing")
    Permission.objects.bulk_create([Permission(content_type=ct, codename="perm%d" % i, name="p") for i in range(perms)], 1000)
    perm_ids = list(Permission.objects.filter(content_type=ct).order_by("id").values_list("id", flat=True))
    Group.objects.bulk_create([Group(name="group %d" % i) for i in range(groups)], 1000)
    group_ids = list(Group.objects.order_by("id").values_list("id", flat=True))
    G = Group.permissions.through
    G.objects.bulk_create([G(group_id=g, permission_id=perm_ids[i * perms // groups]) for i, g in enumerate(group_ids)], 1000)
    User.objects.bulk_create([new_user(i) for i in range(users)], 1000)
    ids[:] = User.objects.order_by("id").values_list("id", flat=True)
    M = User.groups.through
    M.objects.bulk_create([M(user_id=u, group_id=group_ids[i * groups // users]) for i, u in enumerate(ids)], 1000)


@transaction.atomic
def sign_everybody_in():
    for u in User.objects.order_by("id")[:1000]:
        s = SessionStore()
        s[auth.SESSION_KEY], s[auth.BACKEND_SESSION_KEY], s[auth.HASH_SESSION_KEY] = str(u.pk), BACKEND, u.get_session_auth_hash()
        s.create()
        keys.append(s.session_key)


def request(key=None):
    r = HttpRequest()
    r.session = SessionStore(key)
    r.META["REMOTE_ADDR"] = "192.0.2.7"
    return r


def who(i):
    return auth.get_user(request(keys[i])).get_username()


def session(i):
    user = auth.get_user(request(keys[rand(i, len(keys))]))
    assert user.is_authenticated


def question(i):
    """Half of the questions are about the permission that the user has."""
    users, groups, perms = shape
    user = rand(i, users)
    perm = (user * groups // users) * perms // groups
    return user, perm if i % 2 == 0 else (perm + 1) % perms


def may(user, perm):
    return User.objects.get(pk=ids[user]).has_perm("app.perm%d" % perm)


fresh = []


def has_perm(i):
    fresh[i].has_perm("app.perm%d" % question(i)[1])


def get_fresh(n):
    """The objects are read beforehand: a request has its user already when it asks."""
    fresh[:] = [User.objects.get(pk=ids[question(i)[0]]) for i in range(n)]


def login(i):
    r = request()
    r.user = None
    auth.login(r, logins[i % len(logins)], backend=BACKEND)
    r.session.save()  # the session middleware does that when it answers


logins = []


@transaction.atomic
def bulk(n):
    groups = [Group.objects.get_or_create(name=g)[0] for g in ("one", "two")]
    users = User.objects.bulk_create([new_user(i) for i in range(n)], 1000)
    first = User.objects.order_by("id").values_list("id", flat=True)
    M = User.groups.through
    M.objects.bulk_create([M(user_id=u, group_id=g.pk) for u in first for g in groups], 1000)
    assert len(users) == n


def with_perm(_):
    page = list(User.objects.with_perm("app.perm0", backend=BACKEND).order_by("username")[:100])
    assert len(page) == 100


def with_perm_fill(users):
    fill(users, 100, 100)
    p = Permission.objects.get(codename="perm0")
    for i in range(10):
        User.objects.get(pk=ids[i * 997 % users]).user_permissions.add(p)


def timed(fn, n):
    start = time.perf_counter_ns()
    for i in range(n):
        fn(i)
    return time.perf_counter_ns() - start


def answer(words):
    verb, args = words[0], [int(w) for w in words[1:]]
    if verb == "fill":
        fill(*args)
        sign_everybody_in()
        logins[:] = User.objects.order_by("id")[:1000]
        return 0
    if verb == "has_perm":
        get_fresh(args[0])
        return timed(has_perm, args[0])
    if verb == "has_perm_again":
        get_fresh(64)
        for u in fresh:
            u.has_perm("app.perm0")
        return timed(lambda i: has_perm(i % 64), args[0])
    if verb == "bulk":
        return timed(lambda _: bulk(args[0]), 1)
    if verb == "size":
        return os.path.getsize(PATH)
    if verb in ("who", "may"):
        return globals()[verb](*args)
    if verb == "with_perm_fill":
        with_perm_fill(*args)
        return 0
    return timed({"session": session, "login": login, "with_perm": with_perm}[verb], args[0])


for line in sys.stdin:
    try:
        print("ok", answer(line.split()), flush=True)
    except Exception as e:
        print("failed: %s: %r" % (line.strip(), e), flush=True)
