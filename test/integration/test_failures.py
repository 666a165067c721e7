"""Every way in which an attempt fails, told apart; and what must not count as a failure."""

import socket
import ssl
import unittest

from kit.case import Case, event
from kit.scripted import OK, always, once

PADDING = b"x-padding: " + b"y" * 1000 + b"\r\n"


class FailureCase(Case):
    def setUp(self):
        super().setUp()
        self.start_redis()
        self.hosts = self.path("hosts")
        with open(self.hosts, "w", encoding="ascii") as file:
            file.write("127.0.0.1 localhost one.example.test other.name.test\n"
                       "10.1.2.3 private.example.test\n"
                       "169.254.169.254 metadata.example.test\n")
        self.daemon = self.start_daemon(hosts_file=self.hosts, **self.settings())

    def settings(self):
        return {"retry_schedule": "1h", "timeout": "5s"}

    def outcome(self, url, status="failed", **fields):
        """Of one event for a webhook with this URL: (delivery, its last attempt)."""
        webhook = self.daemon.create_webhook(url)
        self.redis.add(event(1, **fields))
        delivery, = self.wait_delivery(self.daemon, status, webhook_id=webhook["id"])
        self.daemon.expect(204, "DELETE", "/v1/webhooks/" + webhook["id"])
        return delivery, self.whole["attempt_log"][-1]

    def wait_delivery(self, daemon, status, *args, **query):
        found = super().wait_delivery(daemon, status, *args, **query)
        self.whole = daemon.delivery(found[0]["id"])
        return found

    def check_failure(self, receiver, kind, words=".", phase=None, code=None):
        url = receiver if isinstance(receiver, str) else receiver.url()
        delivery, attempt = self.outcome(url)
        self.assertEqual(delivery["error"]["kind"], kind, delivery)
        self.assertEqual(attempt["error"], delivery["error"])
        if phase is not None:
            self.assertEqual(delivery["error"].get("phase"), phase, delivery)
        self.assertEqual(delivery["response_code"], code, delivery)
        self.assertRegex(delivery["error"]["message"].lower(), words)
        return attempt


