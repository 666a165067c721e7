"""The server: HTTP as it comes, slow clients, many connections, and Redis away."""

import json
import signal
import socket
import threading
import time
import unittest

from kit.api import SCOPES, ApiCase, Plain, head
from kit.case import SANITIZED, SCALE, event, scaled
from kit.daemon import TOKEN

GOOD = b'{"type":"a","payload":1}'

# Every path of the API, and what it allows.
ALLOWED = {
    "/healthz": "GET", "/readyz": "GET", "/metrics": "GET", "/v1/openapi.yaml": "GET",
    "/v1/tokens": "GET POST", "/v1/tokens/tok_none": "DELETE", "/v1/event-types": "GET",
    "/v1/event-types/a.b": "GET PUT DELETE", "/v1/webhooks": "GET POST",
    "/v1/webhooks/wh_none": "GET PATCH DELETE", "/v1/webhooks/wh_none/rotate-secret": "POST",
    "/v1/webhooks/wh_none/test": "POST", "/v1/webhooks/wh_none/recover": "POST",
    "/v1/deliveries": "GET", "/v1/deliveries/dlv_none": "GET",
    "/v1/deliveries/dlv_none/redeliver": "POST", "/v1/events": "POST",
}


def code_of(answer):
    return json.loads(answer.body)["error"]["code"]


