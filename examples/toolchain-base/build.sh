#!/usr/bin/env bash
# Makes the two bases out of Debian's archive and pushes them, or builds the program on the bases in the registry.
#
#   bash build.sh bases REGISTRY      needs a package mirror
#   bash build.sh program REGISTRY    needs the registry alone
#
# IREKO=command names the builder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ireko=${IREKO:-ireko}
registry=${2:?"the registry, as host:port"}
case $1 in
    bases)
        $ireko base debian:bookworm-slim --include build-essential,libpq-dev -t "$registry/our/base" --push
        $ireko base debian:bookworm-slim --include libpq5 -t "$registry/our/runtime" --push
        ;;
    # --pull: the bases of today, and not what this machine remembers of them. --network=none: for every step.
    program) exec $ireko build --pull --network=none -t our/program --build-arg "REGISTRY=$registry" "$here" ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
