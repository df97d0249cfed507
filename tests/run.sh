#!/usr/bin/env bash
# Installs what the tests need (as root, on Debian) and runs all of them: format, tidy, lints and documentation,
# every test as root and again as an ordinary user, the examples, and the conformance cases where they lie
# beside the checkout. As an ordinary user: the same without installing and without the root half.
#
#   bash tests/run.sh [--quick]       --quick: no examples, no conformance
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
user=ireko-test
quick=
[ "${1:-}" = --quick ] && quick=1
export CONFORMANCE=${CONFORMANCE:-$root/../shared/conformance}

if [ "$(id -u)" = 0 ]; then
    [ -n "${IREKO_TESTS_INSTALLED:-}" ] || bash tests/install.sh || exit 3
    export IREKO_TESTS_INSTALLED=1
    # The ordinary user runs what root compiles, so the checkout must lie where that user can read it.
    # Where it does not (under /root), the run goes on in a mount namespace that shows it elsewhere.
    if ! runuser -u "$user" -- test -r "$root/Cargo.toml"; then
        [ "$root" != /var/tmp/ireko-checkout ] || { echo "user $user cannot read $root" >&2; exit 3; }
        mkdir -p /var/tmp/ireko-checkout
        exec unshare --mount --propagation private bash -c '
            mount --bind "$1" /var/tmp/ireko-checkout && cd /var/tmp/ireko-checkout && shift && unset CARGO_TARGET_DIR && exec bash tests/run.sh "$@"' sh "$root" "$@"
    fi
fi

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
# What is compiled once is compiled for nothing in parts.
[ "${CI:-}" != true ] || export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}
work=$(mktemp -d "${TMPDIR:-/tmp}/ireko-tests.XXXXXX")
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
failures=()
skips=()
passed=0
failed=0
skipped=0

# part NAME COMMAND...: runs a part, says how long it took, remembers whether it failed.
part() {
    local name=$1 begin=$SECONDS
    shift
    echo "== $name"
    if "$@"; then echo "== $name: ok ($((SECONDS - begin)) s)"; else
        echo "== $name: FAILED ($((SECONDS - begin)) s)"
        failures+=("$name")
    fi
}

# count LOG: adds up the closing lines of test binaries, and prints why tests were skipped. What the ordinary user
# leaves to root is no skip: root's run of the same tests does it.
count() {
    local log=$1 p f s
    [ "$log" = "$work/root.log" ] || sed -i -E '/skipped because (this is not root|only root)/d' "$log"
    p=$(grep -aoE '^test result: .* ([0-9]+) passed' "$log" | grep -oE '[0-9]+ passed' | awk '{ n += $1 } END { print n + 0 }')
    f=$(grep -aoE '^test result: .* ([0-9]+) failed' "$log" | grep -oE '[0-9]+ failed' | awk '{ n += $1 } END { print n + 0 }')
    s=$(grep -ac 'skipped because' "$log")
    grep -ao '[^ ]* *skipped because.*' "$log" | sort | uniq -c
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    echo "$p passed, $f failed, $s skipped"
}

compile_tests() {
    cargo test --workspace --no-run --message-format=json 2>"$work/compile.log" >"$work/artifacts.json" || { cat "$work/compile.log"; return 1; }
    # One line a test binary: its package's folder and itself.
    grep -E '"profile":\{[^}]*"test":true' "$work/artifacts.json" |
        sed -nE 's/.*"manifest_path":"([^"]*)\/Cargo.toml".*"executable":"([^"]*)".*/\1 \2/p' | sort -u >"$work/binaries"
    echo "$(wc -l <"$work/binaries") test binaries"
}

# run_tests NAME RUNNER...: every test binary, started by RUNNER (a command prefix).
run_tests() {
    local log=$work/$1.log folder binary status=0 before=$passed
    shift
    : >"$log"
    [ -s "$work/binaries" ] || { echo "nothing was compiled, so nothing is tested"; return 1; }
    while read -r folder binary; do
        echo "-- ${binary##*/}" >>"$log"
        # --nocapture, so that the reasons of skips can be counted.
        (cd "$folder" && CARGO_MANIFEST_DIR=$folder "$@" "$binary" --nocapture --test-threads="${TEST_THREADS:-$(nproc)}" "${skips[@]}") >>"$log" 2>&1 </dev/null || {
            status=1
            echo "FAILED: ${binary##*/}"
        }
    done <"${BINARIES:-$work/binaries}"
    [ "$status" = 0 ] || { grep -aE -A25 '^(---- |failures:|thread .* panicked)|FAILED' "$log" | head -400 | tee -a "$work/failed.log"; }
    count "$log"
    [ "$passed" -gt "$before" ] || { echo "no test passed"; return 1; }
    return "$status"
}