def chunked(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class ServiceCase(ApiCase):
    def plain(self, **more):
        connection = Plain(self.daemon, **more)
        self.addCleanup(connection.socket.close)
        return connection

    def accepted(self):
        return self.daemon.metric("hookwheel_events_accepted_total")


class Messages(ServiceCase):
    def test_many_requests_on_one_connection(self):
        connection = self.plain()
        for n in range(100):
            connection.ask("GET", "/v1/webhooks")
            self.assertEqual(connection.answer().status, 200)
            connection.ask("POST", "/v1/events", GOOD)
            self.assertEqual(connection.answer().status, 202)
            connection.ask("GET", "/v1/webhooks/wh_none")  # an error leaves it open too
            self.assertEqual(connection.answer().status, 404)
        connection.send(head("GET", "/v1/webhooks", ["connection: close"]))
        answer = connection.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
        self.assertTrue(connection.is_closed())

    def test_http_1_0(self):
        connection = self.plain()
        connection.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        self.assertEqual(connection.answer().status, 200)
        self.assertTrue(connection.is_closed())

    def test_pipelined_with_bodies(self):
        """Answered one by one, in the order they came, whatever each takes."""
        connection = self.plain()
        requests = b""
        for n in range(50):
            body = b'{"type":"a","payload":%d,"id":"e%d"}' % (n, n)
            requests += head("POST", "/v1/events", ["content-length: {}".format(len(body))]) + body
            requests += head("GET", "/healthz", token=None)
            requests += head("POST", "/v1/events", ["transfer-encoding: chunked"]) + chunked(b"{}")
        connection.send(requests)
        for n in range(50):
            answer = connection.answer()
            self.assertEqual((answer.status, json.loads(answer.body)),
                             (202, {"data": [{"id": "e{}".format(n)}]}))
            self.assertEqual(connection.answer().status, 200)
            self.assertEqual(connection.answer().status, 400)
        self.wait_accepted()
        self.assertEqual(self.accepted(), 50)

    def test_head_is_a_get_without_the_body(self):
        webhook = self.create()
        connection = self.plain()
        for path in ("/v1/webhooks", "/v1/webhooks/" + webhook["id"], "/v1/webhooks/wh_none",
                     "/healthz", "/v1/openapi.yaml"):
            connection.ask("GET", path)
            whole = connection.answer()
            connection.ask("HEAD", path)
            bare = connection.answer(has_body=False)
            self.assertEqual(bare.status, whole.status, path)
            for name in ("content-length", "content-type"):
                self.assertEqual(bare.headers[name], whole.headers[name], path)
        self.check_error(self.daemon.call("GET", "/v1/webhooks/wh_none"), 404, "not_found")
        self.assertEqual(self.daemon.call("HEAD", "/v1/webhooks", token=None).status, 401)

    def test_what_each_path_allows(self):
        for path, methods in ALLOWED.items():
            allowed = set(methods.split()) | {"OPTIONS"}
            if "GET" in allowed:
                allowed.add("HEAD")
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
                with self.subTest("{} {}".format(method, path)):
                    reply = self.daemon.call(method, path)
                    if method == "OPTIONS":
                        self.assertEqual((reply.status, reply.body), (204, b""))
                    elif method not in allowed:
                        self.assertEqual(reply.status, 405)
                        if method != "HEAD":
                            self.check_error(reply, 405, "method_not_allowed")
                    else:
                        self.assertNotEqual(reply.status, 405)
                        continue
                    self.assertEqual(set(reply.headers["allow"].split(", ")), allowed)

    def test_paths_that_are_none(self):
        for path in ("/", "/v1", "/v1/", "/v1/webhooks/", "/v1/webhooks/a/b", "/v2/webhooks",
                     "/V1/webhooks", "//v1/webhooks", "/v1/webhooks/../webhooks", "/v1/deliver"):
            for method in ("GET", "POST", "OPTIONS"):
                with self.subTest("{} {}".format(method, path)):
                    self.assertEqual(self.daemon.call(method, path).status, 404)

    def test_chunked_bodies(self):
        connection = self.plain()
        for text in (chunked(GOOD), chunked(GOOD[:3], GOOD[3:]),
                     chunked(*[bytes([one]) for one in GOOD]),
                     b"18;name=value\r\n" + GOOD + b"\r\n0\r\n\r\n",
                     b"018\r\n" + GOOD + b"\r\n0\r\nx-trailer: y\r\n\r\n"):
            self.assertEqual(len(GOOD), 0x18)
            connection.send(head("POST", "/v1/events", ["transfer-encoding: chunked"]) + text)
            answer = connection.answer()
            self.assertEqual(answer.status, 202, answer.body)
        connection.send(head("POST", "/v1/events", ["transfer-encoding: chunked"]))
        for one in chunked(GOOD):  # a segment a byte
            connection.send(bytes([one]))
        self.assertEqual(connection.answer().status, 202)
        connection.send(head("POST", "/v1/events", ["transfer-encoding: chunked"]) + b"xyz\r\n")
        answer = connection.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (400, "close"))
        self.assertTrue(connection.is_closed())
        self.wait_accepted()
        self.assertEqual(self.accepted(), 6)

    def test_expect_100_continue(self):
        connection = self.plain()
        fields = ["expect: 100-continue", "content-length: {}".format(len(GOOD))]
        for _ in range(2):
            connection.send(head("POST", "/v1/events", fields))
            self.assertEqual(connection.answer(has_body=False).status, 100)
            connection.send(GOOD)
            self.assertEqual(connection.answer().status, 202)
        connection.send(head("POST", "/v1/events", fields) + GOOD)  # without waiting for it
        statuses = [connection.answer(has_body=False).status]
        answer = connection.answer() if statuses == [100] else None
        self.assertTrue(answer is None or answer.status == 202)
        self.assertIn(statuses[0], (100, 202))

    def test_no_continue_for_what_is_refused_anyway(self):
        for fields, token, path, status in (
                (["content-length: 8388609"], TOKEN, "/v1/events", 413),
                (["content-length: 24"], None, "/v1/events", 401),
                (["content-length: 24"], TOKEN, "/v1/nothing", 404)):
            with self.subTest(status):
                connection = self.plain()
                connection.send(head("POST", path, ["expect: 100-continue", *fields], token))
                self.assertEqual(connection.answer().status, status)

    def test_too_large_is_said_before_the_end(self):
        for path, limit in (("/v1/webhooks", 1048576), ("/v1/event-types/a.b", 1048576),
                            ("/v1/events", 8388608)):
            method = "PUT" if "types" in path else "POST"
            with self.subTest("length of " + path):
                connection = self.plain()
                connection.send(head(method, path, ["content-length: {}".format(limit + 1)])
                                + b"{" * 1000)
                answer = connection.answer()
                self.assertEqual((answer.status, code_of(answer)), (413, "payload_too_large"))
                self.assertEqual(answer.headers["connection"], "close")
            with self.subTest("chunks of " + path):
                connection = self.plain(timeout_s=30)
                connection.send(head(method, path, ["transfer-encoding: chunked"]))
                threading.Thread(target=self.pour, args=(connection, limit + 65536),
                                 daemon=True).start()
                answer = connection.answer()
                self.assertEqual((answer.status, code_of(answer)), (413, "payload_too_large"))
                self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(self.daemon.call("GET", "/v1/webhooks").status, 200)

    def pour(self, connection, n_bytes):
        """Chunks of spaces and never the last one."""
        part = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        try:
            for _ in range(n_bytes // 0x8000 + 1):
                connection.send(part)
        except OSError:
            pass  # it was told so before the end

    def test_exactly_the_limits(self):
        body = b'{"url":"https://localhost:9000/"' + b" " * (1048576 - 33) + b"}"
        self.assertEqual(len(body), 1048576)
        self.assertEqual(self.daemon.call("POST", "/v1/webhooks", body).status, 201)
        connection = self.plain()
        fields = ["x-{}: y".format(n) for n in range(97)]  # and host, type, token
        connection.send(head("GET", "/v1/webhooks", fields))
        self.assertEqual(connection.answer().status, 200)
        connection.send(head("GET", "/v1/webhooks", ["x: " + "y" * 16000]))
        self.assertEqual(connection.answer().status, 200)
        connection.send(head("GET", "/v1/webhooks", fields + ["x-97: y"]))
        answer = connection.answer()
        self.assertEqual((answer.status, code_of(answer)), (431, "header_too_large"))
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(connection.is_closed())

    def test_media_types(self):
        url = b'{"url":"https://localhost:9000/"}'
        for value in ("application/json", "Application/JSON", "application/json; charset=utf-8",
                      "application/json ;x=y"):
            with self.subTest(value):
                self.assertEqual(self.daemon.call("POST", "/v1/webhooks", url,
                                                  headers={"content-type": value}).status, 201)
        for method, path in (("POST", "/v1/webhooks"), ("PATCH", "/v1/webhooks/wh_none"),
                             ("POST", "/v1/tokens"), ("PUT", "/v1/event-types/a.b"),
                             ("POST", "/v1/events"),
                             ("POST", "/v1/webhooks/wh_none/rotate-secret"),
                             ("POST", "/v1/webhooks/wh_none/recover")):
            for value in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx",
                          "text/json", ""):
                with self.subTest("{} {} of {!r}".format(method, path, value)):
                    reply = self.daemon.call(method, path, url, headers={"content-type": value})
                    self.check_error(reply, 415, "unsupported_media_type")

    def test_requests_are_counted_by_route(self):
        def count(route, status):
            try:
                return self.daemon.metric("hookwheel_http_requests_total", route=route,
                                          status=str(status))
            except KeyError:
                return 0

        webhook = self.create()
        for _ in range(3):
            self.daemon.webhook(webhook)
            self.daemon.call("GET", "/v1/webhooks/wh_none")
            self.daemon.call("GET", "/v1/secret-path")
        found = [key for key in self.daemon.metrics().samples
                 if key[0] == "hookwheel_http_requests_total"]
        routes = {dict(labels)["route"] for _, labels in found}
        route = [one for one in routes if "webhooks/" in one and "PATCH" not in one
                 and "/test" not in one and "GET" in one]
        self.assertEqual(len(route), 1, routes)
        self.assertEqual((count(route[0], 200), count(route[0], 404)), (3, 3))
        self.assertNotIn("secret-path", str(routes))


