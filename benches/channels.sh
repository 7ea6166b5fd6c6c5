#!/usr/bin/env bash
# 1,000 channels of 10 streams, 2,000 events a second: processor time per delivery beside the floor, in
# pairs, alternating. Server on core 0, load on core 1. The closest of the targets by the noisiest of the
# figures, so it takes more runs than the rest of the proof.
#
#   PAIRS=13 benches/channels.sh
#
# Prints each run, and writes benches/results/DATE-channels.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

pairs=${PAIRS:-13}

build
load_before=$(cut -d' ' -f1-3 /proc/loadavg)
one() {
    start_server "$1"
    load --scenario channels --events 10000 --max-lost 0 >"$work/$1-$2.json"
    stop_server
    printf '%-9s' "$1"
    python3 "$folder/figures.py" line "$work/$1-$2.json"
}
for pair in $(seq "$pairs"); do
    if [ $((pair % 2)) = 1 ]; then order="floor ringcast"; else order="ringcast floor"; fi
    for name in $order; do
        one "$name" "$pair"
    done
done
python3 "$folder/figures.py" fanout --folder "$work" --title "1,000 channels beside the floor" \
    --command "ringcast bench --scenario channels --events 10000" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-channels.md"
