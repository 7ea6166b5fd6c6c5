# What the bench scripts share: a session of their own, builds, servers by process id.
# Sourced, not run. Wants bash, taskset, setsid, cc, cargo, python3.

set -euo pipefail

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$folder")
server_core=${SERVER_CORE:-0}
load_core=${LOAD_CORE:-1}
port=${PORT:-18480}
url=http://127.0.0.1:$port
export AUTH_TOKEN=${AUTH_TOKEN:-bench-$$-$RANDOM$RANDOM}

# The scheduler shares a busy machine by session first: one of our own, with the highest weight,
# keeps what runs beside us small.
in_session() {
    if [ -z "${BENCH_SESSION:-}" ]; then
        BENCH_SESSION=1 exec setsid --wait "$@"
    fi
    if ! { echo -20 >/proc/self/autogroup; } 2>/dev/null; then
        echo "note: no weight for this session (/proc/self/autogroup not writable)" >&2
    fi
}

build() {
    (cd "$root" && cargo build --release --quiet)
    target=$(cd "$root" && cargo metadata --format-version 1 --no-deps |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    ringcast=$target/release/ringcast
    floor=$target/release/floor
    cc -O2 -Wall -Wextra -o "$floor" "$folder/floor/floor.c"
}

work=$(mktemp -d)
server=
leave() {
    stop_server
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 130' INT TERM

stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
}

# start_server floor|ringcast|PEER [ARGS...]: on its core, ready when it accepts.
start_server() {
    local name=$1
    shift
    case $name in
    floor) taskset -c "$server_core" "$floor" "$port" "$@" >"$work/server.log" 2>&1 & ;;
    ringcast)
        taskset -c "$server_core" "$ringcast" --workers 1 --listen "127.0.0.1:$port" \
            --admin "127.0.0.1:$((port + 1))" "$@" >"$work/server.log" 2>&1 &
        ;;
    *) taskset -c "$server_core" "$folder/peers/$name/start" "$port" >"$work/server.log" 2>&1 & ;;
    esac
    server=$!
    for _ in $(seq 400); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
        if ! kill -0 "$server" 2>/dev/null; then break; fi
        sleep 0.05
    done
    echo "the server $name did not start:" >&2
    cat "$work/server.log" >&2
    exit 1
}

# load ARGS...: the load tool on its core; JSON on standard output. Not 0 when it fails.
load() {
    timeout "${LOAD_TIMEOUT_S:-300}" taskset -c "$load_core" \
        "$ringcast" bench --url "$url" --json "$@" 2>"$work/load.log" || {
        local code=$?
        echo "the load tool failed (exit $code):" >&2
        cat "$work/load.log" >&2
        return 1
    }
}
