"""Backfills: kept events queued to one webhook, behind what comes live, each once a request."""

import collections
import threading
import time
import unittest

from kit import feed
from kit.api import ApiCase
from kit.case import event, scaled

FEED = "hookwheel:{s0}:led:default"
JOBS = "hookwheel:{s0}:jobs"


def ids_of(requests):
    return [r.id for r in requests]


class Producer:
    """Enqueues all the time, until the end of its `with`."""

    def __init__(self, redis):
        self.n = 0
        self._redis = redis.connect()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        self._redis.close()

    def _run(self):
        while not self._is_over.wait(0.002):
            self._redis.pipeline([
                ["XADD", "hookwheel:events", "*", "type", "order.created", "payload", "1",
                 "id", "e%d" % n] for n in range(self.n, self.n + 3)])
            self.n += 3


class Backfill(ApiCase):
    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()

    def enqueue(self, n, begin=0, **fields):
        """Events e<begin> ..., in the feed; their ids."""
        ids = ["e%d" % i for i in range(begin, begin + n)]
        self.redis.add_many([event(i, id=one, **fields) for i, one in enumerate(ids, begin)])
        self.wait_accepted()
        return ids

    def ask(self, webhook, daemon=None, **body):
        return (daemon or self.daemon).call("POST", "/v1/webhooks/%s/backfill" % webhook["id"],
                                            body)

    def backfill(self, webhook, **body):
        """How many were queued."""
        reply = self.ask(webhook, **body)
        self.assertEqual(reply.status, 202, reply.body)
        self.assertEqual(list(reply.json()), ["count"])
        return reply.json()["count"]

    def paused(self, path="/hook", **members):
        webhook = self.subscribe(path, **members)
        return self.daemon.patch(webhook, status="paused")

    def keys(self, pattern):
        return self.redis.call("KEYS", "hookwheel:{s0}:" + pattern)

    def queued(self, key):
        """Entries of the feed that wait there, in order."""
        return [entry[1][1].decode() for entry in self.redis.call("XRANGE", key, "-", "+")]

    def kept(self):
        return [entry[0].decode() for entry in self.redis.call("XRANGE", FEED, "-", "+")]

    def check_nothing_left(self):
        """Of what a backfill keeps in Redis."""
        for pattern in ("fill:*", "body:*", "waiting", "jobs"):
            self.assertEqual(self.keys(pattern), [], pattern)


