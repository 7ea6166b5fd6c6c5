#!/usr/bin/env bash
# How cost grows with the work: streams, channels, idle streams, workers. Plots to
# benches/results/DATE-growth-*.svg, figures to benches/results/DATE-growth.md. Wants root (the
# sysctls of tuning/ for the largest runs) and 12 GiB; matplotlib is installed into benches/.venv.
#
#   STREAMS="100 1000 10000 100000" IDLE="0 100000 1000000" benches/growth.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

streams=${STREAMS:-100 1000 10000 100000}
channels=${CHANNELS:-1 10000 1000000}
idle=${IDLE:-0 100000 1000000}
workers=${WORKERS:-1 2 4 8}
floor_max=18000 # RLIMIT_NOFILE bounds it
hold_s=${HOLD_S:-30}

python=$folder/.venv/bin/python
if [ ! -x "$python" ] || ! "$python" -c 'import matplotlib' 2>/dev/null; then
    python3 -m venv "$folder/.venv"
    "$folder/.venv/bin/pip" install --quiet --disable-pip-version-check matplotlib
fi

build
export STATE=$work/sysctl.before
"$root/tuning/apply" >&2
restore() {
    if [ -f "$STATE" ]; then "$root/tuning/apply" --revert >&2; fi
    leave
}
trap restore EXIT
load_before=$(cut -d' ' -f1-3 /proc/loadavg)

# one FILE ARGS...
one() {
    local file=$1
    shift
    LOAD_TIMEOUT_S=900 load "$@" >"$work/$file.json"
    printf '%-24s' "$file"
    python3 "$folder/figures.py" line "$work/$file.json"
}

export MAX_SSE_CLIENTS=1100000
for count in $streams; do
    # About as many deliveries at every size, and enough events where streams are many.
    events=$((500000 / count))
    if [ "$events" -lt 20 ]; then events=20; fi
    if [ "$events" -gt 2000 ]; then events=2000; fi
    for name in floor ringcast; do
        if [ "$name" = floor ] && [ "$count" -gt "$floor_max" ]; then continue; fi
        start_server "$name"
        one "streams_${name}_$count" --scenario fanout --connections "$count" --events "$events" \
            --publish-rate wait --duration 60
        stop_server
    done
done
for count in $channels; do
    start_server ringcast
    one "channels_ringcast_$count" --scenario publish --connections 0 --channels "$count" \
        --publishers 1 --publish-lines 1000 --events 2000000
    stop_server
done
for count in $workers; do
    # All workers on both cores with the load: what more workers cost, not what they gain.
    taskset -c "$server_core,$load_core" "$ringcast" --workers "$count" \
        --listen "127.0.0.1:$port" --admin "127.0.0.1:$((port + 1))" >"$work/server.log" 2>&1 &
    server=$!
    sleep 1
    one "workers_ringcast_$count" --scenario fanout --connections 10000 --events 50 \
        --publish-rate wait
    stop_server
done
for count in $idle; do
    start_server ringcast
    one "idle_ringcast_$count" --scenario idle --connections "$count" --duration "$hold_s" \
        --events "$((count > 0))"
    stop_server
    sleep 2
done

"$python" "$folder/growth.py" --folder "$work" --hold "$hold_s" \
    --command "STREAMS=\"$streams\" CHANNELS=\"$channels\" IDLE=\"$idle\" WORKERS=\"$workers\" HOLD_S=$hold_s benches/growth.sh" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-growth"
