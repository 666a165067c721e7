"""Deliveries: listed in both directions, inspected, delivered again."""

import concurrent.futures
import ssl
import threading
import time
import unittest

from kit import scripted
from kit.api import TIME, ApiCase, asked, ids_of, pages_down, pages_up
from kit.case import SANITIZED, event, scaled


class DeliveryCase(ApiCase):
    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()

    def settings(self):
        return {"retry_schedule": "none", "disable_after": 0}

    def send(self, *numbers, **fields):
        """Events e<n>; returns once they have their deliveries."""
        self.redis.add_many([event(n, id="e{}".format(n), **fields) for n in numbers])
        self.wait_accepted()

    def redeliver(self, delivery):
        path = "/v1/deliveries/{}/redeliver".format(delivery["id"])
        answer = self.daemon.expect(202, "POST", path)
        self.assertEqual(answer, {"object": "delivery", "id": delivery["id"], "status": "pending"})

    def check_not_redelivered(self, delivery, status=409, code="conflict"):
        path = "/v1/deliveries/{}/redeliver".format(delivery["id"])
        self.check_error(self.daemon.call("POST", path), status, code)

    def wait_attempts(self, delivery, n, status, deadline_s=10):
        def seen():
            found = self.daemon.delivery(delivery["id"])
            return found if (found["attempts"], found["status"]) == (n, status) else None

        return self.wait_until(seen, deadline_s, lambda: "{} after {} attempts: {}".format(
            status, n, self.daemon.delivery(delivery["id"])))


class Listing(DeliveryCase):
    def settings(self):
        return {"retry_schedule": "1h", "disable_after": 0}

    def test_every_filter_in_both_directions(self):
        good = self.subscribe("/good")
        bad = self.subscribe("/bad", rule={"status": 500}, event_types=["order.created"])
        paused = self.subscribe("/paused", subject="s1")
        self.daemon.patch(paused, status="paused")
        for n in range(24):
            self.send(n, subject="s{}".format(n % 2),
                      type="order.paid" if n % 3 == 0 else "order.created")
        self.wait_delivery(self.daemon, "delivered", n=24)
        self.wait_delivery(self.daemon, "failed", n=16)
        self.wait_delivery(self.daemon, "pending", n=12)
        every = self.daemon.deliveries()
        self.assertEqual(len(every), 52)
        middle = every[26]["created_at"]
        queries = [
            {}, {"webhook_id": good["id"]}, {"webhook_id": bad["id"]},
            {"webhook_id": paused["id"]}, {"webhook_id": "wh_none"}, {"event_id": "e7"},
            {"event_id": "none"}, {"subject": "s1"}, {"subject": "s"}, {"status": "delivered"},
            {"status": "failed"}, {"status": "pending"}, {"status": "dead_letter"},
            {"since": middle}, {"until": middle}, {"since": middle, "until": middle},
            {"since": "2020-01-01T00:00:00Z", "until": every[5]["created_at"]},
            {"webhook_id": bad["id"], "subject": "s0", "status": "failed", "since": middle},
            {"event_id": "e8", "status": "failed"}, {"subject": "s1", "status": "pending"},
        ]
        for query in queries:
            expected = [d["id"] for d in every if self.fits(d, query)]
            for limit in (1, 7):
                with self.subTest("{} limit {}".format(query, limit)):
                    down = pages_down(self.daemon, "/v1/deliveries", limit=limit, **query)
                    self.assertEqual(ids_of(down), expected)
                    self.assertIsNone(down[0]["prev_cursor"])
                    up = pages_up(self.daemon, "/v1/deliveries", down[-1], limit=limit, **query)
                    before = expected[:len(expected) - len(down[-1]["data"])]
                    self.assertEqual(ids_of(up[::-1]), before)

    def fits(self, delivery, query):
        return all(delivery["created_at"] >= value if name == "since" else
                   delivery["created_at"] < value if name == "until" else
                   delivery[name] == value for name, value in query.items())

    def test_newest_first_and_new_ones_on_the_newer_side(self):
        self.subscribe()
        for n in range(6):
            self.send(n)
        self.wait_delivery(self.daemon, "delivered", n=6)
        page = self.daemon.expect(200, "GET", "/v1/deliveries?limit=2")
        self.assertEqual([d["event_id"] for d in page["data"]], ["e5", "e4"])
        second = self.daemon.expect(200, "GET", asked("/v1/deliveries", {
            "limit": 2, "cursor": page["next_cursor"]}))
        self.send(6, 7, 8)
        self.wait_delivery(self.daemon, "delivered", n=9)
        self.assertEqual([d["event_id"] for d in second["data"]], ["e3", "e2"])
        up = pages_up(self.daemon, "/v1/deliveries", second, limit=2)
        self.assertEqual([d["event_id"] for page in up[::-1] for d in page["data"]],
                         ["e8", "e7", "e6", "e5", "e4"])

    def test_bad_queries(self):
        self.subscribe()
        self.send(0, 1)
        self.wait_delivery(self.daemon, "delivered", n=2)
        cursor = self.daemon.expect(200, "GET", "/v1/deliveries?limit=1")["next_cursor"]
        self.assertRegex(cursor, "^[A-Za-z0-9_-]{1,128}$")
        flipped = ("A" if cursor[0] != "A" else "B") + cursor[1:]
        for query, field in (("limit=0", "limit"), ("limit=201", "limit"), ("limit=1.5", "limit"),
                             ("cursor=" + flipped, "cursor"), ("cursor=" + cursor[:-1], "cursor"),
                             ("cursor=" + cursor + "A", "cursor"), ("cursor=", "cursor"),
                             ("status=odd", "status"), ("since=now", "since"),
                             ("until=1", "until"), ("surprise=1", "surprise"),
                             ("limit=1&limit=1", "limit"), ("account=", "account")):
            with self.subTest(query):
                self.check_error(self.daemon.call("GET", "/v1/deliveries?" + query), 400,
                                 "invalid_request", field)


