#!/bin/sh
# Hookwheel from nothing to deliveries, on a fresh Debian 12 or 13:
#
#   sh engine/run.sh [EVENTS]      (default 2000)
#
# Installs what is missing, builds, starts the daemon with its embedded Redis and two HTTPS
# receivers (one healthy, one that fails the first two tries of every event), sends EVENTS
# events to both, and ends with a summary.  Everything runs in a folder of its own and is
# stopped at the end.  Exit 0: every delivery arrived, each with a good signature.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
n_events=${1:-2000}
build=$top/build
hookwheel=$build/hookwheel
deadline_s=180

work=
daemon=
healthy=
flaky=

say() {
    echo "run: $*"
}

stop() {
    [ ! -t 1 ] || printf '\r\033[K'
    echo "run: $*" >&2
    exit 1
}

# end PID: ask it to stop, insist after 15 s.
end() {
    kill -TERM "$1" 2>/dev/null || return 0
    tries=0
    while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 150 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -KILL "$1" 2>/dev/null || true
}

clean_up() {
    trap '' INT TERM
    for pid in $daemon $healthy $flaky; do
        end "$pid"
    done
    if [ -n "$work" ]; then
        [ ! -s "$work/daemon.log" ] || cp "$work/daemon.log" "$build/run.log"
        rm -rf "$work"
    fi
}

# wait_for SECONDS WHAT PID COMMAND...: until COMMAND succeeds; the process must stay alive.
wait_for() {
    tries=$(($1 * 10))
    what=$2
    pid=$3
    shift 3
    until "$@"; do
        kill -0 "$pid" 2>/dev/null || fail "$what: the process has ended"
        [ "$tries" -gt 0 ] || fail "$what: nothing within the time"
        tries=$((tries - 1))
        sleep 0.1
    done
}

# fail WHAT: with the last that the daemon and the receivers said.
fail() {
    for file in daemon.log healthy.err flaky.err; do
        [ ! -s "$work/$file" ] || tail -n 10 "$work/$file" >&2
    done
    stop "$1"
}

# --- build ----------------------------------------------------------------------------------

case $n_events in
'' | *[!0-9]* | 0*) stop "usage: sh engine/run.sh [EVENTS]" ;;
esac

sh "$top/engine/setup.sh"
say "building"
mkdir -p "$build"
{
    cmake -S "$top" -B "$build" -DCMAKE_BUILD_TYPE=Release -DHOOKWHEEL_SANITIZE= &&
        cmake --build "$build" --target hookwheel -j "$(nproc)"
} >"$build/run-build.log" 2>&1 || {
    tail -n 20 "$build/run-build.log" >&2
    stop "the build failed (all of it: $build/run-build.log)"
}

# --- start ----------------------------------------------------------------------------------

trap clean_up EXIT
trap 'exit 130' INT TERM
work=$(mktemp -d)
: >"$work/healthy.out"
: >"$work/flaky.out"
: >"$work/daemon.log"

# Settings of the caller's own daemon are not this run's.
for variable in $(env | sed -n 's/^\(HOOKWHEEL_[A-Z_]*\)=.*/\1/p'); do
    unset "$variable"
done

# start_receiver NAME FLAGS...: pid in $started, address line in NAME.out.
start_receiver() {
    name=$1
    shift
    "$hookwheel" listen --json --quiet --cert-out "$work/$name.pem" \
        --secret-file "$work/$name.secret" "$@" >"$work/$name.out" 2>"$work/$name.err" &
    started=$!
}

# member FILE NAME: the newest value of a JSON member that is a number or a plain string.
member() {
    sed -n "s/.*\"$2\": *\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p" "$1" | tail -n 1
}

port_is_known() {
    [ -n "$(member "$work/$1.out" port)" ]
}

say "starting two receivers and the daemon"
start_receiver healthy
healthy=$started
start_receiver flaky --fail-first 2
flaky=$started
wait_for 10 "the healthy receiver" "$healthy" port_is_known healthy
wait_for 10 "the failing receiver" "$flaky" port_is_known flaky
cat "$work/healthy.pem" "$work/flaky.pem" >"$work/ca.pem"

"$hookwheel" serve --data-dir "$work/data" --listen 127.0.0.1:0 \
    --allow-networks 127.0.0.1,::1 --ca-file "$work/ca.pem" --retry-schedule 1s,2s,3s,4s \
    --log-format json 2>"$work/daemon.log" &
daemon=$!

api_is_known() {
    api=$(sed -n 's/.*"event":"listening".*"address":"\([^"]*\)".*/http:\/\/\1/p' \
        "$work/daemon.log" | head -n 1)
    [ -n "$api" ]
}

daemon_is_ready() {
    curl -fs -o "$work/ready" "$api/readyz" 2>/dev/null
}

