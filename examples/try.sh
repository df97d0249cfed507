#!/usr/bin/env bash
# The first example, from nothing but a Rust toolchain and Linux: builds ireko, compiles a small web server,
# builds an image with it, starts a container, asks it a question, prints the answer, and cleans up.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

for tool in cargo rustc; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed: this example needs a Rust toolchain (https://rustup.rs)" >&2; exit 3; }
done
if [ -z "${IREKO:-}" ]; then
    (cd "$root" && cargo build --release --package ireko)
    find_ireko
fi
work=$(mktemp -d)
running=
clean() {
    [ -z "$running" ] || kill -KILL "$running" 2>/dev/null || true
    $IREKO rmi -f hello >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean EXIT

echo "compiling the server"
rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols -o "$work/server" "$here/hello/server.rs"
$IREKO build -t hello -f "$here/hello/Dockerfile" "$work"
port=$(free_port)
$IREKO run --rm -p "$port:8000" hello /server 1 &
running=$!
answer=$(ask "$port")
wait "$running" # it leaves by itself after one answer
running=
echo "the container answers: $answer"
echo "ireko is $IREKO"
[ "$answer" = "hello from an image built by ireko" ]
