#!/usr/bin/env bash
# Installs packages that make users, set-id files and capabilities, once at level root and once at level single-id (or
# none, by chroot), and compares the layers: paths, types, modes, owners, links, attributes.
#
#   bash tests/single-id.sh [--binary PATH] [--level single-id|none] [--times] [GROUP...]
#
# GROUP: packages in quotes, installed together in one image, or `deeds`: tests/single-id/deeds.Dockerfile, of which the
# bytes are compared too (default: deeds and the groups below). --times tells how long both took.
# Needs root, the user `ireko-test` (tests/install.sh), mmdebstrap and a Debian mirror. Exit code 1: a difference.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../examples/lib.sh"

groups=()
times=
level=single-id
while [ $# -gt 0 ]; do
    case $1 in
        --binary) IREKO=$2; shift 2 ;;
        --times) times=yes; shift ;;
        --level) level=$2; shift 2 ;;
        -*) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
        *) groups+=("$1"); shift ;;
    esac
done
[ ${#groups[@]} -gt 0 ] || groups=(
    deeds
    "openssh-client postgresql-common"
    "openssh-server sudo iputils-ping dbus"
    "man-db cron at screen passwd ssl-cert"
    "exim4-daemon-light bsd-mailx"
    "redis-server nginx-light"
    "ntpsec chrony- tcpdump fping mtr-tiny"
    "chrony libcap2-bin uidmap fuse3"
    "postgresql"
    "mariadb-server"
    "slapd"
    "postfix mailutils"
    "wireshark-common bind9 unbound"
    "git build-essential acl attr"
    "tor apache2 squid"
    "systemd policykit-1 libvirt-clients"
)
user=ireko-test
[ "$(id -u)" = 0 ] || { echo "skipped because only root can build at both levels"; exit 0; }
id "$user" >/dev/null 2>&1 || { echo "skipped because there is no user \`$user\` (tests/install.sh)"; exit 0; }
find_ireko || exit 3
work=$(mktemp -d "${TMPDIR:-/tmp}/ireko-single-id.XXXXXX")
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
install -d -o "$user" -g "$user" "$work/user"
# What a step leaves that differs from run to run.
skip='^(run|tmp|var/lib/dpkg/info/.*\.triggers)/'

# as root|user ARGUMENTS...: ireko at the level, with its own store.
as() {
    local who=$1
    shift
    case $who-$level in
        root-*) IREKO_HOME=$work/root "$IREKO" "$@" ;;
        user-none) IREKO_HOME=$work/user/store IREKO_LEVEL=none IREKO_ISOLATION=chroot "$IREKO" "$@" ;;
        user-*) setpriv --reuid "$user" --regid "$user" --init-groups env HOME="$work/user" IREKO_HOME="$work/user/store" IREKO_LEVEL=single-id "$IREKO" "$@" ;;
    esac
}

mkdir "$work/base"
bases=${CARGO_TARGET_DIR:-$root/target}/bases
IREKO_HOME=$work/root IREKO=$IREKO bash "$root/examples/bases/make.sh" --cache "$bases" debian:bookworm-slim >"$work/base.log" 2>&1 ||
    { tail -3 "$work/base.log"; echo "skipped because no base image can be made: no Debian mirror?"; exit 0; }
cp "$bases/debian-bookworm-slim/root.tar" "$work/base/"
cp "$root/examples/bases/debian.Dockerfile" "$work/base/Dockerfile"
for who in root user; do
    as $who build -q -t base "$work/base" >/dev/null || exit 3
done

failed=0
for number in "${!groups[@]}"; do
    group=${groups[number]}
    dir=$work/group-$number
    mkdir "$dir"
    outcome=
    compare=(--skip "$skip")
    if [ "$group" = deeds ]; then
        cp "$here/single-id/deeds.Dockerfile" "$dir/Dockerfile"
        # Of the layers that apt makes it is known already that they are the same but for logs and caches.
        compare=(--skip "$skip|^(var|usr|etc/(ld.so.cache|alternatives))(/|\$)" --content)
    else
        cat >"$dir/Dockerfile" <<DOCKERFILE
FROM base
RUN apt-get update
RUN DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $group
DOCKERFILE
    fi
    for who in root user; do
        dest=$work/user/$who.tar
        as $who build --progress plain -t "group-$number" -o "type=oci,compression=uncompressed,dest=$dest" "$dir" >"$work/$who.log" 2>&1 ||
            { echo "$group: the build as $who failed:"; grep -v '^$' "$work/$who.log" | tail -15; outcome=failed; }
    done
    if [ -z "$outcome" ]; then
        python3 -B "$here/single-id/compare.py" "${compare[@]}" "$work/user/root.tar" "$work/user/user.tar" >"$work/compared" || outcome=differs
        echo "$group: $(tail -1 "$work/compared")"
        [ -z "$outcome" ] || sed '$d' "$work/compared" | head -20
    fi
    if [ -n "$times" ]; then
        for who in root user; do
            echo "    $who: $(grep -E '^\[3/3\] RUN .*: [0-9.]+s' "$work/$who.log" | sed 's/.*: \([0-9.]*s\).*/\1/')"
        done
    fi
    [ -z "$outcome" ] || failed=$((failed + 1))
    rm -f "$work/user/root.tar" "$work/user/user.tar"
done
echo "${#groups[@]} groups of packages, $failed of them differ"
[ $failed = 0 ]
