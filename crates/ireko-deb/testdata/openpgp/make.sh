#!/usr/bin/env bash
# Makes the keys and signatures that the tests of openpgp read, with GnuPG 2.2 or later. They are kept, so tests need
# no gpg; run it again only to add a case, and then all files change.
set -euo pipefail
cd "$(dirname "$0")"
GNUPGHOME=$(mktemp -d)
export GNUPGHOME
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
rm -f ./*.gpg ./*.asc ./*.sig

# gpg at the given date.
at() {
    local date=$1
    shift
    gpg --batch --quiet --yes --no-tty --pinentry-mode loopback --passphrase '' --faked-system-time "$date!" "$@"
}
print() { gpg --with-colons --list-keys "$1" | awk -F: -v n="$2" '$1 == "fpr" && ++count == n { print $10 }'; }
sign() { # DATE KEY FILE OPTIONS...
    local date=$1 key=$2 file=$3
    shift 3
    at "$date" "$@" --local-user "$key!" --output "$file" --clearsign "${text:-text}"
}
born=20200101T000000
later=20210601T000000

at $born --quick-generate-key good@test ed25519 sign never
at $born --quick-add-key "$(print good@test 1)" ed25519 sign never
at $born --quick-generate-key rsa@test rsa2048 sign never
at $born --quick-generate-key long@test rsa4096 sign never
at $born --quick-generate-key other@test ed25519 sign never
at $born --quick-generate-key expired@test ed25519 sign 1y
at $born --quick-generate-key extended@test ed25519 sign 1y
at $born --quick-generate-key revoked@test ed25519 sign never
at $born --quick-generate-key lost@test ed25519 sign never
at $born --quick-add-key "$(print lost@test 1)" ed25519 sign never
at $born --quick-add-key "$(print lost@test 1)" ed25519 sign 1y
at $born --quick-generate-key short@test rsa1024 sign never
at $born --quick-generate-key curve@test nistp256 sign never
at $born --quick-generate-key certify@test ed25519 cert never

sign $later "$(print good@test 1)" good.asc
sign $later "$(print good@test 2)" by-subkey.asc
sign $later "$(print rsa@test 1)" rsa-256.asc --digest-algo SHA256
sign $later "$(print rsa@test 1)" rsa-384.asc --digest-algo SHA384
sign $later "$(print long@test 1)" rsa-512.asc --digest-algo SHA512
sign $later "$(print rsa@test 1)" weak-sha1.asc --digest-algo SHA1
sign $later "$(print other@test 1)" unknown-key.asc
sign $later "$(print good@test 1)" two.asc --local-user "$(print other@test 1)!"
sign $later "$(print good@test 1)" over.asc --default-sig-expire 1d
sign 20200601T000000 "$(print expired@test 1)" expired-key.asc
sign 20200601T000000 "$(print extended@test 1)" extended-key.asc
sign $later "$(print revoked@test 1)" revoked-key.asc
sign $later "$(print lost@test 2)" revoked-subkey.asc
sign 20200601T000000 "$(print lost@test 3)" expired-subkey.asc
sign $later "$(print short@test 1)" short-key.asc
sign $later "$(print curve@test 1)" other-algorithm.asc
text=dashes sign $later "$(print good@test 1)" dashes.asc
at $later --local-user good@test --output text.sig --detach-sign text
at $later --local-user "$(print rsa@test 1)!" --armor --output text-detached.asc --detach-sign text
at $later --local-user good@test --textmode --armor --output text-mode.asc --detach-sign text

at 20201201T000000 --quick-set-expire "$(print extended@test 1)" 0
sed 's/^:---/---/' "$GNUPGHOME/openpgp-revocs.d/$(print revoked@test 1).rev" >"$GNUPGHOME/revoked"
at 20220101T000000 --import "$GNUPGHOME/revoked"
printf 'key 1\nrevkey\ny\n0\n\ny\nsave\n' |
    gpg --no-tty --quiet --command-fd 0 --pinentry-mode loopback --passphrase '' \
        --faked-system-time '20220101T000000!' --edit-key lost@test >/dev/null 2>&1
trusted=(good@test rsa@test long@test expired@test extended@test revoked@test lost@test short@test curve@test certify@test)
gpg --batch --quiet --output trusted.gpg --export "${trusted[@]}"
gpg --batch --quiet --armor --output good-key.asc --export good@test
gpg --batch --quiet --armor --output rsa-key.asc --export rsa@test
