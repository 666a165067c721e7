"""What it costs Redis to hold an event, and the machine to hold still."""

import time

from meter import Meter
from report import at_most
from scenario import scenario

LEDGER = "hookwheel:{s0}:led:default"


class State:
    """What Redis has done and holds; the buffers of its clients and of its file are left out."""

    def __init__(self, redis):
        self.calls = {name.partition("_")[2]: int(text.partition("calls=")[2].partition(",")[0])
                      for name, text in redis.info("commandstats").items()}
        self.aof_bytes = int(redis.info("persistence")["aof_current_size"])
        memory = redis.info("memory")
        self.kept_bytes = int(memory["used_memory"]) - int(memory["mem_clients_normal"]) - int(
            memory["mem_aof_buffer"])


@scenario(at_most("kept_bytes_beyond_body", 400, aim=250), needs=["nginx"])
def redis(run):
    """What an event with one delivery, answered 204 at once, costs Redis."""
    with run.stand() as stand:
        nginx, engine = stand.nginx(), stand.engine()
        # The most that the history of one webhook keeps, so that nothing is trimmed.
        n = run.size(10_000, 500)
        engine.create_webhook(nginx.url())
        before = State(stand.redis)
        meter = Meter(redis=stand.redis)
        stand.redis.enqueue(n)
        engine.wait_delivered(n, 120)
        meter.stop()
        after = State(stand.redis)
        [(_, (_, record, *_))] = stand.redis.client.call("XREVRANGE", LEDGER, "+", "-",
                                                         "COUNT", 1)

    calls = {name: (n_calls - before.calls.get(name, 0)) / n
             for name, n_calls in after.calls.items()}
    scripts = calls.pop("evalsha", 0) + calls.pop("eval", 0)
    kept = (after.kept_bytes - before.kept_bytes) / n
    yield {}, {
        "events": n, "scripts_per_event": scripts, "commands_per_event": sum(calls.values()),
        "most_called": dict(sorted(calls.items(), key=lambda item: -item[1])[:6]),
        "redis_cpu_us_per_event": meter.per(n)["redis"],
        "aof_bytes_per_event": (after.aof_bytes - before.aof_bytes) / n,
        "kept_bytes": kept, "body_bytes": len(record),
        "kept_bytes_beyond_body": kept - len(record),
    }


@scenario(at_most("engine_percent", 0.2), at_most("engine_peak_mib", 20))
def idle(run):
    """1,000 webhooks of 100 accounts, and nothing to do for 30 seconds."""
    with run.stand() as stand:
        engine = stand.engine()
        for account in range(run.size(100, 10)):
            for i in range(10):
                engine.create_webhook("https://receiver.example.com/{}".format(i),
                                      account="acct_{}".format(account))
        engine.stop()
        engine.start()
        time.sleep(run.size(5, 1))  # what a start leaves to do is done
        meter = Meter(engine=engine, redis=stand.redis)
        time.sleep(run.size(30, 1))
        meter.stop()
        percent = meter.busy_percent()
        yield {}, {"webhooks": run.size(1000, 100), "seconds": meter.seconds,
                   "engine_percent": percent["engine"], "redis_percent": percent["redis"],
                   "engine_rss_mib": engine.rss_mib(), "engine_peak_mib": meter.peak_mib["engine"]}
