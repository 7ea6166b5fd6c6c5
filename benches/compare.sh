#!/usr/bin/env bash
# One table from one run: the floor, ringcast and its peers under the same load, pinned alike.
#
#   PEERS="axum better-sse" CONNECTIONS=10000 DATA_BYTES=128 ROUNDS=3 benches/compare.sh
#
# Peers there are: axum better-sse epoll go nchan nestjs pushpin tokio-uring uws
#
# `single`: the publisher waits until all have read the event before, one event a send.
# `burst`: 32 publishers as fast as they are answered. Writes benches/results/DATE-compare.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

peers=${PEERS:-axum better-sse}
connections=${CONNECTIONS:-10000}
data_bytes=${DATA_BYTES:-128}
rounds=${ROUNDS:-3}

build
for peer in $peers; do "$folder/peers/$peer/start"; done

common=(--scenario fanout --connections "$connections" --data-bytes "$data_bytes")
measure() {
    start_server "$1"
    # Caches fill and buffers grow in the first events: they are not measured.
    load "${common[@]}" --events 10 --publish-rate wait >/dev/null
    load "${common[@]}" --events 50 --publish-rate wait >"$work/single_$1_$2.json"
    load "${common[@]}" --events 300 --publish-rate max --publishers 32 >"$work/burst_$1_$2.json"
    stop_server
    for kind in single burst; do
        printf '%-11s %-7s' "$1" "$kind"
        python3 "$folder/figures.py" line "$work/${kind}_$1_$2.json"
    done
}

load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for round in $(seq "$rounds"); do
    for name in floor ringcast $peers; do measure "$name" "$round"; done
done
python3 "$folder/figures.py" compare --folder "$work" --names "floor ringcast $peers" \
    --command "PEERS=\"$peers\" CONNECTIONS=$connections DATA_BYTES=$data_bytes ROUNDS=$rounds benches/compare.sh" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-compare.md"
