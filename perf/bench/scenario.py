"""A scenario: a generator that is given the run and yields what it has measured.

    @scenario(at_least("ratio", 0.33), needs=["nginx"])  # a bar: of the figure "ratio"
    def queued(run):  # its docstring's first line is for --help
        with run.stand("everysec") as stand:
            engine = stand.engine(timeout="1s")
            ...
            yield {"fsync": "everysec"}, {"ratio": ...}
"""

import contextlib
import os
import shutil
import tempfile

import load
from parts import Engine, Nginx, RedisServer, Sink

ALL = {}  # by name, in the order in which they are written


class Scenario:
    def __init__(self, measure, bars, needs):
        self.name = measure.__name__
        self.says = measure.__doc__.strip().splitlines()[0]
        self.measure = measure
        self.bars = bars
        self.needs = needs  # programs, besides those that all of them need


def scenario(*bars, needs=()):
    def enter(measure):
        ALL[measure.__name__] = Scenario(measure, bars, needs)
        return measure
    return enter


class Run:
    """One command: where the programs are, and how large everything is to be."""

    def __init__(self, build, is_quick):
        self.build = build
        self.is_quick = is_quick

    def size(self, full, quick):
        return quick if self.is_quick else full

    def program(self, name, *words):
        """The line of JSON that this program of perf/ ends with."""
        return load.output_of(os.path.join(self.build, "perf", name), *words)

    def reference(self):
        """What wrk gets out of nginx here and now; None where one of them is missing."""
        if self.is_quick or not (shutil.which("nginx") and shutil.which("wrk")):
            return None
        with self.stand() as stand:
            return stand.wrk(stand.nginx().url(), 5)[0]

    @contextlib.contextmanager
    def stand(self, fsync="always"):
        """Redis, and what else is asked of it; at its end all of it is gone."""
        with contextlib.ExitStack() as leaving:
            yield Stand(leaving, self.build, fsync)


class Stand:
    """Redis at once, the others as they are asked for; `leaving` ends what was started."""

    def __init__(self, leaving, build, fsync):
        self.leaving = leaving
        self.build = build
        self.folder = leaving.enter_context(tempfile.TemporaryDirectory(prefix="hookwheel-perf-"))
        self.redis = self._started(RedisServer(self.folder, fsync))

    def _started(self, part):
        self.leaving.callback(part.stop)
        part.start()
        return part

    def nginx(self, n_ports=1, keepalive_s=3600, protocols="TLSv1.2 TLSv1.3"):
        return self._started(Nginx(self.folder, n_ports, keepalive_s, protocols))

    def sink(self, n_ports=1):
        return self._started(Sink(self.folder, self.build, n_ports))

    def engine(self, **settings):
        return self._started(Engine(self.folder, self.build, self.redis, **settings))

    def wrk(self, url, seconds):
        return load.wrk(url, seconds, self.folder)
