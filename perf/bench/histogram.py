"""A histogram of the engine's metrics, as far as its buckets tell."""

import math

LAG = "hookwheel_loop_lag_seconds"
REDIS = "hookwheel_redis_command_duration_seconds"


class Histogram:
    """What was observed between two looks at /metrics."""

    def __init__(self, before, after, name):
        then = buckets(before, name)
        now = sorted(buckets(after, name).items())
        self.counts = [(bound, n - then[bound]) for bound, n in now]
        self.n = self.counts[-1][1]

    def quantile(self, share):
        """As Prometheus estimates it: evenly spread within a bucket."""
        wanted, low, below = share * self.n, 0.0, 0
        for bound, n in self.counts:
            if n >= wanted:
                return low if math.isinf(bound) or n == below else (
                    low + (bound - low) * (wanted - below) / (n - below))
            low, below = bound, n
        return low

    def most(self):
        """The bound that no observation was above."""
        return next((bound for bound, n in self.counts if n == self.n), 0.0)


def buckets(metrics, name):
    """{upper bound: how many are not above it}"""
    found = {}
    for (sample, labels), value in metrics.samples.items():
        if sample == name + "_bucket":
            found[float(dict(labels)["le"])] = value
    return found
