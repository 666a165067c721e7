"""Webhooks: made, listed, changed, paused, rotated, tested, recovered, deleted."""

import base64
import concurrent.futures
import datetime
import json
import time
import unittest

from kit import signing
from kit.api import BAD_URLS, TIME, ApiCase, asked, ids_of, pages_down, pages_up
from kit.case import Case, event

URL = "https://localhost:9000/"
IN_FORCE_S = 1.0  # how long a change may take

# Section 4's names, and what else frames or routes a request.
FORBIDDEN_HEADERS = """
content-type content-length host user-agent webhook-id webhook-timestamp webhook-signature
webhook-other x-hookwheel-delivery x-hookwheel-attempt x-hookwheel-subject x-hookwheel-other
traceparent connection transfer-encoding te trailer upgrade expect content-encoding
accept-encoding keep-alive proxy-authorization proxy-other
""".split()


def seconds_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class WebhookCase(ApiCase):
    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()

    def settings(self):
        return {"retry_schedule": "none", "disable_after": 0}

    def path(self, webhook, more=""):
        if isinstance(webhook, str):  # a file of this test's own
            return super().path(webhook)
        return "/v1/webhooks/" + webhook["id"] + more

    def in_force(self):
        """What was changed a second ago holds everywhere; this is the promise, not luck."""
        time.sleep(IN_FORCE_S)

    def send(self, *numbers, **fields):
        """Events e<n>; returns once they have their deliveries."""
        self.redis.add_many([event(n, id="e{}".format(n), **fields) for n in numbers])
        self.wait_accepted()

    def received(self, path="/hook"):
        return sorted(r.id for r in self.receiver.requests(path))

    def settle(self):
        self.wait_accepted()
        for daemon in self.daemons:
            self.wait_settled(daemon)


class Creating(WebhookCase):
    def test_secret_is_shown_in_the_201_only(self):
        given = signing.make_secret()
        made = self.create(name="made")
        taken = self.create(name="given", secret=given)
        self.assertEqual(taken["secret"], given)
        self.assertNotEqual(made["secret"], given)
        self.assertTrue(32 >= len(signing.key_of(made["secret"])) >= 24)
        replies = [self.daemon.call("GET", "/v1/webhooks"),
                   self.daemon.call("PATCH", self.path(made), {"name": "x"})]
        replies += [self.daemon.call("GET", self.path(one)) for one in (made, taken)]
        for reply in replies:
            self.assertEqual(reply.status, 200)
            for webhook in (made, taken):
                self.assertNotIn(webhook["secret"][len("whsec_"):].encode(), reply.body)
        self.assertTrue(replies[-1].json()["has_secret"])

    def test_lengths_of_a_secret(self):
        for n_bytes, status in ((23, 400), (24, 201), (64, 201), (65, 400)):
            with self.subTest(n_bytes):
                secret = "whsec_" + base64.b64encode(b"k" * n_bytes).decode()
                self.create(status, secret=secret)

    def test_static_header_rules(self):
        webhook = self.create()
        for name in FORBIDDEN_HEADERS:
            for spelled in (name, name.title()):
                with self.subTest(spelled):
                    body = {"url": URL, "headers": {spelled: "x"}}
                    self.check_error(self.daemon.call("POST", "/v1/webhooks", body), 400,
                                     "invalid_request", "headers")
                    self.check_error(self.daemon.call("PATCH", self.path(webhook),
                                                      {"headers": {spelled: "x"}}),
                                     400, "invalid_request", "headers")
        for headers in ({"": "x"}, {"a:": "x"}, {"a": "\t\x01"}, {"a": "caf\u00e9"}, {"a": 7},
                        {"a": None}, {"x-" + str(n): "y" for n in range(21)},
                        {"a": "x" * 2100, "b": "x" * 2000}):
            with self.subTest(str(headers)[:40]):
                self.check_error(self.daemon.call("PATCH", self.path(webhook),
                                                  {"headers": headers}),
                                 400, "invalid_request", "headers")
        self.create(headers={"x-" + str(n): "y" for n in range(20)})
        self.create(headers={"authorization": "Bearer abc", "cookie": "a=b", "x": "y" * 4000})

    def test_names_for_internal_use_only_where_a_network_is_open(self):
        internal = ["https://localhost/", "https://a.localhost/", "https://intranet/",
                    "https://a.localdomain/", "https://printer.local/", "https://a.internal/",
                    "https://a.svc/", "https://a.cluster.local/", "https://a.home.arpa/",
                    "https://a.onion/", "https://1.0.0.127.in-addr.arpa/",
                    "https://metadata.goog/", "https://127.0.0.1/"]
        for url in internal:
            self.daemon.expect(204, "DELETE", self.path(self.create(url=url)))
        closed = self.start_daemon(allow_networks=None)
        for url in internal:
            with self.subTest(url):
                self.check_error(closed.call("POST", "/v1/webhooks", {"url": url}), 400,
                                 "invalid_request", "url")
        webhook = closed.create_webhook("https://example.com/")
        self.check_error(closed.call("PATCH", self.path(webhook), {"url": internal[0]}), 400,
                         "invalid_request", "url")

    def test_plain_http_only_where_the_setting_says_so(self):
        urls = ["http://localhost:9000/", "http://127.0.0.1:9000/", "http://[::1]:9000/"]
        for url in urls:
            self.create(400, url=url)
        opened = self.start_daemon(allow_http_localhost=1, allow_networks=None)
        for url in urls:
            self.assertEqual(opened.create_webhook(url)["url"], url)
        for url in ("http://127.0.0.2:9000/", "http://a.localhost:9000/", "http://example.com/",
                    "http://[::2]:9000/", "http://localhost.:9000/"):
            with self.subTest(url):
                self.check_error(opened.call("POST", "/v1/webhooks", {"url": url}), 400,
                                 "invalid_request", "url")


