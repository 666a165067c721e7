"""As fast as it goes: the events wait in Redis when the engine starts."""

from load import Asking
from meter import Meter
from report import at_least, at_most
from scenario import scenario

FSYNCS = ("always", "everysec")
DEADLINE_S = 900


def prepare(stand, nginx, n_events, n_webhooks=1):
    """Webhooks on as many ports of nginx, and what they are to get; the engine is stopped."""
    engine = stand.engine()
    for i in range(n_webhooks):
        engine.create_webhook(nginx.url(i))
    engine.stop()
    stand.redis.enqueue(n_events)
    return engine


def drain(run, stand, nginx, engine, n):
    """From the engine's start until Redis has every outcome; then wrk, alone, at the same nginx."""
    meter = Meter(engine=engine, redis=stand.redis, nginx=nginx)
    engine.start()
    engine.wait_delivered(n, DEADLINE_S)
    meter.stop()
    handshakes = engine.handshakes()
    engine.stop()
    wrk_per_s, wrk_cpu_us = stand.wrk(nginx.url(), run.size(5, 1))

    cpu_us = meter.per(n)
    return {
        "deliveries": n, "deliveries_per_s": n / meter.seconds, "wrk_per_s": wrk_per_s,
        "ratio": n / meter.seconds / wrk_per_s,
        "cpu_us_per_delivery": cpu_us, "wrk_cpu_us_per_request": wrk_cpu_us,
        "engine_to_wrk_cpu": cpu_us["engine"] / wrk_cpu_us, "handshakes": handshakes,
        "busy_percent": meter.busy_percent(), "saturated": meter.saturated(),
        "engine_peak_mib": meter.peak_mib["engine"],
    }


def to_one(run, fsync):
    with run.stand(fsync) as stand:
        nginx, n = stand.nginx(), run.size(100_000, 2_000)
        return drain(run, stand, nginx, prepare(stand, nginx, n), n)


def to_ten(run, fsync):
    with run.stand(fsync) as stand:
        nginx, n = stand.nginx(n_ports=10), run.size(10_000, 200)
        return drain(run, stand, nginx, prepare(stand, nginx, n, n_webhooks=10), n * 10)


@scenario(at_least("ratio", 0.33, aim=0.5), at_most("engine_to_wrk_cpu", 2.0, aim=1.5),
          needs=["nginx", "wrk"])
def queued(run):
    """100,000 queued events of 1 KiB to one endpoint, 64 in flight."""
    for fsync in FSYNCS:
        yield {"fsync": fsync}, to_one(run, fsync)


def middle(rounds):
    return sorted(rounds, key=lambda figures: figures["deliveries_per_s"])[len(rounds) // 2]


@scenario(at_least("to_queued", 1.2), needs=["nginx", "wrk"])
def fanout(run):
    """10,000 queued events to ten webhooks on ten origins each."""
    for fsync in FSYNCS:
        # In turns: a shared machine is faster at one moment than at the next.
        rounds = [(to_one(run, fsync), to_ten(run, fsync)) for _ in range(run.size(3, 1))]
        queued_per_s = middle([one for one, _ in rounds])["deliveries_per_s"]
        figures = middle([ten for _, ten in rounds])
        yield {"fsync": fsync}, dict(figures, queued_per_s=queued_per_s,
                                     to_queued=figures["deliveries_per_s"] / queued_per_s)


@scenario(needs=["nginx"])
def api(run):
    """GET /v1/webhooks 100 times a second while queued events are delivered."""
    with run.stand() as stand:
        nginx, n = stand.nginx(), run.size(50_000, 2_000)
        engine = prepare(stand, nginx, n)
        meter = Meter(engine=engine, redis=stand.redis, nginx=nginx)
        engine.start()
        with Asking(engine) as asking:
            engine.wait_delivered(n, DEADLINE_S)
        meter.stop()
        yield {}, {"deliveries_per_s": n / meter.seconds, "asked": asking.times.pop("n"),
                   "answer_ms": asking.times, "busy_percent": meter.busy_percent(),
                   "saturated": meter.saturated()}
