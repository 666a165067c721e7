"""Very many at once: attempts in flight, retries due, events waiting, deadlines armed."""

import random
import time

from histogram import LAG, Histogram
from latency import offer_and_time
from meter import Meter
from report import at_least, at_most
from scenario import scenario

RETRIES = "hookwheel:{s0}:retry"
CHUNK = 1000
SMALL = '{"text":"' + "x" * 100 + '"}'


@scenario(at_least("delivered_share", 1), at_most("engine_peak_mib", 400, aim=250))
def inflight(run):
    """10,000 attempts in flight, to endpoints that answer after 5 s."""
    n_accounts, limit = run.size(10, 2), run.size(100, 10)
    n_webhooks, answer_ms = n_accounts * 10, run.size(5000, 500)
    n_each = limit * 6  # more than fit: while the first ones are sent, connections are opened
    all_of_it = n_webhooks * limit
    n = n_webhooks * n_each
    with run.stand() as stand:
        # The engine keeps the last sixteenth for webhooks with next to nothing in flight.
        sink, engine = stand.sink(), stand.engine(max_in_flight=all_of_it * 16 // 15 + 1)
        for i in range(n_webhooks):
            engine.create_webhook(sink.url("/after/{}/late/{}".format(answer_ms, i)),
                                  account="acct_{}".format(i // 10), max_in_flight=limit)
        meter = Meter(engine=engine, redis=stand.redis, sink=sink)
        for i in range(n_accounts):
            stand.redis.enqueue(n_each, account="acct_{}".format(i))
        engine.wait_delivered(n, 300)
        meter.stop()
        late = sink.stats()["groups"]["late"]
        yield {}, {
            "deliveries": n, "delivered_share": engine.delivered() / n, "seconds": meter.seconds,
            "limit": all_of_it, "most_in_flight": late["max_at_once"]["group"],
            "attempts": late["received"], "engine_peak_mib": meter.peak_mib["engine"],
            "busy_percent": meter.busy_percent(), "saturated": meter.saturated(),
        }


def spread_due(redis, first_ms, last_ms):
    """Every retry that is scheduled becomes due within that time, in any order."""
    members = redis.client.call("ZRANGE", RETRIES, 0, -1)
    commands = []
    for at in range(0, len(members), CHUNK):
        words = ["ZADD", RETRIES, "XX"]
        for member in members[at:at + CHUNK]:
            words += [random.randint(first_ms, last_ms), member]
        commands.append(words)
    redis.client.pipeline(commands)


@scenario(at_most("ready_s", 5), at_most("most_at_once_of_endpoint", 64),
          at_most("loop_lag_most_ms", 100), at_most("engine_peak_mib", 200))
def retries(run):
    """1,000,000 retries: a restart with them, and all of them due within one minute."""
    n_accounts, n_each = run.size(10, 2), run.size(10_000, 50)
    n, within_s = n_accounts * 10 * n_each, run.size(60, 2)
    with run.stand("everysec") as stand:
        sink = stand.sink()
        engine = stand.engine(disable_after=0, retry_schedule="1h,1h")
        webhooks = [engine.create_webhook(sink.url("/fail/failing/{}".format(i)),
                                          account="acct_{}".format(i // 10))
                    for i in range(n_accounts * 10)]
        for i in range(n_accounts):
            stand.redis.enqueue(n_each, account="acct_{}".format(i), payload=SMALL)
        engine.wait_until(
            lambda: engine.metrics().value("hookwheel_retries_scheduled") >= n, 1800,
            "{} retries are scheduled".format(n), step_s=0.5)
        for i, webhook in enumerate(webhooks):
            engine.move_webhook(webhook, sink.url("/after/50/served/{}".format(i)))
        engine.stop()

        first_ms = int(time.time() * 1000) + run.size(60_000, 3_000)
        spread_due(stand.redis, first_ms, first_ms + within_s * 1000)
        began = time.monotonic()
        engine.start()
        ready_s = time.monotonic() - began
        before = engine.metrics()
        time.sleep(max(0, first_ms / 1000 - time.time()))
        meter = Meter(engine=engine, redis=stand.redis, sink=sink)
        engine.wait_delivered(n, 1800)
        meter.stop()
        served = sink.stats()["groups"]["served"]
        lag = Histogram(before, engine.metrics(), LAG)
        yield {}, {
            "retries": n, "ready_s": ready_s, "due_within_s": within_s,
            "served_within_s": served["last_at"] / 1e6 - first_ms / 1e3,
            "attempts": served["received"],
            "most_at_once_of_endpoint": served["max_at_once"]["path"],
            "loop_lag_p99_ms": lag.quantile(0.99) * 1000, "loop_lag_most_ms": lag.most() * 1000,
            "engine_peak_mib": meter.peak_mib["engine"],
            "busy_percent": meter.busy_percent(), "saturated": meter.saturated(),
        }


@scenario(at_most("engine_peak_mib", 150), at_most("p99_to_none_waiting", 2))
def backlog(run):
    """1,000,000 events wait for an endpoint that hangs; how another one fares."""
    n, rate, seconds = run.size(1_000_000, 2_000), run.size(200, 100), run.size(30, 1)
    kept = 2_000_000
    with run.stand("everysec") as stand:
        sink = stand.sink()
        engine = stand.engine(disable_after=0, backlog_max=kept, feed_max=kept)
        engine.create_webhook(sink.url("/ok/healthy"))
        engine.create_webhook(sink.url("/hang/dead"), account="dead")

        def offer(for_s):
            return offer_and_time(stand, sink, engine, "healthy", rate, for_s)

        offer(run.size(3, 1))  # to open and warm
        well = offer(seconds)
        stand.redis.enqueue(n, account="dead")
        engine.wait_until(
            lambda: engine.metrics().value("hookwheel_events_accepted_total") >= n, 1800,
            "{} events are accepted".format(n), step_s=0.5)
        beside = offer(seconds)
        yield {}, dict(
            beside, none_waiting={name: well[name] for name in ("p50_ms", "p99_ms")},
            p99_to_none_waiting=beside["p99_ms"] / well["p99_ms"],
            waiting=int(engine.metrics().value("hookwheel_deliveries_waiting")),
            engine_peak_mib=engine.peak_mib())


@scenario(at_most("arm_ns", 100), at_most("cancel_ns", 100), at_most("expire_ns", 100),
          at_least("times_faster", 5), at_most("entry_bytes", 48))
def wheel(run):
    """Arming, cancelling and expiring with 1,000,000 deadlines armed, against libuv's timers."""
    n = run.size(1_000_000, 10_000)
    says = run.program("bench_wheel", n)
    ours, libuv = says["wheel_ns"], says["libuv_ns"]
    yield {}, {"armed": n, "arm_ns": ours["arm"], "cancel_ns": ours["cancel"],
               "expire_ns": ours["expire"], "libuv_ns": libuv,
               "times_faster": min(libuv[each] / ours[each] for each in ours),
               "entry_bytes": says["entry_bytes"]}
