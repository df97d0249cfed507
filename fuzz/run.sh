#!/usr/bin/env bash
# Fuzzes one target, or each for a minute, with a stable toolchain: libFuzzer by LLVM's coverage pass, no sanitizer.
#
#   bash fuzz/run.sh [TARGET] [libFuzzer flags...]      needs g++
set -euo pipefail
cd "$(dirname "$0")"
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-target}
# Scratch folders in memory: unpacking is then thousands of runs a second, not hundreds.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-trace-compares \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1 --cfg fuzzing"
cargo build --release --bins --features fuzz --target "$host" --target-dir "$target"
if [ $# -gt 0 ]; then
    names=("$1")
    shift
    flags=("$@")
else
    mapfile -t names < <(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | grep -v '^ireko-fuzz$')
    flags=(-max_total_time=60)
fi
for name in "${names[@]}"; do
    echo "== $name"
    mkdir -p "corpus/$name" "artifacts/$name"
    "$target/$host/release/$name" "corpus/$name" -artifact_prefix="artifacts/$name/" -timeout=10 "${flags[@]}"
done
