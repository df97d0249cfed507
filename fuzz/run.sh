#!/usr/bin/env bash
# Fuzzes one target, or all of them, with a stable toolchain: libFuzzer by LLVM's coverage pass, no sanitizer.
#
#   bash fuzz/run.sh [--each SECONDS] [--jobs N]        every target, for a minute each unless said otherwise
#   bash fuzz/run.sh TARGET [libFuzzer flags...]        needs g++
set -euo pipefail
cd "$(dirname "$0")"
each=60
jobs=1
while [ $# -gt 0 ]; do
    case $1 in
        --each) each=$2; shift 2 ;;
        --jobs) jobs=$2; shift 2 ;;
        -*) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
        *) break ;;
    esac
done
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-target}
# Scratch folders in memory: unpacking is then thousands of runs a second, not hundreds.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-trace-compares \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1 --cfg fuzzing"
cargo build --quiet --release --bins --features fuzz --target "$host" --target-dir "$target"

# fuzz NAME FLAGS...: what was found lies in artifacts/NAME.
fuzz() {
    local name=$1
    shift
    mkdir -p "corpus/$name" "artifacts/$name"
    "$target/$host/release/$name" "corpus/$name" -artifact_prefix="artifacts/$name/" -timeout=10 "$@"
}

if [ $# -gt 0 ]; then
    fuzz "$@"
    exit
fi
# The log of one target in one piece, its end unless something was found.
one() {
    local log status=0
    log=$(mktemp)
    fuzz "$1" -max_total_time="$each" >"$log" 2>&1 || status=$?
    if [ "$status" = 0 ]; then echo "== $1: $(tail -n 1 "$log")"; else echo "== $1: FAILED"; tail -n 60 "$log"; fi
    rm -f "$log"
    return "$status"
}
export -f fuzz one
export host target each
sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | grep -v '^ireko-fuzz$' | xargs -P "$jobs" -I{} bash -c 'one {} || exit 1'
