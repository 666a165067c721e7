"""The API: shapes, errors, limits, paging."""

import concurrent.futures
import json
import socket
import unittest

from kit import signing
from kit.api import BAD_URLS, TIME, ApiCase
from kit.case import event


class Webhooks(ApiCase):
    def test_object_with_defaults(self):
        created = self.create()
        secret = created.pop("secret")
        self.assertGreaterEqual(len(signing.key_of(secret)), 24)
        self.assertRegex(created["id"], "^wh_[A-Za-z0-9]+$")
        self.assertRegex(created["created_at"], TIME)
        self.assertEqual(created["created_at"], created["updated_at"])
        fixed = {name: created[name] for name in created
                 if name not in ("id", "created_at", "updated_at")}
        self.assertEqual(fixed, {
            "object": "webhook", "account": "default", "name": None,
            "url": "https://localhost:9000/a", "event_types": None, "subject": None,
            "level": "user", "include_raw": False, "format": "record", "headers": {},
            "signature_header": None, "has_secret": True, "max_in_flight": 64,
            "rate_limit": None, "status": "active", "consecutive_failures": 0,
            "disabled_at": None, "disabled_reason": None, "disabled_cursor": None})
        self.assertEqual(self.daemon.webhook(created), created)
        self.assertEqual(self.daemon.expect(200, "GET", "/v1/webhooks")["data"], [created])

    def test_object_with_everything(self):
        members = {
            "account": "acct_1", "name": "Orders", "url": "https://localhost:9000/x?y=1",
            "event_types": ["order.paid", "webhook.disabled"], "subject": "sess 9",
            "level": "progress", "include_raw": True, "format": "raw",
            "headers": {"X-Key": "hidden", "x-two": "hidden too"}, "max_in_flight": 3,
            "signature_header": {"name": "X-Sig", "format": "sha256=hex"}, "rate_limit": 100,
            "secret": signing.make_secret()}
        created = self.create(**members)
        expected = dict(members, headers={"x-key": "***", "x-two": "***"})
        created["headers"] = {name.lower(): value for name, value in created["headers"].items()}
        for name, value in expected.items():
            self.assertEqual(created[name], value, name)
        seen = self.daemon.webhook(created)
        self.assertNotIn("secret", seen)
        self.assertNotIn("hidden", json.dumps(seen))

    def test_bad_members(self):
        good = "https://localhost:9000/a"
        cases = [
            ("url", None), ("url", ""), ("url", 7), ("name", ""), ("name", 7), ("name", "a\nb"),
            ("event_types", []), ("event_types", "order.paid"), ("event_types", ["a b"]),
            ("event_types", ["webhook.other"]), ("subject", ""), ("subject", "caf\u00e9"),
            ("level", "debug"), ("include_raw", "yes"), ("format", "xml"), ("headers", []),
            ("headers", {"content-type": "x"}), ("headers", {"webhook-id": "x"}),
            ("headers", {"X-Hookwheel-Attempt": "9"}), ("headers", {"te": "x"}),
            ("headers", {"proxy-x": "x"}), ("headers", {"a b": "x"}), ("headers", {"a": "b\r\nc: d"}),
            ("headers", {"a": "x" * 4096}), ("headers", {str(n): "x" for n in range(21)}),
            ("signature_header", {"name": "X"}), ("signature_header", {"format": "hex"}),
            ("signature_header", {"name": "host", "format": "hex"}),
            ("secret", "whsec_c2hvcnQ="), ("secret", "abc"), ("secret", "whsec_" + "!" * 44),
            ("max_in_flight", 0), ("max_in_flight", 1.5), ("max_in_flight", 10001),
            ("rate_limit", 0), ("account", "a b"), ("account", ""), ("surprise", 1),
        ]
        for name, value in cases:
            with self.subTest("{}={!r}".format(name, value)):
                body = {"url": good, name: value}
                self.check_error(self.daemon.call("POST", "/v1/webhooks", body), 400,
                                 "invalid_request", name)
        self.check_error(self.daemon.call("POST", "/v1/webhooks", {}), 400, "invalid_request",
                         "url")
        self.assertEqual(self.daemon.expect(200, "GET", "/v1/webhooks")["data"], [])

    def test_bad_bodies(self):
        cases = [b"", b"[]", b"{", b'{"url":1} x', b'"url"', b"null", b"\xff",
                 b'{"name":"\xff","url":"https://localhost:9000/"}',
                 b'{"url":"https://localhost:9000/","url":"https://localhost:9000/"}',
                 b'{"name":' + b"[" * 65 + b"]" * 65 + b"}"]
        for body in cases:
            with self.subTest(body[:40]):
                self.check_error(self.daemon.call("POST", "/v1/webhooks", body), 400,
                                 "invalid_request")
        good = b'{"url":"https://localhost:9000/"}'
        self.check_error(self.daemon.call("POST", "/v1/webhooks", good,
                                          headers={"content-type": "text/plain"}),
                         415, "unsupported_media_type")
        large = b'{"name":"' + b"x" * 1024 * 1024 + b'"}'
        self.check_error(self.daemon.call("POST", "/v1/webhooks", large), 413,
                         "payload_too_large")

    def test_bad_urls(self):
        for url in BAD_URLS:
            with self.subTest(url[:60]):
                self.check_error(self.daemon.call("POST", "/v1/webhooks", {"url": url}), 400,
                                 "invalid_request", "url")

    def test_good_urls_in_canonical_form(self):
        cases = {
            "HTTPS://LocalHost:9000": "https://localhost:9000/",
            "https://a.Example:443/x": "https://a.example/x",
            "https://a_b.example/?q=1": "https://a_b.example/?q=1",
            "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example/",
            "https://8.8.8.8/": "https://8.8.8.8/",
            "https://127.0.0.1:9000/": "https://127.0.0.1:9000/",
            "https://[::1]:9000/": "https://[::1]:9000/",
            "https://[2606:4700:0:0::1111]/": "https://[2606:4700::1111]/",
        }
        for account, (url, canonical) in enumerate(cases.items()):
            with self.subTest(url):
                created = self.create(url=url, account="a{}".format(account))
                self.assertEqual(created["url"], canonical)

    def test_limit_of_ten_under_concurrent_creates(self):
        body = {"url": "https://localhost:9000/"}
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(lambda _: self.daemon.call("POST", "/v1/webhooks", body),
                                    range(20)))
        self.assertEqual(sorted(r.status for r in replies), [201] * 10 + [409] * 10)
        refused = [r for r in replies if r.status == 409][0]
        error = self.check_error(refused, 409, "limit_exceeded")
        self.assertEqual(error["details"]["limit"], 10)
        self.create(account="other")
        first = self.daemon.expect(200, "GET", "/v1/webhooks")["data"][0]
        self.daemon.expect(204, "DELETE", "/v1/webhooks/" + first["id"])
        self.create()

    def test_list(self):
        made = [self.create(subject="s{}".format(n % 2))["id"] for n in range(5)]
        self.create(account="other")
        newest_first = made[::-1]
        listed = self.daemon.expect(200, "GET", "/v1/webhooks")
        self.assertEqual([w["id"] for w in listed["data"]], newest_first)
        self.assertEqual((listed["has_more"], listed["next_cursor"]), (False, None))
        found = self.daemon.expect(200, "GET", "/v1/webhooks?subject=s0")["data"]
        self.assertEqual([w["id"] for w in found], newest_first[0::2])
        self.assertEqual(self.daemon.expect(200, "GET", "/v1/webhooks?status=paused")["data"], [])
        found = self.daemon.expect(200, "GET", "/v1/webhooks?account=other")["data"]
        self.assertEqual(len(found), 1)

    def test_pages(self):
        ids = [self.create()["id"] for _ in range(7)][::-1]
        page = self.daemon.expect(200, "GET", "/v1/webhooks?limit=3")
        self.assertEqual([w["id"] for w in page["data"]], ids[:3])
        self.assertTrue(page["has_more"])
        second = self.daemon.expect(200, "GET",
                                    "/v1/webhooks?limit=3&cursor=" + page["next_cursor"])
        self.assertEqual([w["id"] for w in second["data"]], ids[3:6])
        last = self.daemon.expect(200, "GET",
                                  "/v1/webhooks?limit=3&cursor=" + second["next_cursor"])
        self.assertEqual([w["id"] for w in last["data"]], ids[6:])
        self.assertFalse(last["has_more"])
        back = self.daemon.expect(200, "GET",
                                  "/v1/webhooks?limit=3&cursor=" + second["prev_cursor"])
        self.assertEqual([w["id"] for w in back["data"]], ids[:3])

    def test_bad_queries(self):
        cursor = None
        for n in range(3):
            self.create()
        cursor = self.daemon.expect(200, "GET", "/v1/webhooks?limit=1")["next_cursor"]
        flipped = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
        for query, field in (("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"),
                             ("limit=", "limit"), ("cursor=!", "cursor"), ("cursor=abc", "cursor"),
                             ("cursor=" + flipped, "cursor"), ("surprise=1", "surprise"),
                             ("limit=1&limit=2", "limit"), ("status=odd", "status"),
                             ("account=a%20b", "account")):
            with self.subTest(query):
                self.check_error(self.daemon.call("GET", "/v1/webhooks?" + query), 400,
                                 "invalid_request", field)
        self.check_error(self.daemon.call("GET", "/v1/deliveries?cursor=" + cursor), 400,
                         "invalid_request", "cursor")

    def test_get_and_delete(self):
        webhook = self.create()
        path = "/v1/webhooks/" + webhook["id"]
        reply = self.daemon.call("DELETE", path)
        self.assertEqual((reply.status, reply.body), (204, b""))
        for method in ("GET", "DELETE"):
            self.check_error(self.daemon.call(method, path), 404, "not_found")
        self.check_error(self.daemon.call("GET", "/v1/webhooks/wh_none"), 404, "not_found")
        self.check_error(self.daemon.call("GET", path + "?x=1"), 400, "invalid_request", "x")


