"""An HTTPS receiver that takes orders, for volume: thousands of requests a second.

Each path has a rule.  Its keys, all optional:
    secret      signatures are checked with it
    status      the answer (204); or
    statuses    the answer by attempt, the last one for all that follow; or
    fail_share  this share of requests gets fail_status (500), decided by delivery and attempt
    delay_s     the answer comes that late
    hang        no answer (answer_all() gives them)
    headers, body, close    of the answer
    keep        the request's headers and body are kept

requests() is everything that came, in order.  A request that breaks the contract carries a
complaint; assert_clean() of the test case looks at all of them.
"""

import base64
import collections
import json
import os
import subprocess
import sys
import threading

from kit import certificates

Request = collections.namedtuple(
    "Request", "path id delivery attempt at wall complaint digest status answered_at connection "
               "headers body")


class Receiver:
    def __init__(self, host="localhost"):
        folder = certificates.authority().folder
        program = os.path.join(os.path.dirname(__file__), "receiving.py")
        self.process = subprocess.Popen([sys.executable, "-B", program, folder],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.host = host
        self.lock = threading.Lock()  # an order and its answer
        self.port = self._read()

    def close(self):
        self.process.stdin.close()  # the end of its orders ends it
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the receiver's process has ended")
        return json.loads(line)

    def _order(self, do, **order):
        with self.lock:
            self.process.stdin.write(json.dumps(dict(order, do=do)).encode() + b"\n")
            self.process.stdin.flush()
            return self._read()

    def url(self, path="/hook"):
        return "https://{}:{}{}".format(self.host, self.port, path)

    def rule(self, path="/hook", **rule):
        self._order("rule", path=path, rule=rule)

    def counts(self):
        """requests, answered, open, connections, connections_ever"""
        return self._order("counts")

    def count(self):
        return self.counts()["requests"]

    def requests(self, path=None):
        """What came so far; status and answered_at are None where there is no answer yet."""
        rows = self._order("requests")
        for row in rows:
            row[-1] = row[-1] and base64.b64decode(row[-1])
        return [Request(*row) for row in rows if path is None or row[0] == path]

    def answer_all(self):
        self._order("answer_all")

    def close_idle(self):
        """Closes every connection that waits for a request."""
        self._order("close_idle")
