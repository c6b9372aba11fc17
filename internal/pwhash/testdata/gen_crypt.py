"""Writes crypt.json: hashes by libxcrypt (Python's crypt) and by openssl passwd.

Run with Python 3.11 or older: python3 -W ignore gen_crypt.py > crypt.json
"""
import base64, crypt, hashlib, json, subprocess

DREPPER = [  # the inputs of the vectors in Ulrich Drepper's SHA-crypt.txt
    ("$saltstring", "Hello world!"),
    ("$rounds=10000$saltstringsaltstring", "Hello world!"),
    ("$rounds=5000$toolongsaltstring", "This is just a test"),
    ("$rounds=1400$anotherlongsaltstring", "a very much longer text to encrypt.  This one even stretches over morethan one line."),
    ("$rounds=77777$short", "we have a short salt string but not a short password"),
    ("$rounds=123456$asaltof16chars..", "a short string"),
]
LENGTHS = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 200, 255]
SALT = "./0123456789ABCDEFabcdef"


def password(n):
    text = "p\u00e4ssw\u00f6rd \u5bc6\u7801 "
    out = ""
    while len((out + text[len(out) % len(text)]).encode()) <= n:
        out += text[len(out) % len(text)]
    return out + "x" * (n - len(out.encode()))


def openssl(flag, salt, pw):
    return subprocess.run(["openssl", "passwd", flag, "-salt", salt, "-stdin"], input=pw + "\n", capture_output=True, text=True, check=True).stdout.strip()


rows = []
for ident in "56":
    for setting, pw in DREPPER:
        rows.append(("libxcrypt, Drepper's input", pw, crypt.crypt(pw, "$" + ident + setting)))
for i, n in enumerate(LENGTHS):
    pw = password(n)
    salt = SALT[i % 8 :][: 1 + i % 16]
    rows.append(("openssl -apr1", pw, openssl("-apr1", salt[:8], pw)))
    rows.append(("libxcrypt", pw, crypt.crypt(pw, "$1$" + salt[:8])))
    rows.append(("openssl -5", pw, openssl("-5", salt, pw)))
    rows.append(("libxcrypt", pw, crypt.crypt(pw, "$5$rounds=1000$" + salt)))
    rows.append(("openssl -6", pw, openssl("-6", salt, pw)))
    rows.append(("libxcrypt", pw, crypt.crypt(pw, "$6$rounds=1000$" + salt)))
    raw = pw.encode()
    s = salt.encode()
    rows.append(("hashlib", pw, "{SSHA}" + base64.b64encode(hashlib.sha1(raw + s).digest() + s).decode()))
    rows.append(("hashlib", pw, "{SHA}" + base64.b64encode(hashlib.sha1(raw).digest()).decode()))
    rows.append(("hashlib", pw, "sha1$" + salt + "$" + hashlib.sha1(s + raw).hexdigest()))
    rows.append(("hashlib", pw, "sha1$$" + hashlib.sha1(raw).hexdigest()))
    rows.append(("hashlib", pw, "md5$$" + hashlib.md5(raw).hexdigest()))
    rows.append(("hashlib", pw, hashlib.md5(raw).hexdigest()))
rows = [{"by": b, "password": p, "encoded": e} for b, p, e in rows]
# openssl passwd -5 and -6 fail on an empty password.
rows = [r for r in rows if r["encoded"] != "<NULL>"]
assert not any(r["encoded"].startswith("*") for r in rows)
print("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]")
