#!/usr/bin/env bash
# Which packages a request needs: seeded requests, answered by ireko-deb and by the machine's apt-get (Debian 12) with
# lists and status files of their own. Root is not needed; a mirror is, for the first run.
#
#   bash tests/packages.sh [--seed N] [--requests N] [--jobs N] [--update] [--mirror URL]
#
# A difference is printed with the flags that show it again: `--status NAME [--recommends] --only REQUEST...`.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v apt-get >/dev/null || { echo "apt-get is needed" >&2; exit 3; }
exec cargo run --quiet --package ireko-differ -- packages "$@"
