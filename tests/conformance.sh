#!/usr/bin/env bash
# Runs the conformance cases that lie beside the checkout (../shared/conformance, or CONFORMANCE=DIR).
#
#   bash tests/conformance.sh [--mode root|user|cache] [--binary PATH] [--only REGEX] [--jobs N] [--update]
#
# root, user: every case with --no-cache, as who runs this script. cache: every case twice with the cache, in one store.
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
        --binary) IREKO=$2; shift 2 ;;
        --only) only=$2; shift 2 ;;
        --jobs) jobs=$2; shift 2 ;;
        --update) update=--update; shift ;;
        *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
cases=$(cd "${CONFORMANCE:-$root/../shared/conformance}" 2>/dev/null && pwd) || { echo "no conformance cases beside the checkout" >&2; exit 3; }
find_ireko || exit 3

work=$(mktemp -d "${TMPDIR:-/tmp}/ireko-conformance.XXXXXX")
registry=
finish() {
    [ -z "$registry" ] || kill "$registry" 2>/dev/null
    # Files of subordinate ids go through ireko itself.
    IREKO_HOME=$work/home "$IREKO" cache prune --all -f >/dev/null 2>&1
    rm -rf "$work"
}
trap finish EXIT

port=$(free_port)
(cd "$cases" && exec python3 -B registry.py "$port" bases >"$work/registry.log" 2>&1) &
registry=$!
for _ in $(seq 50); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done

# pass NAME FLAGS...: all cases once; results in $work/NAME.json.
pass() {
    local name=$1
    shift
    (cd "$cases" && IREKO_HOME=$work/home python3 -B run.py run -s dev -j "$jobs" --registry "127.0.0.1:$port" ${only:+-k "$only"} \
        --builder "'$IREKO' build -f {dockerfile} {flags} -o type=oci,dest={out_oci_tar} {context}" \
        --work "$work/cases" --json "$work/$name.json" --show 2 "$@")
    [ -s "$work/$name.json" ] || { echo "the runner gave no result" >&2; exit 1; }
}

if [ "$mode" = cache ]; then
    pass first --cache
    pass second --cache
    results=("$work/first.json" "$work/second.json")
else
    pass only
    results=("$work/only.json")
fi
python3 -B "$here/conformance/compare.py" $update ${only:+--partial} "$here/conformance/known-failures-$mode.txt" "${results[@]}"
