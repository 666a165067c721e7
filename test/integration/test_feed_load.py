"""2,000 long polls and 500 streams on one engine: an event reaches all of them at once, each
costs little, and deliveries go on at their pace."""

import json
import os
import time
import unittest

from kit.api import ApiCase
from kit.case import SANITIZED, SCALE, event, scaled
from kit.crowd import Crowd, Poll, Stream
from kit.feed import read

N_POLLS, N_STREAMS = scaled(2000), scaled(500)
REACHED_S = 5 if SANITIZED else 0.5
CLIENT_KIB = 20
COST = 1.3  # times the engine's CPU time that a delivery took before they came; unlike deliveries
# a second, which are printed, it does not depend on what else this machine does
P99_S = 2 if SANITIZED else 0.5

BURST = scaled(15000)  # deliveries as fast as they go
RATE, SECONDS = 200, 5  # and on a schedule, while an event a second goes to everybody


class FeedLoad(ApiCase):
    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()
        self.subscribe(account="busy", max_in_flight=256)
        self.crowd = Crowd(self.daemon)
        self.addCleanup(self.crowd.close)
        self.n_marks = 0

    def rss_kib(self):
        return self.daemon.rss_mib() * 1024

    def tell_all(self):
        """An event for everybody; its mark, and when that was."""
        mark = "m{}".format(self.n_marks)
        self.n_marks += 1
        began = time.monotonic()
        self.redis.add(event(payload=json.dumps({"mark": mark}, separators=(",", ":"))))
        return mark, began

    def broadcast(self):
        """How long until the last one had it."""
        mark, began = self.tell_all()
        return self.crowd.wait_mark(mark, 30) - began

    def pump(self, n_requests, deadline_s=60):
        """Until so many deliveries came; the crowd is served meanwhile."""
        end = time.monotonic() + deadline_s
        while self.receiver.count() < n_requests:
            self.assertLess(time.monotonic(), end, "{} of {}".format(self.receiver.counts(),
                                                                     n_requests))
            self.crowd.pump(0.02)

    def cpu_s(self):
        with open("/proc/{}/stat".format(self.daemon.process.pid), encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime

    def pace(self):
        """Deliveries a second, and seconds of CPU time for each: the best of four bursts."""
        bursts = [self.burst() for _ in range(4)]
        return max(rate for rate, _ in bursts), min(cost for _, cost in bursts)

    def burst(self):
        n_before = self.receiver.count()
        began, cpu_began = time.monotonic(), self.cpu_s()
        self.redis.add_many([event(n, account="busy") for n in range(BURST)])
        self.pump(n_before + BURST)
        return (BURST / (time.monotonic() - began), (self.cpu_s() - cpu_began) / BURST)

    def scheduled(self):
        """Latencies of deliveries, and of an event a second to all, both at once."""
        due_of, reached, began = {}, [], time.monotonic()
        n_before = self.receiver.count()
        for n in range(RATE * SECONDS):
            while time.monotonic() < began + n / RATE:
                self.crowd.pump(max(began + n / RATE - time.monotonic(), 0))
            name = "s{}".format(n)
            due_of[name] = began + n / RATE
            self.redis.add(event(n, id=name, account="busy"))
            if n % RATE == RATE // 2:
                reached.append(self.tell_all())
        self.pump(n_before + RATE * SECONDS)
        latencies = sorted(r.at - due_of[r.id] for r in self.receiver.requests()
                           if r.id in due_of)
        return latencies, [self.crowd.wait_mark(mark, 30) - at for mark, at in reached]

    def fill(self, n_fewer=0):
        cursor = read(self.daemon).next_cursor
        self.crowd.add(Poll, N_POLLS - n_fewer, cursor)
        self.crowd.add(Stream, N_STREAMS - n_fewer, cursor)
        self.crowd.wait_open(60)

    def test_an_event_reaches_all_at_little_memory(self):
        """Of an engine that has not done anything before: nothing it has freed is used again."""
        cursor = read(self.daemon).next_cursor
        self.crowd.add(Poll, 1, cursor)
        self.crowd.add(Stream, 1, cursor)
        self.broadcast()
        rss_before = self.rss_kib()
        self.fill(n_fewer=1)
        reached = [self.broadcast() for _ in range(5)]
        a_client = (self.rss_kib() - rss_before) / (N_POLLS + N_STREAMS - 2)
        print("{} clients: all within {} ms; {:.1f} KiB each".format(
            len(self.crowd.clients), milliseconds(reached), a_client))
        self.assertEqual(self.crowd.n_twice, 0)
        self.assertLess(max(reached), REACHED_S)
        if not SANITIZED and SCALE == 1:
            self.assertLess(a_client, CLIENT_KIB)

    def test_deliveries_go_on_at_their_pace(self):
        rate_before, cost_before = self.pace()
        self.fill()
        self.broadcast()
        rate, cost = self.pace()
        latencies, meanwhile = self.scheduled()
        p99 = latencies[int(len(latencies) * 0.99) - 1]
        print("{} clients: deliveries {:.0f}/s at {:.1f} us of CPU, {:.0f}/s at {:.1f} us before; "
              "at {}/s and an event a second to all: median {:.0f} ms, p99 {:.0f} ms; it reaches "
              "all within {} ms".format(len(self.crowd.clients), rate, cost * 1e6, rate_before,
                                        cost_before * 1e6, RATE,
                                        latencies[len(latencies) // 2] * 1000, p99 * 1000,
                                        milliseconds(meanwhile)))
        self.assert_clean(self.receiver.requests())
        self.assertLess(p99, P99_S)
        self.assertLess(max(meanwhile), REACHED_S)
        if not SANITIZED and SCALE == 1:
            self.assertLess(cost, COST * cost_before)

    def test_they_go_all_at_once(self):
        """Nothing of them is left, and the next event costs nobody anything."""
        before = self.daemon.metric("process_open_fds")
        self.fill()
        self.broadcast()
        self.crowd.close()
        self.redis.add(event(id="after"))
        self.wait_until(lambda: self.daemon.metric("process_open_fds") <= before, 20,
                        lambda: "{} open, {} before".format(
                            self.daemon.metric("process_open_fds"), before))
        self.assertEqual(read(self.daemon, limit=200).ids[-1], "after")

    def test_drain(self):
        """All of them are answered or ended, and the engine is out quickly."""
        self.fill()
        self.broadcast()
        began = time.monotonic()
        self.daemon.terminate()
        took = time.monotonic() - began
        print("drained within {:.0f} ms".format(took * 1000))
        self.assertLess(took, 10 if SANITIZED else 3)


def milliseconds(times):
    return ", ".join("{:.0f}".format(took * 1000) for took in times)


if __name__ == "__main__":
    unittest.main()
