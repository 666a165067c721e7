#!/bin/sh
# Installs what is missing, builds with sanitizers in build-test, runs every test:
#
#   sh test/run.sh [arguments for ctest, e.g. -R wheel]
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build-test

sh "$top/engine/setup.sh" --test
cmake -S "$top" -B "$build" -DCMAKE_BUILD_TYPE=Release -DHOOKWHEEL_SANITIZE=address,undefined
cmake --build "$build" -j 2

export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
cd "$build"
exec ctest --output-on-failure -j 2 "$@"
