"""Several instances on one Redis: they share, take over, and never do the same thing twice."""

import collections
import threading
import time
import unittest

from kit.case import Case, event, scaled
from kit.scripted import held

IN_FLIGHT = 48


class Instances(Case):
    def setUp(self):
        super().setUp()
        self.start_redis()
        self.receiver = self.start_receiver()

    def start_three(self, **settings):
        return [self.start_daemon(**settings) for _ in range(3)]

    def succeeded(self):
        return {r.id for r in self.receiver.requests() if r.status == 204}

    def extra_sends(self, requests):
        sends = collections.Counter((r.delivery, r.attempt) for r in requests)
        return sum(n - 1 for n in sends.values())

    def test_one_of_three_is_killed(self):
        n_events = scaled(9000)
        daemons = self.start_three(max_in_flight_per_webhook=IN_FLIGHT)
        secret = daemons[0].create_webhook(self.receiver.url())["secret"]
        self.receiver.rule(secret=secret, delay_s=0.02)
        self.redis.add_many([event(n, id="e{}".format(n)) for n in range(n_events)])
        self.wait_requests(self.receiver, n_events // 2, 60)
        in_flight = daemons[0].metric("hookwheel_deliveries_in_flight")
        shares = [daemon.metric("hookwheel_attempts_total", result="success")
                  for daemon in daemons]
        daemons[0].kill_hard()
        killed = time.monotonic()
        self.wait_until(lambda: len(self.succeeded()) >= n_events, 60,
                        lambda: "{} of {}".format(len(self.succeeded()), n_events))
        self.wait_settled(daemons[1])
        requests = self.receiver.requests()
        self.assert_clean(requests)
        extra = self.extra_sends(requests)
        print("shares {}; in flight at the kill {}; sent twice {}".format(
            shares, in_flight, extra))
        self.assertGreater(min(shares), 0)
        self.assertLessEqual(extra, IN_FLIGHT // 3)
        doubles = {r.delivery for r in requests} & self.sent_twice(requests)
        latest = max((r.at for r in requests if r.delivery in doubles), default=killed)
        self.assertLess(latest - killed, 20)
        takeovers = sum(d.metric("hookwheel_takeovers_total") for d in daemons[1:])
        self.assertEqual(takeovers, 1)
        self.assertEqual(self.redis.pending(), 0)

    def sent_twice(self, requests):
        sends = collections.Counter(r.delivery for r in requests)
        return {delivery for delivery, n in sends.items() if n > 1}

    def test_webhook_is_known_everywhere_once_it_is_answered(self):
        daemons = self.start_three(max_webhooks=1000)
        expected = set()
        for turn in range(40):
            path = "/hook/{}".format(turn)
            name = "order.t{}".format(turn)
            self.receiver.rule(path)
            daemons[turn % 3].create_webhook(self.receiver.url(path), event_types=[name])
            ids = ["e{}_{}".format(turn, n) for n in range(20)]
            self.redis.add_many([event(id=one, type=name) for one in ids])
            expected |= {(path, one) for one in ids}
        self.wait_requests(self.receiver, len(expected), 30)
        self.wait_settled(daemons[0])
        requests = self.receiver.requests()
        self.assert_clean(requests)
        self.assertEqual({(r.path, r.id) for r in requests}, expected)
        self.assertEqual(len(requests), len(expected))

    def test_answers_of_one_hold_at_the_others(self):
        """Read from Redis, not from what an instance happens to know by now."""
        daemons = self.start_three(max_webhooks=1000)
        for turn in range(30):
            webhook = daemons[turn % 3].create_webhook(self.receiver.url())
            other = daemons[(turn + 1) % 3]
            self.assertEqual(other.call("GET", "/v1/webhooks/" + webhook["id"]).status, 200)
            listed = other.expect(200, "GET", "/v1/webhooks?limit=200")["data"]
            self.assertEqual(len(listed), turn + 1)

    def test_deleted_webhook_is_gone_everywhere(self):
        daemons = self.start_three()
        for turn in range(9):
            webhook = daemons[turn % 3].create_webhook(self.receiver.url())
            daemons[(turn + 1) % 3].expect(204, "DELETE", "/v1/webhooks/" + webhook["id"])
            self.redis.add_many([event(n) for n in range(20)])
            # Before the next one is made: it gets what is accepted from then on.
            self.wait_until(lambda: self.redis.length() == 0, 20, "the stream is empty")
        self.assertEqual(self.receiver.count(), 0)

    def test_retries_are_taken_over(self):
        """Parked by one instance, which is killed; due at another."""
        daemons = self.start_three(retry_schedule="3s", disable_after=0)
        secret = daemons[0].create_webhook(self.receiver.url())["secret"]
        self.receiver.rule(secret=secret, statuses=[500, 204])
        self.redis.add_many([event(n) for n in range(300)])
        self.wait_delivery(daemons[0], "failed", n=300)
        daemons[0].kill_hard()
        self.wait_delivery(daemons[1], "delivered", n=300, deadline_s=30)
        requests = self.receiver.requests()
        self.assert_clean(requests)
        self.assertEqual(len(requests), 600)
        firsts = {r.delivery: r for r in requests if r.attempt == 1}
        late = [r.at - firsts[r.delivery].answered_at for r in requests if r.attempt == 2]
        self.assertGreaterEqual(min(late), 2.998)
        self.assertLess(max(late), 3 + 15)

    def test_stopped_instance_is_fenced_when_it_wakes(self):
        """SIGSTOP: its work is attempted again within 20 s; what it thinks it knows then counts
        for nothing, and it joins again."""
        first = self.start_daemon()
        secret = first.create_webhook(self.receiver.url())["secret"]
        self.receiver.rule(secret=secret, hang=True)
        self.redis.add_many([event(n) for n in range(10)])
        self.wait_requests(self.receiver, 10, 10)
        second = self.start_daemon()
        first.pause()
        stopped = time.monotonic()
        self.receiver.rule(secret=secret, status=204)
        self.wait_until(lambda: len(self.succeeded()) == 10, 25, "the other takes over")
        self.assertLess(max(r.at for r in self.receiver.requests()) - stopped, 20)
        self.wait_delivery(second, "delivered", n=10)
        before = second.deliveries()
        self.receiver.rule(secret=secret, status=500)
        self.receiver.answer_all()
        first.resume()
        first.wait_ready(30)
        self.receiver.rule(secret=secret, status=204)
        self.redis.add_many([event(n) for n in range(10, 40)])
        self.wait_delivery(second, "delivered", n=40)
        after = {d["id"]: d for d in second.deliveries()}
        for delivery in before:
            self.assertEqual(after[delivery["id"]], delivery)
        self.assertEqual(second.deliveries(status="failed"), [])
        self.assertEqual(second.metric("hookwheel_takeovers_total"), 1)

    def test_what_waits_for_a_connection_is_not_attempted_by_who_was_fenced(self):
        """Whoever took it over has done so."""
        n_events, release, is_over = 40, threading.Event(), threading.Event()
        receiver = self.start_scripted(held(release, is_over), certificate=None)
        first = self.start_daemon(timeout="60s")
        first.create_webhook(receiver.url())
        self.redis.add_many([event(n) for n in range(n_events)])
        self.wait_until(lambda: receiver.n_connections
                        and first.metric("hookwheel_deliveries_in_flight") == n_events, 10,
                        "all have started, as far as they can")
        first.pause()
        is_over.set()
        second = self.start_daemon()
        found = self.wait_delivery(second, "delivered", 25, n=n_events)
        self.assertEqual(len({delivery["id"] for delivery in found}), n_events)
        self.assertEqual(len(receiver.requests), n_events)
        first.resume()
        self.wait_until(lambda: first.events("ready")[1:], 30, "it has joined again")
        release.set()
        self.wait_until(lambda: first.metric("hookwheel_deliveries_in_flight") == 0, 30,
                        "it has forgotten what it had")
        self.assertLess(len(receiver.requests), n_events + n_events // 2)  # what had begun

    def test_same_consumer_name_does_not_matter(self):
        daemons = [self.start_daemon(consumer="same") for _ in range(2)]
        secret = daemons[0].create_webhook(self.receiver.url())["secret"]
        self.receiver.rule(secret=secret)
        self.redis.add_many([event(n) for n in range(2000)])
        self.wait_requests(self.receiver, 2000, 30)
        self.wait_settled(daemons[1])
        requests = self.receiver.requests()
        self.assert_clean(requests)
        self.assertEqual(len(requests), 2000)

    def test_limit_of_a_webhook_is_for_all(self):
        daemons = self.start_three()
        secret = daemons[0].create_webhook(self.receiver.url(), max_in_flight=9)["secret"]
        self.wait_until(lambda: all(d.metric("hookwheel_webhooks", status="active") == 1
                                    for d in daemons), 10, "all know the webhook")
        self.receiver.rule(secret=secret, hang=True)
        self.redis.add_many([event(n) for n in range(5000)])
        self.wait_until(lambda: self.receiver.counts()["open"] >= 9, 9,
                        lambda: "nine are in flight: {}".format(self.receiver.counts()))
        self.wait_until(lambda: self.redis.length() == 0, 20, "all are accepted")
        self.assertEqual(self.receiver.counts()["open"], 9)
        for daemon in daemons:
            self.assertEqual(daemon.metric("hookwheel_deliveries_in_flight"), 3)

    def test_one_leaves_and_one_joins_under_load(self):
        n_events = scaled(4000)
        daemons = self.start_three()
        secret = daemons[0].create_webhook(self.receiver.url())["secret"]
        self.receiver.rule(secret=secret, delay_s=0.005)
        self.redis.add_many([event(n) for n in range(n_events)])
        for turn in range(3):
            self.wait_requests(self.receiver, n_events * (turn + 1) // 4, 60)
            daemons[turn].terminate()
            daemons[turn].start()
        self.wait_requests(self.receiver, n_events, 60)
        self.wait_settled(daemons[0])
        requests = self.receiver.requests()
        self.assert_clean(requests)
        self.assertEqual(len(requests), n_events)


if __name__ == "__main__":
    unittest.main()