class Answers(FailureCase):
    def test_status_codes(self):
        receiver = self.start_receiver()
        for code in (199 + 101, 304, 400, 401, 404, 418, 500, 502, 599):
            receiver.rule(status=code)
            self.check_failure(receiver, "http_status", code=code)

    def test_redirects_are_never_followed(self):
        receiver = self.start_receiver()
        for code in (301, 302, 303, 307, 308):
            receiver.rule(status=code, headers={"location": receiver.url("/elsewhere")})
            self.check_failure(receiver, "http_status", code=code)
        self.assertEqual(receiver.requests("/elsewhere"), [])

    def test_what_is_no_http(self):
        answers = {
            "garbage": b"220 mail.example.test ESMTP\r\n\r\n",
            "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n"
                                   b"connection: upgrade\r\n\r\n",
            "version 2": b"HTTP/2.0 200 OK\r\n\r\n",
            "version 0.9": b"hello\r\n",
            "status of two digits": b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
            "head over 16 KiB": b"HTTP/1.1 200 OK\r\n" + PADDING * 17 + b"\r\n",
            "over 100 fields": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 101 + b"\r\n",
            "nine interim answers": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9 + OK,
            "field without a name": b"HTTP/1.1 200 OK\r\n: y\r\n\r\n",
            "space before the colon": b"HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
            "a NUL": b"HTTP/1.1 200 OK\r\nx: \0\r\n\r\n",
            "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            "no length": b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "half a head": b"HTTP/1.1 200 OK\r\nx: y",
        }
        for name, answer in answers.items():
            with self.subTest(name):
                self.check_failure(self.start_scripted(once(answer)), "protocol")

    def test_byte_by_byte_is_judged_alike(self):
        def script(connection):
            connection.read_request()
            connection.drip(answer)

        for answer, kind in ((b"HTTP/1.1 200 OK\r\nx : y\r\n\r\n", "protocol"),
                             (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", "http_status")):
            self.check_failure(self.start_scripted(script), kind,
                               code=503 if kind == "http_status" else None)
        answer = b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
        self.outcome(self.start_scripted(script).url(), "delivered")

    def test_what_is_still_a_success(self):
        """A 2xx line and a whole head: nothing that follows matters."""
        answers = {
            "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
            "no reason": b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
            "any 2xx": b"HTTP/1.1 299 Whatever\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
            "eight interim answers": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 8 + OK,
            "chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "broken chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "closed in the body": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello",
            "100 fields": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + b"x: y\r\n" * 99 + b"\r\n",
            "head of 15 KiB": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + PADDING * 15 + b"\r\n",
            "said to be compressed": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n"
                                     b"content-length: 5\r\n\r\nhello",
        }
        for name, answer in answers.items():
            with self.subTest(name):
                delivery, attempt = self.outcome(self.start_scripted(once(answer)).url(),
                                                 "delivered")
                self.assertIsNone(delivery["error"])
                self.assertIsNone(attempt["error"])

    def test_endless_body_holds_nothing(self):
        def script(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.send(b"x" * 65536)

        receiver = self.start_scripted(script)
        self.outcome(receiver.url(), "delivered")
        self.wait_until(lambda: receiver.errors, 20, "the connection is closed")

    def test_body_that_never_comes_holds_no_slot(self):
        """A success, and its slot free, though the announced body stays away."""
        def script(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nab")
            connection.wait_for_close()

        receiver = self.start_scripted(script)
        self.daemon.create_webhook(receiver.url(), max_in_flight=1)
        self.redis.add_many([event(n) for n in range(2)])
        self.wait_delivery(self.daemon, "delivered", n=2, deadline_s=15)

    def test_response_is_kept_up_to_4_kib(self):
        body = b"z" * 5000
        answer = b"HTTP/1.1 500 No\r\nx-a: 1\r\nX-A: 2\r\ncontent-length: 5000\r\n\r\n" + body
        attempt = self.check_failure(self.start_scripted(always(answer)), "http_status", code=500)
        self.assertEqual(attempt["response_body"], "z" * 4096)
        self.assertEqual(attempt["response_headers"]["x-a"], "1, 2")

    def test_response_that_is_no_text(self):
        answer = b"HTTP/1.1 500 No\r\ncontent-length: 3\r\n\r\n\xff\x00a"
        attempt = self.check_failure(self.start_scripted(always(answer)), "http_status", code=500)
        self.assertTrue(attempt["response_body"].endswith("a"))


class Connecting(FailureCase):
    def settings(self):
        return {"retry_schedule": "1h", "timeout": "1s"}

    def test_nobody_listens(self):
        receiver = self.start_scripted(None)
        url = receiver.url()
        receiver.listener.close()
        self.check_failure(url, "connect", "refused")

    def test_closed_before_an_answer(self):
        """On a fresh connection there is nothing to be stale: it is a failure."""
        def script(connection):
            connection.read_request()

        receiver = self.start_scripted(script)
        delivery, _ = self.outcome(receiver.url())
        self.assertIn(delivery["error"]["kind"], ("connect", "protocol"))
        self.assertEqual(len(receiver.requests), 1)

    def test_reset_before_an_answer(self):
        def script(connection):
            connection.read_request()
            connection.reset()

        delivery, _ = self.outcome(self.start_scripted(script).url())
        self.assertIn(delivery["error"]["kind"], ("connect", "protocol"))

    def test_reset_in_the_handshake(self):
        def script(connection):
            connection.raw.recv(100)
            connection.reset()

        delivery, _ = self.outcome(self.start_scripted(script, certificate=None).url())
        self.assertIn(delivery["error"]["kind"], ("connect", "tls"))

    def test_refused_addresses(self):
        for name in ("private.example.test", "metadata.example.test"):
            self.check_failure("https://{}:8443/".format(name), "refused_address")
        self.assertEqual(
            self.daemon.metric("hookwheel_attempts_total", result="refused_address"), 2)

    def test_metadata_address_needs_an_entry_of_its_own(self):
        self.daemon.terminate()
        self.daemon = self.start_daemon(hosts_file=self.hosts, allow_networks="0.0.0.0/0",
                                        **self.settings())
        self.check_failure("https://metadata.example.test:8443/", "refused_address")

    def test_unknown_name(self):
        self.check_failure("https://nowhere.invalid/", "dns")


class Timeouts(FailureCase):
    def settings(self):
        return {"retry_schedule": "1h", "timeout": "1s", "max_payload": "4MiB"}

    def check_timeout(self, receiver, phase, **fields):
        delivery, attempt = self.outcome(receiver.url(), **fields)
        self.assertEqual((delivery["error"]["kind"], delivery["error"]["phase"]),
                         ("timeout", phase), delivery["error"])
        self.assertTrue(1000 <= attempt["duration_ms"] <= 1300, attempt)

    def test_while_connecting(self):
        """Behind a full backlog a connection is neither taken nor refused."""
        receiver = self.start_scripted(None, backlog=0, host="127.0.0.1")
        for _ in range(4):
            filler = socket.socket()
            self.addCleanup(filler.close)
            filler.settimeout(0.3)
            try:
                filler.connect(("127.0.0.1", receiver.port))
            except socket.timeout:
                break
            except OSError as error:
                self.skipTest("this system refuses what is beyond the backlog: {}".format(error))
        self.check_timeout(receiver, "connect")

    def test_in_the_handshake(self):
        def script(connection):
            connection.wait_for_close()

        self.check_timeout(self.start_scripted(script, certificate=None), "tls")

    def test_while_sending(self):
        def script(connection):
            connection.wait(10)

        receiver = self.start_scripted(script, receive_buffer=4096)
        self.check_timeout(receiver, "send", payload='"{}"'.format("x" * 3500000))

    def test_waiting_for_the_answer(self):
        def script(connection):
            connection.read_request()
            connection.wait_for_close()

        self.check_timeout(self.start_scripted(script), "response")

    def test_slot_is_free_again(self):
        """Ten hanging ones after each other through one slot take their second each, no more."""
        def script(connection):
            connection.read_request()
            connection.wait_for_close()

        self.daemon.create_webhook(self.start_scripted(script).url(), max_in_flight=1)
        self.redis.add_many([event(n) for n in range(4)])
        self.wait_delivery(self.daemon, "failed", n=4, deadline_s=8)


class Tls(FailureCase):
    def check_tls(self, certificate, words, host="localhost"):
        receiver = self.start_scripted(always(OK), certificate=certificate, host=host)
        self.check_failure(receiver, "tls", words)
        self.assertEqual(receiver.requests, [])

    def test_expired(self):
        self.check_tls("expired", "expired")

    def test_not_valid_yet(self):
        self.check_tls("future", "future|not yet|not valid")

    def test_other_name(self):
        self.check_tls("wrong_name", "name|match")

    def test_self_signed(self):
        self.check_tls("self_signed", "trusted|self|authority")

    def test_unknown_authority(self):
        self.check_tls("stranger", "trusted|authority")

    def test_address_needs_an_address(self):
        self.check_tls("no_address", "name|match|address", host="127.0.0.1")
        self.outcome(self.start_scripted(always(OK), host="127.0.0.1").url(), "delivered")

    def test_name_among_several_of_one_address(self):
        """one.example.test is covered by the wildcard, other.name.test is not."""
        receiver = self.start_scripted(always(OK), host="one.example.test")
        self.outcome(receiver.url(), "delivered")
        self.check_tls("good", "name|match", host="other.name.test")

    def test_no_tls_at_all(self):
        def script(connection):
            connection.raw.recv(10)
            connection.raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.wait_for_close()

        delivery, _ = self.outcome(self.start_scripted(script, certificate=None).url())
        self.assertEqual(delivery["error"]["kind"], "tls")

    def test_versions(self):
        for version, name in ((ssl.TLSVersion.TLSv1_2, "1.2"), (ssl.TLSVersion.TLSv1_3, "1.3")):
            receiver = self.start_scripted(always(OK))
            receiver.context.minimum_version = receiver.context.maximum_version = version
            _, attempt = self.outcome(receiver.url(), "delivered")
            self.assertIn(name, attempt["tls_version"])

    def test_name_is_sent_and_an_address_is_not(self):
        names = []
        for host in ("localhost", "127.0.0.1"):
            receiver = self.start_scripted(always(OK), host=host)
            receiver.context.sni_callback = lambda _, name, __: names.append(name)
            self.outcome(receiver.url(), "delivered")
        self.assertEqual(names, ["localhost", None])

    def test_sessions_are_resumed(self):
        for version in ("TLSv1_2", "TLSv1_3"):
            before = self.daemon.metric("hookwheel_tls_handshakes_total", kind="resumed")
            receiver = self.start_scripted(once(OK))
            receiver.context.maximum_version = getattr(ssl.TLSVersion, version)
            self.daemon.create_webhook(receiver.url(), max_in_flight=1)
            self.redis.add_many([event(n) for n in range(5)])
            self.wait_until(lambda: len(receiver.requests) == 5, 10, "five requests")
            self.wait_settled(self.daemon)
            after = self.daemon.metric("hookwheel_tls_handshakes_total", kind="resumed")
            self.assertGreaterEqual(after - before, 3, version)
            for webhook in self.daemon.expect(200, "GET", "/v1/webhooks")["data"]:
                self.daemon.expect(204, "DELETE", "/v1/webhooks/" + webhook["id"])


class Reuse(FailureCase):
    """Connections are used again, but only good ones."""

    def send(self, receiver, n_events=2):
        """One after the other, each a success."""
        self.webhook = self.daemon.create_webhook(receiver.url(), max_in_flight=1)
        for n in range(n_events):
            self.redis.add(event(n, id="e{}".format(n)))
            self.wait_delivery(self.daemon, "delivered", event_id="e{}".format(n))
        self.assertEqual(len(self.daemon.deliveries(status="delivered")), n_events)

    def test_once_connected_stays_connected(self):
        receiver = self.start_scripted(always(OK))
        self.send(receiver, 5)
        self.assertEqual(receiver.n_connections, 1)
        attempt, = self.whole["attempt_log"]
        self.assertTrue(attempt["reused"])
        self.assertNotIn("phases", attempt)
        self.assertEqual(self.daemon.metric("hookwheel_connections_reused_total"), 4)
        self.assertEqual(self.daemon.metric("hookwheel_connections_opened_total"), 1)

    def test_phases_of_a_fresh_one(self):
        self.send(self.start_scripted(always(OK)), 1)
        attempt, = self.whole["attempt_log"]
        self.assertFalse(attempt["reused"])
        for name in ("connect_ms", "tls_ms", "first_byte_ms"):
            self.assertGreaterEqual(attempt["phases"][name], 0)

    def check_not_reused(self, answer, script=always):
        receiver = self.start_scripted(script(answer))
        self.send(receiver, 2)
        self.assertEqual(receiver.n_connections, 2)

    def test_not_where_the_server_says_close(self):
        self.check_not_reused(b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 0\r\n\r\n")

    def test_not_with_http_1_0(self):
        self.check_not_reused(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n")

    def test_not_with_bytes_left_over(self):
        self.check_not_reused(OK + b"more")

    def test_not_after_a_broken_body(self):
        self.check_not_reused(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")

    def test_not_after_a_body_over_64_kib(self):
        n_bytes = 100 * 1024
        self.check_not_reused(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % n_bytes
                              + b"x" * n_bytes)

    def test_after_a_body_of_60_kib(self):
        receiver = self.start_scripted(always(b"HTTP/1.1 200 OK\r\ncontent-length: 61440\r\n\r\n"
                                              + b"x" * 61440))
        self.send(receiver, 3)
        self.assertEqual(receiver.n_connections, 1)

    def test_after_a_failure_by_status(self):
        receiver = self.start_scripted(always(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"))
        self.daemon.create_webhook(receiver.url(), max_in_flight=1)
        self.redis.add_many([event(n) for n in range(3)])
        self.wait_delivery(self.daemon, "failed", n=3)
        self.assertEqual(receiver.n_connections, 1)

    def test_one_closed_while_idle_is_noticed(self):
        """FIN and close_notify reach us before the next request: it goes to a fresh one."""
        for ending in ("close", "farewell", "reset"):
            def script(connection, ending=ending):
                connection.read_request()
                connection.send(OK)
                getattr(connection, ending)()

            with self.subTest(ending):
                receiver = self.start_scripted(script)
                webhook = self.daemon.create_webhook(receiver.url(), max_in_flight=1)
                for n in range(3):
                    name = "{}{}".format(ending, n)
                    self.redis.add(event(n, id=name))
                    found = self.wait_delivery(self.daemon, "delivered", event_id=name)
                    self.assertEqual(found[0]["attempts"], 1)
                self.assertEqual(len(receiver.requests), 3)
                self.daemon.expect(204, "DELETE", "/v1/webhooks/" + webhook["id"])

    def test_request_on_a_stale_connection_is_sent_again(self):
        """The server closes it when the second request is on its way: no attempt, no failure."""
        def script(connection):
            connection.read_request()
            connection.send(OK)
            if connection.number == 1:
                connection.read_request()
                return
            while True:
                connection.read_request()
                connection.send(OK)

        receiver = self.start_scripted(script)
        self.send(receiver, 2)
        self.assertEqual([r.attempt for r in receiver.requests], [1, 1, 1])
        self.assertEqual(len({r.headers["webhook-id"] for r in receiver.requests}), 2)
        self.assertEqual(receiver.n_connections, 2)
        attempt, = self.whole["attempt_log"]
        self.assertIsNone(attempt["error"])
        self.assertEqual(self.daemon.metric("hookwheel_attempts_total", result="success"), 2)

    def test_sent_again_once_only(self):
        """Both the stale connection and the fresh one close without a byte: now it is a failure."""
        def script(connection):
            connection.read_request()
            if connection.number == 1:
                connection.send(OK)
                connection.read_request()

        receiver = self.start_scripted(script)
        webhook = self.daemon.create_webhook(receiver.url(), max_in_flight=1)
        self.redis.add(event(1))
        self.wait_delivery(self.daemon, "delivered", webhook_id=webhook["id"])
        self.redis.add(event(2))
        self.wait_delivery(self.daemon, "failed", webhook_id=webhook["id"])
        self.assertEqual(len(receiver.requests), 3)

    def test_half_an_answer_is_never_sent_again(self):
        """One byte of an answer makes it an attempt: the receiver may have acted on it."""
        def script(connection):
            connection.read_request()
            connection.send(OK)
            connection.read_request()
            connection.send(b"H")

        receiver = self.start_scripted(script)
        webhook = self.daemon.create_webhook(receiver.url(), max_in_flight=1)
        self.redis.add(event(1))
        self.wait_delivery(self.daemon, "delivered", webhook_id=webhook["id"])
        self.redis.add(event(2))
        failed, = self.wait_delivery(self.daemon, "failed", webhook_id=webhook["id"])
        self.assertEqual(failed["error"]["kind"], "protocol")
        self.assertEqual(len(receiver.requests), 2)


class Plain(FailureCase):
    def settings(self):
        return {"retry_schedule": "1h", "allow_http_localhost": "1", "allow_networks": None}

    def test_http_to_this_machine(self):
        receiver = self.start_scripted(always(OK), certificate=None)
        for host in ("localhost", "127.0.0.1"):
            self.outcome("http://{}:{}/".format(host, receiver.port), "delivered")
        self.assertEqual(len(receiver.requests), 2)

    def test_opens_nothing_else(self):
        self.check_failure("https://one.example.test:8443/", "refused_address")
        reply = self.daemon.call("POST", "/v1/webhooks", {"url": "https://127.0.0.1:8443/"})
        self.assertEqual(reply.status, 400)
        for url in ("http://127.0.0.2:9000/", "http://one.example.test:9000/"):
            self.assertEqual(self.daemon.call("POST", "/v1/webhooks", {"url": url}).status, 400)


if __name__ == "__main__":
    unittest.main()