class Limit(Case):
    """At most ten an account, under concurrent creates too."""

    def check(self, daemons):
        def create(n):
            return daemons[n % len(daemons)].call("POST", "/v1/webhooks", {"url": URL})

        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            replies = list(pool.map(create, range(100)))
        self.assertEqual(sorted(r.status for r in replies), [201] * 10 + [409] * 90)
        for reply in replies:
            if reply.status == 409:
                error = reply.error()
                self.assertEqual((error["code"], error["details"]["limit"]),
                                 ("limit_exceeded", 10))
        made = {r.json()["id"] for r in replies if r.status == 201}
        for daemon in daemons:
            listed = daemon.expect(200, "GET", "/v1/webhooks?limit=200")["data"]
            self.assertEqual({webhook["id"] for webhook in listed}, made)

    def test_a_hundred_at_once(self):
        self.start_redis()
        self.check([self.start_daemon()])

    def test_a_hundred_at_once_at_three_instances(self):
        self.start_redis()
        self.check([self.start_daemon() for _ in range(3)])


class Listing(WebhookCase):
    def settings(self):
        return {"max_webhooks": 100}

    def test_pages_both_ways_with_filters(self):
        made = [self.create(subject="s{}".format(n % 2)) for n in range(20)]
        for n in range(0, 20, 4):
            self.daemon.patch(made[n], status="paused")
        newest_first = [webhook["id"] for webhook in made][::-1]
        by_number = dict(enumerate(webhook["id"] for webhook in made))
        expected = {
            (): newest_first,
            (("subject", "s1"),): [by_number[n] for n in range(19, -1, -2)],
            (("status", "paused"),): [by_number[n] for n in range(16, -1, -4)],
            (("status", "active"), ("subject", "s0")): [by_number[n] for n in range(18, -1, -4)],
            (("status", "disabled"),): [],
            (("subject", "none"),): [],
        }
        for query, ids in expected.items():
            with self.subTest(query):
                pages = pages_down(self.daemon, "/v1/webhooks", limit=3, **dict(query))
                self.assertEqual(ids_of(pages), ids)
                self.assertTrue(all(len(page["data"]) == 3 for page in pages[:-1]))
                self.assertIsNone(pages[0]["prev_cursor"])
                back = pages_up(self.daemon, "/v1/webhooks", pages[-1], limit=3, **dict(query))
                self.assertEqual(ids_of(back[::-1]), ids_of(pages[:-1]))

    def test_order_and_pages_hold_while_webhooks_come_and_go(self):
        made = [self.create()["id"] for _ in range(9)]
        page = self.daemon.expect(200, "GET", "/v1/webhooks?limit=3")
        self.assertEqual([one["id"] for one in page["data"]], made[:5:-1])
        self.create()
        self.daemon.expect(204, "DELETE", "/v1/webhooks/" + made[6])  # the cursor's own
        path = asked("/v1/webhooks", {"limit": 3, "cursor": page["next_cursor"]})
        following = self.daemon.expect(200, "GET", path)
        self.assertEqual([one["id"] for one in following["data"]], [made[5], made[4], made[3]])


