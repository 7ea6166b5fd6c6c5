#!/usr/bin/env bash
# Idle streams: resident memory per stream on one worker, with one ring and with several, and
# whether all of them are still there after being held (one event must reach each).
#
#   ONE_RING=18000 MANY_RINGS=61000 HOLD_S=10 benches/idle.sh
#
# Prints the slopes and writes benches/results/DATE-idle.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

hold_s=${HOLD_S:-10}
counts="${ONE_RING:-18000} ${MANY_RINGS:-61000}"

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
command="ringcast bench --scenario idle --connections N --duration $hold_s"
python3 "$folder/figures.py" idle --folder "$work" --command "$command" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-idle.md"
