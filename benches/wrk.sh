#!/usr/bin/env bash
# wrk against publish and health: requests a second of one worker, keep-alive connections, beside
# the floor and uWebSockets in the same run.
# Installs wrk from Debian where it is missing. Writes benches/results/DATE-wrk.md.
#
#   CONNECTIONS="8 64" ROUNDS=3 DURATION_S=4 PEERS=uws benches/wrk.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

connections=${CONNECTIONS:-8 64}
rounds=${ROUNDS:-3}
duration_s=${DURATION_S:-4}
peers=${PEERS-uws}
if ! command -v wrk >/dev/null; then
    apt=$([ "$(id -u)" = 0 ] || echo sudo)
    $apt apt-get update -qq && $apt apt-get install -y -qq wrk >&2
fi

build
for peer in $peers; do "$folder/peers/$peer/start" >&2; done

# Processor time of the server so far, in ticks of 10 ms (proc_pid_stat(5)).
ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }

# one SERVER WHAT COUNT ARGS...: a line "what|count|server|requests a second|processor share".
one() {
    local name=$1 what=$2 count=$3 before rate
    shift 3
    before=$(ticks)
    taskset -c "$load_core" wrk -t1 -c"$count" -d"${duration_s}s" "$@" >"$work/wrk.log" 2>&1
    if grep -E "Non-2xx|Socket errors|^status" "$work/wrk.log" >&2; then exit 1; fi
    rate=$(awk '/^Requests\/sec/ { print $2 }' "$work/wrk.log")
    echo "$what|$count|$name|$rate|$(((($(ticks) - before)) / duration_s))" | tee -a "$work/lines"
}

load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for _ in $(seq "$rounds"); do
    for name in floor ringcast $peers; do
        start_server "$name"
        for count in $connections; do
            one "$name" "publish 128 B" "$count" -s "$folder/wrk/publish.lua" "$url"
            if [ "$name" = ringcast ]; then one "$name" "GET /health" "$count" "$url/health"; fi
        done
        stop_server
    done
done
python3 "$folder/figures.py" wrk --folder "$work" \
    --command "CONNECTIONS=\"$connections\" ROUNDS=$rounds DURATION_S=$duration_s PEERS=\"$peers\" benches/wrk.sh" \
    --load-before "$load_before" --out "$folder/results/$(date +%F)-wrk.md"