class Changing(WebhookCase):
    def test_each_field_alone(self):
        webhook = self.create(name="first", event_types=["a.b"], subject="s",
                              headers={"x-a": "1"}, rate_limit=5,
                              signature_header={"name": "X-Sig", "format": "hex"})
        webhook.pop("secret")
        changes = [
            ("name", "second"), ("name", None), ("url", "https://localhost:9001/b"),
            ("event_types", ["c.d", "webhook.disabled"]), ("event_types", None),
            ("subject", "other one"), ("subject", None), ("level", "progress"), ("level", "user"),
            ("include_raw", True), ("include_raw", False), ("format", "raw"),
            ("format", "record"), ("signature_header", {"name": "X-Two", "format": "sha256=hex"}),
            ("signature_header", None), ("max_in_flight", 7), ("rate_limit", 9),
            ("rate_limit", None), ("status", "paused"), ("status", "active"),
        ]
        for name, value in changes:
            with self.subTest("{}={!r}".format(name, value)):
                changed = self.daemon.patch(webhook, **{name: value})
                self.assertGreaterEqual(changed["updated_at"], webhook["updated_at"])
                self.assertRegex(changed["updated_at"], TIME)
                self.assertEqual(changed, {**webhook, name: value,
                                           "updated_at": changed["updated_at"]})
                self.assertEqual(self.daemon.webhook(webhook), changed)
                webhook = changed
        changed = self.daemon.patch(webhook, headers={"x-b": "2", "x-c": "3"})
        self.assertEqual(changed["headers"], {"x-b": "***", "x-c": "***"})
        self.assertEqual(self.daemon.patch(webhook, headers={})["headers"], {})
        several = self.daemon.patch(webhook, name="both", subject="s2", url="HTTPS://LocalHost")
        self.assertEqual((several["name"], several["subject"], several["url"]),
                         ("both", "s2", "https://localhost/"))

    def test_bad_ones_change_nothing(self):
        webhook = self.create()
        webhook.pop("secret")
        cases = [
            ("url", None), ("url", ""), ("name", 7), ("name", ""), ("event_types", []),
            ("event_types", ["a b"]), ("event_types", ["webhook.other"]), ("subject", ""),
            ("level", "debug"), ("include_raw", "yes"), ("format", "xml"), ("headers", []),
            ("signature_header", {"name": "X"}), ("max_in_flight", 0), ("max_in_flight", 10001),
            ("rate_limit", 0), ("status", "disabled"), ("status", "odd"), ("status", None),
            ("account", "default"), ("secret", signing.make_secret()), ("id", webhook["id"]),
            ("created_at", webhook["created_at"]), ("consecutive_failures", 0), ("surprise", 1),
        ]
        for name, value in cases:
            with self.subTest("{}={!r}".format(name, value)):
                reply = self.daemon.call("PATCH", self.path(webhook), {"name": "x", name: value})
                self.check_error(reply, 400, "invalid_request", name)
        for url in BAD_URLS:
            with self.subTest(url[:60]):
                self.check_error(self.daemon.call("PATCH", self.path(webhook), {"url": url}), 400,
                                 "invalid_request", "url")
        twice = b'{"name":"a","name":"b"}'
        self.check_error(self.daemon.call("PATCH", self.path(webhook), twice), 400,
                         "invalid_request", "name")
        for body in (b"", b"[]", b"{", b"null"):
            self.check_error(self.daemon.call("PATCH", self.path(webhook), body), 400,
                             "invalid_request")
        self.assertEqual(self.daemon.webhook(webhook), webhook)
        self.check_error(self.daemon.call("PATCH", "/v1/webhooks/wh_none", {"name": "x"}), 404,
                         "not_found")

    def test_in_force_in_every_instance_within_a_second(self):
        """URL, filter, headers, format and older signature; whoever accepts and delivers."""
        for _ in range(2):
            self.start_daemon(**self.settings())
        webhook = self.subscribe("/one", event_types=["order.created"])
        self.send(*range(30))
        self.settle()
        self.assertEqual(len(self.received("/one")), 30)
        self.receiver.rule("/two", secret=webhook["secret"], keep=True)
        self.daemons[1].patch(webhook, url=self.receiver.url("/two"), event_types=["order.paid"],
                              headers={"x-key": "new"}, format="raw",
                              signature_header={"name": "X-Old", "format": "hex"})
        self.in_force()
        for daemon in self.daemons:
            self.assertEqual(daemon.webhook(webhook)["event_types"], ["order.paid"])
        self.send(*range(100, 130))
        self.send(*range(200, 230), type="order.paid")
        self.settle()
        self.assertEqual(len(self.received("/one")), 30)
        requests = self.receiver.requests("/two")
        self.assert_clean(requests)
        self.assertEqual(sorted(r.id for r in requests), ["e{}".format(n) for n in range(200, 230)])
        key = signing.key_of(webhook["secret"])
        for request in requests:
            self.assertEqual(request.headers["x-key"], "new")
            self.assertEqual(request.headers["x-old"], signing.body_hex(key, request.body))
            self.assertIn("n", json.loads(request.body))

    def test_changes_at_several_instances_at_once_are_all_kept(self):
        for _ in range(2):
            self.start_daemon(**self.settings())
        webhook = self.create()
        members = [("name", "n"), ("subject", "s"), ("max_in_flight", 5), ("rate_limit", 7),
                   ("level", "progress"), ("format", "raw")]

        def change(n):
            return self.daemons[n % 3].patch(webhook, **dict([members[n]]))

        with concurrent.futures.ThreadPoolExecutor(len(members)) as pool:
            list(pool.map(change, range(len(members))))
        seen = self.daemon.webhook(webhook)
        self.assertEqual({name: seen[name] for name, _ in members}, dict(members))

    def test_limits_can_be_changed(self):
        webhook = self.subscribe(max_in_flight=2, rule={"hang": True})
        self.send(*range(40))
        self.wait_until(lambda: self.receiver.counts()["open"] == 2, 10, "two are in flight")
        self.daemon.patch(webhook, max_in_flight=6)
        self.wait_until(lambda: self.receiver.counts()["open"] == 6, 5,
                        lambda: "six are in flight: {}".format(self.receiver.counts()))
        self.daemon.patch(webhook, max_in_flight=3, rate_limit=10)
        self.in_force()
        self.receiver.rule("/hook", secret=webhook["secret"])
        self.receiver.answer_all()
        self.arrived(40)
        times = sorted(r.at for r in self.receiver.requests())[6:]
        self.assertGreaterEqual(times[-1] - times[0], (len(times) - 10) / 10 * 0.8)

    def test_last_delivery_at_is_absent_until_the_first(self):
        webhook = self.subscribe()
        self.assertNotIn("last_delivery_at", self.daemon.webhook(webhook))
        self.send(1)
        self.settle()
        self.assertRegex(self.daemon.webhook(webhook)["last_delivery_at"], TIME)