class Figure(DeliveryCase):
    """Page by page in both directions while a thousand a second are being added."""

    N = scaled(20000 if SANITIZED else 50000)
    RATE_PER_S = 1000

    def settings(self):
        return {"history_max": 500000}

    def add_steadily(self, stop):
        """RATE_PER_S events, twenty times a second, until told to stop."""
        client = self.redis.connect()
        began, n = time.monotonic(), 0
        while not stop.wait(0.05):
            due = int((time.monotonic() - began) * self.RATE_PER_S)
            client.pipeline([["XADD", "hookwheel:events", "*", "type", "a.b", "payload", "1"]
                             for _ in range(due - n)])
            n = due
        client.close()
        self.n_added, self.added_s = n, time.monotonic() - began

    def test_each_that_was_there_appears_once(self):
        self.subscribe()
        self.redis.add_many([event(n) for n in range(self.N)])
        self.wait_until(lambda: self.daemon.metric("hookwheel_deliveries_total",
                                                   status="delivered") >= self.N, 300,
                        lambda: "all are delivered: {}".format(self.receiver.counts()))
        self.wait_settled(self.daemon)
        there = set(ids_of(pages_down(self.daemon, "/v1/deliveries", limit=200)))
        self.assertEqual(len(there), self.N)
        stop = threading.Event()
        adder = threading.Thread(target=self.add_steadily, args=(stop,))
        adder.start()
        try:
            began = time.monotonic()
            down = pages_down(self.daemon, "/v1/deliveries", limit=200)
            down_s = time.monotonic() - began
            up = pages_up(self.daemon, "/v1/deliveries", down[-1], limit=200)
            passed_s = time.monotonic() - began
        finally:
            stop.set()
            adder.join()
        for way, pages in (("down", down), ("up", [down[-1]] + up)):
            ids = ids_of(pages)
            self.assertEqual(len(ids), len(set(ids)), way)  # none twice, of the new ones neither
            self.assertEqual(there - set(ids), set(), way)
            stamps = [d["created_at"] for page in (pages if way == "down" else pages[::-1])
                      for d in page["data"]]
            self.assertEqual(stamps, sorted(stamps, reverse=True), way)
        self.assertGreater(len(set(ids_of(up))), 0)
        print("{} deliveries: {} pages down in {:.1f} s, {} up in {:.1f} s, while {:.0f}/s were "
              "added".format(self.N, len(down), down_s, len(up), passed_s - down_s,
                             self.n_added / self.added_s))