class Queued(Backfill):
    def test_each_kept_event_once_and_in_the_order_of_the_feed(self):
        ids = self.enqueue(300, traceparent="00-0af7651916cd43dd8448eb211c80319c-"
                                            "b7ad6b7169203331-01")
        webhook = self.subscribe(max_in_flight=1)
        self.assertEqual(self.backfill(webhook, **{"from": "start"}), 300)
        requests = self.arrived(300)
        self.assertEqual(ids_of(requests), ids)
        self.assertEqual({r.attempt for r in requests}, {1})
        self.check_nothing_left()
        cursors = {d["cursor"] for d in self.daemon.deliveries(webhook_id=webhook["id"])}
        self.assertEqual(cursors, {item.cursor for item in feed.read_all(self.daemon)})
        one = self.daemon.deliveries(event_id="e7")[0]
        self.assertEqual(self.daemon.delivery(one["id"])["request"]["headers"]["traceparent"][:35],
                         "00-0af7651916cd43dd8448eb211c80319c")

    def test_nothing_to_queue(self):
        webhook = self.subscribe()
        self.assertEqual(self.backfill(webhook, **{"from": "start"}), 0)
        self.enqueue(1)
        self.arrived(1)
        last = feed.read_all(self.daemon)[-1].cursor
        self.assertEqual(self.backfill(webhook, **{"from": last}), 0)
        self.assertEqual(self.backfill(webhook, **{"from": "start", "until": last}), 1)
        self.arrived(2)

    def test_from_a_cursor_until_another(self):
        ids = self.enqueue(30)
        cursors = [item.cursor for item in feed.read_all(self.daemon)]
        webhook = self.subscribe(max_in_flight=1)
        self.assertEqual(self.backfill(webhook, **{"from": cursors[9], "until": cursors[19]}), 10)
        self.assertEqual(ids_of(self.arrived(10)), ids[10:20])
        self.assertEqual(self.backfill(webhook, **{"from": "start", "until": cursors[0]}), 1)
        self.assertEqual(self.backfill(webhook, **{"from": cursors[28], "until": None}), 1)
        self.assertEqual(ids_of(self.arrived(12))[10:], [ids[0], ids[29]])

    def test_only_what_the_webhook_wants(self):
        self.redis.add_many([
            event(id="a", type="order.paid", subject="s\"1"),
            event(id="b", type="order.paid", subject="s2"),
            event(id="c", type="order.made", subject="s\"1"),
            event(id="d", type="order.paid", subject="s\"1", level="progress"),
            event(id="e", type="order.paid")])
        self.wait_accepted()
        wants = {
            "/all": ({}, ["a", "b", "c", "e"]),
            "/type": ({"event_types": ["order.paid"]}, ["a", "b", "e"]),
            "/subject": ({"subject": "s\"1"}, ["a", "c"]),
            "/progress": ({"level": "progress", "event_types": ["order.paid"]},
                          ["a", "b", "d", "e"]),
            "/none": ({"event_types": ["no.such"]}, [])}
        for path, (members, ids) in wants.items():
            webhook = self.subscribe(path, max_in_flight=1, **members)
            self.assertEqual(self.backfill(webhook, **{"from": "start"}), len(ids), path)
            self.assertEqual(ids_of(self.arrived(len(ids), path)), ids)

    def test_only_what_its_creator_may_read(self):
        self.daemon.put_type("order.paid", "orders:read")
        self.daemon.put_type("order.made", "others:read")
        self.redis.add_many([event(id="a", type="order.paid"), event(id="b", type="order.made"),
                             event(id="c", type="order.unknown")])
        self.wait_accepted()
        token = self.daemon.issue("default", "webhooks:manage", "orders:read")
        webhook = self.subscribe(token=token, backfill_from="start")
        self.assertEqual(ids_of(self.arrived(1)), ["a"])
        path = "/v1/webhooks/%s/backfill" % webhook["id"]
        self.assertEqual(self.daemon.expect(202, "POST", path, {"from": "start"}, token=token),
                         {"count": 1})
        self.arrived(2)
        narrow = self.daemon.issue("default", "webhooks:manage", "others:read")
        self.check_forbidden(self.daemon.call("POST", path, {"from": "start"}, token=narrow),
                             "orders:read")
        reader = self.daemon.issue("default", "events:read")
        self.check_forbidden(self.daemon.call("POST", path, {"from": "start"}, token=reader),
                             "webhooks:manage")
        other = self.daemon.issue("other", "webhooks:manage", "events:read")
        self.check_error(self.daemon.call("POST", path, {"from": "start"}, token=other), 404,
                         "not_found")

    def test_a_body_that_breaks_a_rule(self):
        webhook = self.subscribe()
        self.enqueue(2)
        first, last = [item.cursor for item in feed.read_all(self.daemon)]
        for body, field in (({}, "from"), ({"from": None}, "from"), ({"from": 1}, "from"),
                            ({"from": "begin"}, "from"), ({"from": "disabled"}, "from"),
                            ({"from": "start", "until": "start"}, "until"),
                            ({"from": last, "until": first}, "until"),
                            ({"from": "start", "to": last}, "to")):
            self.check_error(self.ask(webhook, **body), 400, "invalid_request", field)
        for value in (None, 7, "", "disabled", "begin"):
            reply = self.daemon.call("POST", "/v1/webhooks",
                                     {"url": self.receiver.url(), "backfill_from": value})
            self.check_error(reply, 400, "invalid_request", "backfill_from")
        self.check_error(self.ask({"id": "wh_nobody"}, **{"from": "start"}), 404, "not_found")
        self.arrived(2)
        self.check_nothing_left()

    def test_a_dead_letter_keeps_its_body(self):
        self.daemon.terminate()
        self.daemon = self.start_daemon(retry_schedule="none", disable_after=0)
        self.enqueue(3)
        webhook = self.subscribe(rule={"status": 500})
        self.assertEqual(self.backfill(webhook, **{"from": "start"}), 3)
        dead = self.wait_delivery(self.daemon, "dead_letter", n=3)
        self.assertEqual(len(self.keys("body:*")), 3)
        self.assertEqual(self.daemon.delivery(dead[0]["id"])["request"]["body"][:10], '{"id":"e2"')
        self.receiver.rule(secret=webhook["secret"])
        path = "/v1/webhooks/%s/recover" % webhook["id"]
        self.daemon.expect(202, "POST", path, {"since": "2026-01-01T00:00:00Z"})
        self.wait_delivery(self.daemon, "delivered", n=3)
        self.wait_until(lambda: not self.keys("body:*"), 10, "no body is left")


