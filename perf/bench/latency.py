"""Events on a schedule: how long from the planned moment of each until the receiver has it."""

from histogram import LAG, REDIS, Histogram
from load import offer
from meter import Meter
from report import at_least, at_most
from scenario import scenario

DEADLINE_S = 120


def offer_and_time(stand, sink, engine, group, rate, seconds, share=1, **more):
    """Events on a schedule, and what came of them at one group of endpoints, which gets `share`
    deliveries of an event."""
    sink.reset()
    before = engine.metrics()
    meter = Meter(engine=engine, redis=stand.redis, sink=sink)
    offered = offer(stand.redis, rate, seconds, **more)
    sink.wait_received(group, round(offered["offered"] * share), DEADLINE_S)
    meter.stop()
    after = engine.metrics()
    found = sink.stats()["groups"][group]
    latency = found["latency_ms"]
    span_s = (found["last_at"] - found["first_at"]) / 1e6
    return {
        "events": offered["offered"], "offered_per_s": offered["achieved_per_s"],
        "offered_late_p99_ms": offered["behind_ms"]["p99"],
        "received_per_s": found["received"] / span_s,
        "p50_ms": latency["p50"], "p99_ms": latency["p99"], "p999_ms": latency["p999"],
        "max_ms": latency["max"],
        "redis_p99_ms": Histogram(before, after, REDIS).quantile(0.99) * 1000,
        "loop_lag_p99_ms": Histogram(before, after, LAG).quantile(0.99) * 1000,
        "busy_percent": meter.busy_percent(), "saturated": meter.saturated(),
    }


@scenario(at_most("p50_ms", 2, aim=1), at_most("p99_ms", 10, aim=5))
def steady(run):
    """2,000 events a second to one endpoint."""
    rate = run.size(2000, 200)
    for fsync in ("everysec", "always"):
        with run.stand(fsync) as stand:
            sink, engine = stand.sink(), stand.engine()
            engine.create_webhook(sink.url("/ok/steady"))
            offer_and_time(stand, sink, engine, "steady", rate, run.size(3, 1))  # to open and warm
            yield {"fsync": fsync}, offer_and_time(stand, sink, engine, "steady", rate,
                                                   run.size(30, 1))


def hanging_on(run, n_origins):
    n_accounts, n_types = run.size(20, 4), 10
    rate, seconds = run.size(1000, 200), run.size(30, 1)
    with run.stand() as stand:
        sink, engine = stand.sink(n_origins), stand.engine(disable_after=0)
        doomed = []
        for i in range(n_accounts * n_types):
            account, kind, port = i // n_types, i % n_types, i % n_origins
            group = "healthy" if kind else "doomed"
            webhook = engine.create_webhook(
                sink.url("/ok/{}/{}".format(group, i), port), account="acct_{}".format(account),
                event_types=["order.created_{}".format(kind)], max_in_flight=20)
            if group == "doomed":
                doomed.append((webhook, sink.url("/hang/doomed/{}".format(i), port)))

        def offer_for(for_s):
            return offer_and_time(stand, sink, engine, "healthy", rate, for_s, share=0.9,
                                  accounts=n_accounts, types=n_types)

        offer_for(run.size(5, 1))  # to open and warm
        well = offer_for(seconds)
        for webhook, url in doomed:
            engine.move_webhook(webhook, url)
        offer_for(run.size(12, 1))  # from here on the first ones time out
        sick = offer_for(seconds)
        return dict(sick, none_hanging={name: well[name] for name in ("p50_ms", "p99_ms")},
                    in_flight=engine.in_flight(),
                    p99_to_none_hanging=sick["p99_ms"] / well["p99_ms"])


@scenario(at_most("p99_to_none_hanging", 2, aim=1.2))
def hanging(run):
    """1,000 events a second to 200 endpoints, of which a tenth then hangs."""
    for n_origins in (run.size(200, 40), 1):
        yield {"origins": n_origins}, hanging_on(run, n_origins)


@scenario(at_least("pace", 0.99), at_least("retries_served_share", 1))
def crowd(run):
    """300 endpoints that hang want twice the engine's attempts in flight; 300 others are well."""
    n_accounts, n_stuck_events = run.size(30, 3), run.size(200, 10)
    limit, n_failing = run.size(10_000, 300), run.size(500, 20)
    rate, seconds = run.size(50, 20), run.size(30, 3)  # longer than the four retries take
    schedule = ",".join([run.size("5s", "500ms")] * 4)
    with run.stand() as stand:
        sink = stand.sink(n_accounts * 20 + 1)
        engine = stand.engine(disable_after=0, max_in_flight=limit, retry_schedule=schedule)
        for i in range(n_accounts * 10):
            engine.create_webhook(sink.url("/ok/healthy/{}".format(i), 2 * i),
                                  account="acct_{}".format(i // 10))
            engine.create_webhook(sink.url("/hang/stuck/{}".format(i), 2 * i + 1),
                                  account="stuck_{}".format(i // 10))
        engine.create_webhook(sink.url("/fail/failing", -1), account="failing")

        def offer_for(for_s):
            return offer_and_time(stand, sink, engine, "healthy", rate, for_s, share=10,
                                  accounts=n_accounts)

        offer_for(run.size(5, 1))  # to open and warm
        well = offer_for(seconds)
        for i in range(n_accounts):
            stand.redis.enqueue(n_stuck_events, account="stuck_{}".format(i))
        engine.wait_until(lambda: engine.in_flight() >= 0.9 * limit, DEADLINE_S,
                          "nearly all that may be in flight is")
        in_flight = engine.in_flight()
        stand.redis.enqueue(n_failing, account="failing")
        sick = offer_for(seconds)
        yield {}, dict(
            sick, none_hanging={name: well[name] for name in
                                ("received_per_s", "p50_ms", "p99_ms")},
            pace=sick["received_per_s"] / well["received_per_s"],
            p99_to_none_hanging=sick["p99_ms"] / well["p99_ms"], in_flight=in_flight,
            retries_due=n_failing * 4,
            retries_served_share=(sink.received("failing") - n_failing) / (n_failing * 4))