class Slow(ServiceCase):
    """A client that sends a byte a second, or reads nothing."""

    N = 40

    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()

    def test_changes_neither_deliveries_nor_the_api_and_is_cut_off(self):
        webhook = self.subscribe()
        for _ in range(9):
            self.create()
        began = time.monotonic()
        slow = [self.plain(timeout_s=60) for _ in range(self.N)]
        deaf = [self.plain(timeout_s=60, receive_buffer=4096) for _ in range(self.N)]
        stop = threading.Event()
        dripping = threading.Thread(target=self.drip, args=(slow, stop))
        dripping.start()
        for connection in deaf:
            self.pipeline(connection)
        try:
            n_events = scaled(500)
            self.redis.add_many([event(n) for n in range(n_events)])
            times = []
            for _ in range(100):
                asked = time.monotonic()
                self.assertEqual(self.daemon.call("GET", "/v1/webhooks").status, 200)
                times.append(time.monotonic() - asked)
            self.wait_delivery(self.daemon, "delivered", n=n_events, deadline_s=10,
                               webhook_id=webhook["id"])
            self.assert_clean(self.receiver.requests())
            self.assertLess(time.monotonic() - began, 25)
            self.assertLess(sorted(times)[95], 0.5 if SANITIZED else 0.05)
            for connection in slow:
                self.assertTrue(connection.is_closed())
        finally:
            stop.set()
            dripping.join()
        self.assertLess(time.monotonic() - began, 40)
        print("p95 of GET /v1/webhooks {:.1f} ms beside {} slow clients".format(
            sorted(times)[95] * 1000, 2 * self.N))
        # Those that read nothing have had more written for them than any buffer holds.
        for connection in deaf:
            self.wait_until(lambda: self.is_reset(connection), 40, "the deaf are cut off")

    def drip(self, connections, stop):
        text = head("POST", "/v1/events", ["content-length: 24"])
        for at in range(len(text)):
            for connection in connections:
                try:
                    connection.send(text[at:at + 1])
                except OSError:
                    pass  # cut off
            if stop.wait(1):
                return

    def pipeline(self, connection):
        """So many requests that the answers fit nowhere; as many as are taken."""
        connection.socket.setblocking(False)
        request = head("GET", "/v1/webhooks?limit=200")
        try:
            for _ in range(20000):
                connection.socket.send(request * 20)
        except BlockingIOError:
            pass
        connection.socket.settimeout(60)

    def is_reset(self, connection):
        """Has the other side closed?  What it sent is left unread."""
        error = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            return True
        info = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return info[0] != 1  # TCP_ESTABLISHED