class Access(ApiCase):
    def test_tokens(self):
        for token in (None, "wrong-token-of-the-tests", ""):
            self.check_error(self.daemon.call("GET", "/v1/webhooks", token=token), 401,
                             "unauthorized")
        for value in ("Basic cm9vdA==", "Bearer", "bearer"):
            self.check_error(self.daemon.call("GET", "/v1/webhooks", token=None,
                                              headers={"authorization": value}), 401,
                             "unauthorized")

    def test_paths_and_methods(self):
        self.check_error(self.daemon.call("GET", "/v1/nothing"), 404, "not_found")
        self.check_error(self.daemon.call("GET", "/"), 404, "not_found")
        reply = self.daemon.call("PUT", "/v1/webhooks")
        self.check_error(reply, 405, "method_not_allowed")
        self.assertIn("POST", reply.headers["allow"])
        self.assertIn("GET", reply.headers["allow"])

    def raw(self, data, n_bytes=65536):
        """What comes back for bytes of our own, until the connection is closed."""
        host, _, port = self.daemon.addresses["api"].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while len(received) < n_bytes:
                try:
                    chunk = connection.recv(65536)
                except ConnectionResetError:
                    break
                if not chunk:
                    break
                received += chunk
        return received

    def test_head_that_is_too_large(self):
        many = b"".join(b"x-%d: y\r\n" % n for n in range(101))
        for fields in (b"x: " + b"y" * 17000 + b"\r\n", many):
            answer = self.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + fields + b"\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 431 "), answer[:100])

    def test_requests_that_are_none(self):
        for data in (b"hello\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n", b"GET /healthz HTTP/1.1\r\n\r\n",
                     b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
                     b"POST /v1/webhooks HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n"
                     b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"):
            answer = self.raw(data)
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), (data, answer[:100]))
        self.assertEqual(self.daemon.call("GET", "/healthz", token=None).status, 200)

    def test_pipelined_requests_are_answered_in_order(self):
        request = b"GET %s HTTP/1.1\r\nhost: x\r\nauthorization: Bearer root-token-of-the-tests\r\n\r\n"
        answer = self.raw(request % b"/v1/webhooks" + request % b"/healthz" + request % b"/nothing")
        statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
        self.assertEqual(statuses, [b"200", b"200", b"404"])

    def test_half_a_request_and_byte_by_byte(self):
        self.assertEqual(self.raw(b"GET /healthz HT")[:12] in (b"", b"HTTP/1.1 400"), True)
        host, _, port = self.daemon.addresses["api"].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n":
                connection.sendall(bytes([at]))
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 200 "))


