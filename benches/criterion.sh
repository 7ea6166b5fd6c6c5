#!/usr/bin/env bash
# Runs the criterion benches and keeps their medians: benches/results/DATE-criterion.md.
#
#   benches/criterion.sh [--quick]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
in_session "${BASH_SOURCE[0]}" "$@"

target=$(cd "$root" && cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
load_before=$(cut -d' ' -f1-3 /proc/loadavg)
rm -rf "$target/criterion"
(cd "$root" && taskset -c "$server_core,$load_core" cargo bench --bench '*' -- --noplot "$@") >&2
python3 "$folder/figures.py" criterion --folder "$target/criterion" \
    --command "benches/criterion.sh $*" --load-before "$load_before" \
    --out "$folder/results/$(date +%F)-criterion.md"
