"""The engine ends and begins again, politely and not; Redis too."""

import collections
import os
import threading
import time
import unittest

from kit.case import Case, event, scaled
from kit.redis import RedisError
from kit.scripted import held


class Producer(threading.Thread):
    """Enqueues events on its own connection; what was not acknowledged is sent again, under the
    producer's id, so that it is one event however often it arrived."""

    def __init__(self, redis, n_events):
        super().__init__(daemon=True)
        self.redis = redis
        self.n_events = n_events
        self.n_sent = 0
        self.may_send = threading.Semaphore(0)
        self.stopped = False

    def allow(self, n_events):
        for _ in range(n_events):
            self.may_send.release()

    def run(self):
        client = None
        while self.n_sent < self.n_events and not self.stopped:
            if not self.may_send.acquire(timeout=0.2):
                continue
            while not self.stopped:
                try:
                    client = client or self.redis.connect()
                    client.call("XADD", "hookwheel:events", "*", "type", "order.created",
                                "payload", '{"n":%d}' % self.n_sent, "id", "e%d" % self.n_sent)
                    break
                except (OSError, RedisError):
                    if client is not None:
                        client.close()
                    client = None
                    threading.Event().wait(0.01)  # Redis is down: the test starts it again
            self.n_sent += 1
        if client is not None:
            client.close()

    def stop(self):
        self.stopped = True
        self.join(10)


