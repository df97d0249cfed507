# Shared by the scripts of examples/ and tests/: where ireko is, a free port, a question over TCP.
# Sourced, not run. Needs bash.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Sets IREKO (if it is not set) to the release binary of this checkout, which must have been built.
find_ireko() {
    [ -n "${IREKO:-}" ] && return
    local target=${CARGO_TARGET_DIR:-$root/target} binary
    for binary in "$target"/*/release/ireko "$target"/release/ireko; do
        [ -x "$binary" ] && IREKO=$binary && return
    done
    echo "no ireko found: run \`cargo build --release\` first, or set IREKO=path" >&2
    return 3
}

# A TCP port of this machine that nobody listens on.
free_port() {
    local port
    for port in $(shuf -i 20000-29999 -n 50); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    return 3
}

# talk PORT TEXT: what a server answers to TEXT until it closes the connection, tried for ten seconds.
talk() {
    local port=$1 text=$2 answer try
    for try in $(seq 100); do
        # A connection may be accepted before the program listens: an empty answer is tried again.
        if answer=$(exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$port" && printf '%s' "$text" >&3 && timeout 5 cat <&3) 2>/dev/null; then
            [ -n "$answer" ] && printf '%s\n' "$answer" && return
        fi
        sleep 0.1
    done
    echo "no answer on port $port" >&2
    return 1
}

# ask PORT [PATH]: the body that an HTTP server answers.
ask() {
    local answer
    answer=$(talk "$1" "GET ${2:-/} HTTP/1.0"$'\r\nHost: localhost\r\n\r\n') && printf '%s\n' "${answer#*$'\r\n\r\n'}"
}

# debian_sources SUITE: the file with this machine's apt sources for the suite; nothing where there is none.
debian_sources() {
    local file
    for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
        if [ -s "$file" ] && grep -qw "$1" "$file"; then echo "$file"; return; fi
    done
}
