#!/usr/bin/env bash
# What ringcast promises beyond a fan-out, each beside the floor in the same run where there is one.
#
#   ROUNDS=3 PAIRS=9 STREAMS=18000 IDENTITIES=100000 benches/proof.sh
#
# Connects with a token against the floor's without, 1,000 channels, one-to-one events beside
# broadcasts, readers that stall, a reconnect storm, an NDJSON stream, streams with an identity of
# their own, and kernel memory above the bare socket. Writes benches/results/DATE-proof.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

rounds=${ROUNDS:-3}
pairs=${PAIRS:-9}
streams=${STREAMS:-18000}
identities=${IDENTITIES:-100000}
secret=proof-$$-$RANDOM$RANDOM$RANDOM$RANDOM$RANDOM$RANDOM

build

# one SERVER KIND ROUND ARGS...
one() {
    local name=$1 kind=$2 round=$3
    shift 3
    load "$@" >"$work/${kind}_${name}_$round.json"
    printf '%-9s %-9s' "$name" "$kind"
    python3 "$folder/figures.py" line "$work/${kind}_${name}_$round.json"
}

slab_kib() { awk '/^Slab:/ { print $2 }' /proc/meminfo; }

# kernel LABEL SERVER ARGS...: the kernel's own memory while all streams are held. What earlier
# runs have left in its caches is the same for all.
kernel() {
    local label=$1
    shift
    start_server "$@"
    load --scenario idle --connections "$streams" --duration 4 --events 0 >"$work/held.json" &
    local held=$!
    : >"$work/samples"
    while kill -0 "$held" 2>/dev/null; do
        slab_kib >>"$work/samples"
        sleep 0.1
    done
    wait "$held"
    stop_server
    # The middle of the holding: neither what opening has used for a moment nor what closing frees.
    local kib
    kib=$(tail -35 "$work/samples" | head -15 | sort -n | sed -n 8p)
    echo $((kib * 1024)) >>"$work/kernel_$label"
    # Closed sockets are given back by and by.
    sleep 3
}

# Fills those caches.
kernel warm floor bare
load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for round in $(seq "$rounds"); do
    start_server floor
    one floor connect "$round" --scenario connect --connections "$streams"
    stop_server

    export JWT_SECRET=$secret
    start_server ringcast
    one ringcast connect "$round" --scenario connect --connections "$streams" --identities
    stop_server
    unset JWT_SECRET

    start_server ringcast
    one ringcast mixed "$round" --scenario mixed --events 2000
    one ringcast storm "$round" --scenario storm --connections "$streams"
    one ringcast stall1 "$round" --scenario stall --subscribers-stall 1
    one ringcast stall10 "$round" --scenario stall --subscribers-stall 10
    one ringcast ndjson "$round" --scenario publish --connections 0 --publishers 4 \
        --publish-lines 2000 --events 3000000
    stop_server

    kernel bare floor bare
    kernel watched ringcast
    export RINGCAST_STREAM__WATCH_HANGUP=false
    kernel lean ringcast
    unset RINGCAST_STREAM__WATCH_HANGUP
done

# The closest of the targets, by the noisiest of the figures: more runs, taken in pairs.
for pair in $(seq "$pairs"); do
    for name in floor ringcast; do
        start_server "$name"
        one "$name" channels "$pair" --scenario channels --events 10000
        stop_server
    done
done

export JWT_SECRET=$secret MAX_SSE_CLIENTS=$((identities + identities / 10))
start_server ringcast
one ringcast identity 1 --scenario idle --connections "$identities" --identities --duration 5 \
    --subscribe-path '/sse/{channel},bench-x,bench-y'
stop_server

python3 "$folder/figures.py" proof --folder "$work" --streams "$streams" \
    --command "ROUNDS=$rounds PAIRS=$pairs STREAMS=$streams IDENTITIES=$identities benches/proof.sh" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-proof.md"