class Created(Backfill):
    def test_what_is_kept_and_what_comes(self):
        """Events keep coming while it is made: each once, whichever side of it they are on."""
        with Producer(self.redis) as producer:
            self.wait_until(lambda: self.redis.call("XLEN", FEED) > 500, 20, "some events")
            webhook = self.subscribe(backfill_from="start")
            self.assertNotIn("backfill_from", webhook)
            n = producer.n
            self.wait_until(lambda: producer.n > n + 300, 20, "events behind it")
        self.wait_accepted()
        self.wait_settled(self.daemon, 60)
        arrived = collections.Counter(ids_of(self.receiver.requests()))
        self.assertEqual(arrived, collections.Counter(feed.ids_of(feed.read_all(self.daemon))))
        self.check_nothing_left()

    def test_the_same_key_queues_once(self):
        self.enqueue(20)
        body = {"url": self.receiver.url(), "backfill_from": "start"}
        first, second = [self.daemon.call("POST", "/v1/webhooks", body,
                                          headers={"Idempotency-Key": "k"}) for _ in range(2)]
        self.assertEqual((first.status, second.status), (201, 201))
        self.assertEqual(second.headers["idempotency-replayed"], "true")
        self.assertEqual(first.body, second.body)
        self.receiver.rule(secret=first.json()["secret"])
        self.arrived(20)
        self.assertEqual(len(self.daemon.deliveries()), 20)

    def test_from_a_cursor(self):
        ids = self.enqueue(10)
        cursor = feed.read_all(self.daemon)[6].cursor
        self.subscribe(backfill_from=cursor, max_in_flight=1)
        self.assertEqual(ids_of(self.arrived(3)), ids[7:])


class Expired(Backfill):
    def settings(self):
        return {"feed_max": 10}

    def check_expired(self, reply):
        error = self.check_error(reply, 410, "cursor_expired")
        return error["details"]["oldest_cursor"]

    def test_what_is_trimmed_is_said_and_what_is_queued_is_delivered(self):
        waiting = self.paused("/waiting", max_in_flight=1)
        other = self.paused("/other", event_types=["nothing.such"])
        ids = self.enqueue(40)
        old = feed.read_all(self.daemon)[3].cursor
        self.assertEqual(self.backfill(waiting, **{"from": "start"}), 40)
        feed.trim(self, FEED, 10)
        n = len(self.daemon.deliveries(webhook_id=waiting["id"], status="pending"))
        self.assertEqual(n, 80) # 40 live ones, and these

        oldest = self.check_expired(self.ask(other, **{"from": old}))
        body = {"url": self.receiver.url("/new"), "backfill_from": old}
        self.assertEqual(self.check_expired(self.daemon.call("POST", "/v1/webhooks", body)), oldest)
        webhooks = self.daemon.expect(200, "GET", "/v1/webhooks")["data"]
        self.assertEqual(len(webhooks), 2)
        self.assertEqual(self.keys("jobs"), [])
        self.subscribe("/new", backfill_from=oldest, max_in_flight=1)
        self.wait_until(lambda: len(self.receiver.requests("/new")) == 10, 20, "ten arrive")
        self.assertEqual(ids_of(self.receiver.requests("/new")), ids[30:])

        self.daemon.patch(waiting, status="active")
        self.wait_settled(self.daemon)
        self.assertEqual(ids_of(self.receiver.requests("/waiting")), 2 * ids)
        self.check_nothing_left()

    def test_of_a_redis_that_was_emptied(self):
        self.enqueue(3)
        cursor = feed.read_all(self.daemon)[0].cursor
        self.redis.call("FLUSHALL")
        self.wait_until(lambda: self.daemon.readiness()[0] == 200 and self.keys("inst"), 20,
                        "it has joined again")
        self.enqueue(3)
        body = {"url": self.receiver.url(), "backfill_from": cursor}
        self.check_expired(self.daemon.call("POST", "/v1/webhooks", body))
        webhook = self.subscribe()
        oldest = self.check_expired(self.ask(webhook, **{"from": cursor}))
        self.check_expired(self.ask(webhook, **{"from": "start", "until": cursor}))
        self.assertEqual(self.backfill(webhook, **{"from": oldest}), 3)
        self.arrived(3)


