"""The test case: makes servers, ends them all, and shows the daemons' logs where it fails."""

import os
import shutil
import sys
import tempfile
import unittest

from kit import openapi
from kit.certificates import authority
from kit.daemon import Daemon, is_sanitized
from kit.receiver import Receiver
from kit.redis import RedisServer
from kit.scripted import Scripted
from kit.waiting import wait_until

# A share of the large counts, for slow machines; figures are only worth something at 1.
SCALE = float(os.environ.get("HOOKWHEEL_TEST_SCALE", "1"))
SANITIZED = is_sanitized()
LOCAL = "127.0.0.1/32,::1/128"


def scaled(n):
    return max(1, int(n * SCALE))


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hookwheel-test-")
        self.daemons = []
        self.redis = None
        openapi.complaints.clear()
        self.addCleanup(self._tidy_folder)
        self.addCleanup(self._check_answers)

    def run(self, result=None):
        result = result if result is not None else self.defaultTestResult()
        n_before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > n_before:
            for text in getattr(self, "last_words", []):
                print(text, file=sys.stderr)
        return result

    def _check_answers(self):
        self.assertEqual(openapi.complaints, [], "answers that proto/openapi.yaml does not have")

    def _tidy_folder(self):
        self.last_words = [daemon.log_tail() for daemon in self.daemons]
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    # --- servers; each ends with the test

    def start_redis(self, fsync="always", **more):
        folder = self.path("redis")
        os.mkdir(folder)
        server = RedisServer(folder, fsync, **more)
        self.addCleanup(server.stop)
        server.start()
        self.redis = server
        return server

    def start_receiver(self, **more):
        receiver = Receiver(**more)
        self.addCleanup(receiver.close)
        return receiver

    def start_scripted(self, script, **more):
        server = Scripted(script, **more)
        self.addCleanup(server.close)
        return server

    def make_daemon(self, **settings):
        """Reaches receivers on this machine; on self.redis unless told otherwise."""
        chosen = {"ca_file": authority().ca, "allow_networks": LOCAL}
        if self.redis is not None:
            chosen["redis_url"] = self.redis.url
        else:
            chosen["data_dir"] = self.path("data")
        chosen.update(settings)
        log = self.path("daemon-{}.log".format(len(self.daemons) + 1))
        daemon = Daemon(log, **chosen)
        self.daemons.append(daemon)
        self.addCleanup(self._end_daemon, daemon)
        return daemon

    def start_daemon(self, wait="ready", **settings):
        return self.make_daemon(**settings).start(wait)

    def _end_daemon(self, daemon):
        daemon.end()
        self.assertEqual(daemon.findings(), [], "the sanitizers have found something")

    # --- what is awaited, and looked at

    def wait_until(self, condition, deadline_s, what):
        """As waiting.wait_until; what can be a function too."""
        def check():
            for daemon in self.daemons:
                daemon.check_sound()
            return condition()
        return wait_until(check, deadline_s, what)

    def wait_requests(self, receiver, n, deadline_s):
        self.wait_until(lambda: receiver.count() >= n, deadline_s,
                        lambda: "{} requests; {} came".format(n, receiver.counts()))

    def wait_settled(self, daemon, deadline_s=20):
        """Nothing in the stream, in flight, waiting or due for a retry."""
        def is_settled():
            metrics = daemon.metrics()
            return not (self.redis.length() or metrics.value("hookwheel_deliveries_in_flight")
                        or metrics.value("hookwheel_deliveries_waiting")
                        or metrics.value("hookwheel_retries_scheduled"))
        self.wait_until(is_settled, deadline_s,
                        lambda: "everything is settled:\n" + open_ends(daemon, self.redis))

    def wait_delivery(self, daemon, status, deadline_s=20, n=1, **query):
        """n deliveries in that state; the newest first."""
        return self.wait_until(lambda: self._found(daemon, status, n, query), deadline_s,
                               lambda: "{} deliveries {}; there are {}".format(
                                   n, status, daemon.deliveries(**query)))

    def _found(self, daemon, status, n, query):
        found = daemon.deliveries(status=status, **query)
        return found if len(found) >= n else None

    def assert_clean(self, requests):
        """No request broke the contract."""
        self.assertEqual([r for r in requests if r.complaint is not None][:3], [])


def open_ends(daemon, redis):
    lines = [line for line in daemon.metrics().text.splitlines()
             if line.startswith(("hookwheel_deliveries", "hookwheel_retries", "hookwheel_stream",
                                 "hookwheel_events"))]
    return "\n".join(lines + ["XLEN {}".format(redis.length())])


def event(number=0, **fields):
    """Fields of an XADD."""
    return dict({"type": "order.created", "payload": '{"n":%d}' % number}, **fields)
