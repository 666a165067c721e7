#!/bin/sh
# Measures Hookwheel on this machine, with a real Redis, nginx and wrk.
#
#   sh perf/run.sh [--quick] [scenario...]
#
# Without a name: all of them; --help lists them.  What the numbers mean: perf/README.md.
# HOOKWHEEL_BUILD_DIR names a build to measure; without it one is made in build-perf.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build=${HOOKWHEEL_BUILD_DIR:-$root/build-perf}
PATH=$PATH:/usr/sbin

fail() {
    echo "perf: $*" >&2
    exit 1
}

for tool in redis-server openssl python3; do
    command -v "$tool" >/dev/null ||
        fail "$tool is missing; on Debian: apt-get install redis-server openssl python3"
done

if [ -z "${HOOKWHEEL_BUILD_DIR:-}" ]; then
    mkdir -p "$build"
    { cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DHOOKWHEEL_TESTS=OFF &&
        cmake --build "$build" -j "$(nproc)"; } >"$build/perf.log" 2>&1 ||
        fail "no build: see $build/perf.log; what it needs is installed by: sh engine/setup.sh"
fi
[ -x "$build/hookwheel" ] || fail "there is no hookwheel in $build"

exec python3 -B "$root/perf/bench" --build "$build" "$@"
