#!/bin/sh
# How a case is built: $1 is the folder of the run, $2 the case's own name, the rest are the arguments of `ireko build`.
#
# All cases share one store, which is part of the test, but cache mounts are told apart by their id alone: a case that
# expects an empty one needs a store that no other case has used.
run=$1 case=$2
shift 2
export IREKO_HOME="$run/home"
for word in "$@"; do
    [ "$before" = -f ] && grep -qs 'type=cache' "$word" && IREKO_HOME="$run/homes/$case"
    before=$word
done
exec "$IREKO" build "$@"
