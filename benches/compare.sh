#!/usr/bin/env bash
# One table from one run: the floor, ringcast and its peers under the same load, pinned alike.
#
#   PEERS="axum better-sse" CONNECTIONS=10000 DATA_BYTES=128 ROUNDS=3 benches/compare.sh
#   PEERS=all benches/compare.sh
#
# Peers there are: axum better-sse epoll go nchan nestjs pushpin tokio-uring uws
#
# `single`: the publisher waits until all have read the event before, one event a send.
# `burst`: 32 publishers as fast as they are answered. `channels`: 2,000 events a second to 1,000
# channels of 10 streams. `publish`: 8 publishers as fast as they are answered, one stream.
# Writes benches/results/DATE-compare.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

peers=${PEERS:-axum better-sse}
if [ "$peers" = all ]; then peers=$(cd "$folder/peers" && echo *); fi
connections=${CONNECTIONS:-10000}
data_bytes=${DATA_BYTES:-128}
rounds=${ROUNDS:-3}

build
usable=
for peer in $peers; do
    # What cannot be installed here is left out, and said so.
    if "$folder/peers/$peer/start" >&2; then usable="$usable $peer"; else
        echo "note: the peer $peer could not be installed" >&2
    fi
done
peers=${usable# }

# A peer that fails a scenario has no figure there; the floor and ringcast may not fail.
run() {
    local name=$1 kind=$2 round=$3
    shift 3
    if ! load "$@" >"$work/${kind}_${name}_$round.json"; then
        rm -f "$work/${kind}_${name}_$round.json"
        case $name in floor | ringcast) exit 1 ;; esac
        return 0
    fi
    printf '%-11s %-8s' "$name" "$kind"
    python3 "$folder/figures.py" line "$work/${kind}_${name}_$round.json"
}

measure() {
    local common=(--connections "$connections" --data-bytes "$data_bytes")
    start_server "$1"
    # Caches fill and buffers grow in the first events: they are not measured.
    run "$1" warm "$2" --scenario fanout "${common[@]}" --events 10 --publish-rate wait >/dev/null
    run "$1" single "$2" --scenario fanout "${common[@]}" --events 50 --publish-rate wait
    run "$1" burst "$2" --scenario burst "${common[@]}" --duration 15
    run "$1" channels "$2" --scenario channels --data-bytes "$data_bytes" --events 8000
    run "$1" publish "$2" --scenario publish --data-bytes "$data_bytes" --duration 4
    stop_server
}

load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for round in $(seq "$rounds"); do
    for name in floor ringcast $peers; do measure "$name" "$round"; done
done
python3 "$folder/figures.py" compare --folder "$work" --names "floor ringcast $peers" \
    --command "PEERS=\"$peers\" CONNECTIONS=$connections DATA_BYTES=$data_bytes ROUNDS=$rounds benches/compare.sh" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-compare.md"