class Waiting(Backfill):
    def test_live_events_overtake_a_large_one(self):
        n = scaled(5000)
        self.enqueue(n)
        webhook = self.subscribe(rule={"delay_s": 0.02}, max_in_flight=2)
        self.assertEqual(self.backfill(webhook, **{"from": "start"}), n)
        late = []
        for i in range(10):
            done = self.receiver.count()
            self.wait_until(lambda: self.receiver.count() >= done + 20, 20, "it goes on")
            before, asked_at = self.receiver.count(), time.monotonic()
            self.redis.add(event(id="live%d" % i))
            self.wait_until(lambda: "live%d" % i in ids_of(self.receiver.requests()), 10,
                            "it arrives")
            late.append(next(r.at for r in self.receiver.requests() if r.id == "live%d" % i)
                        - asked_at)
            self.assertLess(ids_of(self.receiver.requests()).index("live%d" % i) - before, 30)
        print("live ones arrive after {:.0f} to {:.0f} ms, of {} queued {} are left".format(
            1000 * min(late), 1000 * max(late), n, self.redis.call("XLEN", self.keys("fill:*")[0])))
        self.assertLess(max(late), 1)
        self.receiver.rule(secret=webhook["secret"])
        self.daemon.patch(webhook, max_in_flight=64)
        requests = self.arrived(n + 10, deadline_s=60)
        self.assertEqual(set(collections.Counter(ids_of(requests)).values()), {1})
        self.check_nothing_left()

    def test_two_for_a_paused_webhook(self):
        ids = self.enqueue(150)
        webhook = self.paused(max_in_flight=1)
        for _ in range(2):
            self.assertEqual(self.backfill(webhook, **{"from": "start"}), 150)
        pending = self.daemon.deliveries(webhook_id=webhook["id"], status="pending")
        self.assertEqual(len(pending), 300)
        self.assertEqual([d["event_id"] for d in pending], 2 * ids[::-1])
        self.assertEqual(len({d["id"] for d in pending}), 300)
        self.assertEqual(self.daemon.metric("hookwheel_deliveries_waiting"), 300)
        whole = self.daemon.delivery(pending[-1]["id"])
        self.assertEqual((whole["status"], whole["attempts"]), ("pending", 0))
        self.assertEqual(whole["request"]["body"][:10], '{"id":"e0"')
        again = self.daemon.expect(202, "POST", "/v1/deliveries/%s/redeliver" % pending[0]["id"])
        self.assertEqual(again["status"], "pending")
        self.assertEqual(self.receiver.requests(), [])
        self.daemon.patch(webhook, status="active")
        self.assertEqual(ids_of(self.arrived(300)), 2 * ids)
        self.check_nothing_left()

    def test_what_waits_outlives_its_instance(self):
        """Of a webhook that is paused nobody else has anything in memory."""
        other = self.start_daemon()
        ids = self.enqueue(40)
        webhook = self.paused()
        self.assertEqual(self.backfill(webhook, **{"from": "start"}), 40)
        self.daemon.terminate()
        other.patch(webhook, status="active")
        self.daemon = other
        self.assertEqual(sorted(ids_of(self.arrived(40))), sorted(ids))

    def test_a_rate_limit_holds(self):
        self.enqueue(60)
        webhook = self.subscribe(rate_limit=20)
        self.assertEqual(self.backfill(webhook, **{"from": "start"}), 60)
        self.wait_until(lambda: self.receiver.count() >= 10, 10, "it goes on")
        self.redis.add(event(id="live"))
        requests = self.arrived(61)
        self.assertGreater(requests[-1].at - requests[0].at, 2.5)
        self.assertLess(ids_of(requests).index("live"), 45) # a second's worth behind


