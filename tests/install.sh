#!/usr/bin/env bash
# Installs what the tests need on Debian: peers to compare with, tools that read our images, an ordinary user.
# Run as root. Running it again changes nothing.
set -euo pipefail

packages=(
    bash ca-certificates coreutils curl git gcc g++ make libc6-dev python3 bzip2 xz-utils zstd pigz  # build and archives
    docker.io buildah podman skopeo umoci docker-registry nginx                                 # peers and readers
    mmdebstrap gnupg uidmap passt busybox-static golang-go qemu-user-static binfmt-support             # bases and users
    openssh-client openssh-server                                                               # agents, git over ssh
    attr libcap2-bin acl iproute2 procps util-linux mount e2fsprogs                             # fixtures
)
user=ireko-test

if [ "$(id -u)" != 0 ]; then
    echo "tests/install.sh installs packages and makes a user: run it as root" >&2
    exit 3
fi

missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing: ${missing[*]}"
    # Services must not start: the tests start what they need, on sockets of their own.
    policy=
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

# Programs of a second platform: the emulator is registered, which reaches the whole machine, and a busybox for it lies
# where the tests look. Only this one, so that tests have platforms without an emulator too.
if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    update-binfmts --enable qemu-aarch64 || echo "no emulator for arm64: tests of a second platform will fail" >&2
fi
foreign=/usr/local/lib/ireko-tests/busybox-arm64
if [ ! -x "$foreign" ]; then
    lists=$(mktemp -d)
    # With lists of its own, so that the machine's are left alone.
    private=(-q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status=/dev/null
        -o Dir::State::lists="$lists/lists" -o Dir::Cache="$lists/cache" -o APT::Sandbox::User=root)
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
    apt-get "${private[@]}" update
    (cd "$lists" && apt-get "${private[@]}" download busybox-static && dpkg-deb -x busybox-static_*.deb root)
    install -D -m 755 "$(find "$lists/root" -path '*bin/busybox' -type f | head -1)" "$foreign"
    rm -rf "$lists"
fi

# The ordinary user, with subordinate ids that overlap nobody's.
id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user"
for file in /etc/subuid /etc/subgid; do
    touch "$file"
    if ! grep -q "^$user:" "$file"; then
        start=$(awk -F: -v first=100000 '{ if ($2 + $3 > first) first = $2 + $3 } END { print first }' "$file")
        echo "$user:$start:65536" >>"$file"
    fi
done

# Debian's newuidmap is set-uid; some machine images lose the bit.
for program in newuidmap newgidmap; do
    path=$(command -v "$program")
    [ -u "$path" ] || getcap "$path" | grep -q cap_set || chmod u+s "$path"
done
# An ordinary user opens these on any desktop or server; on a bare machine they are root's alone.
for device in /dev/net/tun /dev/fuse; do
    [ ! -e "$device" ] || chmod 0666 "$device"
done
# User namespaces switched off by a knob, where there is one and it may be turned.
for knob in kernel/unprivileged_userns_clone=1 kernel/apparmor_restrict_unprivileged_userns=0; do
    file=/proc/sys/${knob%%=*}
    [ ! -w "$file" ] || echo "${knob##*=}" >"$file"
done
echo "installed: $(docker --version 2>/dev/null || true); $(buildah --version); user $user"
