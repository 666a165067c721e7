"""A thousand origins at once: what handshakes cost, and what is saved by resuming them."""

from histogram import LAG, Histogram
from kit.certificates import authority
from meter import Meter
from report import at_least, at_most
from scenario import scenario

DEADLINE_S = 60
TLS = {"1.3": "TLSv1.3", "1.2": "TLSv1.2"}


class Origins:
    """Ports of nginx, each a webhook's: 10 an account."""

    def __init__(self, run, stand, protocols):
        self.stand = stand
        self.n = run.size(1000, 50)
        # Connections are kept for longer than a round takes, and closed soon enough to wait for it.
        self.nginx = stand.nginx(n_ports=self.n, keepalive_s=run.size(4, 2), protocols=protocols)
        self.engine = stand.engine()
        for i in range(self.n):
            self.engine.create_webhook(self.nginx.url(i), account="acct_{}".format(i // 10))

    def deliver(self):
        """One event each, at once."""
        before, handshakes = self.engine.metrics(), self.engine.handshakes()
        n_before = self.engine.delivered()
        meter = Meter(engine=self.engine, redis=self.stand.redis, nginx=self.nginx)
        for account in range(self.n // 10):
            self.stand.redis.enqueue(1, account="acct_{}".format(account))
        self.engine.wait_delivered(n_before + self.n, DEADLINE_S)
        meter.stop()
        made = {kind: n - handshakes[kind] for kind, n in self.engine.handshakes().items()}
        return Round(meter, made, before, self.engine.metrics())

    def wait_closed(self):
        self.engine.wait_until(
            lambda: self.engine.metrics().value("hookwheel_connections_open") == 0, DEADLINE_S,
            "nginx has closed every connection", step_s=0.5)


class Round:
    """What one delivery to each origin took."""

    def __init__(self, meter, handshakes, before, after):
        def grown(name):
            return after.total(name) - before.total(name)

        self.seconds = meter.seconds
        self.cpu_us = meter.cpu_us["engine"]
        self.busy_percent = meter.busy_percent()
        self.failed = int(grown("hookwheel_attempts_total") - grown("hookwheel_deliveries_total"))
        self.handshakes = handshakes
        self.lag = Histogram(before, after, LAG)

    def figures(self):
        return {
            "failed_attempts": self.failed, "seconds": self.seconds,
            "handshakes": self.handshakes,
            "engine_cpu_ms": self.cpu_us / 1000,
            "loop_lag_p99_ms": self.lag.quantile(0.99) * 1000,
            "loop_lag_most_ms": self.lag.most() * 1000, "busy_percent": self.busy_percent,
        }


def bare_handshakes(run, origins):
    """The same handshakes by a client that does nothing else: CPU of each."""
    return run.program("bench_handshake", "localhost", origins.nginx.ports[0], authority().ca,
                       run.size(1000, 20))


@scenario(at_most("failed_attempts", 0), at_most("cpu_to_handshakes", 1.3),
          at_most("loop_lag_p99_ms", 20), needs=["nginx"])
def cold(run):
    """One event to each of 1,000 origins at once, none of them seen before."""
    for version, protocols in TLS.items():
        with run.stand() as stand:
            origins = Origins(run, stand, protocols)
            figures = origins.deliver().figures()
            bare_ms = bare_handshakes(run, origins)["full_us"] * origins.n / 1000
            yield {"tls": version}, dict(
                figures, bare_handshakes_cpu_ms=bare_ms,
                cpu_to_handshakes=figures["engine_cpu_ms"] / bare_ms)


@scenario(at_most("failed_attempts", 0), at_least("resumed_share", 0.95),
          at_least("times_faster", 8), needs=["nginx"])
def resumed(run):
    """The same again, after every connection was closed."""
    for version, protocols in TLS.items():
        with run.stand() as stand:
            origins = Origins(run, stand, protocols)
            first = origins.deliver()
            origins.wait_closed()
            again = origins.deliver()
            kept = origins.deliver()  # at once: on the connections of the round before
            bare = bare_handshakes(run, origins)
        assert sum(kept.handshakes.values()) == 0, "a connection was not kept"
        yield {"tls": version}, dict(
            again.figures(), resumed_share=again.handshakes["resumed"] / origins.n,
            cold_cpu_ms=first.cpu_us / 1000, kept_cpu_ms=kept.cpu_us / 1000,
            cold_seconds=first.seconds,
            times_faster=(first.cpu_us - kept.cpu_us) / (again.cpu_us - kept.cpu_us),
            round_times_faster=first.cpu_us / again.cpu_us,
            bare_times_faster=bare["full_us"] / bare["resumed_us"])
