#!/bin/sh
# How fast deliveries go, against the same receiver's rate under wrk in the same run.
#
#   sh perf/run.sh [queued | api]
#
# queued: EVENTS (50000) events of 1 KiB wait in Redis when the engine starts; one webhook, 64 in
# flight, HTTPS to nginx on this machine.  Redis keeps an append-only file, fsync FSYNC (always).
# api: the same, while a client asks GET /v1/webhooks 100 times a second.
# What each number means: perf/README.md.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
program=${HOOKWHEEL:-$root/build/hookwheel}
events=${EVENTS:-50000}
fsync=${FSYNC:-always}
scenario=${1:-queued}

fail() {
    echo "perf: $*" >&2
    exit 1
}

case $scenario in
queued | api) ;;
*) fail "no scenario '$scenario'; there are: queued api" ;;
esac
[ -x "$program" ] || fail "$program is missing; build it: sh engine/setup.sh && cmake -S . -B build && cmake --build build"
for tool in nginx wrk redis-server redis-cli openssl curl python3; do
    command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null ||
        fail "$tool is missing; on Debian: apt-get install nginx-light wrk redis-server openssl curl python3"
done
PATH=$PATH:/usr/sbin

work=$(mktemp -d "${TMPDIR:-/tmp}/hookwheel-perf-XXXXXX")
pids=
tidy() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in $pids; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap tidy EXIT
trap 'exit 130' INT TERM

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    tries=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "gave up waiting for: $*; the engine's log: $(tail -n 5 "$work/engine.log" 2>/dev/null)"
        sleep 0.05
    done
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# User and system time of a process in ticks.
ticks() {
    awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# ---- receiver ----
https=$(free_port)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
cat >"$work/nginx.conf" <<EOF
worker_processes 1;
daemon off;
master_process off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_buffer_size 64k;
    client_body_temp_path $work/t1;
    proxy_temp_path $work/t2;
    fastcgi_temp_path $work/t3;
    uwsgi_temp_path $work/t4;
    scgi_temp_path $work/t5;
    server {
        listen 127.0.0.1:$https ssl;
        ssl_certificate $work/cert.pem;
        ssl_certificate_key $work/key.pem;
        location / { return 204; }
    }
}
EOF
nginx -p "$work" -c "$work/nginx.conf" 2>/dev/null &
receiver=$!
pids="$receiver"
wait_for 5 curl -sk "https://localhost:$https/"

# ---- Redis ----
redis-server --port 0 --unixsocket "$work/redis.sock" --dir "$work" --save '' --appendonly yes \
    --appendfsync "$fsync" --logfile "$work/redis.log" --auto-aof-rewrite-min-size 1gb >/dev/null &
redis=$!
pids="$pids $redis"
wait_for 5 redis-cli -s "$work/redis.sock" ping

# ---- engine ----
api=$(free_port)
export HOOKWHEEL_REDIS_URL="unix://$work/redis.sock" HOOKWHEEL_API_TOKEN=perf-token-0123456789 \
    HOOKWHEEL_LISTEN="127.0.0.1:$api" HOOKWHEEL_CA_FILE="$work/cert.pem" \
    HOOKWHEEL_ALLOW_NETWORKS=127.0.0.1,::1 HOOKWHEEL_DATA_DIR="$work/data"
start_engine() {
    "$program" serve >>"$work/engine.log" 2>&1 &
    engine=$!
    pids="$receiver $redis $engine"
    wait_for 10 curl -sf "http://127.0.0.1:$api/readyz"
}
delivered() {
    curl -s "http://127.0.0.1:$api/metrics" |
        awk '/^hookwheel_deliveries_total\{status="delivered"\}/ { print $2 }'
}
all_delivered() {
    [ "$(delivered)" -ge "$events" ]
}

start_engine
curl -sf -X POST -H "authorization: Bearer $HOOKWHEEL_API_TOKEN" -H 'content-type: application/json' \
    -d "{\"url\":\"https://localhost:$https/\"}" "http://127.0.0.1:$api/v1/webhooks" >/dev/null
kill "$engine"
wait "$engine" || true
python3 -c "
import json, sys
for n in range($events):
    print(json.dumps({'type': 'order.created', 'payload': {'n': n, 'text': 'x' * 850}}))" >"$work/events.jsonl"
"$program" send --file "$work/events.jsonl" >/dev/null

redis_from=$(ticks "$redis")
receiver_from=$(ticks "$receiver")
from=$(date +%s%N)
start_engine
if [ "$scenario" = api ]; then
    python3 "$root/perf/ask.py" "$api" "$HOOKWHEEL_API_TOKEN" >"$work/asked.json" &
    asker=$!
fi
wait_for 300 all_delivered
to=$(date +%s%N)
if [ "$scenario" = api ]; then
    kill "$asker"
    wait "$asker" || true
fi
engine_ticks=$(ticks "$engine")
redis_ticks=$(($(ticks "$redis") - redis_from))
receiver_ticks=$(($(ticks "$receiver") - receiver_from))
peak_kib=$(awk '/^VmHWM/ { print $2 }' "/proc/$engine/status")
kill "$engine"
wait "$engine" || true

# ---- the same receiver under wrk: same body, same number of connections ----
cat >"$work/post.lua" <<'EOF'
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["Content-Type"] = "application/json"
EOF
wrk_rate=$(wrk -t1 -c64 -d5s -s "$work/post.lua" "https://localhost:$https/" | awk '/^Requests\/sec/ { print $2 }')

python3 - <<EOF
import json, pathlib
events, seconds, tick = $events, ($to - $from) / 1e9, $(getconf CLK_TCK)
row = {
    "scenario": "$scenario", "fsync": "$fsync", "events": events,
    "deliveries_per_s": round(events / seconds), "wrk_per_s": round(float("$wrk_rate")),
    "ratio": round(events / seconds / float("$wrk_rate"), 3),
    "cpu_us": {"engine": round($engine_ticks / tick * 1e6 / events, 1),
               "redis": round($redis_ticks / tick * 1e6 / events, 1),
               "receiver": round($receiver_ticks / tick * 1e6 / events, 1)},
    "engine_peak_mib": round($peak_kib / 1024, 1),
}
print("%-10s %-9s %9s %12s %9s %6s   %s" % ("scenario", "fsync", "events", "deliveries/s", "wrk/s", "ratio",
      "CPU us a delivery: engine, Redis, receiver"))
print("%-10s %-9s %9d %12d %9d %6.3f   %.1f, %.1f, %.1f; engine peak %.1f MiB" % (
      row["scenario"], row["fsync"], events, row["deliveries_per_s"], row["wrk_per_s"], row["ratio"],
      row["cpu_us"]["engine"], row["cpu_us"]["redis"], row["cpu_us"]["receiver"], row["engine_peak_mib"]))
asked = pathlib.Path("$work/asked.json")
if asked.exists():
    row["api_ms"] = json.loads(asked.read_text())
    print("GET /v1/webhooks meanwhile: %(n)d answers, p50 %(p50).1f ms, p99 %(p99).1f ms, at most %(max).1f ms"
          % row["api_ms"])
print(json.dumps(row))
EOF
