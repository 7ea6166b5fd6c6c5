#!/usr/bin/env bash
# gzip streams beside plain ones of the same server: processor time per delivery, one event per send
# (the next event when all streams have read the one before), and resident memory per stream.
# Server on core 0, load on core 1, in pairs, alternating.
#
#   CONNECTIONS=10000 DATA_BYTES=128 EVENTS=200 PAIRS=7 HELD=18000 benches/gzip.sh
#
# Prints the median ratio and writes benches/results/DATE-gzip.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

connections=${CONNECTIONS:-10000}
data_bytes=${DATA_BYTES:-128}
events=${EVENTS:-200}
pairs=${PAIRS:-7}
held=${HELD:-18000}
export SSE_ENABLE_COMPRESSION=true

build
fanout=(--scenario fanout --connections "$connections" --data-bytes "$data_bytes"
    --publish-rate wait --max-lost 0)
command="ringcast bench ${fanout[*]} --events $events [--gzip]"

# measure plain|gzip PAIR
measure() {
    local asks=()
    if [ "$1" = gzip ]; then asks=(--gzip); fi
    start_server ringcast
    # The first events fill caches and grow buffers; they are not measured.
    load "${fanout[@]}" "${asks[@]}" --events 20 >/dev/null
    load "${fanout[@]}" "${asks[@]}" --events "$events" >"$work/cpu-$1-$2.json"
    stop_server
    start_server ringcast
    load --scenario idle --connections "$held" --duration 1 --max-lost 0 "${asks[@]}" \
        >"$work/held-$1-$2.json"
    stop_server
    for what in cpu held; do
        printf '%-6s' "$1"
        python3 "$folder/figures.py" line "$work/$what-$1-$2.json"
    done
}

load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for pair in $(seq "$pairs"); do
    if [ $((pair % 2)) = 1 ]; then order="plain gzip"; else order="gzip plain"; fi
    for name in $order; do
        measure "$name" "$pair"
    done
done
python3 "$folder/figures.py" gzip --folder "$work" --command "$command" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-gzip.md"
