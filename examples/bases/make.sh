#!/usr/bin/env bash
# Makes base images from Debian's packages, for machines that reach no image registry.
#
#   bash examples/bases/make.sh [--cache DIR] [--sources FILE] [NAME...]
#
# NAME: debian:bookworm debian:bookworm-slim python:3-slim golang:1-bookworm busybox (default: all).
# Root file systems are made by mmdebstrap and kept as tars in DIR (default target/bases); each image is then
# `FROM scratch` + `ADD root.tar /`, built by ireko itself. IREKO=command replaces the builder.
#
# Needs: mmdebstrap; as an ordinary user also subordinate ids and uidmap (mmdebstrap --mode=unshare).
# Packages come from this machine's own apt sources, or from Debian's default mirror where it has none.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

suite=bookworm
cache=${CARGO_TARGET_DIR:-$root/target}/bases
sources=
names=()
while [ $# -gt 0 ]; do
    case $1 in
        --cache) cache=$2; shift 2 ;;
        --sources) sources=$2; shift 2 ;;
        -*) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
        *) names+=("$1"); shift ;;
    esac
done
[ ${#names[@]} -gt 0 ] || names=(debian:bookworm debian:bookworm-slim python:3-slim golang:1-bookworm busybox)
find_ireko
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

[ -n "$sources" ] || sources=$(debian_sources "$suite")
# Settings of this machine's apt without which its mirror may not be usable; they are kept in the image too.
apt_options() {
    apt-config dump 2>/dev/null | grep -E '^Acquire::(Check-Valid-Until|Check-Date|Retries|https?::Proxy) ' |
        sed -E 's/^([^ ]+) "(.*)";$/\1 "\2"/' || true
}

# debian_root TAR PACKAGES [mmdebstrap options...]
debian_root() {
    local tar=$1 packages=$2 mode=unshare option
    shift 2
    [ "$(id -u)" = 0 ] && mode=root
    command -v mmdebstrap >/dev/null || { echo "mmdebstrap is not installed" >&2; exit 3; }
    local options=(--quiet "--mode=$mode" --variant=minbase "--include=$packages")
    while IFS= read -r option; do
        [ -n "$option" ] && options+=("--aptopt=$option")
    done < <(apt_options)
    # The host's name and resolver are not part of an image, nor are apt's caches, which it leaves alone from here on.
    options+=('--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1"/var/cache/apt/*.bin')
    options+=("--customize-hook=upload '$here/docker-clean' /etc/apt/apt.conf.d/docker-clean")
    mmdebstrap "${options[@]}" "$@" "$suite" "$tar.part" --format=tar ${sources:+"$sources"}
    mv "$tar.part" "$tar"
}

slim=(--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*'
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright')

# One static binary and a link for each of its applets.
busybox_root() {
    local tar=$1 work
    work=$(mktemp -d)
    (
        cd "$work"
        apt-get download -q busybox-static >/dev/null 2>&1 || { echo "cannot download the package busybox-static; run apt-get update" >&2; exit 3; }
        dpkg-deb -x busybox-static_*.deb package
        mkdir -p root/bin root/etc root/root root/tmp root/var root/usr root/dev root/proc root/sys root/home
        chmod 755 root && chmod 700 root/root && chmod 1777 root/tmp
        cp package/bin/busybox root/bin/busybox
        ./root/bin/busybox --list | grep -vx busybox | while read -r applet; do ln -s busybox "root/bin/$applet"; done
        ln -s ../bin root/usr/bin
        printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >root/etc/passwd
        printf 'root:x:0:\nnogroup:x:65534:\n' >root/etc/group
        tar --create --file="$tar.part" --directory=root --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 .
    )
    mv "$tar.part" "$tar"
    rm -rf "$work"
}

for name in "${names[@]}"; do
    folder=$cache/${name//[:\/]/-}
    tar=$folder/root.tar
    mkdir -p "$folder"
    if [ ! -e "$tar" ]; then
        echo "making the root of $name"
        case $name in
            debian:bookworm) debian_root "$tar" ca-certificates ;;
            debian:bookworm-slim) debian_root "$tar" ca-certificates "${slim[@]}" ;;
            python:3-slim) debian_root "$tar" ca-certificates,python3,python3-pip,python3-venv,libpython3.11 "${slim[@]}" '--customize-hook=ln -s python3 "$1/usr/bin/python"' ;;
            golang:1-bookworm) debian_root "$tar" ca-certificates,golang-go "${slim[@]}" ;;
            busybox) busybox_root "$tar" ;;
            *) echo "unknown base \`$name\`" >&2; exit 2 ;;
        esac
    fi
    case $name in
        debian:*) dockerfile=debian ;;
        *) dockerfile=${name%%:*} ;;
    esac
    # IREKO may be a command with arguments.
    $IREKO build -q -t "$name" -f "$here/$dockerfile.Dockerfile" "$folder" >/dev/null
    echo "made $name"
done
