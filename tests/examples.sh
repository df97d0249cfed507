#!/usr/bin/env bash
# Builds every example, starts its container and checks the answer.
#
#   bash tests/examples.sh [--cache DIR] [NAME...]      NAME: hello http-server go-service go-tools eight-stages
#       redis redis-several django intermediate-base toolchain-base monorepo deb-base pack-debs quick-start
#
# IREKO=path names the binary (default: this checkout's release build); IREKO_HOME the store that gets the images.
# Works as root and as an ordinary user. DIR keeps the root file systems of the bases (examples/bases/make.sh)
# and the source of redis. Needs what tests/install.sh installs, and mirrors of Debian and PyPI.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../examples/lib.sh"

cache=${CARGO_TARGET_DIR:-$root/target}/bases
names=()
while [ $# -gt 0 ]; do
    case $1 in
        --cache) cache=$2; shift 2 ;;
        *) names+=("$1"); shift ;;
    esac
done
[ ${#names[@]} -gt 0 ] || names=(hello http-server go-service go-tools eight-stages
    redis redis-several django intermediate-base toolchain-base monorepo deb-base pack-debs quick-start)
find_ireko
export IREKO

passed=0
failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/ireko-examples.XXXXXX")
finish() {
    # Files of subordinate ids go through ireko itself.
    [ ! -d "$work/store" ] || $IREKO --home "$work/store" cache prune --all -f >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT

# What an example started: each runs in a shell of its own, which stops it when it ends.
running=()
end() {
    local try
    kill "$1" 2>/dev/null || true
    # A program without a handler is deaf to it as the first process of its container.
    for try in $(seq 20); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}
stop() {
    local process
    for process in "${running[@]}"; do end "$process"; done
}

bases() { bash "$root/examples/bases/make.sh" --cache "$cache" "$@"; }

# serves NAME PORT TEXT: the image NAME answers on its PORT with something that holds TEXT.
serves() {
    local name=$1 inside=$2 text=$3 port answer
    port=$(free_port)
    $IREKO run --rm -p "$port:$inside" "$name" &
    running+=($!)
    answer=$(ask "$port") || return 1
    end "${running[-1]}"
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

# A base out of Debian's archive: the packages and versions that mmdebstrap takes, apt works in it, and without the
# documentation that slim images leave out.
example_deb_base() {
    local reference=$cache/minbase-bookworm-$(date +%F).tar packages='/^Package:/ { p = $2 } /^Version:/ { print p, $2 }'
    mkdir -p "$cache"
    if [ ! -e "$reference" ]; then
        mmdebstrap --quiet --variant=minbase --format=tar bookworm "$reference.new" && mv "$reference.new" "$reference" || return 1
    fi
    $IREKO base debian:bookworm-slim -t made --include libpq5 && $IREKO base debian:bookworm -t plain --sbom "$work/plain.spdx.json" || return 1
    # Each package, with the file it was fetched as.
    [ "$(grep -c '"referenceType": "purl"' "$work/plain.spdx.json")" = "$($IREKO run --rm plain dpkg-query -f '.\n' -W | wc -l)" ] &&
        [ "$(grep -c '"referenceType": "purl"' "$work/plain.spdx.json")" = "$(grep -c '"algorithm": "SHA256"' "$work/plain.spdx.json")" ] || return 1
    diff <(tar -xOf "$reference" ./var/lib/dpkg/status | awk "$packages" | sort) \
        <($IREKO run --rm plain cat /var/lib/dpkg/status | awk "$packages" | sort) || return 1
    # All other files are equal; docs/user/bases.md says why these are not.
    $IREKO base debian:bookworm -q -o type=tar,dest="$work/plain.tar" >/dev/null &&
        python3 "$here/same-roots.py" "$reference" "$work/plain.tar" . 'dev/*' etc/fstab etc/hostname etc/resolv.conf \
            etc/apt/sources.list etc/apt/sources.list.d/debian.sources sorted:etc/shells days:etc/shadow names:usr/bin/uncompress etc/.pwd.lock etc/group- etc/passwd- \
            etc/apt/apt.conf.d/docker-clean etc/apt/apt.conf.d/docker-no-languages usr/sbin/policy-rc.d \
            var/lib/dpkg/status-old 'var/cache/debconf/*-old' var/cache/apt/archives/lock var/lib/apt/lists/lock || return 1
    distroless || return 1
    # No perl for what need not be done.
    $IREKO run --rm made dpkg-query -W usr-is-merged && ! $IREKO run --rm made dpkg-query -W perl-modules-5.36 2>/dev/null || return 1
    [ -z "$($IREKO run --rm made dpkg --audit)" ] && [ -z "$($IREKO run --rm made sh -c 'ls /usr/share/man 2>/dev/null')" ] &&
        $IREKO run --rm made sh -c 'ls /usr/lib/*/libpq.so.5' &&
        printf 'FROM made\nRUN apt-get update -qq && apt-get install -qq hello && rm -rf /var/lib/apt/lists/*\nCMD ["hello"]\n' |
        $IREKO build -q -t on-made - && [ "$($IREKO run --rm on-made)" = "Hello, world!" ] &&
        [ -z "$($IREKO run --rm on-made sh -c 'ls /var/cache/apt/*.bin /var/cache/apt/archives/*.deb 2>/dev/null')" ]
}

# weighs NAME PLAIN PACKED: an image has at most so many bytes, and with gzip so many.
weighs() {
    local name=$1 plain packed
    plain=$($IREKO inspect --format '{{.Size}}' "$name")
    packed=$($IREKO save "$name" | gzip | wc -c)
    echo "$name: $plain bytes, $packed with gzip"
    [ "$plain" -le "$2" ] && [ "$packed" -le "$3" ]
}

# Images of packages, without a base and without a Dockerfile: they start, they are small, and they are made again.
example_pack_debs() {
    local pack=("$IREKO" pack --suite debian:bookworm) port id left
    left='/usr/lib/python3*/test/*,/usr/lib/python3*/idlelib/*,/usr/lib/python3*/tkinter/*,/usr/lib/python3*/lib2to3/*,/usr/lib/python3*/ensurepip/*'
    "${pack[@]}" --deb hello -t hello-whole && "${pack[@]}" --deb hello --minimal -t hello-least || return 1
    [ "$($IREKO run --rm --network none hello-whole)" = "Hello, world!" ] && [ "$($IREKO run --rm --network none hello-least)" = "Hello, world!" ] &&
        weighs hello-whole 14000000 5500000 && weighs hello-least 2300000 1050000 || return 1
    # Scripts make the user and its directories; the lock gives the same image to another store.
    (cd "$work" && "${pack[@]}" --deb redis-server --cmd 'redis-server --save "" --protected-mode no' --user redis --lock -t redis-debs) || return 1
    port=$(free_port)
    $IREKO run --rm -p "$port:6379" redis-debs >/dev/null &
    running+=($!)
    [ "$(talk "$port" $'PING\r\nSET a b\r\nQUIT\r\n' | tr -d '\r' | paste -sd,)" = "+PONG,+OK,+OK" ] || return 1
    end "${running[-1]}"
    id=$($IREKO inspect --format '{{.Id}}' redis-debs)
    [ "$(cd "$work" && "${pack[@]}" --deb redis-server --cmd 'redis-server --save "" --protected-mode no' --user redis --locked -q)" = "$id" ] || return 1
    "${pack[@]}" --deb redis-server --minimal --include /usr/bin/redis-cli --cmd 'redis-server --save "" --protected-mode no' -t redis-least || return 1
    port=$(free_port)
    $IREKO run --rm -p "$port:6379" redis-least >/dev/null &
    running+=($!)
    [ "$(talk "$port" $'PING\r\nQUIT\r\n' | tr -d '\r' | paste -sd,)" = "+PONG,+OK" ] || return 1
    # Its client too, and what the server forks and writes.
    for line in PING 'SET a b' 'GET a' BGSAVE; do
        # shellcheck disable=SC2086
        $IREKO run --rm --network host redis-least redis-cli -p "$port" $line || return 1
    done | paste -sd, | grep -x 'PONG,OK,b,Background saving started' || return 1
    end "${running[-1]}"
    "${pack[@]}" --deb python3 --minimal --include /usr/lib/python3.11,/usr/lib/python3 --exclude "$left" --cmd 'python3 -m http.server 8000' -t python-debs &&
        weighs python-debs 46000000 17000000 && serves python-debs 8000 'Directory listing'
}

# The two commands of README.md, with a store that has nothing.
example_quick_start() {
    export IREKO_HOME=$work/store
    $IREKO build --build-context debian:bookworm=deb:bookworm -t http-server "$root/examples/http-server" &&
        serves http-server 8000 "served from an image built by ireko"
}

# No shell, no dpkg: programs run on it, also those of nobody in particular, and packages are told of.
distroless() {
    local tar=$work/distroless.tar
    $IREKO base debian:bookworm-distroless --include libpq5 -t bare && $IREKO base debian:bookworm-distroless -q --include libpq5 -o type=tar,dest="$tar" >/dev/null || return 1
    tar -xOf "$tar" etc/ssl/certs/ca-certificates.crt | grep -c 'BEGIN CERTIFICATE' &&
        ! tar -tf "$tar" | grep -E '(^|/)(sh|bash|dash|dpkg|apt|perl)$' &&
        tar -xOf "$tar" var/lib/dpkg/status.d/libpq5 | grep '^Version:' && tar -xOf "$tar" var/lib/dpkg/status.d/libpq5.md5sums | grep libpq.so || return 1
    bases busybox && mkdir -p "$work/bare" && cat >"$work/bare/Dockerfile" <<'END' || return 1
FROM plain AS dynamic
FROM busybox AS static
FROM bare
COPY --from=dynamic /usr/bin/date /usr/bin/getent /
COPY --from=static /bin/busybox /id
USER 65532
ENV TZ=Europe/Berlin
CMD ["/date", "-d", "@0", "+%H"]
END
    $IREKO build -q -t on-bare "$work/bare" >/dev/null && [ "$($IREKO run --rm on-bare)" = 01 ] &&
        [ "$($IREKO run --rm on-bare /getent passwd 65532 | cut -d: -f1)" = nonroot ] &&
        [ "$($IREKO run --rm on-bare /id -un)" = nonroot ] || return 1
    ! $IREKO base debian:bookworm-distroless --include redis-server -t no 2>"$work/refused" && grep -q 'needs its `p[a-z]*` to be run' "$work/refused"
}

# The tarball as Debian's source package has it, served on this machine: `served` is its URL, `sha` its SHA-256.
redis_source() {
    local tarball=$cache/redis/redis.orig.tar.gz sources lists=$work/apt port
    if [ ! -e "$tarball" ]; then
        # With lists of its own, so that the machine's are left alone, and their deb-src in place of deb.
        sources=$(debian_sources bookworm)
        mkdir -p "$lists/parts" "$lists/lists/partial" "$lists/cache/archives/partial" "$lists/source" "$cache/redis"
        sed -E 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' "${sources:?no apt sources for bookworm}" >"$lists/parts/debian.${sources##*.}"
        local private=(-q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$lists/parts" -o Dir::State::lists="$lists/lists"
            -o Dir::Cache="$lists/cache" -o APT::Sandbox::User="$(id -un)")
        apt-get "${private[@]}" update >/dev/null && (cd "$lists/source" && apt-get "${private[@]}" source --download-only redis >/dev/null) || return 1
        mv "$lists"/source/redis_*.orig.tar.gz "$tarball"
    fi
    port=$(free_port)
    python3 -m http.server --bind 127.0.0.1 --directory "$cache/redis" "$port" >/dev/null 2>&1 &
    running+=($!)
    ask "$port" >/dev/null || return 1
    served=http://127.0.0.1:$port/redis.orig.tar.gz
    sha=$(sha256sum "$tarball" | cut -d' ' -f1)
}
build_redis() {
    bases debian:bookworm-slim && redis_source &&
        $IREKO build --build-arg "REDIS_DOWNLOAD_URL=$served" --build-arg "REDIS_DOWNLOAD_SHA=$sha" --build-arg OPTIMIZATION=-O0 "$@" "$root/examples/redis"
}
# redis_works IMAGE [run flags...]: it keeps a value, and saves it.
redis_works() {
    local image=$1 port try said
    shift
    port=$(free_port)
    $IREKO run --rm -p "$port:6379" "$@" "$image" >/dev/null &
    running+=($!)
    said=$(talk "$port" $'PING\r\nSET greeting hello\r\nGET greeting\r\nBGSAVE\r\nQUIT\r\n' | tr -d '\r' | tr '\n' ' ')
    echo "$image says: $said"
    [ "$said" = '+PONG +OK $5 hello +Background saving started +OK ' ] || return 1
    for try in $(seq 50); do
        said=$(talk "$port" $'INFO persistence\r\nQUIT\r\n')
        ! grep -q 'rdb_bgsave_in_progress:0' <<<"$said" || break
        sleep 0.1
    done
    end "${running[-1]}"
    grep -q 'rdb_saves:[1-9]' <<<"$said" && grep -q 'rdb_last_bgsave_status:ok' <<<"$said"
}
example_redis() {
    mkdir -p "$work/data"
    build_redis -t redis && redis_works redis -v "$work/data:/data" || return 1
    # Begun as root, the server wrote as `redis`. The files of another id are removed by who may.
    local owner
    owner=$($IREKO run --rm -v "$work/data:/data" --entrypoint sh redis -c 'stat -c %U dump.rdb && rm dump.rdb && chown root:root /data')
    echo "owner of the data: $owner"
    [ "$owner" = redis ]
}
example_redis_several() {
    build_redis -t redis:several -f "$root/examples/redis/Dockerfile.several" && redis_works redis:several || return 1
    local base several
    base=$($IREKO inspect --format '{{.Size}}' debian:bookworm-slim)
    several=$($IREKO inspect --format '{{.Size}}' redis:several)
    # What was purged is still there: a compiler and its libraries.
    [ "$((several - base))" -gt 250000000 ]
}

# build_django CONTEXT [flags...]: both targets. Packages come from where this machine's pip gets them.
build_django() {
    local context=$1 file flags=()
    shift
    for file in "$HOME/.config/pip/pip.conf" /etc/pip.conf; do
        if [ -r "$file" ]; then flags+=(--secret "id=pip.conf,src=$file"); break; fi
    done
    if cat /usr/local/share/ca-certificates/*.crt >"$work/authorities.pem" 2>/dev/null; then flags+=(--ca "$work/authorities.pem"); fi
    $IREKO build "${flags[@]}" --build-arg CFLAGS=-O0 --target dev,prod -t dev=django:dev -t prod=django:prod "$@" "$context"
}
example_django() {
    bases python:3-slim && build_django "$root/examples/django" && $IREKO run --rm django:dev &&
        serves django:prod 8000 '"uid": 1000' || return 1
    # A changed line of source: nothing but the sources is copied again.
    cp -r "$root/examples/django" "$work/django" && sed -i 's/"hello"/"good day"/' "$work/django/src/status/views.py"
    build_django "$work/django" --progress plain 2>"$work/again" || { cat "$work/again"; return 1; }
    if grep -E '\] RUN ' "$work/again" | grep -v ': hit$'; then return 1; fi
    grep -cE '\] COPY src .: [0-9.]+s ' "$work/again" | grep -qx 2 && serves django:prod 8000 '"good day"'
}

# start_registry: one with an empty store; `registry` is its address.
start_registry() {
    local port
    port=$(free_port)
    registry=localhost:$port
    printf 'version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: 127.0.0.1:%s\n' "$work/registry.$port" "$port" >"$work/registry.yml"
    docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
    running+=($!)
    ask "$port" >/dev/null || { cat "$work/registry.log"; return 1; }
}
# sent REPOSITORY: how many blobs were uploaded to it (a pattern).
sent() { grep -cE "\"PUT /v2/$1/blobs/uploads/" "$work/registry.log"; }
example_intermediate_base() {
    local example=$root/examples/intermediate-base before after
    bases debian:bookworm-slim && start_registry || return 1
    bash "$example/build.sh" base "$registry" || return 1
    # Another machine: its store is empty. Its own layers go to the registry, those of the base do not.
    export IREKO_HOME=$work/store
    bash "$example/build.sh" service "$registry" || return 1
    echo "blobs sent: base $(sent house/base), service $(sent house/service)"
    [ "$(sent house/service)" -le 3 ] && serves "$registry/house/service" 8080 "the base of the house" || return 1
    before=$(sent house/service)
    cp -r "$example" "$work/house" && echo '<p>changed</p>' >"$work/house/site/index.html"
    bash "$work/house/build.sh" service "$registry" || return 1
    after=$(sent house/service)
    echo "blobs sent for a changed file: $((after - before))"
    [ "$((after - before))" -le 3 ] && serves "$registry/house/service" 8080 changed
}
# Bases with packages, made without a Dockerfile; what stands on them is built where no mirror is reached.
example_toolchain_base() {
    local example=$root/examples/toolchain-base
    start_registry && bash "$example/build.sh" bases "$registry" || return 1
    # Another machine: its store is empty.
    export IREKO_HOME=$work/store
    bash "$example/build.sh" program "$registry" || return 1
    $IREKO run --rm --network none our/program && [ "$($IREKO run --rm our/program sh -c 'command -v gcc')" = "" ]
}

# ids: the image of each service.
ids() {
    local service
    for service in $(ls "$root/examples/monorepo/cmd"); do echo "$service $($IREKO inspect --format '{{.Id}}' "shop/$service")"; done
}
# changed FILE OTHER: how many lines of two lists differ.
changed() { diff "$1" "$2" | grep -c '^>'; }
example_monorepo() {
    local example=$root/examples/monorepo
    bases golang:1-bookworm busybox && bash "$example/build.sh" && ids >"$work/ids" || return 1
    [ "$(wc -l <"$work/ids")" = 12 ] && serves shop/orders 8080 '"service":"orders"' && serves shop/stock 8080 '"warehouses":2' || return 1
    start_registry && REGISTRY=$registry bash "$example/build.sh" || return 1
    local before
    before=$(sent 'shop/[a-z]*')
    # A change of one service is one image, here and in the registry; a change of the shared package is all of them.
    cp -r "$example" "$work/monorepo"
    sed -i 's/"today": 7/"today": 8/' "$work/monorepo/cmd/orders/main.go"
    bash "$work/monorepo/build.sh" && ids >"$work/ids.one" || return 1
    REGISTRY=$registry bash "$work/monorepo/build.sh" || return 1
    echo "blobs sent: all services $before, one changed service $(($(sent 'shop/[a-z]*') - before))"
    [ "$(($(sent 'shop/[a-z]*') - before))" = 2 ] && [ "$(sent shop/stock)" -le 3 ] || return 1
    [ "$(changed "$work/ids" "$work/ids.one")" = 1 ] && serves shop/orders 8080 '"today":8' || return 1
    sed -i 's/"hello"/"good day"/' "$work/monorepo/internal/web/web.go"
    bash "$work/monorepo/build.sh" && ids >"$work/ids.all" || return 1
    [ "$(changed "$work/ids.one" "$work/ids.all")" = 12 ] && serves shop/search 8080 '"good day"'
}

for name in "${names[@]}"; do
    begin=$SECONDS
    if (trap stop EXIT; "example_${name//-/_}"); then
        echo "ok: $name ($((SECONDS - begin)) s)"
        passed=$((passed + 1))
    else
        echo "FAILED: $name" >&2
        failed=$((failed + 1))
    fi
done
echo "examples: $passed passed, $failed failed"
[ "$failed" = 0 ]
