#!/usr/bin/env bash
# Runs the conformance cases that lie beside the checkout (../shared/conformance, or CONFORMANCE=DIR).
#
#   bash tests/conformance.sh [--mode root|user|cache|none|tables] [--level LEVEL] [--binary PATH] [--only REGEX] [--jobs N] [--update]
#
# root, user: every case with --no-cache, as who runs this script; none: the same without namespaces, by chroot.
# cache: every case twice with the cache, in one store. LEVEL is the sandbox level, for which the lists of failures are the
# same (default: the best one).
# tables: the tables and parse corpora, answered by the crates' examples. How cases are judged: conformance/cases.py.
# The cases that fail must be exactly those of tests/conformance/known-failures-MODE.txt: a new failure is an error,
# and so is a listed case that passes. --update rewrites the list (reasons are kept).
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../examples/lib.sh"

mode=root
only=
update=
jobs=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
        --mode) mode=$2; shift 2 ;;
        --level) export IREKO_LEVEL=$2; shift 2 ;;
        --binary) IREKO=$2; shift 2 ;;
        --only) only=$2; shift 2 ;;
        --jobs) jobs=$2; shift 2 ;;
        --update) update=--update; shift ;;
        *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
cases=$(cd "${CONFORMANCE:-$root/../shared/conformance}" 2>/dev/null && pwd) || { echo "no conformance cases beside the checkout" >&2; exit 3; }
[ "$mode" != none ] || export IREKO_LEVEL=none IREKO_ISOLATION=chroot
[ "$mode" = tables ] || find_ireko || exit 3
export IREKO

work=$(mktemp -d "${TMPDIR:-/tmp}/ireko-conformance.XXXXXX")
registry=
finish() {
    [ -z "$registry" ] || kill "$registry" 2>/dev/null
    # Files of subordinate ids go through ireko itself.
    for home in "$work/home" "$work/homes"/*; do
        [ ! -d "$home" ] || IREKO_HOME=$home "$IREKO" cache prune --all -f >/dev/null 2>&1
    done
    rm -rf "$work"
}
trap finish EXIT

# cases NAME ARGUMENTS...: results in $work/NAME.json.
cases() {
    local name=$1
    shift
    python3 -B "$here/conformance/cases.py" "$cases" --json "$work/$name.json" "$@" || { echo "the runner gave no result" >&2; exit 1; }
    results+=("$work/$name.json")
}

# build NAME FLAGS...: all cases once.
build() {
    local name=$1
    shift
    cases "$name" -j "$jobs" --registry "127.0.0.1:$port" ${only:+-k "$only"} --work "$work/cases" \
        --builder "sh '$here/conformance/build.sh' '$work' {id} -f {dockerfile} {flags} -o type=oci,dest={out_oci_tar} {context}" "$@"
}

results=()
if [ "$mode" = tables ]; then
    run="cargo run --quiet --manifest-path '$root/Cargo.toml' --example tables --package"
    cases tables --tables "dockerfile=$run ireko-dockerfile" "oci=$run ireko-oci" "lint=$run ireko-lint"
else
    # Triggers of the set's bases name the registry by this port; where another holds it, those few cases fail.
    port=5001
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || port=$(free_port)
    (cd "$cases" && exec python3 -B registry.py "$port" bases >"$work/registry.log" 2>&1) &
    registry=$!
    for _ in $(seq 50); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
    if [ "$mode" = cache ]; then
        build first --cache
        build second --cache
    else
        build only
    fi
fi
python3 -B "$here/conformance/compare.py" $update ${only:+--partial} "$here/conformance/known-failures-$mode.txt" "${results[@]}"
