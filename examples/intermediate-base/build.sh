#!/usr/bin/env bash
# Builds the base and pushes it, or builds the service on the base in the registry and pushes that.
#
#   bash build.sh base REGISTRY       needs a package mirror
#   bash build.sh service REGISTRY    needs the registry alone
#
# IREKO=command names the builder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ireko=${IREKO:-ireko}
registry=${2:?"the registry, as host:port"}
case $1 in
    base) exec $ireko build --push -t "$registry/house/base" -f "$here/Dockerfile.base" "$here" ;;
    # --pull: the base of today, and not what this machine remembers of it. --network=none: for every step.
    service) exec $ireko build --push --pull --network=none -t "$registry/house/service" --build-arg "REGISTRY=$registry" "$here" ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