# The tests of the binary once more by an ordinary user who has one id, without overlayfs, but for those of transfers,
# which run no step or none that matters.
single() {
    local skips=()
    for module in registry:: uploads:: pulled:: fetch:: repositories:: peers::formats::; do skips+=(--skip "$module"); done
    grep '/it-[0-9a-f]*$' "$work/binaries" >"$work/it"
    BINARIES=$work/it run_tests single "$@" env IREKO_TEST_LEVEL=single-id IREKO_SNAPSHOTTER=copy
}

# Starts a command as the ordinary user, with a home and a scratch folder of its own.
as_user() {
    install -d -o "$user" "$work/user-tmp"
    runuser -u "$user" -- env -i HOME="/home/$user" USER="$user" PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" LANG=C.UTF-8 \
        TMPDIR="$work/user-tmp" CI="${CI:-}" CARGO_MANIFEST_DIR="${CARGO_MANIFEST_DIR:-}" IREKO="${IREKO:-}" IREKO_HOME="$work/user-tmp/home" "$@"
}

release_build() {
    cargo build --release --package ireko || return 1
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    IREKO=$CARGO_TARGET_DIR/$host/release/ireko
    [ -x "$IREKO" ] || IREKO=$CARGO_TARGET_DIR/release/ireko
    export IREKO
    "$IREKO" --version
}

part checks cargo run --quiet --package xtask -- ci --no-tests
part compile compile_tests
if [ "$(id -u)" = 0 ]; then
    part "tests as root" run_tests root env
    part "tests as $user" run_tests user as_user
    part "tests with one id, without overlayfs" single as_user
else
    part "tests" run_tests user env
    part "tests with one id, without overlayfs" single env
fi
[ "$(id -u)" != 0 ] || part "100 pairs beside the Docker engine" bash tests/differ.sh --quick
if [ -n "$quick" ]; then
    part "fuzz targets compile" cargo check --quiet --manifest-path fuzz/Cargo.toml --bins
else
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/fuzz part "fuzz targets, 10 s each" bash fuzz/run.sh --each 10 --jobs "$(nproc)"
    part release release_build
    bases=$CARGO_TARGET_DIR/bases
    IREKO_HOME=$work/home part "examples" bash tests/examples.sh --cache "$bases"
    if [ "$(id -u)" = 0 ]; then
        chmod -R a+rX "$bases"
        part "examples as $user" as_user bash tests/examples.sh --cache "$bases" http-server go-service go-tools eight-stages \
            redis intermediate-base monorepo deb-base pack-debs quick-start
    fi
    if [ -d "$CONFORMANCE" ]; then
        for mode in tables root cache user none; do
            [ "$(id -u)" = 0 ] || { [ "$mode" != root ] && [ "$mode" != none ]; } || continue
            runner=(env)
            [ "$mode" != user ] || [ "$(id -u)" != 0 ] || runner=(as_user)
            part "conformance, $mode" "${runner[@]}" env CONFORMANCE="$CONFORMANCE" bash tests/conformance.sh --mode "$mode" --binary "$IREKO"
        done
        runner=(env)
        [ "$(id -u)" != 0 ] || runner=(as_user)
        part "conformance, level single-id" "${runner[@]}" env CONFORMANCE="$CONFORMANCE" bash tests/conformance.sh --mode user --level single-id --binary "$IREKO"
    else
        echo "no conformance cases beside the checkout: not run"
    fi
fi

if [ "${CI:-}" = true ] && [ "$skipped" != 0 ]; then failures+=("$skipped tests skipped, none may be in CI"); fi
# Why once more, since where only the end of a run's output is kept it would say that a test failed, but not which.
[ ! -s "$work/failed.log" ] || { echo "== what failed, once more"; head -c 12000 "$work/failed.log"; }
[ ${#failures[@]} = 0 ] || printf 'failed: %s\n' "${failures[@]}"
echo "tests: $passed passed, $failed failed, $skipped skipped"
[ ${#failures[@]} = 0 ]
