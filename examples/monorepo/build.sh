#!/usr/bin/env bash
# Builds the images of all services, or of those named, in one go: shared stages once, services side by side.
#
#   bash build.sh [SERVICE...]        IREKO=command names the builder; images are shop/SERVICE
#   REGISTRY=host:port bash build.sh  pushes them: host:port/shop/SERVICE
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- $(sed -n 's/^FROM base AS svc-//p' Dockerfile)
flags=()
for service in "$@"; do flags+=(--target "svc-$service" -t "svc-$service=${REGISTRY:+$REGISTRY/}shop/$service"); done
[ -z "${REGISTRY:-}" ] || flags+=(--push)
exec ${IREKO:-ireko} build "${flags[@]}" .
