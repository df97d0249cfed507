#!/usr/bin/env bash
# Builds every example, starts its container and checks the answer.
#
#   bash tests/examples.sh [--cache DIR] [NAME...]      NAME: hello http-server go-service go-tools eight-stages
#
# IREKO=path names the binary (default: this checkout's release build); IREKO_HOME the store that gets the images.
# Works as root and as an ordinary user. DIR keeps the root file systems of the bases (examples/bases/make.sh).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../examples/lib.sh"

cache=()
names=()
while [ $# -gt 0 ]; do
    case $1 in
        --cache) cache=(--cache "$2"); shift 2 ;;
        *) names+=("$1"); shift ;;
    esac
done
[ ${#names[@]} -gt 0 ] || names=(hello http-server go-service go-tools eight-stages)
find_ireko
export IREKO

passed=0
failed=0
running=
stop() {
    local try
    [ -n "$running" ] || return 0
    kill "$running" 2>/dev/null || true
    # A program without a handler is deaf to it as the first process of its container.
    for try in $(seq 20); do kill -0 "$running" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$running" 2>/dev/null || true
    wait "$running" 2>/dev/null || true
    running=
}
trap stop EXIT

bases() { bash "$root/examples/bases/make.sh" "${cache[@]}" "$@"; }

# serves NAME PORT TEXT: the image NAME answers on its PORT with something that holds TEXT.
serves() {
    local name=$1 inside=$2 text=$3 port answer
    port=$(free_port)
    $IREKO run --rm -p "$port:$inside" "$name" &
    running=$!
    answer=$(ask "$port") || return 1
    stop
    echo "$name answers: $answer"
    grep -qF -- "$text" <<<"$answer"
}

example_hello() { bash "$root/examples/try.sh"; }
example_http_server() {
    bases debian:bookworm && $IREKO build -t http-server "$root/examples/http-server" &&
        serves http-server 8000 "served from an image built by ireko"
}
example_go_service() {
    bases golang:1-bookworm && $IREKO build -t go-service "$root/examples/go-service" &&
        serves go-service 8080 '"version":"dev"'
}
example_go_tools() {
    bases golang:1-bookworm busybox &&
        $IREKO build -t go-tools -f "$root/examples/go-service/Dockerfile.tools" --build-arg VERSION=v7 "$root/examples/go-service" &&
        serves go-tools 8080 '"version":"v7"'
}
example_eight_stages() {
    bases busybox && $IREKO build -t eight-stages "$root/examples/eight-stages" &&
        [ "$($IREKO run --rm eight-stages | tr '\n' ' ')" = "one two three four five six seven eight " ]
}

for name in "${names[@]}"; do
    begin=$SECONDS
    if ("example_${name//-/_}"); then
        echo "ok: $name ($((SECONDS - begin)) s)"
        passed=$((passed + 1))
    else
        echo "FAILED: $name" >&2
        failed=$((failed + 1))
    fi
    stop
done
echo "examples: $passed passed, $failed failed"
[ "$failed" = 0 ]