class Pausing(WebhookCase):
    def settings(self):
        return {"retry_schedule": "300ms,300ms", "disable_after": 2}

    def test_what_comes_meanwhile_waits_and_is_delivered_after(self):
        webhook = self.subscribe()
        other = self.start_daemon(**self.settings())
        paused = other.patch(webhook, status="paused")
        self.assertEqual(paused["status"], "paused")
        self.in_force()
        self.send(*range(50))
        self.assertEqual(len(self.daemon.deliveries(status="pending")), 50)
        self.daemon.terminate()  # it outlives a restart
        self.daemon.start()
        self.send(*range(50, 60))
        self.assertEqual(len(self.daemon.deliveries(status="pending")), 60)
        self.assertEqual(self.daemon.metric("hookwheel_webhooks", status="paused"), 1)
        self.assertEqual(self.receiver.count(), 0)
        resumed = self.daemon.patch(webhook, status="active")
        self.assertEqual(resumed["status"], "active")
        self.wait_delivery(self.daemon, "delivered", n=60)
        self.arrived(60)

    def test_due_retries_wait_too(self):
        webhook = self.subscribe(rule={"statuses": [500, 204]})
        self.send(*range(10))
        self.wait_requests(self.receiver, 10, 10)
        self.daemon.patch(webhook, status="paused")
        self.wait_until(lambda: not self.daemon.deliveries(status="failed")
                        and not self.daemon.deliveries(status="delivering"), 10,
                        lambda: "the retries are due: {}".format(self.daemon.deliveries()))
        n_sent = self.receiver.count()
        waiting = self.daemon.deliveries(status="pending")
        self.assertEqual(len(waiting), 20 - n_sent)
        self.in_force()
        self.assertEqual(self.receiver.count(), n_sent)
        self.daemon.patch(webhook, status="active")
        self.arrived(20)
        self.assertEqual(len(self.daemon.deliveries(status="delivered")), 10)

    def test_again_and_again_under_load_at_three_instances(self):
        """Nothing is lost, nothing comes twice."""
        for _ in range(2):
            self.start_daemon(**self.settings())
        n_events = 2000
        webhook = self.subscribe(rule={"delay_s": 0.005}, max_in_flight=30)
        self.redis.add_many([event(n, id="e{}".format(n)) for n in range(n_events)])
        for turn in range(6):
            daemon = self.daemons[turn % 3]
            daemon.patch(webhook, status="paused")
            self.redis.add_many([event(id="t{}_{}".format(turn, n)) for n in range(50)])
            daemon.patch(webhook, status="active")
            self.wait_requests(self.receiver, n_events * turn // 8, 30)
        self.wait_requests(self.receiver, n_events + 300, 60)
        self.settle()
        self.assertEqual(len(self.arrived(n_events + 300)), n_events + 300)
        self.assertEqual(len({r.id for r in self.receiver.requests()}), n_events + 300)

    def test_disabled_can_be_made_active_but_not_paused(self):
        webhook = self.subscribe(rule={"status": 500})
        for n in range(2):
            self.send(n)
            self.wait_delivery(self.daemon, "dead_letter", event_id="e{}".format(n))
        self.wait_until(lambda: self.daemon.webhook(webhook)["status"] == "disabled", 5,
                        "it is disabled")
        self.check_error(self.daemon.call("PATCH", self.path(webhook), {"status": "paused"}), 409,
                         "conflict")
        self.check_error(self.daemon.call("POST", self.path(webhook, "/test")), 409, "conflict")
        self.daemon.patch(webhook, name="still disabled")
        self.assertEqual(self.daemon.webhook(webhook)["status"], "disabled")
        self.send(7)
        self.receiver.rule("/hook", secret=webhook["secret"])
        active = self.daemon.patch(webhook, status="active")
        expected = {"status": "active", "consecutive_failures": 0, "disabled_at": None,
                    "disabled_reason": None, "disabled_cursor": None}
        for seen in (active, self.daemon.webhook(webhook)):
            self.assertEqual({name: seen[name] for name in expected}, expected)
        self.send(8)
        self.wait_delivery(self.daemon, "delivered", event_id="e8")
        self.assertEqual(self.daemon.deliveries(event_id="e7"), [])
        self.assertEqual(self.daemon.metric("hookwheel_webhooks", status="active"), 1)
        self.receiver.rule("/hook", secret=webhook["secret"], status=500)
        self.send(9)
        self.wait_delivery(self.daemon, "dead_letter", event_id="e9")
        seen = self.daemon.webhook(webhook)
        self.assertEqual((seen["status"], seen["consecutive_failures"]), ("active", 1))

    def test_active_on_an_active_one_keeps_its_count(self):
        webhook = self.subscribe(rule={"status": 500})
        self.send(1)
        self.wait_delivery(self.daemon, "dead_letter")
        for status in ("active", "paused", "paused", "active"):
            self.assertEqual(self.daemon.patch(webhook, status=status)["status"], status)
        self.assertEqual(self.daemon.webhook(webhook)["consecutive_failures"], 1)


class Deleting(WebhookCase):
    def settings(self):
        return {"retry_schedule": "1h"}

    def test_what_waits_ends_as_webhook_deleted(self):
        webhook = self.subscribe(rule={"status": 500})
        self.send(*range(5))
        self.wait_delivery(self.daemon, "failed", n=5)
        self.daemon.patch(webhook, status="paused")
        self.in_force()
        self.send(*range(5, 40))
        self.assertEqual(len(self.daemon.deliveries(status="pending")), 35)
        reply = self.daemon.call("DELETE", self.path(webhook))
        self.assertEqual((reply.status, reply.body), (204, b""))
        dead = self.wait_delivery(self.daemon, "dead_letter", n=40, webhook_id=webhook["id"])
        self.assertEqual({d["error"]["kind"] for d in dead}, {"webhook_deleted"})
        self.check_error(self.daemon.call("GET", self.path(webhook)), 404, "not_found")
        for more, body in (("/test", None), ("/rotate-secret", {}),
                           ("/recover", {"since": "2020-01-01T00:00:00Z"})):
            self.check_error(self.daemon.call("POST", self.path(webhook, more), body), 404,
                             "not_found")
        self.send(99)
        self.assertEqual(self.daemon.deliveries(event_id="e99"), [])
        self.assertEqual(self.receiver.count(), 5)
        self.assertEqual(self.daemon.metric("hookwheel_deliveries_dropped_total",
                                            reason="webhook_deleted"), 40)


    def test_under_load_at_three_instances(self):
        """Each ends delivered or as a dead letter, and none stays where it was."""
        for _ in range(2):
            self.start_daemon(**self.settings())
        n_events = 1500
        webhook = self.subscribe(rule={"delay_s": 0.01})
        self.redis.add_many([event(n, id="e{}".format(n)) for n in range(n_events)])
        self.wait_accepted()
        self.wait_requests(self.receiver, 100, 20)
        self.daemons[1].expect(204, "DELETE", self.path(webhook))
        self.wait_until(lambda: self.n_finished(webhook) == n_events, 30,
                        lambda: "{} are finished".format(self.n_finished(webhook)))
        self.settle()
        dead = self.daemon.deliveries(webhook_id=webhook["id"], status="dead_letter")
        self.assertEqual({d["error"]["kind"] for d in dead}, {"webhook_deleted"})
        requests = self.receiver.requests()
        self.assert_clean(requests)
        self.assertEqual(len(requests), n_events - len(dead))

    def n_finished(self, webhook):
        return sum(len(self.daemon.deliveries(webhook_id=webhook["id"], status=status))
                   for status in ("delivered", "dead_letter"))


class Rotating(WebhookCase):
    def setUp(self):
        super().setUp()
        self.webhook = self.subscribe(rule={"keep": True})
        self.n = 0

    def rotate(self, **body):
        answer = self.daemon.expect(200, "POST", self.path(self.webhook, "/rotate-secret"), body)
        self.assertEqual(answer["object"], "signing_secret")
        self.assertEqual(sorted(answer), ["object", "previous_valid_until", "secret"])
        return answer

    def signatures(self):
        """Of the next event's request: what it carries, and what each secret would make of it."""
        self.n += 1
        self.send(self.n)
        request = self.arrived(self.n)[-1]

        def by(secret):
            return signing.signature(signing.key_of(secret), request.id,
                                     request.headers["webhook-timestamp"], request.body)

        return request.headers["webhook-signature"].split(" "), by

    def test_both_sign_during_the_overlap_and_never_more_than_two(self):
        first = self.webhook["secret"]
        now = time.time()
        answer = self.rotate()
        second = answer["secret"]
        self.assertNotEqual(second, first)
        self.assertAlmostEqual(seconds_of(answer["previous_valid_until"]), now + 86400, delta=30)
        self.receiver.rule("/hook", secret=second, keep=True)
        carried, by = self.signatures()
        self.assertEqual(carried, [by(second), by(first)])
        third = signing.make_secret()
        self.assertEqual(self.rotate(secret=third)["secret"], third)
        carried, by = self.signatures()
        self.assertEqual(carried, [by(third), by(second)])
        self.daemon.terminate()
        self.daemon.start()
        carried, by = self.signatures()
        self.assertEqual(carried, [by(third), by(second)])
        reply = self.daemon.call("GET", self.path(self.webhook))
        for secret in (first, second, third):
            self.assertNotIn(secret[len("whsec_"):].encode(), reply.body)

    def test_after_the_overlap_only_the_new_one(self):
        first = self.webhook["secret"]
        answer = self.rotate(overlap_seconds=2)
        until = seconds_of(answer["previous_valid_until"])
        second = answer["secret"]
        self.receiver.rule("/hook", secret=second, keep=True)
        if time.time() < until - 1:  # else this machine is too slow to see it
            carried, by = self.signatures()
            self.assertEqual(carried, [by(second), by(first)])
        self.wait_until(lambda: time.time() > until, 5, "the overlap has passed")
        carried, by = self.signatures()
        self.assertEqual(carried, [by(second)])
        third = self.rotate(overlap_seconds=0)["secret"]
        self.receiver.rule("/hook", secret=third, keep=True)
        carried, by = self.signatures()
        self.assertEqual(carried, [by(third)])

    def test_every_request_can_be_verified_while_it_happens(self):
        """By one who knows the old secret only: the receiver, throughout."""
        self.start_daemon(**self.settings())
        self.receiver.rule("/hook", secret=self.webhook["secret"], delay_s=0.002)
        self.redis.add_many([event(n) for n in range(600)])
        self.wait_requests(self.receiver, 100, 20)
        self.rotate()
        self.redis.add_many([event(n) for n in range(600)])
        self.arrived(1200)

    def test_bounds(self):
        path = self.path(self.webhook, "/rotate-secret")
        for name, value in (("overlap_seconds", -1), ("overlap_seconds", 604801),
                            ("overlap_seconds", 1.5), ("overlap_seconds", "1"),
                            ("secret", "abc"), ("secret", 7), ("secret", "whsec_c2hvcnQ="),
                            ("surprise", 1)):
            with self.subTest("{}={!r}".format(name, value)):
                self.check_error(self.daemon.call("POST", path, {name: value}), 400,
                                 "invalid_request", name)
        carried, by = self.signatures()
        self.assertEqual(carried, [by(self.webhook["secret"])])
        self.rotate(overlap_seconds=604800)
        self.check_error(self.daemon.call("POST", "/v1/webhooks/wh_none/rotate-secret", {}), 404,
                         "not_found")


class Testing(WebhookCase):
    def test_arrives_there_and_nowhere_else(self):
        webhook = self.subscribe(rule={"keep": True}, event_types=["order.paid"], subject="s1")
        self.subscribe("/named", event_types=["webhook.test"])
        self.subscribe("/all")
        answer = self.daemon.expect(202, "POST", self.path(webhook, "/test"))
        self.assertEqual((answer["object"], answer["webhook_id"], answer["event_type"]),
                         ("delivery", webhook["id"], "webhook.test"))
        delivered, = self.wait_delivery(self.daemon, "delivered", webhook_id=webhook["id"])
        self.assertEqual((delivered["id"], delivered["event_id"]),
                         (answer["id"], answer["event_id"]))
        request, = self.arrived(1)
        self.assertEqual((request.path, request.id, request.delivery),
                         ("/hook", answer["event_id"], answer["id"]))
        record = json.loads(request.body)
        self.assertEqual((record["type"], record["id"], record["account"]),
                         ("webhook.test", answer["event_id"], "default"))
        whole = self.daemon.delivery(answer["id"])
        self.assertEqual(whole["request"]["headers"]["webhook-id"], request.id)
        self.assertEqual(len(whole["attempt_log"]), 1)

    def test_retried_and_counted_like_any_other(self):
        webhook = self.subscribe(rule={"status": 500})
        self.daemon.expect(202, "POST", self.path(webhook, "/test"))
        dead, = self.wait_delivery(self.daemon, "dead_letter")
        self.assertEqual(dead["error"]["kind"], "http_status")

    def test_paused_one_gets_it_when_resumed(self):
        webhook = self.subscribe()
        self.daemon.patch(webhook, status="paused")
        self.in_force()
        answer = self.daemon.expect(202, "POST", self.path(webhook, "/test"))
        self.assertEqual(self.daemon.delivery(answer["id"])["status"], "pending")
        self.daemon.patch(webhook, status="active")
        self.wait_delivery(self.daemon, "delivered")


class Recovering(WebhookCase):
    def settings(self):
        return {"retry_schedule": "50ms", "disable_after": 8}

    def die(self, webhook, *numbers):
        self.receiver.rule("/hook", secret=webhook["secret"], status=500)
        self.send(*numbers)
        for n in numbers:
            self.wait_delivery(self.daemon, "dead_letter", event_id="e{}".format(n))

    def recover(self, webhook, **body):
        answer = self.daemon.expect(202, "POST", self.path(webhook, "/recover"), body)
        self.assertEqual(list(answer), ["count"])
        return answer["count"]

    def created_at(self, event_id):
        return self.daemon.deliveries(event_id=event_id)[0]["created_at"]

    def test_dead_letters_of_a_time_range(self):
        webhook = self.subscribe()
        self.die(webhook, 0)
        self.die(webhook, 1, 2, 3)
        self.die(webhook, 4)
        self.receiver.rule("/hook", secret=webhook["secret"])
        self.assertLess(self.created_at("e0"), self.created_at("e1"))
        count = self.recover(webhook, since=self.created_at("e1"), until=self.created_at("e4"))
        self.assertEqual(count, 3)
        delivered = self.wait_delivery(self.daemon, "delivered", n=3)
        self.assertEqual({d["event_id"] for d in delivered}, {"e1", "e2", "e3"})
        self.assertEqual({d["attempts"] for d in delivered}, {3})
        dead = self.daemon.deliveries(status="dead_letter")
        self.assertEqual({d["event_id"] for d in dead}, {"e0", "e4"})
        self.assertEqual(self.recover(webhook, since="2020-01-01T00:00:00Z"), 2)
        self.wait_delivery(self.daemon, "delivered", n=5)
        self.assertEqual(self.recover(webhook, since="2020-01-01T00:00:00Z"), 0)
        self.arrived(15)
        self.assertEqual(self.daemon.metric("hookwheel_retries_scheduled"), 0)

    def test_never_counted_towards_disabling(self):
        webhook = self.subscribe()
        self.die(webhook, *range(7))
        self.assertEqual(self.daemon.webhook(webhook)["consecutive_failures"], 7)
        self.assertEqual(self.recover(webhook, since="2020-01-01T00:00:00Z"), 7)
        self.wait_until(lambda: [d["attempts"] for d in
                                 self.daemon.deliveries(status="dead_letter")] == [4] * 7, 10,
                        lambda: "the whole schedule again: {}".format(self.daemon.deliveries()))
        seen = self.daemon.webhook(webhook)
        self.assertEqual((seen["status"], seen["consecutive_failures"]), ("active", 7))
        self.receiver.rule("/hook", secret=webhook["secret"])
        self.assertEqual(self.recover(webhook, since="2020-01-01T00:00:00Z"), 7)
        self.wait_delivery(self.daemon, "delivered", n=7)
        self.assertEqual(self.daemon.webhook(webhook)["consecutive_failures"], 0)

    def test_many(self):
        """More than one batch; each again exactly once."""
        webhook = self.subscribe(rule={"status": 410})
        self.daemon.patch(webhook, status="paused")
        self.in_force()
        self.send(*range(700))
        self.daemon.patch(webhook, status="active")
        self.wait_delivery(self.daemon, "dead_letter", n=700)
        self.wait_settled(self.daemon)
        self.receiver.rule("/hook", secret=webhook["secret"])
        self.check_error(self.daemon.call("POST", self.path(webhook, "/recover"),
                                          {"since": "2020-01-01T00:00:00Z"}), 409, "conflict")
        self.daemon.patch(webhook, status="active")
        self.assertEqual(self.recover(webhook, since="2020-01-01T00:00:00Z"), 700)
        self.wait_delivery(self.daemon, "delivered", n=700)
        self.wait_settled(self.daemon)
        delivered = [r.id for r in self.receiver.requests() if r.status == 204]
        self.assertEqual(sorted(delivered), sorted("e{}".format(n) for n in range(700)))

    def test_it_outlives_a_crash(self):
        webhook = self.subscribe()
        self.die(webhook, *range(5))
        self.receiver.rule("/hook", secret=webhook["secret"], hang=True)
        self.assertEqual(self.recover(webhook, since="2020-01-01T00:00:00Z"), 5)
        self.daemon.kill_hard()
        self.receiver.rule("/hook", secret=webhook["secret"])
        self.daemon.start()
        delivered = self.wait_delivery(self.daemon, "delivered", n=5)
        self.assertEqual({d["attempts"] for d in delivered}, {3})

    def test_bad_ranges(self):
        webhook = self.subscribe()
        for body, field in (({}, "since"), ({"since": None}, "since"), ({"since": 7}, "since"),
                            ({"since": "yesterday"}, "since"),
                            ({"since": "2020-01-01T00:00:00Z", "until": "now"}, "until"),
                            ({"since": "2020-01-01T00:00:00Z", "surprise": 1}, "surprise")):
            with self.subTest(body):
                self.check_error(self.daemon.call("POST", self.path(webhook, "/recover"), body),
                                 400, "invalid_request", field)
        self.assertEqual(self.recover(webhook, since="2020-01-01T00:00:00Z"), 0)


class Once(WebhookCase):
    """Idempotency-Key."""

    def post(self, key, daemon=None, path="/v1/webhooks", token=None, **members):
        body = dict({"url": URL}, **members) if path == "/v1/webhooks" else members
        more = {"token": token} if token else {}
        return (daemon or self.daemon).call("POST", path, body,
                                            headers={"idempotency-key": key}, **more)

    def webhooks(self, **query):
        return self.daemon.expect(200, "GET", asked("/v1/webhooks", query))["data"]

    def check_replayed(self, reply, first):
        self.assertEqual((reply.status, reply.body), (first.status, first.body))
        self.assertEqual(reply.headers["idempotency-replayed"], "true")

    def test_same_key_and_body_gives_the_same_answer(self):
        other = self.start_daemon(**self.settings())
        keys_before = set(self.redis.call("KEYS", "*"))
        first = self.post("k1", name="one")
        self.assertEqual(first.status, 201)
        self.assertIsNone(first.headers["idempotency-replayed"])
        self.check_replayed(self.post("k1", name="one"), first)
        self.check_replayed(self.post("k1", other, name="one"), first)
        ends = [self.redis.call("PTTL", key)
                for key in set(self.redis.call("KEYS", "*")) - keys_before]
        self.assertEqual([end for end in ends if 86300e3 < end <= 86400e3],
                         [end for end in ends if end > 0])
        self.assertTrue(any(end > 0 for end in ends))
        self.daemon.terminate()
        self.daemon.start()
        self.check_replayed(self.post("k1", name="one"), first)
        self.daemon.expect(204, "DELETE", self.path(first.json()))
        self.check_replayed(self.post("k1", name="one"), first)
        self.assertEqual(self.webhooks(), [])

    def test_other_body_is_a_conflict(self):
        self.assertEqual(self.post("k1", name="one").status, 201)
        self.check_error(self.post("k1", name="two"), 409, "idempotency_conflict")
        spaced = self.daemon.call("POST", "/v1/webhooks", b'{"url": "%s","name":"one"}'
                                  % URL.encode(), headers={"idempotency-key": "k1"})
        self.check_error(spaced, 409, "idempotency_conflict")
        self.assertEqual(len(self.webhooks()), 1)

    def test_it_is_per_account_and_route(self):
        one, two = (self.daemon.issue(account, "webhooks:manage", "events:write")
                    for account in ("acct_1", "acct_2"))
        replies = [self.post("k1", token=one), self.post("k1", token=two), self.post("k1")]
        self.assertEqual([r.status for r in replies], [201] * 3)
        self.assertEqual(len({r.json()["id"] for r in replies}), 3)
        sent = self.post("k1", path="/v1/events", token=one, type="a.b", payload=1)
        self.assertEqual(sent.status, 202)
        self.assertIsNone(sent.headers["idempotency-replayed"])
        self.check_replayed(self.post("k1", token=two), replies[1])

    def test_only_what_succeeded_is_kept(self):
        self.check_error(self.post("k1", name=7), 400, "invalid_request", "name")
        self.assertEqual(self.post("k1").status, 201)
        for _ in range(9):
            self.create()
        self.check_error(self.post("k2"), 409, "limit_exceeded")
        self.daemon.expect(204, "DELETE", self.path(self.webhooks()[0]))
        self.assertEqual(self.post("k2").status, 201)

    def check_at_once(self, daemons):
        for turn in range(3):
            key = "at once {}".format(turn)

            def post(n):
                return self.post(key, daemons[n % len(daemons)], account="a{}".format(turn))

            with concurrent.futures.ThreadPoolExecutor(24) as pool:
                replies = list(pool.map(post, range(24)))
            made = [r for r in replies if r.status == 201]
            fresh = [r for r in made if r.headers["idempotency-replayed"] is None]
            self.assertEqual(len(fresh), 1)
            self.assertEqual({r.body for r in made}, {fresh[0].body})
            for reply in replies:
                if reply.status != 201:
                    self.check_error(reply, 409, "conflict")
            self.assertEqual(len(self.webhooks(account="a{}".format(turn))), 1)
            self.check_replayed(post(0), fresh[0])

    def test_many_at_once_create_one(self):
        self.check_at_once([self.daemon])

    def test_many_at_once_at_two_instances_create_one(self):
        self.check_at_once([self.daemon, self.start_daemon(**self.settings())])

    def test_bad_keys(self):
        for key in ("", "k" * 256, "caf\u00e9".encode("latin-1"), "a\tb"):
            with self.subTest(key):
                self.check_error(self.post(key), 400, "invalid_request")
        self.assertEqual(self.post("k" * 255).status, 201)
        self.assertEqual(self.post("~ !").status, 201)


class Closed(WebhookCase):
    """An endpoint on a network that is opened no more."""

    def test_webhook_made_before_can_still_be_changed(self):
        webhook = self.subscribe()
        self.daemon.terminate()
        closed = self.start_daemon(**dict(self.settings(), allow_networks=None))
        self.assertEqual(closed.patch(webhook, name="x")["name"], "x")
        self.redis.add(event(1))
        dead, = self.wait_delivery(closed, "dead_letter")
        self.assertEqual(dead["error"]["kind"], "refused_address")


if __name__ == "__main__":
    unittest.main()
