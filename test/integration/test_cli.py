"""The commands: settings that are refused, `send` into a real Redis, `listen` spoken to by hand."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

PROGRAM = str(pathlib.Path(os.environ["HOOKWHEEL_BUILD_DIR"]) / "hookwheel")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DEADLINE_S = 20


def clean_environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("HOOKWHEEL_")}
    return {**env, **more}


def run(*args, stdin="", **env):
    return subprocess.run([PROGRAM, *args], input=stdin, capture_output=True, text=True,
                          timeout=DEADLINE_S, env=clean_environment(**env))


def wait_until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("not within the time: " + what)
        time.sleep(0.02)


class InFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hw-cli-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)


class Calls(InFolder):
    def check_refused(self, result, *words):
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_what_is_set_wrong_is_one_line_and_exit_code_2(self):
        self.check_refused(run("nonsense"), "unknown command")
        self.check_refused(run("serve", "--nonsense"), "unknown flag --nonsense")
        self.check_refused(run("serve", "extra"), "extra")
        self.check_refused(run("serve", HOOKWHEEL_TIMEOUT="soon"), "HOOKWHEEL_TIMEOUT", "soon")
        self.check_refused(run("serve", "--redis-url", "http://x"), "redis_url")
        self.check_refused(run("serve", "--allow-networks", "10.0.0.0/99"), "allow_networks")
        self.check_refused(run("serve", "--api-token", "short"), "api_token")
        self.check_refused(run("serve", "--api-token-file", "/nowhere"), "/nowhere")
        self.check_refused(run("send"), "TYPE")
        self.check_refused(run("send", "not a type", "{}", "--redis-url", "redis://127.0.0.1:1"),
                           "bad_type")
        self.check_refused(run("listen", "--secret", "nonsense"), "whsec_")

    def test_a_port_in_use_is_one_line(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            self.check_refused(run("serve", "--listen", address, "--data-dir", self.path("data"),
                                   "--redis-url", "redis://127.0.0.1:1"), address)

    def test_check_says_yes_and_leaves_nothing_behind(self):
        data = self.path("data")
        result = run("serve", "--check", "--data-dir", data)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertFalse(os.path.exists(data))
        self.check_refused(run("serve", "--check", "--ca-file", "/nowhere"), "/nowhere")

    def test_a_start_that_is_refused_leaves_nothing_behind(self):
        data = self.path("data")
        for flag, value in (("--redis-url", "http://x"), ("--ca-file", "/nowhere"),
                            ("--timeout", "soon"), ("--allow-networks", "10.0.0.0/99")):
            self.check_refused(run("serve", "--data-dir", data, flag, value))
        self.assertFalse(os.path.exists(data))

    def test_secrets_are_not_repeated_in_errors(self):
        result = run("serve", "--redis-url", "redis://user:pa55word@host:notaport/0")
        self.assertEqual(result.returncode, 2)
        self.assertNotIn("pa55word", result.stderr)

    def test_help_and_version(self):
        self.assertRegex(run("version").stdout, r"^hookwheel \d+\.\d+\.\d+\n$")
        for command in ([], ["serve"], ["send"], ["listen"], ["webhooks"], ["deliveries"],
                        ["updates"], ["consumers"], ["tokens"], ["types"], ["completion"]):
            result = run(*command, "--help")
            self.assertEqual(result.returncode, 0)
            self.assertIn("Usage: hookwheel", result.stdout)


class Send(InFolder):
    def setUp(self):
        super().setUp()
        self.socket = self.path("redis.sock")
        self.redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "",
             "--dir", self.folder], stdout=subprocess.DEVNULL)
        self.addCleanup(self.redis.wait)
        self.addCleanup(self.redis.kill)
        wait_until(lambda: self.cli("PING").strip() == "PONG", "redis-server")

    def cli(self, *args):
        return subprocess.run(["redis-cli", "-s", self.socket, *args], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def send(self, *args, **kwargs):
        return run("send", *args, HOOKWHEEL_REDIS_URL="unix://" + self.socket, **kwargs)

    def entries(self):
        reply = json.loads(self.cli("--json", "XRANGE", "hookwheel:events", "-", "+"))
        return [dict(zip(f[::2], f[1::2])) for _, f in reply]

    def test_one_event(self):
        result = self.send("order.created", '{"n": 1.10}', "--account", "acct_1", "--id", "my_1")
        self.assertEqual((result.returncode, result.stdout), (0, "my_1\n"), result.stderr)
        result = self.send("order.paid", "-", stdin="[true]")
        self.assertRegex(result.stdout, r"^evt_[0-9a-z]+\n$")
        self.assertEqual(self.entries(), [
            {"type": "order.created", "payload": '{"n": 1.10}', "account": "acct_1", "id": "my_1"},
            {"type": "order.paid", "payload": "[true]"}])

    def test_a_file_goes_whole_and_in_order(self):
        lines = self.path("events.jsonl")
        with open(lines, "w") as f:
            for i in range(20000):
                f.write('{"type":"a.b","payload":{"i":%d,"pad":"%s"}}\n' % (i, "x" * (i % 900)))
        result = self.send("--file", lines)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("sent 20000 events", result.stdout)
        numbers = [json.loads(e["payload"])["i"] for e in self.entries()]
        self.assertEqual(numbers, list(range(20000)))

    def test_a_bad_line_is_named_and_what_is_before_it_sent(self):
        good = '{"type":"a.b","payload":1}\n'
        result = self.send("--file", "-", stdin=good + good + '{"type":"a b","payload":1}\n' + good)
        self.assertEqual(result.returncode, 1)
        self.assertIn("line 3", result.stderr)
        self.assertIn("bad_type", result.stderr)
        self.assertEqual(self.cli("XLEN", "hookwheel:events").strip(), "2")

    def test_a_full_redis_and_one_that_is_not_there(self):
        self.cli("CONFIG", "SET", "maxmemory", "1")
        result = self.send("a.b")
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))
        self.assertIn("full", result.stderr)
        result = run("send", "a.b", "--redis-url", "redis://127.0.0.1:1")
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))
        result = run("send", "a.b", "--data-dir", self.path("nowhere"))
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))
        self.assertIn("hookwheel serve", result.stderr)


class Listen(InFolder):
    def listen(self, *args):
        """Started and listening; .port is where."""
        receiver = subprocess.Popen([PROGRAM, "listen", "--json", *args], text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    env=clean_environment())
        self.addCleanup(receiver.stdout.close)
        self.addCleanup(receiver.stderr.close)
        self.addCleanup(receiver.wait)
        self.addCleanup(receiver.kill)
        first = receiver.stdout.readline()
        self.assertTrue(first, "the receiver said nothing")
        receiver.port = json.loads(first)["port"]
        return receiver

    def end(self, receiver, code):
        """Its deliveries and its summary."""
        receiver.send_signal(signal.SIGINT)
        out, err = receiver.communicate(timeout=DEADLINE_S)
        self.assertEqual((receiver.returncode, err), (code, ""))
        lines = [json.loads(line) for line in out.splitlines()]
        return lines[:-1], lines[-1]

    def deliver(self, connection, event_id, secret=SECRET, at=None, attempt=1):
        at = str(int(time.time() if at is None else at))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        body = json.dumps({"id": event_id, "type": "a.b", "timestamp": stamp, "account": "default",
                           "level": "user", "data": {}}, separators=(",", ":"))
        key = base64.b64decode(secret[len("whsec_"):])
        digest = hmac.digest(key, f"{event_id}.{at}.{body}".encode(), hashlib.sha256)
        connection.request("POST", "/hooks", body, {
            "content-type": "application/json", "webhook-id": event_id, "webhook-timestamp": at,
            "webhook-signature": "v1,xyz v1," + base64.b64encode(digest).decode(),
            "x-hookwheel-attempt": str(attempt)})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def http(self, receiver):
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=DEADLINE_S)
        self.addCleanup(connection.close)
        return connection

    def test_signatures_and_duplicates_are_told(self):
        receiver = self.listen("--http", "--secret", SECRET)
        c = self.http(receiver)
        self.assertEqual(self.deliver(c, "evt_1"), 204)
        self.assertEqual(self.deliver(c, "evt_1"), 204)
        self.assertEqual(self.deliver(c, "evt_2", secret="whsec_" + "B" * 32), 401)
        self.assertEqual(self.deliver(c, "evt_3", at=time.time() - 3600), 401)
        lines, summary = self.end(receiver, 1)
        self.assertEqual([line["signature"] for line in lines], ["good", "good", "bad", "bad"])
        self.assertEqual((summary["requests"], summary["events"], summary["duplicates"],
                          summary["bad_signatures"]), (4, 1, 1, 2))

    def test_the_first_tries_fail_and_until_ends_it(self):
        receiver = self.listen("--http", "--fail-first", "2", "--until", "2", "--quiet")
        c = self.http(receiver)
        for event_id in ("evt_1", "evt_2"):
            answers = [self.deliver(c, event_id, attempt=n) for n in (1, 2, 3)]
            self.assertEqual(answers, [503, 503, 204])
        summary = json.loads(receiver.communicate(timeout=DEADLINE_S)[0])
        self.assertEqual(receiver.returncode, 0)
        self.assertEqual((summary["requests"], summary["events"], summary["retries"]), (6, 2, 4))

    def test_https_with_a_certificate_to_trust_and_a_secret_that_comes_later(self):
        receiver = self.listen("--cert-out", self.path("cert.pem"), "--secret-file",
                               self.path("secret"), "--status", "201")
        context = ssl.create_default_context(cafile=self.path("cert.pem"))
        c = http.client.HTTPSConnection("localhost", receiver.port, context=context,
                                        timeout=DEADLINE_S)
        self.addCleanup(c.close)
        self.assertEqual(self.deliver(c, "evt_1"), 401)
        with open(self.path("secret"), "w") as f:
            f.write(SECRET + "\n")
        self.assertEqual(self.deliver(c, "evt_1"), 201)
        self.end(receiver, 1)

    def test_answers_are_delayed_and_stay_in_order(self):
        receiver = self.listen("--http", "--delay", "300ms")
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=DEADLINE_S) as s:
            one = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nwebhook-id: %s\r\n\r\n{}"
            s.sendall(one % b"evt_1" + one % b"evt_2" + b"nonsense\r\n\r\n")
            received = b"".join(iter(lambda: s.recv(4096), b""))
        self.assertGreaterEqual(time.monotonic() - began, 0.6)
        statuses = [line.split()[1] for line in received.split(b"\r\n") if b"HTTP/1.1" in line]
        self.assertEqual(statuses, [b"204", b"204", b"400"])
        lines, _ = self.end(receiver, 0)
        self.assertEqual([line["id"] for line in lines], ["evt_1", "evt_2"])

    def test_a_client_that_asks_first_is_told_to_continue(self):
        receiver = self.listen("--http")
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=DEADLINE_S) as s:
            s.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            self.assertEqual(s.recv(4096), b"HTTP/1.1 100 Continue\r\n\r\n")
            s.sendall(b"{}")
            self.assertIn(b" 204 ", s.recv(4096))
        self.end(receiver, 0)

    def test_a_body_announced_too_large_is_refused_before_it_is_sent(self):
        head = "POST / HTTP/1.1\r\nhost: x\r\n{}\r\n\r\n"
        over, receiver = 64 * 1024 * 1024 + 1, self.listen("--http")
        for text in (head.format(f"content-length: {over}"),
                     head.format(f"expect: 100-continue\r\ncontent-length: {over}"),
                     head.format("transfer-encoding: chunked") + f"{over:x}\r\n"):
            with self.subTest(text), \
                    socket.create_connection(("127.0.0.1", receiver.port), DEADLINE_S) as s:
                s.sendall(text.encode())
                received = b"".join(iter(lambda: s.recv(4096), b""))
                self.assertTrue(received.startswith(b"HTTP/1.1 413 "), received)
        lines, _ = self.end(receiver, 0)
        self.assertEqual(lines, [])

    def test_a_port_in_use_is_one_line(self):
        receiver = self.listen("--http")
        result = run("listen", "--http", "--port", str(receiver.port))
        self.assertEqual(result.returncode, 2)
        self.assertEqual(len(result.stderr.splitlines()), 1)
        self.end(receiver, 0)


if __name__ == "__main__":
    unittest.main()
