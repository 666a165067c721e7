"""One slow endpoint delays no other, and costs no memory."""

import threading
import time
import unittest

from kit.case import SANITIZED, Case, event, scaled
from kit.waiting import wait_until

RSS_MIB = 120
P99_S = 0.5
RATE = 500  # healthy events a second


class Isolation(Case):
    def setUp(self):
        super().setUp()
        self.start_redis()
        self.receiver = self.start_receiver()
        self.daemon = self.start_daemon()

    def subscribe(self, path, event_type, **rule):
        webhook = self.daemon.create_webhook(self.receiver.url(path), event_types=[event_type])
        self.receiver.rule(path, secret=webhook["secret"], **rule)

    def offer(self, n_events):
        """On a schedule; when each was due, by its id."""
        redis = self.redis.connect()
        due_of = {}
        begins = time.monotonic()
        for n in range(n_events):
            due = begins + n / RATE
            if due > time.monotonic():
                threading.Event().wait(due - time.monotonic())
            name = "healthy_{}".format(n)
            due_of[name] = due
            redis.call("XADD", "hookwheel:events", "*", "type", "order.paid", "payload",
                       '{"text":"' + "x" * 500 + '"}', "id", name)
        redis.close()
        return due_of

    def test_a_hanging_endpoint_delays_no_other(self):
        n_hanging, n_healthy = scaled(20000), scaled(2000)
        self.subscribe("/hangs", "order.created", hang=True)
        self.subscribe("/healthy", "order.paid")
        payload = '{"text":"' + "x" * 500 + '"}'
        self.redis.add_many([event(type="order.created", payload=payload)
                             for _ in range(n_hanging)])
        due_of = self.offer(n_healthy)
        wait_until(lambda: len(self.receiver.requests("/healthy")) >= n_healthy, 60,
                   lambda: "all healthy ones arrive; {}".format(self.receiver.counts()))
        requests = self.receiver.requests()
        self.assert_clean(requests)
        latencies = sorted(r.at - due_of[r.id] for r in requests if r.path == "/healthy")
        self.assertEqual(len(latencies), n_healthy)
        p99 = latencies[int(n_healthy * 0.99) - 1]
        rss = self.daemon.rss_mib()
        print("healthy: median {:.0f} ms, p99 {:.0f} ms, maximum {:.0f} ms; engine {:.0f} MiB".format(
            latencies[n_healthy // 2] * 1000, p99 * 1000, latencies[-1] * 1000, rss))
        self.assertLess(p99, P99_S)
        if not SANITIZED:
            self.assertLess(rss, RSS_MIB)
        waiting = self.daemon.metric("hookwheel_deliveries_waiting")
        in_flight = self.daemon.metric("hookwheel_deliveries_in_flight")
        self.assertGreater(waiting + in_flight, n_hanging * 0.9)
        self.assertLessEqual(in_flight, 64)

    def test_what_waits_arrives_once_the_endpoint_answers(self):
        n_events = scaled(5000)
        self.subscribe("/hangs", "order.created", hang=True)
        self.redis.add_many([event(n) for n in range(n_events)])
        self.wait_until(lambda: self.daemon.metric("hookwheel_events_accepted_total") == n_events,
                        30, "all are accepted")
        self.daemon.terminate()
        self.receiver.rule("/hangs")
        self.daemon.start()
        self.receiver.answer_all()
        self.wait_settled(self.daemon, 60)
        requests = [r for r in self.receiver.requests() if r.status is not None]
        self.assertEqual(len({r.id for r in requests}), n_events)

    def test_the_oldest_goes_when_a_backlog_is_full(self):
        self.daemon.terminate()
        self.daemon = self.start_daemon(backlog_max=1000)
        self.subscribe("/hangs", "order.created", hang=True)
        self.redis.add_many([event(n) for n in range(3000)])
        dropped = lambda: self.daemon.metric("hookwheel_deliveries_dropped_total",
                                             reason="backlog_full")
        self.wait_until(lambda: dropped() >= 3000 - 1000 - 64 - 128, 30,
                        lambda: "the oldest are dropped; {} were".format(dropped()))
        self.wait_until(lambda: self.daemon.metric("hookwheel_deliveries_waiting") <= 1000, 10,
                        "no more than 1,000 wait")
        dead = self.daemon.deliveries(status="dead_letter")
        self.assertEqual({d["error"]["kind"] for d in dead}, {"backlog_full"})


if __name__ == "__main__":
    unittest.main()