wait_for 20 "the daemon" "$daemon" api_is_known
wait_for 30 "the daemon is not ready" "$daemon" daemon_is_ready
token=$(cat "$work/data/root-token")

# --- webhooks -------------------------------------------------------------------------------

# create_webhook NAME: for that receiver; its secret goes where the receiver looks for it.
create_webhook() {
    printf '{"name":"%s","url":"https://localhost:%s/hooks","event_types":["order.created"]}' \
        "$1" "$(member "$work/$1.out" port)" >"$work/$1.request"
    curl -sS -o "$work/$1.webhook" -H "authorization: Bearer $token" \
        -H 'content-type: application/json' --data-binary "@$work/$1.request" \
        "$api/v1/webhooks" || fail "the webhook $1 could not be created"
    secret=$(member "$work/$1.webhook" secret)
    [ -n "$secret" ] || fail "the webhook $1 could not be created: $(cat "$work/$1.webhook")"
    echo "$secret" >"$work/$1.secret"
}

create_webhook healthy
create_webhook flaky

# --- events ---------------------------------------------------------------------------------

say "sending $n_events events"
awk -v n="$n_events" 'BEGIN {
    for (i = 1; i <= n; i++)
        printf "{\"type\":\"order.created\",\"account\":\"default\",\"subject\":\"order_%d\",\"payload\":{\"order_id\":\"o_%d\",\"total\":\"%d.%02d\"}}\n", i, i, i % 500, i % 100
}' >"$work/events.jsonl"
"$hookwheel" send --file "$work/events.jsonl" --data-dir "$work/data" ||
    fail "the events could not be sent"

# metric NAME: its value, without the part behind the point.
metric() {
    awk -v name="$1" '$1 == name { printf "%d", $2; found = 1 } END { if (!found) print 0 }' \
        "$work/metrics"
}

n_owed=$((2 * n_events))
ends_at=$(($(date +%s) + deadline_s))
shown=-1
while :; do
    curl -fs -o "$work/metrics" "$api/metrics" || fail "the daemon gives no metrics"
    delivered=$(metric 'hookwheel_deliveries_total{status="delivered"}')
    dead=$(metric 'hookwheel_deliveries_total{status="dead_letter"}')
    if [ -t 1 ]; then
        printf '\r\033[Krun: %d of %d delivered, %d dead letters' "$delivered" "$n_owed" "$dead"
    elif [ "$delivered" != "$shown" ]; then
        say "$delivered of $n_owed delivered, $dead dead letters"
        shown=$delivered
    fi
    [ $((delivered + dead)) -lt "$n_owed" ] || break
    [ "$(date +%s)" -lt "$ends_at" ] || fail "not everything arrived within $deadline_s s"
    sleep 0.5
done
[ ! -t 1 ] || echo

# --- summary --------------------------------------------------------------------------------

# The daemon first: an attempt that is still under way ends well.
kill -TERM "$daemon"
daemon_code=0
wait "$daemon" || daemon_code=$?
daemon=

# end_receiver PID: its exit code in $code.
end_receiver() {
    kill -TERM "$1"
    code=0
    wait "$1" || code=$?
}

end_receiver "$healthy"
healthy_code=$code
healthy=
end_receiver "$flaky"
flaky_code=$code
flaky=

result=0
problem() {
    echo "run: $*" >&2
    result=1
}

# check NAME CODE: what that receiver has seen.
check() {
    out=$work/$1.out
    [ "$(member "$out" events)" = "$n_events" ] ||
        problem "the $1 receiver got $(member "$out" events) of $n_events events"
    [ "$(member "$out" bad_signatures)" = 0 ] ||
        problem "the $1 receiver met $(member "$out" bad_signatures) bad signatures"
    [ "$2" -eq 0 ] || problem "the $1 receiver ended with $2"
}

check healthy "$healthy_code"
check flaky "$flaky_code"
[ "$dead" -eq 0 ] || problem "$dead dead letters"
[ "$daemon_code" -eq 0 ] || problem "the daemon ended with $daemon_code"

row() {
    out=$work/$1.out
    printf '  %-9s %9s %9s %11s %13s %8s\n' "$1" "$(member "$out" events)" \
        "$(member "$out" retries)" "$(member "$out" duplicates)" \
        "$(member "$out" latency_p50_ms) ms" "$(member "$out" latency_p99_ms) ms"
}

echo
printf '  %-9s %9s %9s %11s %13s %8s\n' receiver delivered retries duplicates 'latency p50' p99
row healthy
row flaky
cat <<END
  (latency: from the event's enqueueing to the first try's arrival)

Where to look next:
  start it   $hookwheel serve
  API        curl -H "authorization: Bearer \$(cat hookwheel-data/root-token)" http://127.0.0.1:8420/v1/webhooks
  metrics    curl http://127.0.0.1:8420/metrics
  logs       standard error; of this run: $build/run.log
  README     $top/README.md
END
exit "$result"