class Full(Backfill):
    def settings(self):
        return {"backlog_max": 50}

    def test_as_much_as_may_wait(self):
        self.enqueue(120)
        webhook = self.paused()
        self.assertEqual(self.backfill(webhook, **{"from": "start"}), 120)
        error = self.check_error(self.ask(webhook, **{"from": "start"}), 409, "conflict")
        self.assertIn("queued", error["message"])
        self.daemon.patch(webhook, status="active")
        self.arrived(120) # none of them was dropped
        self.assertEqual(self.backfill(webhook, **{"from": "start"}), 120)
        self.arrived(240)


class Standing(Backfill):
    def settings(self):
        return {"retry_schedule": "none"}

    def dead(self, webhook, kind):
        return [d for d in self.daemon.deliveries(webhook_id=webhook["id"], status="dead_letter")
                if d["error"]["kind"] == kind]

    def test_disabled_in_the_middle(self):
        n = 1000
        self.enqueue(n)
        webhook = self.subscribe(rule={"delay_s": 0.01}, max_in_flight=4)
        self.assertEqual(self.backfill(webhook, **{"from": "start"}), n)
        self.wait_until(lambda: self.receiver.count() >= 40, 20, "it goes on")
        self.receiver.rule(status=410)
        self.wait_until(lambda: self.daemon.webhook(webhook)["status"] == "disabled", 20,
                        "it is disabled")
        self.wait_settled(self.daemon)
        delivered = self.daemon.deliveries(webhook_id=webhook["id"], status="delivered")
        gone = self.dead(webhook, "http_status")
        rest = self.dead(webhook, "webhook_disabled")
        self.assertEqual(len(delivered) + len(gone) + len(rest), n)
        self.assertGreater(len(rest), n // 2)
        self.check_error(self.ask(webhook, **{"from": "start"}), 409, "conflict")
        self.assertEqual(self.keys("fill:*") + self.keys("waiting"), [])

        self.receiver.rule(secret=webhook["secret"])
        self.daemon.patch(webhook, status="active")
        path = "/v1/webhooks/%s/recover" % webhook["id"]
        count = self.daemon.expect(202, "POST", path, {"since": "2026-01-01T00:00:00Z"})["count"]
        self.assertEqual(count, len(gone) + len(rest))

    def test_deleted_in_the_middle(self):
        n = 600
        self.enqueue(n)
        webhook = self.subscribe(rule={"delay_s": 0.01}, max_in_flight=4)
        self.assertEqual(self.backfill(webhook, **{"from": "start"}), n)
        self.wait_until(lambda: self.receiver.count() >= 40, 20, "it goes on")
        self.daemon.expect(204, "DELETE", "/v1/webhooks/" + webhook["id"])
        self.wait_settled(self.daemon)
        delivered = self.daemon.deliveries(webhook_id=webhook["id"], status="delivered")
        rest = self.dead(webhook, "webhook_deleted")
        self.assertEqual(len(delivered) + len(rest), n)
        self.assertGreater(len(rest), n // 2)
        self.check_error(self.ask(webhook, **{"from": "start"}), 404, "not_found")
        self.assertEqual(self.keys("fill:*") + self.keys("waiting"), [])

    def test_backfill_from_goes_with_enabling_only(self):
        self.enqueue(1)
        webhook = self.subscribe()
        for members in ({}, {"status": "active"}, {"status": "paused"}, {"name": "x"}):
            reply = self.daemon.call("PATCH", "/v1/webhooks/" + webhook["id"],
                                     dict(members, backfill_from="start"))
            self.check_error(reply, 409, "conflict")
        self.assertEqual(self.daemon.webhook(webhook)["name"], None)
        self.assertEqual(self.keys("jobs"), [])

    def disable(self, webhook, daemon):
        self.receiver.rule(status=410)
        self.wait_until(lambda: daemon.webhook(webhook)["status"] == "disabled", 20,
                        "it is disabled")
        return daemon.webhook(webhook)["disabled_cursor"]

    def test_enabled_from_where_it_was_disabled(self):
        """With events that keep coming, and two instances that accept them."""
        other = self.start_daemon(**self.settings())
        webhook = self.subscribe()
        with Producer(self.redis) as producer:
            self.wait_until(lambda: self.receiver.count() > 100, 20, "some arrive")
            cursor = self.disable(webhook, self.daemon)
            n = producer.n
            self.wait_until(lambda: producer.n > n + 600, 30, "events that it does not get")
            self.receiver.rule(secret=webhook["secret"])
            n_before = self.receiver.count()
            active = other.patch(webhook, status="active", backfill_from="disabled")
            self.assertEqual((active["status"], active["disabled_cursor"]), ("active", None))
            n = producer.n
            self.wait_until(lambda: producer.n > n + 300, 30, "events that it gets")
        self.wait_accepted()
        self.wait_settled(self.daemon, 60)
        expected = collections.Counter(
            item.id for item in feed.read_all(self.daemon, cursor)
            if item.object["type"] != "webhook.disabled")
        got = collections.Counter(ids_of(self.receiver.requests()[n_before:]))
        self.assertEqual(got, expected)
        self.assertGreater(len(got), 500)

    def test_enabled_without_what_came_meanwhile(self):
        webhook = self.subscribe()
        self.enqueue(1)
        self.receiver.rule(status=410)
        self.enqueue(1, 1)
        self.wait_until(lambda: self.daemon.webhook(webhook)["status"] == "disabled", 20,
                        "it is disabled")
        self.enqueue(5, 2)
        self.receiver.rule(secret=webhook["secret"])
        self.daemon.patch(webhook, status="active")
        self.enqueue(1, 7)
        self.wait_settled(self.daemon)
        self.assertEqual(ids_of(self.receiver.requests()), ["e0", "e1", "e7"])


class Crashed(Backfill):
    """In the middle of a job: it is gone on with, and each is queued once."""
    N = 40000

    def begin(self):
        """A job that is under way at self.daemon."""
        self.enqueue(scaled(self.N), payload="1")
        self.wait_until(lambda: self.redis.call("XLEN", FEED) == scaled(self.N), 60, "accepted")
        webhook = self.paused()
        self.fill = "hookwheel:{s0}:fill:1"
        self.answers = []

        def ask():
            try:
                reply = self.ask(webhook, **{"from": "start"})
                self.message = reply.json().get("error", {}).get("message")
                self.answers.append(reply.status)
            except OSError as error:
                self.answers.append(error)
        self.asking = threading.Thread(target=ask)
        self.asking.start()
        self.wait_until(lambda: self.redis.call("XLEN", self.fill) > 0, 20, "it has begun")
        return webhook

    def end(self, webhook, daemon):
        self.asking.join()
        self.assertEqual(len(self.answers), 1)
        self.assertNotEqual(self.answers[0], 202)
        self.wait_until(lambda: self.redis.call("EXISTS", JOBS) == 0, 40, "the job is done")
        self.assertEqual(self.queued(self.fill), self.kept())
        self.daemon = daemon
        daemon.patch(webhook, status="active")
        self.wait_until(lambda: self.redis.call("EXISTS", self.fill) == 0, 120, "all is fetched")
        self.wait_settled(daemon, 60)
        self.assertEqual(set(ids_of(self.receiver.requests())),
                         set(feed.ids_of(feed.read_all(daemon))))
        self.check_nothing_left()

    def test_by_the_next_start(self):
        webhook = self.begin()
        self.daemon.kill_hard()
        self.assertEqual(self.redis.call("EXISTS", JOBS), 1)
        self.daemon.start()
        self.end(webhook, self.daemon)

    def test_by_another_instance(self):
        other = self.start_daemon()
        webhook = self.begin()
        self.daemon.kill_hard()
        self.end(webhook, other)

    def test_by_the_instance_itself_when_redis_is_back(self):
        webhook = self.begin()
        self.redis.kill_hard()
        self.asking.join()
        self.assertEqual(self.answers, [503])
        self.assertIn("goes on by itself", self.message)
        self.redis.start()
        self.end(webhook, self.daemon)


if __name__ == "__main__":
    unittest.main()
