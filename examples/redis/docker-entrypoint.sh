#!/bin/sh
set -e

# `docker run redis --port 7000` and `docker run redis some.conf` mean the server.
case "${1:-}" in
    -* | *.conf) set -- redis-server "$@" ;;
esac

# Begun as root, the server goes on as `redis`, and files of a volume become its own.
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis:redis '{}' +
    exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
fi

# Data is for the server's eyes, unless somebody chose another mask.
[ "$(umask)" != 0022 ] || umask 0077

exec "$@"