class Inspecting(DeliveryCase):
    def settings(self):
        return {"retry_schedule": "50ms,50ms,50ms", "timeout": "300ms", "disable_after": 0}

    def test_log_of_every_attempt(self):
        """Failed, timed out, failed on the connection used before, delivered."""
        long_body = b"x" * 5000
        answers = {
            1: b"HTTP/1.1 500 Oh\r\nX-Why: broken\r\nx-two: a\r\nX-Two: b\r\n"
               b"content-length: 5000\r\n\r\n" + long_body,
            3: b"HTTP/1.1 429 Slow\r\ncontent-length: 4\r\n\r\nbusy",
            4: b"HTTP/1.1 201 Made\r\ncontent-length: 6\r\n\r\nthanks",
        }

        def script(connection):
            while True:
                request = connection.read_request()
                if request.attempt == 2:
                    connection.wait_for_close()
                    return
                connection.send(answers[request.attempt])

        server = self.start_scripted(script)
        webhook = self.daemon.create_webhook(server.url("/hook?x=1"), headers={"x-key": "hidden"})
        self.redis.add(event(1, id="e1", subject="sess 9"))
        delivery, = self.wait_delivery(self.daemon, "delivered")
        self.assertEqual((delivery["attempts"], delivery["response_code"], delivery["error"]),
                         (4, 201, None))
        whole = self.daemon.delivery(delivery["id"])
        log = whole["attempt_log"]
        self.assertEqual([a["number"] for a in log], [1, 2, 3, 4])
        self.assertEqual([a["response_code"] for a in log], [500, None, 429, 201])
        self.assertEqual([a["reused"] for a in log], [False, True, False, True])
        address = "127.0.0.1:{}".format(server.port)
        for attempt in log:
            self.assertRegex(attempt["started_at"], TIME)
            self.assertGreaterEqual(attempt["duration_ms"], 0)
            self.assertEqual(attempt["address"], address)
            self.assertRegex(attempt["tls_version"], r"1\.[23]$")
            self.assertEqual("phases" in attempt, not attempt["reused"])
        self.assertEqual([a["started_at"] for a in log], sorted(a["started_at"] for a in log))
        self.assertEqual(sorted(log[0]["phases"]),
                         ["connect_ms", "dns_ms", "first_byte_ms", "tls_ms"])
        self.assertLessEqual(sum(log[0]["phases"].values()), log[0]["duration_ms"] + 4)
        self.assertEqual(log[0]["response_headers"],
                         {"x-why": "broken", "x-two": "a, b", "content-length": "5000"})
        self.assertEqual(log[0]["response_body"], "x" * 4096)
        self.assertEqual(log[0]["error"]["kind"], "http_status")
        self.assertEqual((log[1]["error"]["kind"], log[1]["error"]["phase"]),
                         ("timeout", "response"))
        self.assertGreaterEqual(log[1]["duration_ms"], 295)
        self.assertEqual((log[2]["response_body"], log[2]["error"]["kind"]),
                         ("busy", "http_status"))
        self.assertEqual((log[3]["response_body"], log[3]["error"]), ("thanks", None))

        request = whole["request"]
        sent = server.requests[-1]
        self.assertEqual(request["body"], sent.body.decode())
        shown = request["headers"]
        self.assertEqual(shown["x-key"], "***")
        for name in ("host", "content-type", "content-length", "user-agent", "webhook-id",
                     "webhook-timestamp", "x-hookwheel-delivery", "x-hookwheel-attempt",
                     "x-hookwheel-subject"):
            self.assertEqual(shown[name], sent.headers[name], name)
        self.assertNotIn("webhook-signature", shown)
        self.assertNotIn(webhook["secret"], str(whole))

    def test_versions_of_tls_and_addresses_by_number(self):
        server = self.start_scripted(scripted.always(scripted.OK), host="127.0.0.1")
        server.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.daemon.create_webhook(server.url())
        self.redis.add(event(1))
        delivery, = self.wait_delivery(self.daemon, "delivered")
        attempt, = self.daemon.delivery(delivery["id"])["attempt_log"]
        self.assertRegex(attempt["tls_version"], r"1\.2$")
        self.assertEqual(attempt["address"], "127.0.0.1:{}".format(server.port))

    def test_an_answer_shows_at_the_attempt_that_it_answered(self):
        """Delivered, and nobody answers when it is delivered again by hand."""
        webhook = self.subscribe(rule={"status": 200, "body": "thanks"})
        self.send(1)
        first, = self.wait_delivery(self.daemon, "delivered")
        self.receiver.rule("/hook", secret=webhook["secret"], hang=True)
        self.redeliver(first)
        failed = self.wait_attempts(first, 2, "failed")
        self.assertEqual([a["response_body"] for a in failed["attempt_log"]], ["thanks", None])
        dead = self.wait_attempts(first, 5, "dead_letter")
        self.assertEqual([a["response_body"] for a in dead["attempt_log"]],
                         ["thanks", None, None, None, None])
        self.assertEqual([a["response_headers"] is None for a in dead["attempt_log"]],
                         [False, True, True, True, True])

    def test_before_the_first_attempt(self):
        webhook = self.subscribe()
        self.daemon.patch(webhook, status="paused")
        self.send(1)
        waiting, = self.wait_delivery(self.daemon, "pending")
        whole = self.daemon.delivery(waiting["id"])
        self.assertEqual((whole["attempts"], whole["attempt_log"], whole["last_attempt_at"],
                          whole["response_code"], whole["error"]), (0, [], None, None, None))
        self.assertIn('"data":{"n":1}', whole["request"]["body"])
        self.assertEqual(whole["request"]["headers"]["x-hookwheel-attempt"], "1")

    def test_responses_of_the_newest_hundred_are_kept(self):
        self.subscribe(rule={"status": 200, "body": "thanks"}, max_in_flight=1)
        self.send(*range(150))
        self.wait_delivery(self.daemon, "delivered", n=150)
        logs = [self.daemon.delivery(d["id"])["attempt_log"][0]
                for d in self.daemon.deliveries()]
        self.assertEqual([a["response_body"] for a in logs[:100]], ["thanks"] * 100)
        self.assertEqual([a["response_code"] for a in logs], [200] * 150)


