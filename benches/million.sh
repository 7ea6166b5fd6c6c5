#!/usr/bin/env bash
# A million streams in one server process, opened, held and read by the load tool on the same
# machine. Sets tuning/sysctl.conf for the run and takes it back. Wants root and 12 GiB.
#
#   STREAMS=1000000 HOLD_S=30 RECONNECT=1 benches/million.sh
#
# Held for HOLD_S seconds, then an event to all, then RECONNECT percent break off, miss an event
# and come again with their ids.
#
# Writes benches/results/DATE-million.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

streams=${STREAMS:-1000000}
hold_s=${HOLD_S:-30}
reconnect=${RECONNECT:-1}
export MAX_SSE_CLIENTS=$((streams + streams / 10))

meminfo() { awk "/^$1:/ { print \$2 }" /proc/meminfo; }

build
export STATE=$work/sysctl.before
"$root/tuning/apply"
restore() {
    if [ -n "${sampler:-}" ]; then kill "$sampler" 2>/dev/null || true; fi
    if [ -f "$STATE" ]; then "$root/tuning/apply" --revert; fi
    leave
}
trap restore EXIT

load_before=$(cut -d' ' -f1-3 /proc/loadavg)
start_server ringcast
before_kib=$(meminfo MemAvailable)
slab_before_kib=$(meminfo Slab)
echo "$before_kib" >"$work/available"
echo "$slab_before_kib" >"$work/slab"
(while sleep 0.5; do
    meminfo MemAvailable >>"$work/available"
    meminfo Slab >>"$work/slab"
done) &
sampler=$!
LOAD_TIMEOUT_S=900 load --scenario idle --connections "$streams" --duration "$hold_s" \
    --reconnect "$reconnect" --max-lost 0 >"$work/idle-$streams.json"
least_kib=$(sort -n "$work/available" | head -1)
slab_most_kib=$(sort -n "$work/slab" | tail -1)
stop_server
python3 "$folder/figures.py" million --folder "$work" \
    --machine-bytes $(((before_kib - least_kib) * 1024)) \
    --slab-bytes $(((slab_most_kib - slab_before_kib) * 1024)) --hold "$hold_s" \
    --command "STREAMS=$streams HOLD_S=$hold_s RECONNECT=$reconnect benches/million.sh" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-million.md"