class Politely(Case):
    def test_sigterm_in_mid_load_loses_and_repeats_nothing(self):
        n_events = scaled(4000)
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon(max_in_flight_per_webhook=32)
        receiver.rule(secret=daemon.create_webhook(receiver.url())["secret"], delay_s=0.01)
        self.redis.add_many([event(n) for n in range(n_events)])
        for share in (0.1, 0.3, 0.5, 0.7):
            self.wait_requests(receiver, int(n_events * share), 60)
            daemon.terminate()
            self.assertEqual(receiver.counts()["open"], 0)
            daemon.start()
        self.wait_requests(receiver, n_events, 60)
        self.wait_settled(daemon)
        requests = receiver.requests()
        self.assert_clean(requests)
        self.assertEqual(len(requests), n_events)
        self.assertEqual(len({r.id for r in requests}), n_events)

    def test_what_hangs_is_given_up_after_the_drain_timeout(self):
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon(drain_timeout="1s")
        secret = daemon.create_webhook(receiver.url())["secret"]
        receiver.rule(secret=secret, hang=True)
        self.redis.add(event(1))
        self.wait_requests(receiver, 1, 10)
        daemon.terminate(deadline_s=5)
        receiver.rule(secret=secret)
        daemon.start()
        self.wait_requests(receiver, 2, 10)
        self.assertEqual([r.attempt for r in receiver.requests()], [1, 1])
        self.wait_delivery(daemon, "delivered")

    def test_what_waits_for_a_connection_does_not_begin_in_the_drain(self):
        n_events, release = 40, threading.Event()
        self.start_redis()
        receiver = self.start_scripted(held(release), certificate=None)
        daemon = self.start_daemon(timeout="2s", retry_schedule="100ms")
        daemon.create_webhook(receiver.url())
        self.redis.add_many([event(n) for n in range(n_events)])
        self.wait_until(lambda: receiver.n_connections
                        and daemon.metric("hookwheel_deliveries_in_flight") == n_events, 10,
                        "all have started, as far as they can")
        daemon.terminate(deadline_s=10)
        n_begun = receiver.n_connections
        self.assertLess(n_begun, n_events // 2)
        self.assertNotIn("given up", daemon.events("drained")[-1]["message"])
        release.set()
        daemon.start()
        found = self.wait_delivery(daemon, "delivered", n=n_events)
        self.assertEqual(sum(d["attempts"] for d in found), n_events + n_begun)

    def test_what_is_answered_is_not_given_up(self):
        """Although Redis does not have it, because it hangs."""
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon(drain_timeout="1s")
        secret = daemon.create_webhook(receiver.url())["secret"]
        receiver.rule(secret=secret, hang=True)
        self.redis.add_many([event(n) for n in range(5)])
        self.wait_requests(receiver, 5, 10)
        self.redis.hang()
        receiver.answer_all()
        self.wait_until(lambda: receiver.counts()["open"] == 0, 10, "all are answered")
        daemon.terminate(deadline_s=20)
        self.assertNotIn("given up", daemon.events("drained")[-1]["message"])

    def test_answers_during_the_drain_count(self):
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon()
        receiver.rule(secret=daemon.create_webhook(receiver.url())["secret"], hang=True)
        self.redis.add_many([event(n) for n in range(30)])
        self.wait_requests(receiver, 30, 10)
        daemon.process.terminate()
        self.wait_until(lambda: daemon.events("draining"), 10, "it drains")
        receiver.rule()
        receiver.answer_all()
        daemon.wait_exit(10)
        daemon.start()
        self.assertEqual(len(self.wait_delivery(daemon, "delivered", n=30)), 30)
        self.assertEqual(receiver.count(), 30)

    def test_second_signal_ends_it_at_once(self):
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon()
        receiver.rule(secret=daemon.create_webhook(receiver.url())["secret"], hang=True)
        self.redis.add(event(1))
        self.wait_requests(receiver, 1, 10)
        daemon.process.terminate()
        self.wait_until(lambda: daemon.events("draining"), 10, "it drains")
        daemon.process.terminate()
        daemon.wait_exit(3, code=1)
        receiver.rule()
        daemon.start()
        self.wait_requests(receiver, 2, 10)
        self.wait_delivery(daemon, "delivered")


class Impolitely(Case):
    IN_FLIGHT = 32
    N_KILLS = 12
    N_REDIS_KILLS = 3

    def setUp(self):
        super().setUp()
        self.start_redis(fsync="always")
        self.receiver = self.start_receiver()
        self.daemon = self.start_daemon(retry_schedule="200ms,400ms,600ms,800ms",
                                        max_in_flight_per_webhook=self.IN_FLIGHT)
        secret = self.daemon.create_webhook(self.receiver.url())["secret"]
        self.receiver.rule(secret=secret, fail_share=0.1, delay_s=0.002)

    def test_kills_lose_nothing(self):
        """Twelve of the engine, three of Redis, while 12,000 events go through."""
        n_events = scaled(12000)
        n_all = self.N_KILLS + self.N_REDIS_KILLS
        producer = Producer(self.redis, n_events)
        producer.start()
        self.addCleanup(producer.stop)
        share = n_events // (n_all + 1)
        for turn in range(n_all):
            producer.allow(share)
            self.wait_until(lambda: self.receiver.counts()["answered"] >= share * turn + share // 2,
                            60, lambda: "the load goes on: {}".format(self.receiver.counts()))
            if turn % 5 == 2:
                self.redis.kill_hard()
                self.redis.start()
            else:
                self.daemon.kill_hard()
                self.daemon.start("listening")
        producer.allow(n_events)
        self.wait_until(lambda: producer.n_sent >= n_events, 60, "everything is enqueued")
        self.wait_until(lambda: self.n_delivered() >= n_events, 120,
                        lambda: "{} delivered of {}".format(self.n_delivered(), n_events))
        self.wait_settled(self.daemon)
        self.check(n_events)

    def n_delivered(self):
        return len({r.id for r in self.receiver.requests() if r.status == 204})

    def check(self, n_events):
        requests = self.receiver.requests()
        self.assert_clean(requests)
        self.assertEqual({r.id for r in requests if r.status == 204},
                         {"e{}".format(n) for n in range(n_events)})
        sends = collections.Counter((r.delivery, r.attempt) for r in requests)
        extra = sum(n - 1 for n in sends.values())
        n_max = self.N_KILLS * self.IN_FLIGHT
        print("{} requests, {} sent more than once (at most {} were in flight)".format(
            len(requests), extra, n_max))
        self.assertLessEqual(extra, n_max)
        for (delivery, attempt), _ in sends.items():
            if attempt > 1:
                self.assertIn((delivery, attempt - 1), sends)
        self.assertEqual(len(self.daemon.deliveries(status="dead_letter")), 0)
        self.assertEqual(self.redis.pending(), 0)


class WithoutRedis(Case):
    def test_what_waits_for_a_connection_does_not_begin_while_redis_hangs(self):
        """From five seconds on somebody else may take it over."""
        n_events, release = 40, threading.Event()
        self.start_redis()
        receiver = self.start_scripted(held(release), certificate=None)
        daemon = self.start_daemon(timeout="1500ms", retry_schedule="1s,1s")
        daemon.create_webhook(receiver.url())
        self.redis.add_many([event(n) for n in range(n_events)])
        self.wait_until(lambda: receiver.n_connections
                        and daemon.metric("hookwheel_deliveries_in_flight") == n_events, 10,
                        "all have started, as far as they can")
        self.redis.hang()
        hangs_since = time.monotonic()
        self.wait_until(lambda: time.monotonic() > hangs_since + 6.5, 10, "it hangs for long")
        n_begun = receiver.n_connections
        self.assertLess(n_begun, n_events)
        self.wait_until(lambda: time.monotonic() > hangs_since + 11, 10, "and for longer")
        self.assertEqual(receiver.n_connections, n_begun)
        release.set()
        self.redis.go_on()
        daemon.wait_ready()
        found = self.wait_delivery(daemon, "delivered", n=n_events)
        self.assertEqual(sum(d["attempts"] for d in found), n_events + n_begun)
        self.assertEqual(len(receiver.requests), n_events)

    def test_redis_killed_while_a_delivery_is_in_flight(self):
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon()
        receiver.rule(secret=daemon.create_webhook(receiver.url())["secret"], hang=True)
        self.redis.add(event(1))
        self.wait_requests(receiver, 1, 10)
        self.redis.kill_hard()
        receiver.rule()
        receiver.answer_all()
        self.wait_until(lambda: daemon.readiness()[0] == 503, 20, "it is not ready")
        self.assertEqual(daemon.call("GET", "/healthz", token=None).status, 200)
        reply = daemon.call("GET", "/v1/webhooks")
        self.assertEqual((reply.status, reply.error()["code"]), (503, "unavailable"))
        self.redis.start()
        daemon.wait_ready()
        self.wait_delivery(daemon, "delivered")
        self.assertEqual(receiver.count(), 1)
        self.assertEqual(self.redis.pending(), 0)
        self.assertGreaterEqual(daemon.metric("hookwheel_redis_reconnects_total"), 1)

    def test_emptied_redis_heals(self):
        """FLUSHALL takes the group, the registry and this instance's own keys."""
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon()
        daemon.create_webhook(receiver.url())
        self.redis.call("FLUSHALL")
        daemon.wait_ready()
        self.wait_until(lambda: daemon.call("GET", "/v1/webhooks").status == 200
                        and daemon.expect(200, "GET", "/v1/webhooks")["data"] == [], 20,
                        "the webhooks are gone")
        receiver.rule(secret=daemon.create_webhook(receiver.url())["secret"])
        self.redis.add(event(1))
        self.wait_requests(receiver, 1, 20)

    def test_full_redis_drains(self):
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon()
        receiver.rule(secret=daemon.create_webhook(receiver.url())["secret"], hang=True)
        self.redis.add_many([event(n) for n in range(20)])
        self.wait_requests(receiver, 20, 10)
        daemon.pause()
        self.redis.add(event(20))
        self.redis.call("CONFIG", "SET", "maxmemory", "100kb")
        daemon.resume()
        self.wait_until(lambda: daemon.readiness()[0] == 503, 20, "it is not ready")
        self.assertIn("memory", daemon.readiness()[1]["reason"])
        receiver.rule()
        receiver.answer_all()
        self.wait_until(lambda: len(daemon.deliveries(status="delivered")) == 20, 20,
                        "what is in flight is recorded")
        self.assertEqual(self.redis.length(), 1)
        self.redis.call("CONFIG", "SET", "maxmemory", "0")
        self.redis.add(event(21))
        self.wait_requests(receiver, 22, 20)
        daemon.wait_ready()

    def check_heals(self, break_it, mend_it, words):
        """Broken: not ready, and says why; what is in flight ends well; mended: goes on."""
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon()
        receiver.rule(secret=daemon.create_webhook(receiver.url())["secret"], hang=True)
        self.redis.add_many([event(n) for n in range(20)])
        self.wait_requests(receiver, 20, 10)
        break_it()
        self.wait_until(lambda: daemon.readiness()[0] == 503, 20, "it is not ready")
        self.assertRegex(daemon.readiness()[1]["reason"], words)
        receiver.rule()
        receiver.answer_all()
        mend_it()
        daemon.wait_ready()
        self.redis.add(event(20))
        self.wait_delivery(daemon, "delivered", n=21)
        self.assertEqual(receiver.count(), 21)
        self.assertEqual(self.redis.pending(), 0)

    def test_read_only_redis_heals(self):
        """After a failover the old primary takes no writes."""
        self.check_heals(lambda: self.redis.call("REPLICAOF", "127.0.0.1", "1"),
                         lambda: self.redis.call("REPLICAOF", "NO", "ONE"),
                         "READONLY|read-only|replica")

    def test_full_disk_heals(self):
        """Snapshots fail, so that Redis refuses every write (MISCONF)."""
        obstacle = os.path.join(self.path("redis"), "dump.rdb")

        def break_it():
            os.mkdir(obstacle)
            self.redis.call("CONFIG", "SET", "save", "1 1")
            self.redis.call("SET", "something", "to save")
            self.wait_until(lambda: "rdb_last_bgsave_status:err" in
                            self.redis.call("INFO", "persistence").decode(), 20,
                            "a snapshot has failed")

        def mend_it():
            os.rmdir(obstacle)
            self.wait_until(lambda: "rdb_last_bgsave_status:ok" in
                            self.redis.call("INFO", "persistence").decode(), 30,
                            "a snapshot is made")

        self.check_heals(break_it, mend_it, "MISCONF|disk")

    def test_scripts_and_group_that_are_gone_are_made_anew(self):
        self.start_redis()
        receiver = self.start_receiver()
        daemon = self.start_daemon()
        receiver.rule(secret=daemon.create_webhook(receiver.url())["secret"])
        for n, words in enumerate((("SCRIPT", "FLUSH"),
                                   ("XGROUP", "DESTROY", "hookwheel:events", "hookwheel"),
                                   ("DEL", "hookwheel:events"),
                                   ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))):
            with self.subTest(" ".join(words)):
                self.redis.call(*words)
                self.redis.add(event(n))
                self.wait_requests(receiver, n + 1, 20)
        self.wait_settled(daemon)
        self.assertEqual(receiver.count(), 4)
        daemon.wait_ready()


if __name__ == "__main__":
    unittest.main()