class Redelivering(DeliveryCase):
    def test_a_delivered_one(self):
        webhook = self.subscribe(rule={"keep": True})
        self.send(1, subject="s1")
        first, = self.wait_delivery(self.daemon, "delivered")
        self.redeliver(first)
        again = self.wait_attempts(first, 2, "delivered")
        self.assertEqual([a["number"] for a in again["attempt_log"]], [1, 2])
        one, two = self.arrived(2)
        self.assertEqual((two.id, two.delivery, two.attempt), (one.id, one.delivery, 2))
        self.assertEqual(two.body, one.body)
        self.assertEqual(two.headers["x-hookwheel-subject"], "s1")
        self.assertEqual(again["created_at"], first["created_at"])
        self.redeliver(first)
        self.wait_attempts(first, 3, "delivered")
        self.assertEqual(ids_of(pages_down(self.daemon, "/v1/deliveries")), [first["id"]])
        self.assertEqual(self.daemon.webhook(webhook)["consecutive_failures"], 0)

    def test_a_pending_one_of_a_paused_webhook(self):
        webhook = self.subscribe()
        self.daemon.patch(webhook, status="paused")
        self.send(1)
        waiting, = self.wait_delivery(self.daemon, "pending")
        self.redeliver(waiting)
        self.redeliver(waiting)
        self.assertEqual(self.daemon.delivery(waiting["id"])["status"], "pending")
        self.assertEqual(self.receiver.count(), 0)
        self.daemon.patch(webhook, status="active")
        self.wait_attempts(waiting, 1, "delivered")
        self.arrived(1)

    def test_a_dead_one_of_a_paused_webhook_waits(self):
        webhook = self.subscribe(rule={"status": 500})
        self.send(1)
        dead, = self.wait_delivery(self.daemon, "dead_letter")
        self.daemon.patch(webhook, status="paused")
        self.receiver.rule("/hook", secret=webhook["secret"])
        self.redeliver(dead)
        self.assertEqual(self.daemon.delivery(dead["id"])["status"], "pending")
        self.daemon.patch(webhook, status="active")
        self.wait_attempts(dead, 2, "delivered")
        self.arrived(2)

    def test_not_while_it_is_delivering(self):
        webhook = self.subscribe(rule={"hang": True})
        self.send(1)
        self.wait_requests(self.receiver, 1, 10)
        under_way, = self.wait_delivery(self.daemon, "delivering")
        self.check_not_redelivered(under_way)
        self.receiver.rule("/hook", secret=webhook["secret"])
        self.receiver.answer_all()
        self.wait_attempts(under_way, 1, "delivered")
        self.arrived(1)

    def test_not_for_a_disabled_or_deleted_webhook(self):
        webhook = self.subscribe()
        self.send(1)
        first, = self.wait_delivery(self.daemon, "delivered")
        self.receiver.rule("/hook", secret=webhook["secret"], status=410)
        self.send(2)
        self.wait_delivery(self.daemon, "dead_letter")
        self.wait_until(lambda: self.daemon.webhook(webhook)["status"] == "disabled", 5,
                        "it is disabled")
        self.check_not_redelivered(first)
        self.daemon.expect(204, "DELETE", "/v1/webhooks/" + webhook["id"])
        self.check_not_redelivered(first)
        self.check_not_redelivered({"id": "dlv_none"}, 404, "not_found")
        self.assertEqual(self.receiver.count(), 2)

    def test_of_another_instance(self):
        """Asked for at one, last attempted by any."""
        self.start_daemon(**self.settings())
        self.subscribe()
        self.send(*range(20))
        for delivery in self.wait_delivery(self.daemon, "delivered", n=20):
            self.redeliver(delivery)
        self.wait_until(lambda: all(d["attempts"] == 2 and d["status"] == "delivered"
                                    for d in self.daemon.deliveries()), 10, "each again")
        self.wait_settled(self.daemon)
        requests = self.receiver.requests()
        self.assert_clean(requests)
        self.assertEqual(sorted((r.id, r.attempt) for r in requests),
                         sorted(("e{}".format(n), a) for n in range(20) for a in (1, 2)))

    def test_it_outlives_a_crash(self):
        webhook = self.subscribe()
        self.send(1)
        first, = self.wait_delivery(self.daemon, "delivered")
        self.receiver.rule("/hook", secret=webhook["secret"], hang=True)
        self.redeliver(first)
        self.wait_requests(self.receiver, 2, 10)
        self.daemon.kill_hard()
        self.receiver.rule("/hook", secret=webhook["secret"])
        self.daemon.start()
        self.wait_attempts(first, 2, "delivered", 20)


