#!/bin/sh
# Writes real.htpasswd with Apache's htpasswd (Debian's apache2-utils), and real.json with the passwords.
# Run in this folder: sh gen.sh
set -eu
rm -f real.htpasswd
: > real.htpasswd
list=
add() { # form, name, password, flags
	form=$1 name=$2 password=$3
	shift 3
	printf '%s' "$password" | htpasswd -i "$@" real.htpasswd "$name" 2>/dev/null
	list="$list${list:+,
}{\"form\": \"$form\", \"name\": \"$name\", \"password\": \"$password\"}"
}
n=0
for password in 'x' 'correct horse battery staple' 'pässwörd 密码' 'with:colon#and $dollar' \
	'0123456789012345678901234567890123456789012345678901234567890123456789ab'; do
	n=$((n + 1))
	add bcrypt "bcrypt$n" "$password" -B -C 4
	add apr1 "md5-$n" "$password" -m
	add sha1 "sha.$n" "$password" -s
	add sha256_crypt "sha256_$n" "$password" -2 -r 1000
	add sha512_crypt "sha512+$n" "$password" -5
	add des "des$n" "$password" -d
done
add bcrypt 'odd näme (x)' 'correct horse battery staple' -B -C 5
add plain 'plain' 'in the clear' -p
printf '[\n%s\n]\n' "$list" > real.json
