"""The test case of the API: one Redis, one daemon, what refusals look like, and pages."""

import socket
import urllib.parse

from kit.case import Case
from kit.daemon import TOKEN

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
SCOPES = ("webhooks:manage", "deliveries:read", "deliveries:write", "events:write", "events:read")

BAD_URLS = [
    "ftp://localhost/", "http://localhost:9000/", "https://user@localhost:9000/",
    "https://@localhost:9000/", "https://localhost:9000/#x", "https://localhost:80/",
    "https://localhost:0/", "https://localhost:1023/", "https://localhost:65536/",
    "https://localhost:/", "https:///x", "https://", "localhost", "https://a..b/",
    "https://-a.example/", "https://a.example?x", "https://a.example/\u00e9",
    "https://a.example/ x", "https://127.1/", "https://0x7f000001/", "https://2130706433/",
    "https://127.0.0.01/", "https://1.2.3.4.5/", "https://a.0x1/", "https://a.example.5/",
    "https://[::1%25lo]:9000/", "https://[::1:9000/", "https://10.0.0.1/",
    "https://169.254.169.254/", "https://[fd00::1]/", "https://[::ffff:10.0.0.1]/",
    "https://0.0.0.0/", "https://255.255.255.255/", "https://100.64.0.1/",
    "https://a.example/" + "x" * 2048, "https://" + "a" * 64 + ".example/",
    "https://a.example\\@b.example/", "https://a.example/\x7f",
]


class ApiCase(Case):
    def setUp(self):
        super().setUp()
        self.start_redis()
        self.daemon = self.start_daemon(**self.settings())

    def settings(self):
        return {}

    def create(self, status=201, **members):
        reply = self.daemon.call("POST", "/v1/webhooks",
                                 dict({"url": "https://localhost:9000/a"}, **members))
        self.assertEqual(reply.status, status, reply.body)
        return reply.json()

    def subscribe(self, path="/hook", rule=None, token=TOKEN, **members):
        """A webhook to that path of self.receiver, which follows the rule there."""
        webhook = self.daemon.expect(201, "POST", "/v1/webhooks",
                                     dict(members, url=self.receiver.url(path)), token=token)
        self.receiver.rule(path, secret=webhook["secret"], **(rule or {}))
        return webhook

    def check_error(self, reply, status, code, field=None):
        self.assertEqual(reply.status, status, reply.body)
        self.assertEqual(reply.headers["content-type"].split(";")[0], "application/json")
        error = reply.error()
        self.assertEqual(error["code"], code)
        self.assertEqual(sorted(error), ["code", "details", "message"])
        self.assertTrue(error["message"])
        if field is not None:
            self.assertEqual(error["details"]["field"], field)
        return error

    def check_forbidden(self, reply, missing_scope):
        error = self.check_error(reply, 403, "forbidden")
        self.assertEqual(error["details"]["missing_scope"], missing_scope)

    def wait_accepted(self, deadline_s=20):
        """All that was enqueued has its deliveries."""
        self.wait_until(lambda: self.redis.length() == 0, deadline_s, "the stream is empty")

    def arrived(self, n, path=None, deadline_s=20):
        """Those on path, once n have come there and nothing is left to do."""
        self.wait_until(lambda: len(self.receiver.requests(path)) >= n, deadline_s,
                        lambda: "{} requests; {} came".format(n, self.receiver.requests(path)))
        self.wait_settled(self.daemon)
        requests = self.receiver.requests(path)
        self.assert_clean(requests)
        self.assertEqual(len(requests), n)
        return requests


def asked(path, query):
    """With that query behind it; what is None is left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return path + "?" + urllib.parse.urlencode(given) if given else path


def pages_down(daemon, path, token=TOKEN, **query):
    """Every page, from the newest on."""
    pages, cursor = [], None
    while True:
        page = daemon.expect(200, "GET", asked(path, dict(query, cursor=cursor)), token=token)
        pages.append(page)
        cursor = page["next_cursor"]
        if not page["has_more"]:
            return pages


def pages_up(daemon, path, page, token=TOKEN, **query):
    """Every page on the newer side of this one, from it on."""
    pages, cursor = [], page["prev_cursor"]
    while cursor is not None:
        page = daemon.expect(200, "GET", asked(path, dict(query, cursor=cursor)), token=token)
        pages.append(page)
        cursor = page["prev_cursor"] if page["has_more"] else None
    return pages


def ids_of(pages):
    return [item["id"] for page in pages for item in page["data"]]


class Closed(AssertionError):
    """The daemon closed where an answer was awaited."""


class Answer:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.status = int(lines[0].split(" ")[1])
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self.body = b""


class Plain:
    """A connection to the API for bytes of one's own."""

    def __init__(self, daemon, door="api", timeout_s=10, receive_buffer=None):
        host, _, port = daemon.addresses[door].rpartition(":")
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout_s)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, method, path, body=b"", headers=(), token=TOKEN):
        self.send(head(method, path, [*headers, "content-length: {}".format(len(body))], token)
                  + body)

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed("closed after {!r}".format(self.buffer[-200:]))
        self.buffer += data

    def answer(self, has_body=True):
        """The next one, an interim one too; has_body: it is not for a HEAD."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        text, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        answer = Answer(text)
        n_bytes = int(answer.headers.get("content-length", "0")) if has_body else 0
        while len(self.buffer) < n_bytes:
            self._more()
        answer.body, self.buffer = self.buffer[:n_bytes], self.buffer[n_bytes:]
        return answer

    def is_closed(self):
        """Waits for the end; False: bytes came, or nothing for as long as the timeout."""
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False


def head(method, path, headers=(), token=TOKEN):
    lines = ["{} {} HTTP/1.1".format(method, path), "host: tests",
             "content-type: application/json"]
    if token:
        lines.append("authorization: Bearer " + token)
    return "\r\n".join([*lines, *headers, "", ""]).encode()