class AtOnce(DeliveryCase):
    def test_many_redeliveries_of_one_at_three_instances(self):
        """Never two requests of it at once (the receiver looks), and it ends well."""
        for _ in range(2):
            self.start_daemon(**self.settings())
        webhook = self.subscribe(rule={"status": 500})
        self.send(1)
        dead, = self.wait_delivery(self.daemon, "dead_letter")
        self.receiver.rule("/hook", secret=webhook["secret"], delay_s=0.01)
        path = "/v1/deliveries/{}/redeliver".format(dead["id"])
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(lambda n: self.daemons[n % 3].call("POST", path).status,
                                     range(120)))
        self.assertEqual(set(statuses) - {202, 409}, set())
        self.assertIn(202, statuses)
        for daemon in self.daemons:
            self.wait_settled(daemon)
        seen = self.daemon.delivery(dead["id"])
        requests = self.receiver.requests()
        self.assert_clean(requests)
        self.assertEqual(seen["status"], "delivered")
        self.assertEqual([r.attempt for r in requests], list(range(1, seen["attempts"] + 1)))
        self.assertLessEqual(len(requests), 1 + statuses.count(202))
        self.assertEqual([a["number"] for a in seen["attempt_log"]],
                         [r.attempt for r in requests])


class Schedule(DeliveryCase):
    def settings(self):
        return {"retry_schedule": "400ms,100ms", "disable_after": 2}

    def test_a_failed_one_goes_at_once_and_has_the_whole_schedule_again(self):
        self.subscribe(rule={"status": 500})
        self.send(1)
        failed, = self.wait_delivery(self.daemon, "failed")
        self.redeliver(failed)
        dead = self.wait_attempts(failed, 4, "dead_letter")
        self.assertEqual([a["number"] for a in dead["attempt_log"]], [1, 2, 3, 4])
        requests = self.arrived(4)
        self.assertEqual([r.attempt for r in requests], [1, 2, 3, 4])
        delays = [later.at - sooner.answered_at for sooner, later in zip(requests, requests[1:])]
        self.assertLess(delays[0], 0.4)
        self.assertGreaterEqual(delays[1], 0.398)
        self.assertGreaterEqual(delays[2], 0.098)

    def test_a_dead_one_goes_on_counting_attempts_and_not_failures(self):
        webhook = self.subscribe(rule={"status": 500})
        self.send(1)
        dead = self.wait_delivery(self.daemon, "dead_letter")[0]
        for n_attempts in (6, 9):
            self.redeliver(dead)
            seen = self.wait_attempts(dead, n_attempts, "dead_letter")
            self.assertEqual(seen["error"]["kind"], "http_status")
            seen = self.daemon.webhook(webhook)
            self.assertEqual((seen["status"], seen["consecutive_failures"]), ("active", 1))
        requests = self.arrived(9)
        self.assertEqual([r.attempt for r in requests], list(range(1, 10)))
        delays = [later.at - sooner.answered_at for sooner, later in zip(requests, requests[1:])]
        for at in (0, 3, 6):
            self.assertGreaterEqual(delays[at], 0.398)
        for at in (1, 4, 7):
            self.assertGreaterEqual(delays[at], 0.098)
        self.receiver.rule("/hook", secret=webhook["secret"])
        self.redeliver(dead)
        self.wait_attempts(dead, 10, "delivered")
        self.assertEqual(self.daemon.webhook(webhook)["consecutive_failures"], 0)
        self.assertEqual(self.daemon.deliveries(status="dead_letter"), [])


