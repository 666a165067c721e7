"""The process behind receiver.py: an HTTPS server on one asyncio loop, for volume.

Takes orders as JSON lines on standard input and answers each with one line.  It parses HTTP by
hand, checks each request against the contract and each signature with its own hmac, and writes
down every request: what came, when, what was answered, and whether two requests of one delivery
were open at once.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kit import certificates, signing  # noqa: E402

HEAD_MAX = 64 * 1024
REASONS = {200: "OK", 202: "Accepted", 204: "No Content", 301: "Moved Permanently", 410: "Gone",
           429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}
DELIVERY = re.compile(r"^dlv_[a-z0-9]+$")

# Columns of a request as it is reported; receiver.py names them.
PATH, ID, DELIVERY_ID, ATTEMPT, AT, WALL, COMPLAINT, DIGEST, STATUS, ANSWERED_AT, CONNECTION, \
    HEADERS, BODY = range(13)


class Desk:
    """What all connections share: rules, the record of requests, counts."""

    def __init__(self):
        self.rules = {}
        self.requests = []
        self.connections = set()
        self.n_connections = 0
        self.n_answered = 0
        self.open = {}  # delivery id -> requests without an answer

    def rule_of(self, path):
        return self.rules.get(path, {"status": 404})


class Connection(asyncio.Protocol):
    def __init__(self, desk, loop):
        self.desk = desk
        self.loop = loop
        self.buffer = b""
        self.request = None  # the one being answered
        self.timer = None

    def connection_made(self, transport):
        self.transport = transport
        self.desk.n_connections += 1
        self.number = self.desk.n_connections
        self.desk.connections.add(self)

    def connection_lost(self, error):
        self.desk.connections.discard(self)
        if self.timer is not None:
            self.timer.cancel()
        if self.request is not None:
            self.leave(self.request)

    def data_received(self, data):
        self.buffer += data
        if self.request is not None:
            self.request[COMPLAINT] = "a request before the answer to the last one"
            return
        self.look()

    def look(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > HEAD_MAX:
                self.transport.abort()
            return
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        if len(self.buffer) < end + 4 + length:
            return
        body = self.buffer[end + 4:end + 4 + length]
        self.buffer = self.buffer[end + 4 + length:]
        self.take(lines[0], headers, len(lines) - 1, body)

    def take(self, line, headers, n_lines, body):
        desk = self.desk
        words = line.split(" ")
        path = words[1] if len(words) == 3 else line
        rule = desk.rule_of(path)
        delivery = headers.get("x-hookwheel-delivery", "")
        attempt = headers.get("x-hookwheel-attempt", "")
        complaint = complain(words, headers, n_lines, body, rule)
        if self.buffer:
            complaint = "bytes behind the body"
        keep = rule.get("keep", False)
        request = [path, headers.get("webhook-id", ""), delivery,
                   int(attempt) if attempt.isdigit() else 0, time.monotonic(), time.time(),
                   complaint, hashlib.sha256(body).hexdigest()[:32], None, None, self.number,
                   headers if keep else None,
                   base64.b64encode(body).decode() if keep else None]
        if desk.open.get(delivery):
            request[COMPLAINT] = "two requests of one delivery are open at once"
        desk.open[delivery] = desk.open.get(delivery, 0) + 1
        desk.requests.append(request)
        self.request = request
        if rule.get("hang"):
            return
        delay = rule.get("delay_s", 0)
        if delay:
            self.timer = self.loop.call_later(delay, self.answer, rule)
        else:
            self.answer(rule)

    def leave(self, request):
        left = self.desk.open[request[DELIVERY_ID]] - 1
        if left:
            self.desk.open[request[DELIVERY_ID]] = left
        else:
            del self.desk.open[request[DELIVERY_ID]]
        self.request = None

    def answer(self, rule):
        request = self.request
        status = status_of(rule, request)
        body = rule.get("body", "").encode()
        head = "HTTP/1.1 {} {}\r\n".format(status, REASONS.get(status, "Whatever"))
        for name, value in rule.get("headers", {}).items():
            head += "{}: {}\r\n".format(name, value)
        if status != 204:
            head += "content-length: {}\r\n".format(len(body))
        request[STATUS] = status
        request[ANSWERED_AT] = time.monotonic()
        self.desk.n_answered += 1
        self.timer = None
        self.leave(request)
        self.transport.write(head.encode() + b"\r\n" + (b"" if status == 204 else body))
        if rule.get("close"):
            self.transport.close()
        elif self.buffer:
            self.look()


def status_of(rule, request):
    """Decided by the delivery and its attempt, so that a duplicate is answered alike."""
    statuses = rule.get("statuses")
    if statuses:
        return statuses[min(request[ATTEMPT], len(statuses)) - 1]
    share = rule.get("fail_share", 0)
    if share:
        seed = "{}:{}".format(request[ID], request[ATTEMPT]).encode()
        if int.from_bytes(hashlib.sha256(seed).digest()[:4], "big") < share * 2**32:
            return rule.get("fail_status", 500)
    return rule.get("status", 204)


def complain(words, headers, n_lines, body, rule):
    """What SPEC section 4 promises of every request; None: all of it is kept."""
    if len(words) != 3 or words[0] != "POST" or words[2] != "HTTP/1.1":
        return "request line: " + " ".join(words)
    if n_lines != len(headers):
        return "a header twice"
    if headers.get("content-type") != "application/json":
        return "content-type"
    if headers.get("content-length") != str(len(body)):
        return "content-length"
    if not headers.get("user-agent", "").startswith("hookwheel/"):
        return "user-agent"
    if not DELIVERY.match(headers.get("x-hookwheel-delivery", "")):
        return "x-hookwheel-delivery"
    if not headers.get("x-hookwheel-attempt", "").isdigit():
        return "x-hookwheel-attempt"
    if "accept-encoding" in headers or "transfer-encoding" in headers:
        return "a coding"
    if rule.get("secret"):
        if not signing.is_genuine(signing.key_of(rule["secret"]), headers, body):
            return "signature"
    return None


class Orders:
    """The lines on standard input."""

    def __init__(self, desk):
        self.desk = desk

    def obey(self, order):
        return getattr(self, "do_" + order.pop("do"))(**order)

    def do_rule(self, path, rule):
        self.desk.rules[path] = rule
        return True

    def do_counts(self):
        desk = self.desk
        return {"requests": len(desk.requests), "answered": desk.n_answered,
                "open": sum(desk.open.values()), "connections": len(desk.connections),
                "connections_ever": desk.n_connections}

    def do_requests(self):
        return self.desk.requests

    def do_answer_all(self):
        """Those that hang get their answer now, by the rules as they are now."""
        for connection in list(self.desk.connections):
            if connection.request is not None and connection.timer is None:
                connection.answer(self.desk.rule_of(connection.request[PATH]))
        return True

    def do_close_idle(self):
        for connection in list(self.desk.connections):
            if connection.request is None:
                connection.transport.close()
        return True


async def main():
    loop = asyncio.get_running_loop()
    desk = Desk()
    server = await loop.create_server(lambda: Connection(desk, loop), "127.0.0.1", 0, backlog=1024,
                                      ssl=certificates.server_context(sys.argv[1], "good"))
    print(json.dumps(server.sockets[0].getsockname()[1]), flush=True)
    orders = Orders(desk)
    reader = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while True:
        line = await reader.readline()
        if not line:
            break
        sys.stdout.write(json.dumps(orders.obey(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
