#!/usr/bin/env bash
# Idle streams: resident memory per stream on one worker, with one ring and with several, anonymous
# and with a token, a user, a tenant and three shared channels each; and whether all of them are
# still there after being held (one event must reach each).
#
#   ONE_RING=18000 MANY_RINGS=100000 IDENTITIES="100000 200000" HOLD_S=10 benches/idle.sh
#
# Prints the slopes and writes benches/results/DATE-idle.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

hold_s=${HOLD_S:-10}
counts="${ONE_RING:-18000} ${MANY_RINGS:-100000}"
identities=${IDENTITIES:-100000 200000}

build
load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for count in $counts; do
    start_server ringcast
    printf '%7d streams  ' "$count"
    load --scenario idle --connections "$count" --duration "$hold_s" --max-lost 0 \
        >"$work/idle-$count.json"
    stop_server
    python3 "$folder/figures.py" line "$work/idle-$count.json"
done
secret=$(head -c 24 /dev/urandom | base64)
for count in $identities; do
    # A user may have five streams, as by default: the table of that is in force.
    export JWT_SECRET=$secret MAX_SSE_CLIENTS=$((count + count / 10))
    start_server ringcast
    printf '%7d streams with an identity  ' "$count"
    load --scenario idle --connections "$count" --duration "$hold_s" --max-lost 0 --identities \
        --subscribe-path '/sse/{channel},bench-x,bench-y' >"$work/own-$count.json"
    stop_server
    python3 "$folder/figures.py" line "$work/own-$count.json"
done
command="ringcast bench --scenario idle --connections N --duration $hold_s"
python3 "$folder/figures.py" idle --folder "$work" --command "$command" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-idle.md"
