#!/usr/bin/env bash
# Differential fuzzing: small generated Dockerfiles, built by ireko and by a Docker engine's BuildKit of its own, must
# give the same tree and config; what that engine does not know is held against ireko itself. Root, Debian.
#
#   bash tests/differ.sh [--quick] [--seed N] [--pairs N] [--laws N] [--jobs N] [--binary PATH] [--found DIR]
#
# Kept first: the cases of tests/differ/cases and the seeds of tests/differ/seeds. Then as many pairs from the seed on
# (3000; 100 with --quick) and a third as many laws. A case that differs is made smaller, printed, and written to
# --found (target/differ). Differences that are old BuildKit's alone are undone by rules: docs/compatibility.md.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
seed=1 pairs=3000 laws= jobs=$((2 * $(nproc))) binary=${IREKO:-} found=${CARGO_TARGET_DIR:-target}/differ
while [ $# -gt 0 ]; do
    case $1 in
        --quick) pairs=100; shift ;;
        --seed) seed=$2; shift 2 ;;
        --pairs) pairs=$2; shift 2 ;;
        --laws) laws=$2; shift 2 ;;
        --jobs) jobs=$2; shift 2 ;;
        --binary) binary=$2; shift 2 ;;
        --found) found=$2; shift 2 ;;
        *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
laws=${laws:-$((pairs / 3))}
[ "$(id -u)" = 0 ] || { echo "the Docker engine needs root" >&2; exit 3; }

# built PACKAGE: compiles it and prints where its program lies.
built() {
    cargo build --quiet --package "$1" --message-format=json | sed -nE 's/.*"executable":"([^"]*)".*/\1/p' | tail -n 1
}
binary=${binary:-$(built ireko)}
differ=$(built ireko-differ)
[ -x "$binary" ] && [ -x "$differ" ] || { echo "nothing to run: the build failed" >&2; exit 3; }

user=()
! id ireko-test >/dev/null 2>&1 || ! runuser -u ireko-test -- test -x "$binary" || user=(--user ireko-test)
status=0
"$differ" pairs --ireko "$binary" --cases tests/differ/cases --seeds tests/differ/seeds --found "$found" \
    --seed "$seed" --pairs "$pairs" --jobs "$jobs" || status=1
"$differ" laws --ireko "$binary" --seed "$seed" --pairs "$laws" --jobs "$jobs" "${user[@]}" || status=1
exit "$status"