class Deliveries(ApiCase):
    def settings(self):
        return {"retry_schedule": "1h", "disable_after": 0}

    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()

    def test_object(self):
        webhook = self.subscribe("/hook", rule={"status": 200, "body": "thanks", "keep": True,
                                                "headers": {"X-Answer": "yes"}},
                                 headers={"x-key": "hidden"})
        self.redis.add(event(1, id="e1", subject="s1"))
        listed, = self.wait_delivery(self.daemon, "delivered")
        for name in ("created_at", "updated_at", "last_attempt_at"):
            self.assertRegex(listed[name], TIME)
        self.assertRegex(listed["id"], "^dlv_[a-z0-9]+$")
        self.assertTrue(listed["cursor"])
        fixed = {name: value for name, value in listed.items()
                 if name not in ("id", "cursor", "created_at", "updated_at", "last_attempt_at")}
        self.assertEqual(fixed, {
            "object": "delivery", "account": "default", "webhook_id": webhook["id"],
            "event_id": "e1", "event_type": "order.created", "subject": "s1",
            "status": "delivered", "attempts": 1, "next_attempt_at": None, "response_code": 200,
            "error": None})

        whole = self.daemon.delivery(listed["id"])
        attempt, = whole.pop("attempt_log")
        request = whole.pop("request")
        self.assertEqual(whole, listed)
        self.assertRegex(attempt.pop("started_at"), TIME)
        self.assertTrue(0 <= attempt.pop("duration_ms") < 5000)
        self.assertEqual(sorted(attempt.pop("phases")),
                         ["connect_ms", "dns_ms", "first_byte_ms", "tls_ms"])
        self.assertRegex(attempt.pop("tls_version"), r"1\.[23]")
        self.assertIn("127.0.0.1", attempt.pop("address"))
        headers = attempt.pop("response_headers")
        self.assertEqual((headers["x-answer"], headers["content-length"]), ("yes", "6"))
        self.assertEqual(attempt, {"number": 1, "reused": False, "response_code": 200,
                                   "response_body": "thanks", "error": None})
        sent, = self.receiver.requests()
        self.assertEqual(request["body"], sent.body.decode())
        self.assertEqual(request["headers"]["webhook-id"], "e1")
        self.assertEqual(request["headers"]["x-key"], "***")
        self.assertNotIn("webhook-signature", request["headers"])

    def test_filters_and_states(self):
        good = self.subscribe("/good")
        bad = self.subscribe("/bad", rule={"status": 500})
        self.subscribe("/slow", rule={"hang": True}, max_in_flight=1)
        self.redis.add_many([event(n, id="e{}".format(n), subject="s{}".format(n % 2))
                             for n in range(4)])
        self.wait_delivery(self.daemon, "delivered", n=4)
        self.wait_delivery(self.daemon, "failed", n=4)
        self.wait_delivery(self.daemon, "delivering", n=4)  # one under way, three next in line
        found = self.daemon.deliveries(webhook_id=good["id"])
        self.assertEqual([d["event_id"] for d in found], ["e3", "e2", "e1", "e0"])
        self.assertEqual(len(self.daemon.deliveries()), 12)
        self.assertEqual({d["webhook_id"] for d in self.daemon.deliveries(status="failed")},
                         {bad["id"]})
        self.assertEqual(len(self.daemon.deliveries(event_id="e2")), 3)
        self.assertEqual(len(self.daemon.deliveries(subject="s1")), 6)
        self.assertEqual(len(self.daemon.deliveries(subject="s1", webhook_id=bad["id"])), 2)
        self.assertEqual(len(self.daemon.deliveries(since="2020-01-01T00:00:00Z")), 12)
        self.assertEqual(self.daemon.deliveries(until="2020-01-01T00:00:00Z"), [])
        self.assertEqual(self.daemon.deliveries(account="other"), [])
        failed = self.daemon.deliveries(status="failed")[0]
        self.assertRegex(failed["next_attempt_at"], TIME)
        self.receiver.rule("/slow")
        self.receiver.answer_all()

    def test_pages_both_ways(self):
        self.subscribe("/one")
        self.subscribe("/two")
        self.redis.add_many([event(n) for n in range(130)])
        self.wait_delivery(self.daemon, "delivered", n=260)
        pages, cursor = [], None
        while True:
            page = self.daemon.expect(200, "GET", "/v1/deliveries?limit=50" + (
                "&cursor=" + cursor if cursor else ""))
            pages.append(page)
            cursor = page["next_cursor"]
            if not page["has_more"]:
                break
        ids = [[d["id"] for d in page["data"]] for page in pages]
        self.assertEqual([len(page) for page in ids], [50] * 5 + [10])
        self.assertEqual(len({one for page in ids for one in page}), 260)
        times = [d["created_at"] for page in pages for d in page["data"]]
        self.assertEqual(times, sorted(times, reverse=True))
        back = self.daemon.expect(200, "GET",
                                  "/v1/deliveries?limit=50&cursor=" + pages[2]["prev_cursor"])
        self.assertEqual([d["id"] for d in back["data"]], ids[1])

    def test_unknown_ones(self):
        for one in ("dlv_none", "dlv_" + "0" * 17, "x"):
            self.check_error(self.daemon.call("GET", "/v1/deliveries/" + one), 404, "not_found")
        self.check_error(self.daemon.call("GET", "/v1/deliveries?status=odd"), 400,
                         "invalid_request", "status")
        self.check_error(self.daemon.call("GET", "/v1/deliveries?since=now"), 400,
                         "invalid_request", "since")

    def test_rate_of_a_webhook(self):
        """Ten a second: 30 take two seconds or more."""
        self.subscribe("/hook", rate_limit=10)
        self.redis.add_many([event(n) for n in range(30)])
        self.wait_requests(self.receiver, 30, 15)
        times = [r.at for r in self.receiver.requests()]
        self.assertGreaterEqual(times[-1] - times[0], 1.8)


class LargePayloads(ApiCase):
    def settings(self):
        return {"max_payload": "16MiB"}

    def test_a_delivery_of_the_largest_shows_its_body(self):
        """A quote is two bytes of the payload, and four of the answer's text."""
        self.receiver = self.start_receiver()
        self.subscribe()
        payload = '"' + '\\"' * (8 * 1024 * 1024 - 1) + '"'
        self.redis.add({"type": "order.created", "payload": payload})
        delivery, = self.wait_delivery(self.daemon, "delivered")
        body = self.daemon.delivery(delivery["id"])["request"]["body"]
        self.assertTrue(body.endswith(',"data":' + payload + "}"))


if __name__ == "__main__":
    unittest.main()
