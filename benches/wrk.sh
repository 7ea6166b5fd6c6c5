#!/usr/bin/env bash
# wrk against publish and health: requests a second of one worker, keep-alive connections.
# Installs wrk from Debian where it is missing. Writes benches/results/DATE-wrk.md.
#
#   CONNECTIONS="8 64" DURATION_S=5 benches/wrk.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

connections=${CONNECTIONS:-8 64}
duration_s=${DURATION_S:-5}
if ! command -v wrk >/dev/null; then
    apt=$([ "$(id -u)" = 0 ] || echo sudo)
    $apt apt-get update -qq && $apt apt-get install -y -qq wrk >&2
fi

build
out=$folder/results/$(date +%F)-wrk.md
load_before=$(cut -d' ' -f1-3 /proc/loadavg)
start_server ringcast
{
    for count in $connections; do
        echo "### publish, 128 B, $count connections"
        echo '```'
        taskset -c "$load_core" wrk -t1 -c"$count" -d"${duration_s}s" --latency \
            -s "$folder/wrk/publish.lua" "$url"
        echo '```'
        echo "### GET /health, $count connections"
        echo '```'
        taskset -c "$load_core" wrk -t1 -c"$count" -d"${duration_s}s" --latency "$url/health"
        echo '```'
    done
} >"$work/body"
stop_server
python3 "$folder/figures.py" text --folder "$work" --title "wrk against publish and health" \
    --command "CONNECTIONS=\"$connections\" DURATION_S=$duration_s benches/wrk.sh" \
    --load-before "$load_before" --out "$out"