class Load(ServiceCase):
    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()

    def test_lists_while_delivering_at_full_load(self):
        n_events = scaled(4000 if SANITIZED else 30000)
        self.subscribe()
        self.redis.add_many([event(n) for n in range(n_events)])
        times = []
        while self.receiver.count() < n_events:
            asked = time.monotonic()
            self.assertEqual(self.daemon.call("GET", "/v1/webhooks").status, 200)
            times.append(time.monotonic() - asked)
            self.assertLess(len(times), 100000)
        times.sort()
        p99 = times[len(times) * 99 // 100]
        print("GET /v1/webhooks at full load: {} asked, median {:.1f} ms, p99 {:.1f} ms".format(
            len(times), times[len(times) // 2] * 1000, p99 * 1000))
        if SCALE == 1:
            self.assertLess(p99, 1 if SANITIZED else 0.05)


class Connections(ServiceCase):
    def settings(self):
        return {"api_max_connections": 20}

    def test_beyond_the_most_the_longest_at_rest_go(self):
        resting = [self.plain() for _ in range(60)]
        self.assertEqual(self.daemon.call("GET", "/v1/webhooks").status, 200)
        self.wait_until(lambda: self.n_open() <= 21, 5, "the others are closed")
        for connection in resting[:30]:
            self.assertTrue(connection.is_closed())
        resting[-1].ask("GET", "/v1/webhooks")
        self.assertEqual(resting[-1].answer().status, 200)

    def n_open(self):
        """Sockets of the daemon's that belong to the API's port."""
        port = int(self.daemon.addresses["api"].rpartition(":")[2])
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table][1:]
        return sum(1 for row in rows if int(row[1].split(":")[1], 16) == port and row[3] == "01")


class Leaving(ServiceCase):
    def test_requests_under_way_are_answered(self):
        """Redis stands still for a moment, so that one is certainly under way."""
        resting = self.plain()
        resting.ask("GET", "/healthz")
        self.assertEqual(resting.answer().status, 200)
        under_way = self.plain()
        self.redis.process.send_signal(signal.SIGSTOP)
        try:
            under_way.ask("POST", "/v1/events", GOOD)
            self.daemon.call("GET", "/healthz")  # what came before it has been read
            self.daemon.process.terminate()
            self.wait_until(lambda: self.daemon.events("draining"), 10, "it has been told")
        finally:
            self.redis.process.send_signal(signal.SIGCONT)
        self.assertEqual(under_way.answer().status, 202)
        self.assertTrue(under_way.is_closed())
        self.assertTrue(resting.is_closed())
        self.daemon.wait_exit()
        self.assertEqual(self.redis.length(), 1)


class RedisAway(ServiceCase):
    def setUp(self):
        super().setUp()
        self.receiver = self.start_receiver()
        self.webhook = self.subscribe()
        self.redis.add(event(1))
        self.delivery, = self.wait_delivery(self.daemon, "delivered")
        self.daemon.put_type("order.created")

    def questions(self):
        webhook = "/v1/webhooks/" + self.webhook["id"]
        delivery = "/v1/deliveries/" + self.delivery["id"]
        return [
            ("GET", "/v1/tokens", None, 200),
            ("POST", "/v1/tokens", {"account": "a", "scopes": ["events:write"]}, 201),
            ("DELETE", "/v1/tokens/tok_none", None, 404),
            ("GET", "/v1/event-types", None, 200),
            ("GET", "/v1/event-types/order.created", None, 200),
            ("PUT", "/v1/event-types/a.b", {"group": "g", "description": "d"}, 200),
            ("DELETE", "/v1/event-types/a.b", None, 204),
            ("GET", "/v1/webhooks", None, 200), ("GET", webhook, None, 200),
            ("POST", "/v1/webhooks", {"url": "https://localhost:9000/"}, 201),
            ("PATCH", webhook, {"name": "x"}, 200),
            ("POST", webhook + "/rotate-secret", {"overlap_seconds": 60}, 200),
            ("POST", webhook + "/test", None, 202),
            ("POST", webhook + "/recover", {"since": "2020-01-01T00:00:00Z"}, 202),
            ("GET", "/v1/deliveries", None, 200), ("GET", delivery, None, 200),
            ("POST", delivery + "/redeliver", None, 202),
            ("POST", "/v1/events", {"type": "order.created", "payload": 1}, 202),
            ("DELETE", webhook, None, 204),
        ]

    def test_503_at_once_and_work_again_by_themselves(self):
        token = self.daemon.issue("default", *SCOPES)
        self.redis.kill_hard()
        for method, path, body, _ in self.questions():
            with self.subTest("{} {}".format(method, path)):
                began = time.monotonic()
                reply = self.daemon.call(method, path, body)
                self.assertLess(time.monotonic() - began, 1)
                self.check_error(reply, 503, "unavailable")
        for token, status in ((token, 503), (None, 401)):
            began = time.monotonic()
            self.assertEqual(self.daemon.call("GET", "/v1/webhooks", token=token).status, status)
            self.assertLess(time.monotonic() - began, 1)
        keyed = self.daemon.call("POST", "/v1/webhooks", {"url": "https://localhost:9000/"},
                                 headers={"idempotency-key": "k"})
        self.check_error(keyed, 503, "unavailable")
        self.assertEqual(self.daemon.call("GET", "/healthz", token=None).status, 200)
        self.wait_until(lambda: self.daemon.readiness()[0] == 503, 15, "it is not ready")
        self.redis.start()
        self.daemon.wait_ready()
        self.assertEqual(len(self.daemon.expect(200, "GET", "/v1/webhooks")["data"]), 1)
        for method, path, body, status in self.questions():
            with self.subTest("{} {} again".format(method, path)):
                reply = self.daemon.call(method, path, body)
                self.assertIn(reply.status, (status, 201 if method == "PUT" else status),
                              reply.body)

    def test_a_redis_that_hangs(self):
        """Its connection stands, nothing comes: nobody waits longer than two seconds or so."""
        unknown = "hwt_" + "0" * 64
        waiting = [self.plain() for _ in range(3)]
        self.redis.process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            waiting[0].ask("GET", "/v1/webhooks")
            waiting[1].ask("GET", "/v1/webhooks", token=unknown)
            waiting[2].ask("POST", "/v1/events", GOOD)
            self.assertEqual(self.daemon.call("GET", "/metrics", token=None).status, 200)
            for connection in waiting:
                answer = connection.answer()
                self.assertEqual((answer.status, code_of(answer)), (503, "unavailable"))
            self.assertLess(time.monotonic() - began, 4)
            for token in (TOKEN, unknown):
                began = time.monotonic()
                self.check_error(self.daemon.call("GET", "/v1/webhooks", token=token), 503,
                                 "unavailable")
                self.assertLess(time.monotonic() - began, 1)
            self.assertEqual(self.daemon.call("GET", "/v1/webhooks", token=None).status, 401)
        finally:
            self.redis.process.send_signal(signal.SIGCONT)
        self.wait_until(lambda: self.daemon.call("GET", "/v1/webhooks").status == 200, 10,
                        "it is asked again")
        waiting[0].ask("GET", "/v1/webhooks")  # a whole request was answered: it goes on
        self.assertEqual(waiting[0].answer().status, 200)

    def test_a_redis_that_takes_no_writes(self):
        """Full: what reads goes on, what writes is 503."""
        self.redis.call("CONFIG", "SET", "maxmemory", "1")
        try:
            for method, path, body, status in self.questions():
                if method == "GET":
                    self.assertEqual(self.daemon.call(method, path, body).status, 200, path)
                elif method in ("POST", "PATCH") and "recover" not in path:
                    with self.subTest("{} {}".format(method, path)):
                        self.check_error(self.daemon.call(method, path, body), 503, "unavailable")
        finally:
            self.redis.call("CONFIG", "SET", "maxmemory", "0")
        self.daemon.wait_ready()
        self.assertEqual(self.daemon.webhook(self.webhook)["name"], None)
        self.daemon.patch(self.webhook, name="x")


if __name__ == "__main__":
    unittest.main()
