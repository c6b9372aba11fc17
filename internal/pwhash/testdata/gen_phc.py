"""Writes phc.json: PHC strings by passlib (Debian's python3-passlib).

Run: python3 gen_phc.py > phc.json
"""
import base64, hashlib, json
from passlib.hash import pbkdf2_sha1, pbkdf2_sha256, pbkdf2_sha512, scrypt

rows = []
for i, n in enumerate([0, 1, 7, 8, 31, 63, 64, 65, 72, 73, 128, 200]):
    text = "p\u00e4ssw\u00f6rd \u5bc6\u7801 "
    pw = (text * n)[:n]
    salt = bytes((37 * i + 251 * k) % 256 for k in range(4 + i * 3))
    for name, h in (("pbkdf2", pbkdf2_sha1), ("pbkdf2-sha256", pbkdf2_sha256), ("pbkdf2-sha512", pbkdf2_sha512)):
        rows.append(("passlib", pw, h.using(rounds=10 + i, salt=salt).hash(pw)))
    for r, p, ln in ((8, 1, 4), (1, 3, 6)):
        rows.append(("passlib", pw, scrypt.using(rounds=ln, block_size=r, parallelism=p, salt=salt).hash(pw)))
    # The form of the PHC specification, with hashlib.
    b64 = lambda b: base64.b64encode(b).decode().rstrip("=")
    for digest, size in (("sha1", 20), ("sha256", 32), ("sha512", 64), ("sha512", 32)):
        key = hashlib.pbkdf2_hmac(digest, pw.encode(), salt, 20 + i, size)
        rows.append(("hashlib", pw, "$pbkdf2-%s$i=%d,l=%d$%s$%s" % (digest, 20 + i, size, b64(salt), b64(key))))
        rows.append(("hashlib", pw, "$pbkdf2-%s$i=%d$%s$%s" % (digest, 20 + i, b64(salt), b64(key))))
    key = hashlib.scrypt(pw.encode(), salt=salt, n=32, r=2, p=1, dklen=64)
    rows.append(("hashlib", pw, "$scrypt$ln=5,r=2,p=1$%s$%s" % (b64(salt), b64(key))))
print("[\n" + ",\n".join(json.dumps({"by": b, "password": p, "encoded": e}) for b, p, e in rows) + "\n]")
