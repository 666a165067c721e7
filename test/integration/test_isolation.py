"""One slow endpoint delays no other, and costs no memory."""

import threading
import time
import unittest

from kit.case import SANITIZED, Case, event, scaled
from kit.waiting import wait_until

RSS_MIB = 120
P99_S = 5.0 if SANITIZED else 0.5  # sanitizers slow the intake of the 20,000 down
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
        print("median {:.0f} ms, p99 {:.0f} ms, maximum {:.0f} ms; engine {:.0f} MiB".format(
            latencies[n_healthy // 2] * 1000, p99 * 1000, latencies[-1] * 1000, rss))
        self.assertLess(p99, P99_S)
        if not SANITIZED:
            self.assertLess(rss, RSS_MIB)
        waiting = self.daemon.metric("hookwheel_deliveries_waiting")
        in_flight = self.daemon.metric("hookwheel_deliveries_in_flight")
        self.assertGreater(waiting + in_flight, n_hanging * 0.9)
        self.assertLessEqual(in_flight, 64)

    def test_what_waits_arrives_once_the_endpoint_answers(self):
        self.daemon.terminate()
        self.daemon = self.start_daemon(drain_timeout="500ms")
        n_events = scaled(5000)
        self.subscribe("/hangs", "order.created", hang=True)
        self.redis.add_many([event(n) for n in range(n_events)])
        self.wait_until(lambda: self.daemon.metric("hookwheel_events_accepted_total") == n_events,
                        30, "all are accepted")
        self.daemon.terminate()
        self.receiver.rule("/hangs")
        self.daemon.start()
        self.wait_settled(self.daemon, 60)
        requests = [r for r in self.receiver.requests() if r.status is not None]
        self.assertEqual(len({r.id for r in requests}), n_events)

    def test_what_is_owed_outlives_the_feed(self):
        """The feed keeps 100 events; 2,000 wait for a webhook, and 50 have failed once."""
        self.daemon.terminate()
        self.daemon = self.start_daemon(feed_max=100, drain_timeout="500ms", retry_schedule="3s")
        self.subscribe("/fails", "order.paid", statuses=[500, 204])
        self.subscribe("/hangs", "order.created", hang=True)
        self.redis.add_many([event(n, type="order.paid") for n in range(50)])
        self.redis.add_many([event(n) for n in range(2000)])
        self.wait_until(lambda: self.redis.length("hookwheel:{s0}:led:default") <= 400, 30,
                        "the feed is trimmed")
        self.daemon.terminate()
        self.receiver.rule("/hangs")
        self.daemon.start()
        self.wait_settled(self.daemon, 60)
        requests = self.receiver.requests()
        self.assert_clean(requests)
        for path, n_events in (("/hangs", 2000), ("/fails", 50)):
            arrived = [r for r in requests if r.path == path and r.status == 204]
            self.assertEqual(len({r.digest for r in arrived}), n_events)

    def test_the_oldest_goes_when_a_backlog_is_full(self):
        self.daemon.terminate()
        self.daemon = self.start_daemon(backlog_max=1000)
        self.subscribe("/hangs", "order.created", hang=True)
        self.redis.add_many([event(n) for n in range(3000)])
        self.wait_until(lambda: self.daemon.metric("hookwheel_deliveries_waiting") <= 1000
                        and self.dropped() >= 1500, 30,
                        lambda: "the oldest are dropped; {} were".format(self.dropped()))
        dead = self.daemon.deliveries(status="dead_letter")
        self.assertEqual({d["error"]["kind"] for d in dead}, {"backlog_full"})

    def dropped(self):
        return self.daemon.metric("hookwheel_deliveries_dropped_total", reason="backlog_full")


if __name__ == "__main__":
    unittest.main()
