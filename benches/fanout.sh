#!/usr/bin/env bash
# Fan-out beside the floor: processor time per delivery, one event per send (the next event when
# all streams have read the one before). Server on core 0, load on core 1, in pairs, alternating.
#
#   CONNECTIONS=10000 DATA_BYTES=128 EVENTS=200 PAIRS=5 benches/fanout.sh
#
# Prints the median ratio and writes benches/results/DATE-fanout.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

connections=${CONNECTIONS:-10000}
data_bytes=${DATA_BYTES:-128}
events=${EVENTS:-200}
pairs=${PAIRS:-5}

build
command="ringcast bench --scenario fanout --connections $connections --data-bytes $data_bytes"
command+=" --events $events --publish-rate wait"
measure() {
    start_server "$1"
    # The first events fill caches and grow buffers; they are not measured.
    load --scenario fanout --connections "$connections" --data-bytes "$data_bytes" \
        --events 20 --publish-rate wait --max-lost 0 >/dev/null
    load --scenario fanout --connections "$connections" --data-bytes "$data_bytes" \
        --events "$events" --publish-rate wait --max-lost 0 >"$work/$1-$2.json"
    stop_server
    python3 "$folder/figures.py" line "$work/$1-$2.json"
}

load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for pair in $(seq "$pairs"); do
    if [ $((pair % 2)) = 1 ]; then order="floor ringcast"; else order="ringcast floor"; fi
    for name in $order; do
        printf '%-9s' "$name"
        measure "$name" "$pair"
    done
done
python3 "$folder/figures.py" fanout --folder "$work" --command "$command" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-fanout.md"