class Forgotten(DeliveryCase):
    def settings(self):
        return {"retry_schedule": "none", "disable_after": 0, "feed_max": 100}

    def test_not_when_its_body_is_no_longer_kept(self):
        """The feed keeps a hundred events; what was delivered before them has lost its body."""
        webhook = self.subscribe(event_types=["order.paid"], rule={"statuses": [204]})
        self.send(0, type="order.paid")
        delivered, = self.wait_delivery(self.daemon, "delivered")
        self.receiver.rule("/hook", secret=webhook["secret"], status=500)
        self.send(1, type="order.paid")
        dead, = self.wait_delivery(self.daemon, "dead_letter")
        self.receiver.rule("/hook", secret=webhook["secret"])
        self.wait_until(lambda: self.is_forgotten(delivered), 30, "the event is trimmed")
        self.check_not_redelivered(delivered)
        self.assertEqual(self.daemon.delivery(delivered["id"])["status"], "delivered")
        self.redeliver(dead)  # what a dead letter owes is kept with it
        self.wait_attempts(dead, 2, "delivered")
        self.assertEqual(self.receiver.count(), 3)

    def is_forgotten(self, delivery):
        """Events go on coming meanwhile; what is seconds old is never trimmed."""
        self.redis.add_many([event(n) for n in range(10)])
        return self.daemon.delivery(delivery["id"])["request"]["body"] is None


if __name__ == "__main__":
    unittest.main()
